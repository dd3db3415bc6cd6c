// SPDX-License-Identifier: Apache-2.0
// The tensors of a model directory: model.safetensors, or the files that model.safetensors.index.json names.
//
// The index is data of strangers: names of files stay in the folder, and index and files must agree tensor by tensor.
#ifndef STN_STORE_SHARDS_H
#define STN_STORE_SHARDS_H

#include "store/safetensors.h"

struct shards {
    struct safetensors **file;
    int files;
};
// Opens all and checks them; reads no data. Fails: STATUS_INPUT.
enum status shards_open(const char *directory, struct shards *shards) CHECK_RESULT;
void shards_close(struct shards *shards);
// NULL when absent; else the file it is in.
const struct tensor_entry *shards_find(const struct shards *shards, const char *name,
                                       const struct safetensors **file_p);
int shards_count(const struct shards *shards); // of tensors
#endif
