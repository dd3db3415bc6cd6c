// SPDX-License-Identifier: Apache-2.0
// x * s with a computed s, and the number 1. They exist for gradients: of a loss that is itself
// scaled.
#include "op/common.h"

static void infer(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "s", F32, shape_of(1, 1)))
        return;
    y->shape = y->input[0]->shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0)) dx[0] = op_scale(g, dy, y->input[1]);
    if (wants(y, 1)) dx[1] = op_dot(g, y->input[0], dy);
}

static void reference(const struct op_call *call)
{
    const real *x = call->input[0], *s = call->input[1];
    real *y = call->output[0];
    int64_t n = shape_count(call->value->shape);
    // y may lie where x lies, and x where s lies.
    real factor = *s;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 1); }

#define CASE(n) {.inputs = 2, .input = {SHAPE2(2, n), SHAPE1(1)}},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op scale_op = {.name = "scale",
                            .infer = infer,
                            .vjp = vjp,
                            .reference = reference,
                            .cost = cost,
                            .in_place = 1,
                            CASES(cases)};

struct value *(op_scale)(struct graph *g, struct value *x, struct value *s)
{
    if (s && s->op == &ones_op) return x;
    return graph_append(g, &scale_op, (struct value *[]){x, s}, 2, NULL, 0);
}

// ---- ones ----
static void infer_ones(struct graph *g, struct value *y)
{
    (void)g;
    y->shape = shape_of(1, 1);
}

static void reference_ones(const struct op_call *call) { *(real *)call->output[0] = 1; }
static struct cost cost_ones(const struct value *y) { return elementwise_cost(y, 0); }

static const struct op_case cases_ones[] = {{.inputs = 0}};

const struct op ones_op = {.name = "ones",
                           .infer = infer_ones,
                           .vjp = vjp_none,
                           .reference = reference_ones,
                           .cost = cost_ones,
                           CASES(cases_ones)};

struct value *(op_ones)(struct graph *g) { return graph_append(g, &ones_op, NULL, 0, NULL, 0); }
