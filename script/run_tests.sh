#!/bin/sh
# Runs every test program and test script, JOBS at a time (default: 1), and sums up. Each prints TAP ("ok", "not ok", "# SKIP").
# FILTER=part runs those whose path contains it. Ends with "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/release}
export BUILD
log=$BUILD/test-log

# run_tests.sh one TEST: what it says goes into files of its own, what is to be said of it comes in one piece.
one() {
    test=$1 name=$(basename "$1") out=$log/$(echo "$1" | tr / -).tap
    case $test in
    *.sh) sh "$test" >"$out" 2>"$out.err" ;;
    *) CMOCKA_MESSAGE_OUTPUT=TAP "$test" >"$out" 2>"$out.err" ;;
    esac
    code=$?
    # cmocka writes a skipped case as "not ok N # SKIP".
    s=$(grep -c -E '^(not )?ok .*# *SKIP' "$out")
    p=$(grep -E '^ok ' "$out" | grep -c -v -E '# *SKIP')
    f=$(grep -E '^not ok ' "$out" | grep -c -v -E '# *SKIP')
    # A program that dies, or says nothing, has failed.
    if [ "$f" -eq 0 ] && { [ "$code" -ne 0 ] || [ $((p + s)) -eq 0 ]; }; then f=1; fi
    {
        printf '%-44s %4d passed %3d failed %3d skipped\n' "$name" "$p" "$f" "$s"
        if [ "$f" -gt 0 ]; then
            echo "---- $test (exit $code)"
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
list=$( (find "$BUILD/test" -type f -name 'test_*' -perm -u+x ! -name '*.o' ! -name '*.d' 2>/dev/null; find test -name 'test_*.sh') | sort | grep -F -e "${FILTER:-test_}")
[ -z "$list" ] || echo "$list" | xargs -P "${JOBS:-1}" -n 1 sh script/run_tests.sh one
passed=0 failed=0 skipped=0
for test in $list; do
    # A test whose sum is not there was never run to its end.
    read -r p f s <"$log/$(echo "$test" | tr / -).tap.sum" 2>/dev/null || { p=0 f=1 s=0; echo "$test was not run"; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
