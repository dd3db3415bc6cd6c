# SPDX-License-Identifier: Apache-2.0
# Sourced by tests of the program: a folder of their own, which is gone at the end, and TAP. Ends with: conclude.
#   root build program python work   the checkout, the build, stentor, an interpreter, the folder (where the test is from here on)
# shellcheck shell=sh disable=SC2034,SC2154
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$(pwd)
BUILD=${BUILD:-build/release}
build=$(cd "$BUILD" && pwd) || exit 1
program=$build/stentor
python=${STENTOR_PYTHON:-python3}
work=$(mktemp -d) || exit 1
end() { rm -rf "$work"; } # a test that has more to end says it anew
leave() { # jobs of a test that ends too soon end with it
    jobs >"$work/jobs" # forgets those that are done
    jobs -p >"$work/jobs"
    while read -r process; do
        kill "$process" && within 30 gone "$process" || kill -KILL "$process"
    done <"$work/jobs" 2>/dev/null
    end
}
trap leave EXIT
trap 'exit 1' INT TERM HUP
cd "$work" || exit 1

count=0 failures=0 shown=err # what is shown of a failure
ok() { count=$((count + 1)); echo "ok $count - $1"; }
not_ok() { # not_ok NAME [FILE]
    count=$((count + 1)) failures=$((failures + 1))
    echo "not ok $count - $1"
    [ ! -f "${2:-$shown}" ] || sed 's/^/# /' "${2:-$shown}" | head -14
}
# Of a tool that script/install_needs.sh ci installs, the reason says "not here": .ci/run takes that for a failure.
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }
check() { # check NAME COMMAND…
    name=$1; shift
    if "$@" >log 2>&1; then ok "$name"; else tail -8 log >log.end; not_ok "$name" log.end; fi
}
# fails NAME CODE WORDS COMMAND…: standard input is in.txt, standard output goes to out.txt
fails() {
    name=$1 code=$2 words=$3; shift 3
    timeout 60 "$@" <in.txt >out.txt 2>err.txt
    got=$?
    check "$name" sh -c "cat err.txt; test $got -eq $code && { test -z '$words' || grep -q -F -e '$words' err.txt; } && ! grep -q -i 'sanitizer\|broken invariant' err.txt"
}
conclude() { echo "1..$count"; exit $((failures > 0)); }

# field NAME FILE: the last value of a member of the objects in a file, a number or a word
field() { sed -n "s/.*\"$1\": \"\{0,1\}\([^\",}]*\).*/\1/p" "$2" | tail -1; }
digest() { sed -n 's/.*\([0-9a-f]\{64\}\).*/\1/p' "$1" | tail -1; } # the last in a file
# The Python expression over the object d of a file holds; check_json NAME FILE EXPRESSION skips without Python.
json() { "$python" -c "import json, sys; d = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), d" "$1" "$2"; }
check_json() { if "$python" -c 'import json' 2>/dev/null; then check "$1" json "$2" "$3"; else skip "$1" "no python3"; fi; }
quick_text() { # quick_text LINES: to standard output
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) print "line " i ": the quick brown fox jumps over the lazy dog" }'
}
# newest OUT [BELOW]: step of its newest checkpoint (below that one), 0: none
newest() { # without another program, since it is asked often
    most=0
    for step in "$1"/checkpoints/step-*; do
        step=${step##*step-}
        if [ "$step" -gt $most ] && [ "$step" -lt "${2:-999999999}" ]; then most=$step; fi 2>/dev/null
    done
    echo $most
}
within() { # within TENTHS COMMAND…: whether it holds within so many tenths of a second
    left=$1; shift
    while ! "$@"; do [ "$left" -gt 0 ] || return 1; left=$((left - 1)); sleep 0.1; done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
now() { date +%s%N | sed 's/......$//'; } # milliseconds
random() { # random FROM TO: number, of [FROM, TO), by $seed
    draws=$((${draws:-0} + 1))
    number=$(awk -v s="$seed$draws" -v a="$1" -v b="$2" 'BEGIN { srand(s); print a + int(rand() * (b - a)) }')
}
# This test's processes that train (others may run beside it), "PID RANK" a line; that of a rank.
here=$(pwd -P)
ranks() {
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/exe" 2>/dev/null)" = "$program" ] || continue
        [ "$(readlink "$process/cwd" 2>/dev/null)" = "$here" ] || continue
        # It may end meanwhile.
        cat "$process/environ" 2>/dev/null | tr "\0" "\n" | sed -n "s,^OMPI_COMM_WORLD_RANK=\|^PMI_RANK=,${process#/proc/} ,p"
    done
}
pid_of() { ranks | awk -v rank="$1" '$2 == rank { print $1 }'; }
