// SPDX-License-Identifier: Apache-2.0
// The gate of a gated MLP, silu(a) b, and its gradient. Source: Shazeer 2020, arXiv:2002.05202.
#include "op/activation.h"
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
    struct value *grad = op_swiglu_grad(g, y->input[0], y->input[1], dy);
    if (wants(y, 0)) dx[0] = grad;
    if (wants(y, 1)) dx[1] = graph_aux(g, grad, 0);
}

static void reference(const struct op_call *call)
{
    const real *a = call->input[0], *b = call->input[1];
    real *y = call->output[0];
    int64_t n = shape_count(call->value->shape);
    for (int64_t i = 0; i < n; i++) y[i] = activation_value(ACTIVATION_SILU, a[i]) * b[i];
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 11); }

#define CASE(n)                                                                                    \
    {.inputs = 2, .input = {SHAPE2(n, 3), SHAPE2(n, 3)}},                                          \
        {.inputs = 2, .input = {SHAPE3(2, 3, n), SHAPE3(2, 3, n)}},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op swiglu_op = {.name = "swiglu",
                             .infer = infer,
                             .vjp = vjp,
                             .again = again_whole,
                             .reference = reference,
                             .cost = cost,
                             .in_place = 3,
                             CASES(cases)};

struct value *(op_swiglu)(struct graph *g, struct value *a, struct value *b)
{
    return graph_append(g, &swiglu_op, (struct value *[]){a, b}, 2, NULL, 0);
}

// ---- gradient ----
static void infer_grad(struct graph *g, struct value *da)
{
    if (!check_input(g, da, 0, "a", F32, ANY_RANK) ||
        !check_shape(g, da, 1, "b", F32, da->input[0]->shape) ||
        !check_shape(g, da, 2, "dy", F32, da->input[0]->shape))
        return;
    da->shape = da->input[0]->shape;
}

static void infer_aux_grad(struct graph *g, const struct value *da, struct value *aux)
{
    (void)g;
    aux->shape = da->shape;
}

static void reference_grad(const struct op_call *call)
{
    const real *a = call->input[0], *b = call->input[1], *dy = call->input[2];
    real *da = call->output[0], *db = call->output[1];
    int64_t n = shape_count(call->value->shape);
    for (int64_t i = 0; i < n; i++) {
        real gate = activation_value(ACTIVATION_SILU, a[i]);
        if (db) db[i] = dy[i] * gate;
        da[i] = dy[i] * b[i] * activation_slope(ACTIVATION_SILU, a[i]);
    }
}

static struct cost cost_grad(const struct value *y) { return elementwise_cost(y, 18); }

#define CASE_GRAD(n)                                                                               \
    {.inputs = 3, .input = {SHAPE2(n, 3), SHAPE2(n, 3), SHAPE2(n, 3)}},                            \
        {.inputs = 3, .input = {SHAPE3(2, 3, n), SHAPE3(2, 3, n), SHAPE3(2, 3, n)}},
static const struct op_case cases_grad[] = {ODD_SIZES(CASE_GRAD)};

const struct op swiglu_grad_op = {.name = "swiglu_grad",
                                  .infer = infer_grad,
                                  .aux_count = 1,
                                  .infer_aux = infer_aux_grad,
                                  .vjp = vjp_none,
                                  .reference = reference_grad,
                                  .cost = cost_grad,
                                  .in_place = 7,
                                  CASES(cases_grad)};

struct value *(op_swiglu_grad)(struct graph *g, struct value *a, struct value *b, struct value *dy)
{
    return graph_append(g, &swiglu_grad_op, (struct value *[]){a, b, dy}, 3, NULL, 0);
}
