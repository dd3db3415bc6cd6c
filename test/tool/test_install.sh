#!/bin/sh
# make install puts everything in place, the examples build against what was installed, and the program is small and needs only what we name.
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
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }
if [ -n "${SANITIZED:-}" ]; then skip "install" "built with a sanitizer"; echo "1..$count"; exit 0; fi

check "make install" make -s install BUILD="$BUILD" PREFIX=/usr DESTDIR="$work/root"
root=$work/root/usr
for file in bin/stentor include/stentor.h lib/libstentor.a lib/libstentor.so lib/libstentor.so.0 lib/pkgconfig/stentor.pc share/man/man1/stentor.1; do
    check "installed: $file" test -s "$root/$file"
done
check "the program is at most 3 MB" test "$(wc -c <"$root/bin/stentor")" -le 3000000
strangers() {
    ldd "$root/bin/stentor" | awk '{print $1}' | sed 's|.*/||' |
        grep -v -E '^(linux-vdso|ld-linux|libc\.|libm\.|libpthread|libjansson|libyaml|libxxhash|libpcre2-8|libutf8proc|libz\.|libzstd)' && return 1
    return 0
}
check "ldd shows nothing beyond the named libraries" strangers
check "only stn_ names are exported" sh -c "! nm -D --defined-only '$root/lib/libstentor.so' | awk '{print \$3}' | grep -v '^stn_' | grep ."
for example in train generate; do
    check "examples/$example.c against the shared library" ${CC:-gcc} -std=c11 -Wall -Werror -I"$root/include" examples/$example.c \
        -L"$root/lib" -lstentor -Wl,-rpath,"$root/lib" -o "$work/$example"
done
if command -v g++ >/dev/null 2>&1; then
    echo '#include <stentor.h>
int main() { return stn_version() == nullptr; }' >"$work/cpp.cc"
    check "the header in C++" g++ -Wall -Werror -I"$root/include" "$work/cpp.cc" -L"$root/lib" -lstentor -Wl,-rpath,"$root/lib" -o "$work/cpp"
    check "a C++ program runs" "$work/cpp"
else skip "the header in C++" "no g++"; fi
if command -v pkg-config >/dev/null 2>&1; then
    check "stentor.pc" sh -c "PKG_CONFIG_PATH='$root/lib/pkgconfig' pkg-config --exact-version=\$('$root/bin/stentor' --version | awk '{print \$2}') stentor"
    check "a program linked statically through stentor.pc" sh -c "${CC:-gcc} -std=c11 examples/generate.c -I'$root/include' '$root/lib/libstentor.a' \\
        \$(PKG_CONFIG_PATH='$root/lib/pkgconfig' pkg-config --static --libs-only-l stentor | sed 's/-lstentor//') -pthread -o '$work/static'"
else skip "stentor.pc" "pkg-config is not here"; fi
if command -v man >/dev/null 2>&1; then check "the man page renders without warnings" sh -c "test -z \"\$(man --warnings -l '$root/share/man/man1/stentor.1' 2>&1 >/dev/null)\""
else skip "the man page renders" "man is not here"; fi
echo "1..$count"
[ $failures -eq 0 ]
