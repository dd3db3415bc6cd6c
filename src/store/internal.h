// SPDX-License-Identifier: Apache-2.0
// What the files of this room share.
#ifndef STN_STORE_INTERNAL_H
#define STN_STORE_INTERNAL_H

#include "base/file.h"
#include "store/safetensors.h"
#include "store/scan.h"

#define XXH_STATIC_LINKING_ONLY // the state's size, so that no allocation is hidden in it
#include <stdbool.h>
#include <xxhash.h>

enum { STORE_PATH = 4096, HASH_TEXT = 33, MOST_TENSORS = 1 << 20, MOST_NAME = 1024 };

// ---- hashes ----
// XXH3-128 of bytes as they come, printed as xxhsum does.
struct hash {
    XXH3_state_t state;
};
void hash_start(struct hash *hash);
void hash_add(struct hash *hash, const void *data, size_t bytes);
void hash_finish(struct hash *hash, char text[HASH_TEXT]);
// Of `bytes` bytes of an open file from `offset` on.
enum status hash_file_part(int file, uint64_t offset, uint64_t bytes, const char *path,
                           char text[HASH_TEXT]) CHECK_RESULT;

// ---- writing ----
// A file under way. When anything fails it is closed and removed by writer_finish, which then returns the first error.
struct writer {
    const char *path;
    int file;
    uint64_t bytes;
    enum status status;
    struct hash hash;
};
void writer_start(struct writer *writer, const char *path);
void writer_add(struct writer *writer, const void *data, size_t bytes);
// fsync, close; *bytes_p and the hash of the whole, either may be NULL.
enum status writer_finish(struct writer *writer, uint64_t *bytes_p,
                          char hash[HASH_TEXT]) CHECK_RESULT;

// ---- safetensors ----
// Reads the entries out of header text (`file->header`, which is changed), checks each, all against data_bytes; sorts by name.
enum status header_parse(struct safetensors *file, size_t header_bytes,
                         uint64_t data_bytes) CHECK_RESULT;
// Bits of an element, 0 for a name that is none.
int dtype_bits(const char *dtype);
// safetensors_open without links: for files that we wrote ourselves.
enum status safetensors_open_plain(const char *path, struct safetensors **file_p) CHECK_RESULT;
// safetensors_write that also tells size and hash of the file, and of each tensor when `tensor_hashes` (count of them) is not NULL.
struct written {
    uint64_t bytes;
    char hash[HASH_TEXT];
    char (*tensor_hashes)[HASH_TEXT]; // in the order of `tensor` as given
};
enum status safetensors_write_hashed(const char *path, const struct tensor_source *tensor,
                                     int count, const char *const *metadata,
                                     struct written *written) CHECK_RESULT;
#endif
