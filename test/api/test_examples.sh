#!/bin/sh
# The examples: under 60 lines, only the public header, built against the static library, and they do what they say.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/release}
case $BUILD in /*) modules=$BUILD ;; *) modules=$PWD/$BUILD ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 failures=0
check() { # check NAME COMMAND…
    name=$1; shift
    count=$((count + 1))
    if "$@" >"$work/log" 2>&1; then echo "ok $count - $name"; else
        failures=$((failures + 1)); echo "not ok $count - $name"; sed 's/^/# /' "$work/log" | tail -8; fi
}
libraries=$(ldd "$BUILD/stentor" | sed -n 's/.*lib\(jansson\|yaml\|xxhash\|pcre2-8\|utf8proc\|z\|zstd\|asan\|ubsan\|tsan\)[-.0-9]*\.so.*/-l\1/p' | tr '\n' ' ')
for example in train generate; do
    check "examples/$example.c has fewer than 60 lines" test "$(wc -l <examples/$example.c)" -lt 60
    check "examples/$example.c includes no private header" sh -c "! grep '#include' examples/$example.c | grep -v -E '<(stentor|signal|stdio|string|stdlib|unistd)\.h>'"
    # shellcheck disable=SC2086
    check "examples/$example.c compiles" ${CC:-gcc} -std=c11 -Wall -Wextra -Werror -Iinclude examples/$example.c "$BUILD/libstentor.a" -pthread $libraries -lm ${LINK:-} -o "$work/$example"
done
i=0; while [ $i -lt 400 ]; do echo "line $i: the quick brown fox jumps over the lazy dog"; i=$((i + 1)); done >"$work/text.txt"
check "examples/train trains" "$work/train" "$work/text.txt" "$work/out" 20
cp "$work/log" "$work/said"
check "it tells the digest" grep -q 'validation loss .* after 20 steps; sha256 [0-9a-f]\{64\}$' "$work/said"
together() { # together LIBRARY: 3 processes have the bits of one, and the first alone speaks
    rm -rf "$work/out3"
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 STENTOR_MPI=$modules/mpi.$1.so \
        timeout 100 "mpirun.$1" -n 3 "$work/train" "$work/text.txt" "$work/out3" 20 >"$work/said3" 2>&1 || { cat "$work/said3"; return 1; }
    [ "$(grep -c sha256 "$work/said3")" -eq 1 ] && [ "$(sed 's/.*sha256//' "$work/said3" | tail -1)" = "$(sed 's/.*sha256//' "$work/said" | tail -1)" ]
}
for library in openmpi mpich; do
    reason=''
    if [ ! -e "$BUILD/mpi.$library.so" ] || ! command -v mpirun.$library >/dev/null; then reason="it is not here"; fi
    [ -z "${SANITIZED:-}" ] || reason="it knows no sanitizer"
    [ -z "$reason" ] || { count=$((count + 1)); echo "ok $count - 3 processes by $library # SKIP $reason"; continue; }
    check "3 processes by $library train one model" together $library
done
check "a second call finds nothing left to do" "$work/train" "$work/text.txt" "$work/out" 20
check "examples/generate writes text" "$work/generate" "$work/out" "the quick"
cp "$work/log" "$work/said"
check "it counts 200 tokens" grep -q '(200 tokens)' "$work/said"
check "a missing text is told" sh -c "! '$work/train' '$work/none.txt' '$work/out2' 20 2>'$work/err' && grep -q none.txt '$work/err'"
check "a missing model is told" sh -c "! '$work/generate' '$work/none' 2>'$work/err' && grep -q none '$work/err'"
echo "1..$count"
[ $failures -eq 0 ]
