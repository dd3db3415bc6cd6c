// SPDX-License-Identifier: Apache-2.0
// Writing safetensors: the same numbers give the same bytes. Header: metadata ("format": "pt" first), tensors by name, blanks up to
// a multiple of 8; then the data in that order, without gaps.
#include "base/memory.h"
#include "store/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A header that grows; the first error sticks.
struct header {
    char *text;
    size_t used, capacity;
    enum status status;
};

static void put_bytes(struct header *header, const char *bytes, size_t count)
{
    if (header->status) return;
    if (header->used + count > header->capacity) {
        size_t capacity = 2 * header->capacity + count + 4096;
        header->status = memory_grow(&header->text, capacity, 1, "a safetensors header");
        if (header->status) return;
        header->capacity = capacity;
    }
    memcpy(header->text + header->used, bytes, count);
    header->used += count;
}

static void put(struct header *header, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put(struct header *header, const char *format, ...)
{
    char piece[128];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    put_bytes(header, piece, (size_t)length);
}

static void put_string(struct header *header, const char *string)
{
    put(header, "\"");
    for (; *string; string++) {
        unsigned char byte = (unsigned char)*string;
        if (byte == '"' || byte == '\\')
            put(header, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            put(header, "\\u%04x", byte);
        else
            put_bytes(header, string, 1);
    }
    put(header, "\"");
}

static void put_metadata(struct header *header, const char *const *metadata)
{
    put(header, "{\"__metadata__\":{\"format\":\"pt\"");
    for (; metadata && metadata[0]; metadata += 2) {
        if (strcmp(metadata[0], "format") == 0) continue;
        put(header, ",");
        put_string(header, metadata[0]);
        put(header, ":");
        put_string(header, metadata[1]);
    }
    put(header, "}");
}

static uint64_t source_bytes(const struct tensor_source *source)
{
    uint64_t count = 1;
    for (int i = 0; i < source->rank; i++) count *= (uint64_t)source->size[i];
    return count * sizeof(float);
}

static void put_tensor(struct header *header, const struct tensor_source *source, uint64_t begin)
{
    put(header, ",");
    put_string(header, source->name);
    put(header, ":{\"dtype\":\"F32\",\"shape\":[");
    for (int i = 0; i < source->rank; i++) put(header, "%s%" PRId64, i ? "," : "", source->size[i]);
    put(header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin,
        begin + source_bytes(source));
}

// In the order in which they are written, with their place in the order as given.
struct sorted {
    struct tensor_source source;
    int given;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sorted *)a)->source.name, ((const struct sorted *)b)->source.name);
}

static enum status sort_sources(const struct tensor_source *tensor, int count,
                                struct sorted **sorted_p)
{
    struct sorted *sorted;
    TRY(memory_allocate((size_t)count, sizeof *sorted, "a list of tensors", &sorted));
    for (int i = 0; i < count; i++) sorted[i] = (struct sorted){tensor[i], i};
    qsort(sorted, (size_t)count, sizeof *sorted, by_name);
    for (int i = 1; i < count; i++)
        INVARIANT(strcmp(sorted[i].source.name, sorted[i - 1].source.name) != 0,
                  "two tensors are called %s", sorted[i].source.name);
    *sorted_p = sorted;
    return STATUS_OK;
}

static void put_header(struct header *header, const struct sorted *sorted, int count,
                       const char *const *metadata)
{
    uint64_t begin = 0;
    put_metadata(header, metadata);
    for (int i = 0; i < count; i++) {
        put_tensor(header, &sorted[i].source, begin);
        begin += source_bytes(&sorted[i].source);
    }
    put(header, "}");
    while (header->used % 8 && !header->status) put(header, " ");
}

// Writes a tensor piece by piece, and hashes it on the way.
static enum status write_tensor(struct writer *writer, const struct tensor_source *source,
                                char text[HASH_TEXT])
{
    enum { PIECE = 1 << 16 }; // elements
    struct hash hash;
    int64_t count = (int64_t)(source_bytes(source) / sizeof(float));
    hash_start(&hash);
    for (int64_t first = 0; first < count; first += PIECE) {
        int64_t n = count - first < PIECE ? count - first : PIECE;
        const float *data = source->data ? source->data + first : NULL;
        if (!data) TRY(source->get(source, first, n, &data));
        writer_add(writer, data, (size_t)n * sizeof *data);
        hash_add(&hash, data, (size_t)n * sizeof *data);
    }
    hash_finish(&hash, text);
    return STATUS_OK;
}

// `hashes`, in the order as given, may be NULL. Fails when a tensor cannot be brought; what the disk does is in writer->status.
static enum status write_all(struct writer *writer, const struct header *header,
                             const struct sorted *sorted, int count, char (*hashes)[HASH_TEXT])
{
    uint8_t length[8];
    char unused[HASH_TEXT];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header->used >> (8 * i));
    writer_add(writer, length, sizeof length);
    writer_add(writer, header->text, header->used);
    for (int i = 0; i < count; i++)
        TRY(write_tensor(writer, &sorted[i].source, hashes ? hashes[sorted[i].given] : unused));
    return STATUS_OK;
}

enum status safetensors_write_hashed(const char *path, const struct tensor_source *tensor,
                                     int count, const char *const *metadata,
                                     struct written *written)
{
    struct sorted *sorted = NULL;
    struct header header = {0};
    struct writer writer;
    TRY(sort_sources(tensor, count, &sorted));
    put_header(&header, sorted, count, metadata);
    enum status status = header.status;
    if (status) goto free_header;
    writer_start(&writer, path);
    status = write_all(&writer, &header, sorted, count, written->tensor_hashes);
    if (status && !writer.status) writer.status = status;
    status = writer_finish(&writer, &written->bytes, written->hash);
free_header:
    free(header.text);
    free(sorted);
    return status;
}

enum status safetensors_write(const char *path, const struct tensor_source *tensor, int count,
                              const char *const *metadata)
{
    struct written written = {0};
    return safetensors_write_hashed(path, tensor, count, metadata, &written);
}
