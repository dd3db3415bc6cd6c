// SPDX-License-Identifier: Apache-2.0
// Files under way, hashed while they are written: what the manifest names is what was meant, not what the disk made of it.
#include "base/memory.h"
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIECE = 1 << 16 };

void hash_start(struct hash *hash) { XXH3_128bits_reset(&hash->state); }
void hash_add(struct hash *hash, const void *data, size_t bytes)
{
    XXH3_128bits_update(&hash->state, data, bytes);
}

void hash_finish(struct hash *hash, char text[HASH_TEXT])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&hash->state));
    for (size_t i = 0; i < sizeof canonical.digest; i++)
        snprintf(text + 2 * i, 3, "%02x", canonical.digest[i]);
}

enum status hash_file_part(int file, uint64_t offset, uint64_t bytes, const char *path,
                           char text[HASH_TEXT])
{
    struct hash hash;
    unsigned char *piece;
    TRY(memory_allocate(PIECE, 1, "a piece of a file", &piece));
    enum status status = STATUS_OK;
    hash_start(&hash);
    for (uint64_t done = 0; done < bytes && !status;) {
        size_t part = bytes - done < PIECE ? (size_t)(bytes - done) : PIECE;
        status = file_read_at(file, piece, part, offset + done, path);
        if (!status) hash_add(&hash, piece, part);
        done += part;
    }
    free(piece);
    if (!status) hash_finish(&hash, text);
    return status;
}

void writer_start(struct writer *writer, const char *path)
{
    writer->path = path;
    writer->bytes = 0;
    writer->file = -1;
    hash_start(&writer->hash);
    writer->status = file_create(path, &writer->file);
}

void writer_add(struct writer *writer, const void *data, size_t bytes)
{
    if (writer->status || bytes == 0) return;
    writer->status = file_write_all(writer->file, data, bytes, writer->path);
    writer->bytes += bytes;
    hash_add(&writer->hash, data, bytes);
}

enum status writer_finish(struct writer *writer, uint64_t *bytes_p, char hash[HASH_TEXT])
{
    if (writer->file < 0) return writer->status;
    if (writer->status)
        file_close(writer->file);
    else
        writer->status = file_finish(writer->file, writer->path);
    if (writer->status) {
        // The first error is the one to tell; a file that cannot be removed either goes with its folder.
        enum status ignored = file_remove(writer->path);
        (void)ignored;
        return writer->status;
    }
    if (bytes_p) *bytes_p = writer->bytes;
    if (hash) hash_finish(&writer->hash, hash);
    return STATUS_OK;
}
