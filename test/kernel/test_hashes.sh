#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every kernel gives the same bits on every instruction set, on this machine and, where the cross compiler and QEMU are, on aarch64.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/release}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# Objects that the battery needs, below build folder $1, for the instruction sets $2…. Those for AVX-512 name AMX's
# where compiler $compiler knows it, as the Makefile asks.
objects() {
    folder=$1
    shift
    case " $* " in
    *" avx512 "*)
        echo 'int main(void) { _tile_zero(0); return 0; }' >"$work/tile.c"
        if $compiler -mamx-tile -mamx-bf16 -include immintrin.h -c "$work/tile.c" -o "$work/tile.o" 2>/dev/null; then
            for file in src/kernel/cpu/amx/*.c; do echo "$folder/${file%.c}.o"; done
        fi ;;
    esac
    for room in affinity cpu gate memory status team; do echo "$folder/src/base/$room.o"; done
    for file in src/kernel/cpu/lanes/*.c; do
        for isa in "$@"; do echo "$folder/${file%.c}.$isa.o"; done
    done
}
# make_there ARGUMENTS…: the Makefile's release build by $compiler, of the rooms that the battery needs
make_there() { MAKEFLAGS='' make -s MODE=release CC="$compiler" ROOMS="base kernel" "$@" >"$work/make" 2>&1; }
# Builds with compiler $1 and link option $2 below folder $3 for the instruction sets $5…; -> $3/hash_battery. Takes the objects of the
# release build $4, where that is one and no source is newer than they.
build() {
    compiler=$1 option=$2 folder=$3 ready=$4
    shift 4
    list=$(objects "$ready" "$@")
    # shellcheck disable=SC2086
    if ! make_there -q BUILD="$ready" $list; then
        list=$(objects "$folder" "$@")
        make_there BUILD="$folder" $list || return
    fi
    # shellcheck disable=SC2086
    make_there BUILD="$folder" "$folder/test/kernel/hash_battery.o" &&
        $compiler $option -o "$folder/hash_battery" "$folder/test/kernel/hash_battery.o" $list -pthread -lm >>"$work/make" 2>&1
}
# Compares the hashes of each kernel in file $1; one TAP line each.
number=0
[ -z "${SANITIZED:-}" ] || { echo "ok 1 - hashes # SKIP the battery is built without the sanitizer"; echo 1..1; exit 0; }
compare() {
    cut -d: -f1 "$1" | sort -u >"$work/names"
    while read -r name; do
        number=$((number + 1))
        lines=$(grep "^$name: " "$1" | sed 's/.*: //')
        if [ "$(echo "$lines" | awk '{print $2}' | sort -u | wc -l)" -eq 1 ]; then
            echo "ok $number - $2: $name: $(echo "$lines" | awk '{printf "%s%s", sep, $1; sep = ", "}')"
        else
            echo "not ok $number - $2: $name"
            echo "$lines" | sed 's/^/# /'
        fi
    done <"$work/names"
}
fail() {
    number=$((number + 1))
    echo "not ok $number - $1"
    sed 's/^/# /' "$work/make"
}

case $(uname -m) in
x86_64) here="generic avx2 avx512" ;;
aarch64) here="generic neon" ;;
*) here=generic ;;
esac
# make says MODE where it is another one.
here_ready=$BUILD
[ "${MODE:-release}" = release ] || here_ready=$BUILD/hashes
# shellcheck disable=SC2086
if build "${CC:-gcc}" "" "$BUILD/hashes" "$here_ready" $here && "$BUILD/hashes/hash_battery" >"$work/here" 2>>"$work/make"; then
    compare "$work/here" "$(uname -m)"
else
    fail "the battery builds and runs here"
fi

missing=
command -v aarch64-linux-gnu-gcc >/dev/null || missing="aarch64-linux-gnu-gcc is not here (package gcc-aarch64-linux-gnu)"
command -v qemu-aarch64-static >/dev/null || missing="qemu-aarch64-static is not here (package qemu-user-static)"
[ "$(uname -m)" = aarch64 ] && missing="this is aarch64"
if [ -n "$missing" ]; then
    number=$((number + 1))
    echo "ok $number - aarch64 gives the hashes of $(uname -m) # SKIP $missing"
elif build aarch64-linux-gnu-gcc -static "$BUILD/hashes-aarch64" build/release-aarch64 generic neon &&
    qemu-aarch64-static "$BUILD/hashes-aarch64/hash_battery" >"$work/arm" 2>>"$work/make"; then
    sed 's/\(: [a-z0-9]*\) /\1-on-aarch64 /' "$work/arm" >"$work/both"
    cat "$work/here" >>"$work/both"
    compare "$work/both" "aarch64 and $(uname -m)"
else
    fail "the battery builds for aarch64 and runs under QEMU"
fi
echo "1..$number"
