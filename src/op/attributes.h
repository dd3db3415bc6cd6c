// SPDX-License-Identifier: Apache-2.0
// Attributes of operations: what is fixed when a graph is built. Kernel adapters read them; kernels
// get plain arguments.
#ifndef STN_OP_ATTRIBUTES_H
#define STN_OP_ATTRIBUTES_H

#include "base/numeric.h"
#include "graph/graph.h"

#include <stdbool.h>
#include <stdint.h>

enum layout { LAYOUT_OUT_IN, LAYOUT_IN_OUT };

struct linear_attributes {
    enum activation activation;
    enum layout layout;
};
struct activation_attributes {
    enum activation activation;
};
struct norm_attributes {
    double epsilon;
};
// What draws a mask of its own.
enum dropout_share {
    DROPOUT_EACH,      // every element of every sequence
    DROPOUT_POSITIONS, // every column of every sequence: x [sequences, positions, width], all positions alike (variational)
    DROPOUT_STEP,      // every element, alike in all micro-batches of a step (weights)
    DROPOUT_SHARES
};
struct dropout_attributes {
    double rate;
    uint32_t operation;
    enum dropout_share share;
};
struct attention_attributes {
    int heads,
        kv_heads; // of queries; of keys and values: each serves heads / kv_heads of the former
    bool bidirectional; // every token sees every token; else it sees none that follow (causal)
    double rate;        // of dropout, and the number of its first operation
    uint32_t operation;
};
struct recurrent_attributes {
    enum cell kind;
    bool reverse; // from the last token of each sequence to its first
};
struct cross_attention_attributes {
    int heads;
    double scale; // of scores; 0: 1 / sqrt(size of a head)
};
struct pool_attributes {
    enum pool pool;
};
struct window_attributes {
    int64_t size; // positions
};
struct score_loss_attributes {
    enum score_loss loss;
    double smoothing; // SOFTMAX
};
struct multiply_attributes {
    double factor;
};
struct sinusoid_attributes {
    int64_t width;
};
struct drift_attributes {
    int64_t rows;
};
struct slice_attributes {
    int64_t first, count; // columns
};
struct reshape_attributes {
    struct shape shape;
};
struct output_loss_attributes {
    double smoothing;
};
struct embedding_grad_attributes {
    int64_t vocabulary;
};
#endif
