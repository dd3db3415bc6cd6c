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
    int64_t rows;     // that are taken of it
    const char *name; // its name where that is not the parameter's, else NULL; static storage
    bool unknown;     // its rows would fit, but none stands for a token of this model's
};

// Tables may differ in length. Their rows stand for places, for tokens, or for tokens of a source that has its own.
// TABLE_ANEW: what it has says something else, and is not taken.
enum table { TABLE_NONE, TABLE_PLACES, TABLE_TOKENS, TABLE_SOURCES, TABLE_ANEW, TABLES };
// Where the directory has each of this model's rows.
struct row_map {
    int32_t *there; // -1: nowhere; NULL: in the same row
    int64_t count;  // tables may have more rows, which are nowhere
};
struct takeover_tables {
    const enum table *kind;     // of each parameter
    struct row_map map[TABLES]; // of each kind
};
// For each parameter what the tensor of its name gives; `weights` (a block; NULL: only look) gets its numbers, as float32. A table
// takes the rows that both have. type: of this model. A model of another type gives the vectors of tokens alone
// (model_type.table), where both have such. What is not taken keeps its numbers. Fails: STATUS_INPUT or STATUS_UNSUPPORTED naming file
// and tensor or key; weights may have been written by then.
enum status take_over(const char *directory, const char *type, const struct parameters *parameters,
                      const struct takeover_tables *tables, float *weights,
                      struct takeover *takeover) CHECK_RESULT;
#endif
