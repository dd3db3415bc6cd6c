// SPDX-License-Identifier: Apache-2.0
// Dropout. What an element draws depends on seed, step, sequence and operation only, so that
// recomputing it, or computing it on another worker, repeats it exactly; the mask is never stored.
#include "op/common.h"
#include "op/random.h"

static void infer(struct graph *g, struct value *y)
{
    const struct dropout_attributes *attributes = y->attributes;
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "random", U32, shape_of(1, 4)) || !check_rate(g, y, attributes->rate))
        return;
    y->shape = y->input[0]->shape;
    // The counter of base/philox.h has 32 bits for 64 / 16 elements each.
    if (shape_count(y->shape) / y->shape.size[0] > (int64_t)1 << 34)
        graph_fail(g, STATUS_SHAPE,
                   "dropout: a sequence has %lld elements; at most 2^34 are possible",
                   (long long)(shape_count(y->shape) / y->shape.size[0]));
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    const struct dropout_attributes *attributes = y->attributes;
    if (wants(y, 0))
        dx[0] = op_dropout(g, dy, y->input[1], attributes->rate, attributes->operation);
}

static void reference(const struct op_call *call)
{
    const struct dropout_attributes *attributes = call->value->attributes;
    const real *x = call->input[0];
    real *y = call->output[0];
    int64_t sequences = call->value->shape.size[0],
            each = shape_count(call->value->shape) / sequences;
    for (int64_t s = 0; s < sequences; s++) {
        struct philox_address address = dropout_address(call->input[1], attributes->operation, s);
        for (int64_t i = 0; i < each; i++)
            y[s * each + i] =
                x[s * each + i] * dropout_factor(address, (uint64_t)i, attributes->rate);
    }
}

// A round of Philox is about 8 operations, ten of them make 4 numbers.
static struct cost cost(const struct value *y) { return elementwise_cost(y, 22); }

#define CASE(n)                                                                                    \
    {.inputs = 2,                                                                                  \
     .input = {SHAPE3(3, 5, n), SHAPE1(4)},                                                        \
     .dtype = {F32, U32},                                                                          \
     .attributes = &(const struct dropout_attributes){0.1, 7}},                                    \
        {.inputs = 2,                                                                              \
         .input = {SHAPE2(n, 2), SHAPE1(4)},                                                       \
         .dtype = {F32, U32},                                                                      \
         .attributes = &(const struct dropout_attributes){0.5, 0}},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op dropout_op = {.name = "dropout",
                              .attribute_bytes = sizeof(struct dropout_attributes),
                              .infer = infer,
                              .vjp = vjp,
                              .reference = reference,
                              .cost = cost,
                              .in_place = 1,
                              CASES(cases)};

struct value *(op_dropout)(struct graph *g, struct value *x, struct value *random, double rate,
                           uint32_t operation)
{
    if (rate == 0 || !random) return x;
    struct dropout_attributes attributes = {rate, operation};
    return graph_append(g, &dropout_op, (struct value *[]){x, random}, 2, &attributes,
                        sizeof attributes);
}
