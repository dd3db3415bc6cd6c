// SPDX-License-Identifier: Apache-2.0
// Parameters taken over from another model's directory, by name and shape: where fine-tuning starts.
#ifndef STN_STORE_TAKE_OVER_H
#define STN_STORE_TAKE_OVER_H

#include "nn/nn.h"
#include "store/safetensors.h"

enum taken { TAKEN_NOT, TAKEN_ROWS, TAKEN_ALL };
struct takeover {
    enum taken taken;
    int rank; // of the tensor with that name; -1: there is none
    int64_t size[SAFETENSORS_MAX_RANK];
};
// For each parameter what the tensor of its name gives; `weights` (a block; NULL: only look) gets its numbers, as float32. A parameter
// with is_table takes the rows that both have from a table of other length. type: of this model, whose files may lack a prefix.
// What is not taken keeps its numbers. Fails: STATUS_INPUT naming file and tensor; weights may have been written by then.
enum status take_over(const char *directory, const char *type, const struct parameters *parameters,
                      const bool *is_table, float *weights, struct takeover *takeover) CHECK_RESULT;
#endif
