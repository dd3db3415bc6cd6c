// SPDX-License-Identifier: Apache-2.0
// Sum over rows: the gradient of a bias.
#include "op/common.h"

#include <string.h>

static void infer(struct graph *g, struct value *y)
{
    if (check_input(g, y, 0, "x", F32, ANY_RANK))
        y->shape = shape_of(1, shape_last(y->input[0]->shape));
}

static void reference(const struct op_call *call)
{
    const real *x = call->input[0];
    real *y = call->output[0];
    int64_t cols = shape_last(call->value->shape), rows = shape_rows(call->value->input[0]->shape);
    memset(y, 0, (size_t)cols * sizeof *y);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < cols; i++) y[i] += x[row * cols + i];
}

static struct cost cost(const struct value *y)
{
    return (struct cost){.flops = (double)shape_count(y->input[0]->shape),
                         .bytes = touched_bytes(y)};
}

#define CASE(n) {.inputs = 1, .input = {SHAPE2(n, 13)}}, {.inputs = 1, .input = {SHAPE3(2, 3, n)}},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op column_sum_op = {.name = "column_sum",
                                 .infer = infer,
                                 .vjp = vjp_none,
                                 .reference = reference,
                                 .cost = cost,
                                 CASES(cases)};

struct value *(op_column_sum)(struct graph *g, struct value *x)
{
    return graph_append(g, &column_sum_op, (struct value *[]){x}, 1, NULL, 0);
}
