#!/bin/sh
# The examples: under 60 lines, only the public header, built against the static library, and they do what they say.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/release}
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
    check "examples/$example.c includes no private header" sh -c "! grep '#include' examples/$example.c | grep -v -E '<(stentor|signal|stdio|string|stdlib)\.h>'"
    # shellcheck disable=SC2086
    check "examples/$example.c compiles" ${CC:-gcc} -std=c11 -Wall -Wextra -Werror -Iinclude examples/$example.c "$BUILD/libstentor.a" -pthread $libraries -lm ${LINK:-} -o "$work/$example"
done
i=0; while [ $i -lt 400 ]; do echo "line $i: the quick brown fox jumps over the lazy dog"; i=$((i + 1)); done >"$work/text.txt"
check "examples/train trains" "$work/train" "$work/text.txt" "$work/out" 20
cp "$work/log" "$work/said"
check "it tells the digest" grep -q 'validation loss .* after 20 steps; sha256 [0-9a-f]\{64\}$' "$work/said"
check "a second call finds nothing left to do" "$work/train" "$work/text.txt" "$work/out" 20
check "examples/generate writes text" "$work/generate" "$work/out" "the quick"
cp "$work/log" "$work/said"
check "it counts 200 tokens" grep -q '(200 tokens)' "$work/said"
check "a missing text is told" sh -c "! '$work/train' '$work/none.txt' '$work/out2' 20 2>'$work/err' && grep -q none.txt '$work/err'"
check "a missing model is told" sh -c "! '$work/generate' '$work/none' 2>'$work/err' && grep -q none '$work/err'"
echo "1..$count"
[ $failures -eq 0 ]
