#!/bin/sh
# Runs every test program and test script and sums up. Each prints TAP ("ok", "not ok", "# SKIP").
# FILTER=part runs those whose path contains it. Ends with "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/release}
export BUILD
passed=0 failed=0 skipped=0
log=$BUILD/test-log
mkdir -p "$log"
list=$( (find "$BUILD/test" -type f -name 'test_*' -perm -u+x ! -name '*.o' ! -name '*.d' 2>/dev/null; find test -name 'test_*.sh') | sort)
for test in $list; do
    case $test in *"${FILTER:-}"*) ;; *) continue ;; esac
    name=$(basename "$test")
    out=$log/$name.tap
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
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-44s %4d passed %3d failed %3d skipped\n' "$name" "$p" "$f" "$s"
    if [ "$f" -gt 0 ]; then
        echo "---- $test (exit $code)"
        grep -A 12 -E '^not ok ' "$out" | grep -v '# *SKIP' | head -60
        tail -25 "$out.err"
        echo "----"
    fi
    grep -E '^(not )?ok .*# *SKIP' "$out" | sed -E 's/^(not )?ok [0-9]* *-* */     skipped: /'
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
