// SPDX-License-Identifier: Apache-2.0
// The same elements in other dimensions.
#include "op/common.h"

#include <string.h>

static struct shape shape_wanted(const struct value *y)
{
    return ((const struct reshape_attributes *)y->attributes)->shape;
}

static void infer(struct graph *g, struct value *y)
{
    char from[64], to[64];
    if (!check_input(g, y, 0, "x", F32, ANY_RANK)) return;
    struct shape shape = shape_wanted(y);
    if (shape_count(shape) != shape_count(y->input[0]->shape))
        graph_fail(g, STATUS_SHAPE, "reshape: %s has not as many elements as %s",
                   shape_print(y->input[0]->shape, from), shape_print(shape, to));
    else
        y->shape = shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0)) dx[0] = op_reshape(g, dy, y->input[0]->shape);
}

static void reference(const struct op_call *call)
{
    if (call->output[0] != call->input[0])
        memcpy(call->output[0], call->input[0],
               (size_t)shape_count(call->value->shape) * sizeof(real));
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 0); }

#define RESHAPE(...)                                                                               \
    .attributes = &(const struct reshape_attributes) { __VA_ARGS__ }
static const struct op_case cases[] = {
    {.inputs = 1, .input = {SHAPE1(1)}, RESHAPE(SHAPE3(1, 1, 1))},
    {.inputs = 1, .input = {SHAPE3(3, 5, 17)}, RESHAPE(SHAPE3(15, 1, 17))},
    {.inputs = 1, .input = {SHAPE3(6, 1, 33)}, RESHAPE(SHAPE2(2, 99))}};

const struct op reshape_op = {.name = "reshape",
                              .attribute_bytes = sizeof(struct reshape_attributes),
                              .infer = infer,
                              .vjp = vjp,
                              .reference = reference,
                              .cost = cost,
                              .in_place = 1u << 0,
                              CASES(cases)};

struct value *(op_reshape)(struct graph *g, struct value *x, struct shape shape)
{
    const struct reshape_attributes attributes = {shape};
    return graph_append(g, &reshape_op, (struct value *[]){x}, 1, &attributes, sizeof attributes);
}
