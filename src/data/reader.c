// SPDX-License-Identifier: Apache-2.0
#include "data/reader.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/reader_internal.h"

#include <stdlib.h>
#include <string.h>

// A text that packs a thousand to one is no text; what is small may be anything.
enum { MOST_RATIO = 1000, RATIO_FREE_BYTES = 1 << 26 };
enum { FIRST_ROOM = 1 << 16 };

uint64_t reader_place(const struct reader *reader)
{
    return reader->offset - (reader->end - reader->at);
}

enum status reader_refill(struct reader *reader)
{
    if (reader->at < reader->end) return STATUS_OK;
    uint64_t rest = reader->size - reader->offset;
    size_t bytes = rest < PACKED_BYTES ? (size_t)rest : PACKED_BYTES;
    reader->at = reader->end = 0;
    if (bytes)
        TRY(file_read_at(reader->descriptor, reader->packed, bytes, reader->offset,
                         reader->file->path));
    reader->offset += bytes;
    reader->end = bytes;
    return STATUS_OK;
}

static enum status start(struct reader *reader)
{
    const struct text_file *file = reader->file;
    struct file_stamp stamp;
    TRY(file_stamp_read(reader->descriptor, file->path, &stamp));
    if (!file_stamp_equal(&stamp, &file->stamp))
        FAIL(STATUS_INPUT, "%s has changed while it was read", file->path);
    if (file->packing == PACKING_NONE) return STATUS_OK;
    const struct unpacker *unpacker = file->packing == PACKING_GZIP ? &unpack_gzip : &unpack_zstd;
    if (!unpacker->start)
        FAIL(STATUS_INPUT, "%s: reading %s files needs %s, which this build was made without (%s)",
             file->path, unpacker->ending, unpacker->library, unpacker->package);
    TRY(memory_allocate(PACKED_BYTES, 1, "a buffer for packed text", &reader->packed));
    TRY(unpacker->start(reader));
    reader->unpacker = unpacker;
    return STATUS_OK;
}

enum status reader_open(const struct text_file *file, struct reader **reader_p)
{
    struct reader *reader;
    TRY(memory_allocate(1, sizeof *reader, "a reader", &reader));
    reader->file = file;
    reader->descriptor = -1;
    enum status status = file_open(file->path, true, &reader->descriptor, &reader->size);
    if (!status) status = start(reader);
    if (status) goto close_reader;
    *reader_p = reader;
    return STATUS_OK;
close_reader:
    reader_close(reader);
    return status;
}

void reader_close(struct reader *reader)
{
    if (!reader) return;
    if (reader->unpacker) reader->unpacker->stop(reader);
    file_close(reader->descriptor);
    free(reader->packed);
    free(reader);
}

static enum status read_plain(struct reader *reader, uint8_t *out, size_t room, size_t *got_p)
{
    uint64_t rest = reader->size - reader->offset;
    size_t bytes = rest < room ? (size_t)rest : room;
    if (bytes)
        TRY(file_read_at(reader->descriptor, out, bytes, reader->offset, reader->file->path));
    reader->offset += bytes;
    reader->ended = reader->offset == reader->size;
    *got_p = bytes;
    return STATUS_OK;
}

static enum status read_packed(struct reader *reader, uint8_t *out, size_t room, size_t *got_p)
{
    size_t filled = 0;
    while (filled < room && !reader->ended) {
        size_t got = 0;
        TRY(reader->unpacker->unpack(reader, out + filled, room - filled, &got, &reader->ended));
        filled += got;
        reader->produced += got;
        if (reader->produced > RATIO_FREE_BYTES &&
            reader->produced / MOST_RATIO > reader_place(reader))
            FAIL(STATUS_INPUT,
                 "%s unpacks to more than %d times its size (%llu bytes from the first %llu): this "
                 "is no text",
                 reader->file->path, MOST_RATIO, (unsigned long long)reader->produced,
                 (unsigned long long)reader_place(reader));
    }
    *got_p = filled;
    return STATUS_OK;
}

enum status reader_read(struct reader *reader, uint8_t *out, size_t room, size_t *got_p)
{
    if (reader->ended) {
        *got_p = 0;
        return STATUS_OK;
    }
    if (reader->unpacker)
        TRY(read_packed(reader, out, room, got_p));
    else
        TRY(read_plain(reader, out, room, got_p));
    if (!reader->ended) return STATUS_OK;
    struct file_stamp stamp;
    TRY(file_stamp_read(reader->descriptor, reader->file->path, &stamp));
    if (!file_stamp_equal(&stamp, &reader->file->stamp))
        FAIL(STATUS_INPUT, "%s has changed while it was read", reader->file->path);
    return STATUS_OK;
}

// ---- a whole file ----

// One byte more than `limit` is asked for: it tells that there is more.
static enum status read_whole(struct reader *reader, size_t limit, char **text_p, size_t *bytes_p)
{
    size_t room = 0, got;
    *bytes_p = 0;
    do {
        room = room ? 2 * room : FIRST_ROOM;
        if (room > limit + 1) room = limit + 1;
        TRY(memory_grow(text_p, room + 1, 1, "a text"));
        TRY(reader_read(reader, (uint8_t *)*text_p + *bytes_p, room - *bytes_p, &got));
        *bytes_p += got;
        if (*bytes_p > limit)
            FAIL(STATUS_INPUT, "%s has more than %zu bytes; at most so many are read here",
                 reader->file->path, limit);
    } while (*bytes_p == room);
    (*text_p)[*bytes_p] = 0;
    return STATUS_OK;
}

enum status reader_read_whole(const char *path, size_t limit, char **text_p, size_t *bytes_p)
{
    struct file_list list = {0};
    struct reader *reader = NULL;
    char *text = NULL;
    size_t bytes = 0;
    if (directory_exists(path))
        FAIL(STATUS_INPUT, "%s is a folder; one file is wanted", path); // a list may be of one
    TRY(file_list_create(path, &list));
    enum status status = reader_open(&list.files[0], &reader);
    if (!status) status = read_whole(reader, limit, &text, &bytes);
    reader_close(reader);
    file_list_destroy(&list);
    if (status) {
        free(text);
        return status;
    }
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        memmove(text, text + 3, (bytes -= 3) + 1);
    *text_p = text;
    *bytes_p = bytes;
    return STATUS_OK;
}
