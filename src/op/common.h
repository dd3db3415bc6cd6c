// SPDX-License-Identifier: Apache-2.0
// What the files of this room share: checks of inputs with one kind of message, costs, sizes of
// test cases.
#ifndef STN_OP_COMMON_H
#define STN_OP_COMMON_H

#include "op/op.h"

enum { ANY_RANK = -1 }; // at least 1

// Whether input i of y is there with this dtype and rank; records an error that calls it `name`
// otherwise.
bool check_input(struct graph *g, const struct value *y, int i, const char *name, enum dtype dtype,
                 int rank);
// The same for an input that has to have this shape.
bool check_shape(struct graph *g, const struct value *y, int i, const char *name, enum dtype dtype,
                 struct shape shape);
// Whether the inputs i and j differ in the last dimension at most.
bool check_rows(struct graph *g, const struct value *y, int i, const char *name, int j,
                const char *other);
// Whether input 0, qkv, is F32 [.., .., (heads + 2 kv_heads) * a size of heads] and kv_heads divides
// heads.
bool check_heads(struct graph *g, const struct value *y, int heads, int kv_heads);
// Whether `rate` is a probability below 1.
bool check_rate(struct graph *g, const struct value *y, double rate);

// `shape` with another last dimension.
struct shape shape_with_last(struct shape shape, int64_t last);
// Whether the gradient of input i is asked for.
static inline bool wants(const struct value *y, int i)
{
    return y->input[i] && y->input[i]->needs_gradient;
}

// op->again of what is cheap as it is: the same operation on the same inputs.
struct value *again_whole(struct graph *g, struct value *y);

// Every input read once, every output written once.
double touched_bytes(const struct value *y);
// `flops_each` for every element of the output.
struct cost elementwise_cost(const struct value *y, double flops_each);

// clang-format off
// Test cases at sizes that are no multiple of anything: m(n) for each.
#define ODD_SIZES(m) m(1) m(7) m(17) m(31) m(33) m(65)
#define SHAPE1(a)       {.rank = 1, .size = {(a)}}
#define SHAPE2(a, b)    {.rank = 2, .size = {(a), (b)}}
#define SHAPE3(a, b, c) {.rank = 3, .size = {(a), (b), (c)}}
#define ABSENT          {.rank = -1}
#define CASES(list) .cases = (list), .case_count = sizeof(list) / sizeof *(list)
// clang-format on
#endif
