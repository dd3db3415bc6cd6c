// SPDX-License-Identifier: Apache-2.0
// Parameters taken over from another model's directory, by name and shape: where fine-tuning starts.
#ifndef STN_STORE_TAKE_OVER_H
#define STN_STORE_TAKE_OVER_H

#include "nn/nn.h"
#include "store/safetensors.h"

enum taken { TAKEN_NOT, TAKEN_ROWS, TAKEN_ALL };
struct takeover {
    enum taken taken;
    int rank; // of the tensor that would give the numbers; -1: there is none
    int64_t size[SAFETENSORS_MAX_RANK];
    int64_t rows; // that are taken of it
    const char
        *name; // its name where that is another than the parameter's, else NULL; static storage
};

// Tables may differ in length. Rows of one stand for places, of the other for tokens, which may have other ids there.
enum table { TABLE_NONE, TABLE_PLACES, TABLE_TOKENS };
struct takeover_tables {
    const enum table *kind; // of each parameter
    const int32_t *there; // rows of TABLE_TOKENS: the row there for each, -1: none; NULL: the same
    int64_t count;        // of them; tables may have more rows, which have none there
};
// For each parameter what the tensor of its name gives; `weights` (a block; NULL: only look) gets its numbers, as float32. A table
// takes the rows that both have. type: of this model, whose files may lack a prefix; from a model of another type the vectors of
// tokens are taken (model_type.table), where both have such. What is not taken keeps its numbers. Fails: STATUS_INPUT naming file and
// tensor; weights may have been written by then.
enum status take_over(const char *directory, const char *type, const struct parameters *parameters,
                      const struct takeover_tables *tables, float *weights,
                      struct takeover *takeover) CHECK_RESULT;
#endif
