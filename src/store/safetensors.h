// SPDX-License-Identifier: Apache-2.0
// The safetensors format: reading what anybody wrote (hostile until checked), writing what transformers loads.
// Rules and cases: doc/store.md. Source: github.com/huggingface/safetensors, README.
#ifndef STN_STORE_SAFETENSORS_H
#define STN_STORE_SAFETENSORS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { SAFETENSORS_MAX_RANK = 8 };

struct tensor_entry {
    char *name;
    char dtype[12]; // "F32", "BF16", "I64", …
    int rank;
    int64_t size[SAFETENSORS_MAX_RANK];
    uint64_t begin, end; // in the data section
};
struct safetensors {
    char *path;
    int file; // descriptor, read with pread
    uint64_t data_start;
    struct tensor_entry *tensor; // sorted by name
    int count;
    char **metadata;    // key, value, key, value, …, NULL; sorted by key. NULL when there is none
    int metadata_count; // pairs
    char *header;       // its text, in which names and metadata lie
};
// Reads and checks the whole header, in time and memory in proportion to it; the header has at most 100,000,000 bytes. A link must stay
// in its folder or lead to the Hugging Face cache's blobs. Fails: STATUS_INPUT naming file, tensor and what is wrong.
enum status safetensors_open(const char *path, struct safetensors **file_p) CHECK_RESULT;
void safetensors_close(struct safetensors *file);
const struct tensor_entry *safetensors_find(const struct safetensors *file,
                                            const char *name); // NULL when absent
const char *safetensors_metadata(const struct safetensors *file,
                                 const char *key); // NULL when absent
// Reads a tensor's elements as float32: F32 as it is, F64 rounded, F16 and BF16 widened. Fails: STATUS_INPUT for other
// dtypes or a short file.
enum status safetensors_read_float(const struct safetensors *file,
                                   const struct tensor_entry *tensor, float *out) CHECK_RESULT;
// The same for its first n elements.
enum status safetensors_read_first(const struct safetensors *file,
                                   const struct tensor_entry *tensor, int64_t n,
                                   float *out) CHECK_RESULT;
// Elements [first, first + n) of a tensor of dtype F32.
enum status safetensors_read_part(const struct safetensors *file, const struct tensor_entry *tensor,
                                  int64_t first, int64_t n, float *out) CHECK_RESULT;

// One tensor to write: F32, dense.
struct tensor_source {
    const char *name;
    int rank;
    int64_t size[SAFETENSORS_MAX_RANK];
    const float *data; // NULL: get() brings it
    // Elements [first, first + n) of the tensor, in order, few at a time; borrowed until the next call.
    enum status (*get)(const struct tensor_source *source, int64_t first, int64_t n,
                       const float **data_p);
    const void *context; // the rest is get's own
    int64_t place;
    int part;
};
// Writes header and tensors in the order that the Rust writer uses (by name), fsyncs, closes. metadata as above, with
// "format", "pt" always added. No two tensors may have one name.
// A failed write removes the file. Fails: STATUS_DISK naming path and cause.
enum status safetensors_write(const char *path, const struct tensor_source *tensor, int count,
                              const char *const *metadata) CHECK_RESULT;
#endif
