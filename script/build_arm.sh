#!/bin/sh
# Builds the program for aarch64, statically, to run under QEMU: needs gcc-aarch64-linux-gnu and the libraries' arm64 packages
# (dpkg --add-architecture arm64). Says why and exits with 1 where that is not possible.
set -u
cd "$(dirname "$0")/.." || exit 1
compiler=aarch64-linux-gnu-gcc
command -v $compiler >/dev/null 2>&1 || { echo "$compiler is not here" >&2; exit 1; }
root=${ARM_ROOT:-build/arm-root}
if [ ! -e "$root/usr/include/pcre2.h" ]; then
    mkdir -p "$root/packages"
    dpkg --print-foreign-architectures | grep -q arm64 || dpkg --add-architecture arm64 || exit 1
    (cd "$root/packages" &&
        { apt-get download -q libjansson-dev:arm64 libyaml-dev:arm64 libxxhash-dev:arm64 libpcre2-dev:arm64 libutf8proc-dev:arm64 zlib1g-dev:arm64 libzstd-dev:arm64 >/dev/null 2>&1 ||
            { apt-get update -q >/dev/null 2>&1 &&
                apt-get download -q libjansson-dev:arm64 libyaml-dev:arm64 libxxhash-dev:arm64 libpcre2-dev:arm64 libutf8proc-dev:arm64 zlib1g-dev:arm64 libzstd-dev:arm64 >/dev/null; }; }) ||
        { echo "the arm64 packages of jansson, libyaml, xxhash, PCRE2, utf8proc, zlib and zstd cannot be had here" >&2; exit 1; }
    for package in "$root"/packages/*.deb; do dpkg -x "$package" "$root" || exit 1; done
fi
make --no-print-directory -s -j "$(getconf _NPROCESSORS_ONLN)" CC=$compiler STATIC=1 \
    CFLAGS="-I$root/usr/include -I$root/usr/include/aarch64-linux-gnu" \
    LDFLAGS="-static -L$root/usr/lib/aarch64-linux-gnu" build/release-aarch64/stentor
