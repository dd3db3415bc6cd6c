// SPDX-License-Identifier: Apache-2.0
// manifest.json of a checkpoint: what the run goes on from, and name, size and hash of every file.
//
// Its last line is the XXH3-128 of all bytes before that line, so that a flipped bit in a number of it is found too.
#ifndef STN_STORE_MANIFEST_H
#define STN_STORE_MANIFEST_H

#include "base/json.h"
#include "store/checkpoint.h"
#include "store/internal.h"

enum { MANIFEST_VERSION = 1, MOST_FILES = 16, FILE_NAME = 256 };

struct manifest_file {
    char name[FILE_NAME];
    uint64_t bytes;
    char hash[HASH_TEXT];
    json_t
        *tensors; // name -> hash of its bytes, NULL for a file without tensors. Borrowed from root
};
struct manifest {
    struct run_position position;
    uint64_t config_hash;
    int64_t term; // start of the run that wrote it; 0: written before there were terms
    struct checkpoint_crew crew;
    struct manifest_file file[MOST_FILES];
    int files;
    json_t *root;
};
// Adds a file to a manifest that is to be written; `names` and `hashes` of its tensors, tensors 0 for none.
struct tensor_hashes {
    const struct tensor_source *tensor;
    char (*hash)[HASH_TEXT];
    int count;
};
enum status manifest_add(struct manifest *manifest, const char *name, uint64_t bytes,
                         const char *hash, const struct tensor_hashes *tensors) CHECK_RESULT;
enum status manifest_write(const struct manifest *manifest, const char *folder) CHECK_RESULT;
// Reads and checks it. Fails: STATUS_INPUT; STATUS_UNSUPPORTED when a later format wrote it. Release in any case but failure.
enum status manifest_read(const char *folder, struct manifest *manifest) CHECK_RESULT;
void manifest_release(struct manifest *manifest);
// Compares every file in the folder with its size and hash.
enum status manifest_check_files(const struct manifest *manifest, const char *folder) CHECK_RESULT;
bool manifest_has(const struct manifest *manifest, const char *name);
#endif
