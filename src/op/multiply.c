// SPDX-License-Identifier: Apache-2.0
// x times a number that the model's description gives.
#include "op/common.h"

static double factor_of(const struct value *y)
{
    return ((const struct multiply_attributes *)y->attributes)->factor;
}

static void infer(struct graph *g, struct value *y)
{
    if (check_input(g, y, 0, "x", F32, ANY_RANK)) y->shape = y->input[0]->shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    dx[0] = op_multiply(g, dy, factor_of(y));
}

static void reference(const struct op_call *call)
{
    const real *x = call->input[0];
    real *y = call->output[0], factor = (real)factor_of(call->value);
    int64_t n = shape_count(call->value->shape);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 1); }

#define CASE(n)                                                                                    \
    {.inputs = 1, .input = {SHAPE2(2, n)}, .attributes = &(const struct multiply_attributes){-1.7}},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op multiply_op = {.name = "multiply",
                               .attribute_bytes = sizeof(struct multiply_attributes),
                               .infer = infer,
                               .vjp = vjp,
                               .reference = reference,
                               .cost = cost,
                               .in_place = 1,
                               CASES(cases)};

struct value *(op_multiply)(struct graph *g, struct value *x, double factor)
{
    struct multiply_attributes attributes = {factor};
    return graph_append(g, &multiply_op, (struct value *[]){x}, 1, &attributes, sizeof attributes);
}
