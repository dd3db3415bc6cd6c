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
    if (attributes->share < 0 || attributes->share >= DROPOUT_SHARES ||
        (attributes->share == DROPOUT_POSITIONS && y->input[0]->shape.rank != 3)) {
        graph_fail(g, STATUS_SHAPE,
                   "dropout: one mask for all positions needs [sequences, positions, width]");
        return;
    }
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
    if (wants(y, 0)) dx[0] = op_dropout_shared(g, dy, y->input[1], attributes);
}

static void reference(const struct op_call *call)
{
    const struct dropout_attributes *attributes = call->value->attributes;
    const real *x = call->input[0];
    real *y = call->output[0];
    bool step = attributes->share == DROPOUT_STEP,
         positions = attributes->share == DROPOUT_POSITIONS;
    int64_t sequences = step ? 1 : call->value->shape.size[0],
            each = shape_count(call->value->shape) / sequences,
            width = shape_last(call->value->shape);
    for (int64_t s = 0; s < sequences; s++) {
        struct philox_address address = dropout_address(call->input[1], attributes->operation, s);
        if (step) address.sequence = 0;
        for (int64_t i = 0; i < each; i++)
            y[s * each + i] =
                x[s * each + i] *
                dropout_factor(address, (uint64_t)(positions ? i % width : i), attributes->rate);
    }
}

// A round of Philox is about 8 operations, ten of them make 4 numbers.
static struct cost cost(const struct value *y) { return elementwise_cost(y, 22); }

#define CASE(n)                                                                                    \
    {.inputs = 2,                                                                                  \
     .input = {SHAPE3(3, 5, n), SHAPE1(4)},                                                        \
     .dtype = {F32, U32},                                                                          \
     .attributes = &(const struct dropout_attributes){0.1, 7, DROPOUT_EACH}},                      \
        {.inputs = 2,                                                                              \
         .input = {SHAPE2(n, 2), SHAPE1(4)},                                                       \
         .dtype = {F32, U32},                                                                      \
         .attributes = &(const struct dropout_attributes){0.5, 0, DROPOUT_EACH}},                  \
        {.inputs = 2,                                                                              \
         .input = {SHAPE3(3, 5, n), SHAPE1(4)},                                                    \
         .dtype = {F32, U32},                                                                      \
         .attributes = &(const struct dropout_attributes){0.3, 5, DROPOUT_POSITIONS}},             \
        {.inputs = 2,                                                                              \
         .input = {SHAPE2(7, n), SHAPE1(4)},                                                       \
         .dtype = {F32, U32},                                                                      \
         .attributes = &(const struct dropout_attributes){0.5, 3, DROPOUT_STEP}},
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
    struct dropout_attributes attributes = {rate, operation, DROPOUT_EACH};
    return (op_dropout_shared)(g, x, random, &attributes);
}

struct value *(op_dropout_shared)(struct graph *g, struct value *x, struct value *random,
                                  const struct dropout_attributes *attributes)
{
    if (attributes->rate == 0 || !random) return x;
    return graph_append(g, &dropout_op, (struct value *[]){x, random}, 2, attributes,
                        sizeof *attributes);
}
