// SPDX-License-Identifier: Apache-2.0
// Zstandard (RFC 8878): frame after frame, with a window of at most 128 MiB whatever a frame asks for.
#include "data/reader_internal.h"

#ifdef HAVE_ZSTD
#    include <stdlib.h>
#    include <zstd.h>
#    include <zstd_errors.h>

enum { WINDOW_LOG_MOST = 27 };

static enum status start(struct reader *reader)
{
    ZSTD_DCtx *stream = ZSTD_createDCtx();
    if (!stream) FAIL(STATUS_MEMORY, "not enough memory to unpack %s", reader->file->path);
    reader->stream = stream;
    if (ZSTD_isError(ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, WINDOW_LOG_MOST))) {
        ZSTD_freeDCtx(stream);
        FAIL(STATUS_UNSUPPORTED, "%s: this zstd library sets no limit to the window",
             reader->file->path);
    }
    return STATUS_OK;
}

static void stop(struct reader *reader) { ZSTD_freeDCtx(reader->stream); }

static enum status refuse(const struct reader *reader, size_t result)
{
    unsigned long long place = reader_place(reader);
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation:
        FAIL(STATUS_MEMORY, "not enough memory to unpack %s", reader->file->path);
    case ZSTD_error_frameParameter_windowTooLarge:
        FAIL(STATUS_INPUT,
             "%s: the frame near byte %llu wants a window above %d MiB; pack it anew with "
             "--long=%d or less",
             reader->file->path, place, 1 << (WINDOW_LOG_MOST - 20), WINDOW_LOG_MOST);
    default:
        FAIL(STATUS_INPUT, "%s: damaged zstd data near byte %llu: %s", reader->file->path, place,
             ZSTD_getErrorName(result));
    }
}

// NOLINTNEXTLINE(readability-non-const-parameter): zstd writes through `out`
static enum status unpack(struct reader *reader, uint8_t *out, size_t room, size_t *got_p,
                          bool *ended_p)
{
    TRY(reader_refill(reader));
    bool last =
        reader->at == reader->end; // no input is left, but the library may hold some text yet
    if (last && reader->size == 0)
        FAIL(STATUS_INPUT, "%s: not zstd data: the file is empty", reader->file->path);
    if (last && !reader->inside) {
        *ended_p = true;
        return STATUS_OK;
    }
    ZSTD_inBuffer input = {reader->packed, reader->end, reader->at};
    ZSTD_outBuffer output = {out, room, 0};
    size_t result = ZSTD_decompressStream(reader->stream, &output, &input);
    if (ZSTD_isError(result)) return refuse(reader, result);
    reader->at = input.pos;
    reader->inside = result != 0;
    if (last && reader->inside && output.pos < output.size)
        FAIL(STATUS_INPUT, "%s: the zstd data end early, at byte %llu", reader->file->path,
             (unsigned long long)reader_place(reader));
    *got_p = output.pos;
    return STATUS_OK;
}

const struct unpacker unpack_zstd = {".zst", "zstd", "libzstd-dev", start, unpack, stop};
#else
const struct unpacker unpack_zstd = {.ending = ".zst", .library = "zstd", .package = "libzstd-dev"};
#endif
