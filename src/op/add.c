// SPDX-License-Identifier: Apache-2.0
// a + b: residual connections, and gradients of values with several readers; a bias where there is no product.
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

// ---- a row to every row ----
static void infer_row(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "row", F32, shape_of(1, shape_last(y->input[0]->shape))))
        return;
    y->shape = y->input[0]->shape;
}

static void vjp_row(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 1)) dx[1] = op_column_sum(g, dy);
    if (wants(y, 0)) dx[0] = dy;
}

static void reference_row(const struct op_call *call)
{
    const real *x = call->input[0], *row = call->input[1];
    real *y = call->output[0];
    int64_t n = shape_count(call->value->shape), width = shape_last(call->value->shape);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] + row[i % width];
}

#define CASE_ROW(n)                                                                                \
    {.inputs = 2, .input = {SHAPE2(3, n), SHAPE1(n)}},                                             \
        {.inputs = 2, .input = {SHAPE3(2, n, 5), SHAPE1(5)}},
static const struct op_case cases_row[] = {ODD_SIZES(CASE_ROW)};

const struct op add_row_op = {.name = "add_row",
                              .infer = infer_row,
                              .vjp = vjp_row,
                              .reference = reference_row,
                              .cost = cost,
                              CASES(cases_row)};

struct value *(op_add_row)(struct graph *g, struct value *x, struct value *row)
{
    return graph_append(g, &add_row_op, (struct value *[]){x, row}, 2, NULL, 0);
}
