// SPDX-License-Identifier: Apache-2.0
// a + b: residual connections, and gradients of values with several readers.
#include "op/common.h"

static void infer(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "a", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "b", F32, y->input[0]->shape))
        return;
    y->shape = y->input[0]->shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    (void)g;
    for (int i = 0; i < 2; i++)
        if (wants(y, i)) dx[i] = dy;
}

static void reference(const struct op_call *call)
{
    const real *a = call->input[0], *b = call->input[1];
    real *y = call->output[0];
    int64_t n = shape_count(call->value->shape);
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 1); }

#define CASE(n) {.inputs = 2, .input = {SHAPE2(3, n), SHAPE2(3, n)}},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op add_op = {.name = "add",
                          .infer = infer,
                          .vjp = vjp,
                          .reference = reference,
                          .cost = cost,
                          .in_place = 3,
                          CASES(cases)};

struct value *(op_add)(struct graph *g, struct value *a, struct value *b)
{
    return graph_append(g, &add_op, (struct value *[]){a, b}, 2, NULL, 0);
}
