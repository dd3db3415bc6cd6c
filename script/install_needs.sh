#!/bin/sh
# Installs what is missing to build and test (Debian and Ubuntu), or says what to install. Quiet when nothing is missing.
#   install_needs.sh [build|test|bench|demo-en|demo-zh|ci]      default: test; bench: the libraries that bench/gemm compares with
set -u
purpose=${1:-test}
compiler=${CC:-gcc}

build_packages="gcc libc6-dev make libjansson-dev libyaml-dev libxxhash-dev libpcre2-dev libutf8proc-dev zlib1g-dev libzstd-dev"
case $purpose in
build) packages=$build_packages ;;
test) packages="$build_packages libcmocka-dev" ;;
bench) packages="$build_packages libopenblas0-pthread libdnnl2" ;;
demo-en) packages="$build_packages fortunes" ;;
demo-zh) packages="$build_packages fortunes-zh" ;;
ci) packages="$build_packages libcmocka-dev clang clang-format clang-tidy libclang-rt-14-dev shellcheck git pkg-config man-db fortunes fortunes-zh \
      gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static slurmctld slurmd slurm-client munge iproute2 \
      openmpi-bin libopenmpi-dev mpich libmpich-dev" ;;
*) echo "usage: $0 [build|test|bench|demo-en|demo-zh|ci]" >&2; exit 2 ;;
esac

compiles() { # compiles HEADER LIBRARY: whether a program with them can be built
    printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <%s>\nint main(void) { return 0; }\n' "$1" |
        "$compiler" -x c - -o /dev/null "$2" >/dev/null 2>&1
}
compiles_pcre2() { # its header asks for the width of characters first
    printf '#define PCRE2_CODE_UNIT_WIDTH 8\n#include <pcre2.h>\nint main(void) { return 0; }\n' |
        "$compiler" -x c - -o /dev/null -lpcre2-8 >/dev/null 2>&1
}
missing=
if command -v dpkg-query >/dev/null 2>&1; then
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    # gcc may come from elsewhere: what counts is that things compile.
    case $purpose in
    build | test)
        if compiles jansson.h -ljansson && compiles yaml.h -lyaml && compiles xxhash.h -lxxhash && compiles utf8proc.h -lutf8proc &&
            compiles_pcre2 && compiles zlib.h -lz &&
            compiles zstd.h -lzstd && { [ "$purpose" = build ] || compiles cmocka.h -lcmocka; }; then
            missing=
        fi
        ;;
    esac
    [ -z "$missing" ] && exit 0
    echo "installing:$missing" >&2
    root=
    if [ "$(id -u)" -ne 0 ]; then
        root=sudo
        if ! command -v sudo >/dev/null 2>&1; then
            echo "not root and no sudo here; please install:$missing" >&2
            exit 1
        fi
    fi
    install="$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends"
    # shellcheck disable=SC2086
    if ! $install $missing >/dev/null 2>&1; then
        $root apt-get update -q >/dev/null || { echo "apt-get update failed; is the network there?" >&2; exit 1; }
        # shellcheck disable=SC2086
        $install $missing >&2 || { echo "could not install:$missing" >&2; exit 1; }
    fi
    exit 0
fi

# Not Debian: say what is missing, stop only for what is needed.
absent=
compiles jansson.h -ljansson || absent="$absent jansson"
compiles yaml.h -lyaml || absent="$absent libyaml"
compiles xxhash.h -lxxhash || absent="$absent xxhash"
compiles utf8proc.h -lutf8proc || absent="$absent utf8proc"
compiles_pcre2 || absent="$absent pcre2"
[ "$purpose" = test ] && { compiles cmocka.h -lcmocka || absent="$absent cmocka"; }
[ -z "$absent" ] && exit 0
echo "Stentor needs these libraries with their headers, and did not find:$absent" >&2
echo "  Fedora   dnf install gcc make jansson-devel libyaml-devel xxhash-devel pcre2-devel utf8proc-devel libcmocka-devel zlib-devel libzstd-devel" >&2
echo "  Arch     pacman -S gcc make jansson libyaml xxhash pcre2 libutf8proc cmocka zlib zstd" >&2
echo "  Alpine   apk add gcc make musl-dev linux-headers jansson-dev yaml-dev xxhash-dev pcre2-dev utf8proc-dev cmocka-dev zlib-dev zstd-dev" >&2
echo "  macOS    brew install jansson libyaml xxhash pcre2 utf8proc cmocka zstd" >&2
exit 1
