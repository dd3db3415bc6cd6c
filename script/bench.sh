#!/bin/sh
# make bench: builds and runs every program in bench/; each prints one line of JSON per measurement.
#   FILTER=part runs those whose name contains it.
set -eu
cd "$(dirname "$0")/.."
mkdir -p "$BUILD/bench"
for source in bench/*.c; do
    name=$(basename "$source" .c)
    case $name in *"${FILTER:-}"*) ;; *) continue ;; esac
    ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O2 ${DEFINES:-} -Isrc -Iinclude -Ibench -pthread "$source" "$BUILD/libstentor.a" -o "$BUILD/bench/$name" \
        ${LIBS:--ljansson -lyaml -lxxhash -lpcre2-8 -lutf8proc -lz -lzstd -lm}
    "$BUILD/bench/$name"
done
