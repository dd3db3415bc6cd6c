// SPDX-License-Identifier: Apache-2.0
// Sum of a * b: the gradient of a scale, and the loss of gradient checks.
#include "op/common.h"

static void infer(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "a", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "b", F32, y->input[0]->shape))
        return;
    y->shape = shape_of(1, 1);
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    for (int i = 0; i < 2; i++)
        if (wants(y, i)) dx[i] = op_scale(g, y->input[1 - i], dy);
}

static void reference(const struct op_call *call)
{
    const real *a = call->input[0], *b = call->input[1];
    real sum = 0;
    int64_t n = shape_count(call->value->input[0]->shape);
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    *(real *)call->output[0] = sum;
}

static struct cost cost(const struct value *y)
{
    return (struct cost){.flops = 2 * (double)shape_count(y->input[0]->shape),
                         .bytes = touched_bytes(y)};
}

#define CASE(n) {.inputs = 2, .input = {SHAPE2(n, 3), SHAPE2(n, 3)}},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op dot_op = {
    .name = "dot", .infer = infer, .vjp = vjp, .reference = reference, .cost = cost, CASES(cases)};

struct value *(op_dot)(struct graph *g, struct value *a, struct value *b)
{
    return graph_append(g, &dot_op, (struct value *[]){a, b}, 2, NULL, 0);
}
