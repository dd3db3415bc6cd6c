#!/bin/sh
# make install: program, header, static and shared library, man page and stentor.pc below $DESTDIR$PREFIX.
set -eu
cd "$(dirname "$0")/.."
root=${DESTDIR:-}$PREFIX
install -d "$root/bin" "$root/include" "$root/lib/pkgconfig" "$root/share/man/man1"
install -m 755 "$BUILD/stentor" "$root/bin/stentor"
strip "$root/bin/stentor" 2>/dev/null || true # names of functions are for debuggers
install -m 644 include/stentor.h "$root/include/stentor.h"
install -m 644 "$BUILD/install/libstentor.a" "$root/lib/libstentor.a"
install -m 755 "$BUILD/libstentor.so" "$root/lib/libstentor.so.0"
ln -sf libstentor.so.0 "$root/lib/libstentor.so"
# Loaded only by a process that mpirun has started.
for library in ${MPI_SO:-}; do
    install -d "$root/lib/stentor"
    install -m 755 "$library" "$root/lib/stentor/"
done
install -m 644 doc/stentor.1 "$root/share/man/man1/stentor.1"
cat >"$root/lib/pkgconfig/stentor.pc" <<EOF
prefix=$PREFIX
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: stentor
Description: trains language models in parallel, with the same bits on any number of workers
Version: $VERSION
Libs: -L\${libdir} -lstentor
Libs.private: ${LIBS:--ljansson -lyaml -lxxhash -lpcre2-8 -lutf8proc -lm} -pthread
Cflags: -I\${includedir}
EOF
