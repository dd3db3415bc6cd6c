// SPDX-License-Identifier: Apache-2.0
// gzip (RFC 1952) through zlib: one member after another, with zero bytes as padding behind the last.
#include "data/reader_internal.h"

#ifdef HAVE_ZLIB
#    include "base/memory.h"

#    include <stdlib.h>
#    include <zlib.h>

enum { WINDOW_BITS = 15, GZIP_ONLY = 16 };

static enum status start(struct reader *reader)
{
    z_stream *stream;
    TRY(memory_allocate(1, sizeof *stream, "unpacking", &stream));
    if (inflateInit2(stream, WINDOW_BITS + GZIP_ONLY) != Z_OK) {
        free(stream);
        FAIL(STATUS_MEMORY, "not enough memory to unpack %s", reader->file->path);
    }
    reader->stream = stream;
    return STATUS_OK;
}

static void stop(struct reader *reader)
{
    inflateEnd(reader->stream);
    free(reader->stream);
}

// Steps over padding and to the next member's first byte. *ended_p: there is none.
static enum status next_member(struct reader *reader, bool *ended_p)
{
    for (;;) {
        TRY(reader_refill(reader));
        if (reader->at == reader->end) {
            if (reader->members == 0)
                FAIL(STATUS_INPUT, "%s: not gzip data: the file is empty", reader->file->path);
            *ended_p = true;
            return STATUS_OK;
        }
        if (reader->members == 0 || reader->packed[reader->at] != 0) break;
        reader->at++;
    }
    inflateReset(reader->stream);
    reader->inside = true;
    return STATUS_OK;
}

static enum status unpack(struct reader *reader, uint8_t *out, size_t room, size_t *got_p,
                          bool *ended_p)
{
    if (!reader->inside) TRY(next_member(reader, ended_p));
    if (*ended_p) return STATUS_OK;
    TRY(reader_refill(reader));
    if (reader->at == reader->end)
        FAIL(STATUS_INPUT, "%s: the gzip data end early, at byte %llu", reader->file->path,
             (unsigned long long)reader_place(reader));
    z_stream *stream = reader->stream;
    stream->next_in = reader->packed + reader->at;
    stream->avail_in = (uInt)(reader->end - reader->at);
    stream->next_out = out;
    stream->avail_out = room < PACKED_BYTES ? (uInt)room : PACKED_BYTES;
    uInt asked = stream->avail_out;
    int result = inflate(stream, Z_NO_FLUSH);
    reader->at = reader->end - stream->avail_in;
    if (result == Z_STREAM_END) {
        reader->inside = false;
        reader->members++;
    } else if (result == Z_MEM_ERROR) {
        FAIL(STATUS_MEMORY, "not enough memory to unpack %s", reader->file->path);
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
        FAIL(STATUS_INPUT, "%s: damaged gzip data near byte %llu%s%s", reader->file->path,
             (unsigned long long)reader_place(reader), stream->msg ? ": " : "",
             stream->msg ? stream->msg : "");
    }
    *got_p = asked - stream->avail_out;
    return STATUS_OK;
}

const struct unpacker unpack_gzip = {".gz", "zlib", "zlib1g-dev", start, unpack, stop};
#else
const struct unpacker unpack_gzip = {.ending = ".gz", .library = "zlib", .package = "zlib1g-dev"};
#endif
