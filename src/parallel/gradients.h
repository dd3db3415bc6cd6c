// SPDX-License-Identifier: Apache-2.0
// One worker's gradient buffers: each layer's gradient is folded into partial sums of the batch tree as the backward pass yields it.
//
// Buffers have the layout of the block of weights. gradients_create or gradients_borrow -> for each micro-batch: gradients_begin, then
// gradients_add for every parameter -> the nodes lie in gradients_buffer(run_node_buffer()), with 0 between parameters.
#ifndef STN_PARALLEL_GRADIENTS_H
#define STN_PARALLEL_GRADIENTS_H

#include "base/cpu.h"
#include "base/memory.h"
#include "parallel/batch_tree.h"

struct gradients {
    struct block memory; // owned; empty where the buffer is borrowed
    float *data;
    int64_t elements; // of one buffer
    int buffers;
    enum isa isa;
    // Of the micro-batch under way: the sum of source[0 .. sources-1] and the yielded gradient, from the right, goes to `target`.
    int sources, source[MAX_LEVELS + 1], target;
    int16_t program[2 * MAX_LEVELS + 4];
};
// The pages are first touched by the thread that adds. Fails: STATUS_MEMORY.
enum status gradients_create(struct gradients *gradients, int64_t elements, int buffers,
                             enum isa isa) CHECK_RESULT;
// One buffer, of which only what is touched takes memory: for a replica that owns elements and computes no leaf.
enum status gradients_create_spare(struct gradients *gradients, int64_t elements,
                                   enum isa isa) CHECK_RESULT;
// One buffer, borrowed: the block of gradients that begins a program's arena (pass/pass.h).
void gradients_borrow(struct gradients *gradients, float *data, int64_t elements, enum isa isa);
void gradients_release(struct gradients *gradients);
float *gradients_buffer(const struct gradients *gradients, int buffer);
// Micro-batch number `which` of the `count` of leaf `leaf` in the run [first, last) is about to be computed.
void gradients_begin(struct gradients *gradients, int first, int last, int leaf, int64_t which,
                     int64_t count);
// Where its gradient at `offset` may be written at once, since nothing is added to it: gradients_add then finds it there. NULL
// where a sum waits.
float *gradients_place(const struct gradients *gradients, int64_t offset);
// Its gradient of elements [offset, offset + n).
void gradients_add(struct gradients *gradients, int64_t offset, const float *gradient, int64_t n);
// Elements [first, last), which are no parameter's, are 0: in a block where others lay before they may not be.
void gradients_clear(struct gradients *gradients, int64_t first, int64_t last);
#endif
