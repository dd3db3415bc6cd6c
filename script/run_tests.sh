#!/bin/sh
# Runs every test program and test script, JOBS at a time (default: 1), and sums up. Each prints TAP ("ok", "not ok", "# SKIP").
# FILTER=part runs those whose path contains it, or one of its lines; a line that no path contains is a failure.
# Ends with "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/release}
export BUILD
log=$BUILD/test-log

# Only what hangs reaches this.
limit=900
# limited COMMAND…: under timeout(1), where there is one. That has a group of its own, which a signal from the terminal does not reach.
limited() {
    command -v timeout >/dev/null 2>&1 || { "$@"; return; }
    timeout -k 10 $limit "$@" & child=$!
    trap 'kill "$child" 2>/dev/null; wait "$child"; exit 1' INT TERM HUP
    wait "$child"
}
# run_tests.sh one TEST: what it says goes into files of its own, what is to be said of it comes in one piece.
one() {
    test=$1 name=$(basename "$1") out=$log/$(echo "$1" | tr / -).tap began=$(date +%s)
    case $test in
    *.sh) limited sh "$test" >"$out" 2>"$out.err" ;;
    *) limited env CMOCKA_MESSAGE_OUTPUT=TAP "$test" >"$out" 2>"$out.err" ;;
    esac
    code=$? why=''
    # 124: by timeout; 137: when that did not help, either. Something else may have killed it sooner.
    seconds=$(($(date +%s) - began))
    case $code in 124 | 137) [ "$seconds" -lt $limit ] || why=": it was ended after $limit s" ;; esac
    # cmocka writes a skipped case as "not ok N # SKIP".
    s=$(grep -c -E '^(not )?ok .*# *SKIP' "$out")
    p=$(grep -E '^ok ' "$out" | grep -c -v -E '# *SKIP')
    f=$(grep -E '^not ok ' "$out" | grep -c -v -E '# *SKIP')
    # A program that dies, or says nothing, has failed.
    if [ "$f" -eq 0 ] && { [ "$code" -ne 0 ] || [ $((p + s)) -eq 0 ]; }; then f=1; fi
    {
        printf '%-44s %4d passed %3d failed %3d skipped %4d s\n' "$name" "$p" "$f" "$s" "$seconds"
        if [ "$f" -gt 0 ]; then
            echo "---- $test (exit $code$why)"
            grep -A 12 -E '^not ok ' "$out" | grep -v '# *SKIP' | head -60
            tail -25 "$out.err"
            echo "----"
        fi
        grep -E '^(not )?ok .*# *SKIP' "$out" | sed -E 's/^(not )?ok [0-9]* *-* */     skipped: /'
    } >"$out.said"
    echo "$p $f $s" >"$out.sum"
    cat "$out.said"
}
if [ "${1:-}" = one ]; then
    one "$2"
    exit 0
fi

rm -rf "$log"
mkdir -p "$log"
# Scripts first: the long ones are among them, and must not be what is waited for in the end.
all=$(find test -name 'test_*.sh' | sort
    find "$BUILD/test" -type f -name 'test_*' -perm -u+x ! -name '*.o' ! -name '*.d' 2>/dev/null | sort)
list=$(echo "$all" | grep -F -e "${FILTER:-test_}")
[ -z "$list" ] || echo "$list" | xargs -P "${JOBS:-1}" -n 1 sh script/run_tests.sh one
passed=0 failed=0 skipped=0
for test in $list; do
    # A test whose sum is not there was never run to its end.
    read -r p f s <"$log/$(echo "$test" | tr / -).tap.sum" 2>/dev/null || { p=0 f=1 s=0; echo "$test was not run"; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "${FILTER:-test_}" >"$log/filter"
while IFS= read -r line; do
    echo "$all" | grep -q -F -e "$line" || { failed=$((failed + 1)); echo "FILTER: no test's path contains \"$line\""; }
done <"$log/filter"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
