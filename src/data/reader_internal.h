// SPDX-License-Identifier: Apache-2.0
// What a reader and its unpackers share.
#ifndef STN_DATA_READER_INTERNAL_H
#define STN_DATA_READER_INTERNAL_H

#include "data/reader.h"

enum { PACKED_BYTES = 1 << 17 };

struct unpacker {
    const char *ending, *library,
        *package; // ".gz", "zlib", "zlib1g-dev": for the message where it is missing
    enum status (*start)(struct reader *reader);
    // Unpacks from packed[at .. end) into out; sets *ended_p where the packed file has come to its end.
    enum status (*unpack)(struct reader *reader, uint8_t *out, size_t room, size_t *got_p,
                          bool *ended_p);
    void (*stop)(struct reader *reader);
};
extern const struct unpacker unpack_gzip,
    unpack_zstd; // members other than the names are NULL in a build without it

struct reader {
    const struct text_file *file;
    const struct unpacker *unpacker; // NULL: plain
    int descriptor;
    uint64_t size, offset; // of the file; offset is where the next read begins
    uint64_t produced;     // bytes of text so far
    bool ended;
    void *stream;     // the library's
    bool inside;      // of a gzip member or zstd frame
    uint64_t members; // that have ended
    uint8_t *packed;  // [PACKED_BYTES]
    size_t at, end;   // unread part of it
};
// Reads on when packed[] is used up; leaves it empty at the end of the file.
enum status reader_refill(struct reader *reader) CHECK_RESULT;
// Place in the file of the next packed byte.
uint64_t reader_place(const struct reader *reader);
#endif
