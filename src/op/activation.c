// SPDX-License-Identifier: Apache-2.0
// Activation functions on their own; linear has them built in.
#include "op/activation.h"

#include "op/common.h"
#include "op/real_math.h"

// sqrt(2 / pi), sqrt(1 / 2), 1 / sqrt(2 pi)
#define ROOT_2_OVER_PI     ((real)0.79788456080286535588)
#define ROOT_HALF          ((real)0.70710678118654752440)
#define ONE_OVER_ROOT_2_PI ((real)0.39894228040143267794)
#define CUBIC              ((real)0.044715)

static real logistic(real x) { return 1 / (1 + real_exp(-x)); }

real activation_value(enum activation activation, real x)
{
    switch (activation) {
    case ACTIVATION_NONE:
        return x;
    case ACTIVATION_GELU_TANH:
        return (real)0.5 * x * (1 + real_tanh(ROOT_2_OVER_PI * (x + CUBIC * x * x * x)));
    case ACTIVATION_GELU:
        return (real)0.5 * x * (1 + real_erf(x * ROOT_HALF));
    case ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case ACTIVATION_SILU:
        return x * logistic(x);
    case ACTIVATION_SIGMOID:
        return logistic(x);
    case ACTIVATION_TANH:
        return real_tanh(x);
    case ACTIVATION_COUNT:
        break;
    }
    return 0;
}

real activation_slope(enum activation activation, real x)
{
    switch (activation) {
    case ACTIVATION_NONE:
        return 1;
    case ACTIVATION_GELU_TANH: {
        real t = real_tanh(ROOT_2_OVER_PI * (x + CUBIC * x * x * x));
        return (real)0.5 * (1 + t) +
               (real)0.5 * x * (1 - t * t) * ROOT_2_OVER_PI * (1 + 3 * CUBIC * x * x);
    }
    case ACTIVATION_GELU:
        return (real)0.5 * (1 + real_erf(x * ROOT_HALF)) +
               x * ONE_OVER_ROOT_2_PI * real_exp((real)-0.5 * x * x);
    case ACTIVATION_RELU:
        return x > 0 ? 1 : 0;
    case ACTIVATION_SILU: {
        real s = logistic(x);
        return s * (1 + x * (1 - s));
    }
    case ACTIVATION_SIGMOID: {
        real s = logistic(x);
        return s * (1 - s);
    }
    case ACTIVATION_TANH: {
        real t = real_tanh(x);
        return 1 - t * t;
    }
    case ACTIVATION_COUNT:
        break;
    }
    return 0;
}

bool activation_known(enum activation activation)
{
    return activation >= ACTIVATION_NONE && activation < ACTIVATION_COUNT;
}

static bool check_activation(struct graph *g, const struct value *y)
{
    const struct activation_attributes *attributes = y->attributes;
    if (!activation_known(attributes->activation))
        graph_fail(g, STATUS_USAGE, "%s: there is no activation %d", y->op->name,
                   (int)attributes->activation);
    return !g->status;
}

static void infer(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) || !check_activation(g, y)) return;
    y->shape = y->input[0]->shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    const struct activation_attributes *attributes = y->attributes;
    if (wants(y, 0)) dx[0] = op_activation_grad(g, y->input[0], dy, attributes->activation);
}

static void reference(const struct op_call *call)
{
    const struct activation_attributes *attributes = call->value->attributes;
    const real *x = call->input[0];
    real *y = call->output[0];
    int64_t n = shape_count(call->value->shape);
    for (int64_t i = 0; i < n; i++) y[i] = activation_value(attributes->activation, x[i]);
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 10); }

#define CASE_OF(n, kind)                                                                           \
    {.inputs = 1,                                                                                  \
     .input = {SHAPE2(n, 3)},                                                                      \
     .attributes = &(const struct activation_attributes){kind}},
#define CASE(n)                                                                                    \
    CASE_OF(n, ACTIVATION_NONE)                                                                    \
    CASE_OF(n, ACTIVATION_GELU_TANH)                                                               \
    CASE_OF(n, ACTIVATION_GELU)                                                                    \
    CASE_OF(n, ACTIVATION_RELU)                                                                    \
    CASE_OF(n, ACTIVATION_SILU) CASE_OF(n, ACTIVATION_SIGMOID) CASE_OF(n, ACTIVATION_TANH)
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op activation_op = {.name = "activation",
                                 .attribute_bytes = sizeof(struct activation_attributes),
                                 .infer = infer,
                                 .vjp = vjp,
                                 .reference = reference,
                                 .cost = cost,
                                 .in_place = 1,
                                 CASES(cases)};

struct value *(op_activation)(struct graph *g, struct value *x, enum activation activation)
{
    struct activation_attributes attributes = {activation};
    return graph_append(g, &activation_op, (struct value *[]){x}, 1, &attributes,
                        sizeof attributes);
}

// ---- gradient ----
static void infer_grad(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "dy", F32, y->input[0]->shape) || !check_activation(g, y))
        return;
    y->shape = y->input[0]->shape;
}

static void reference_grad(const struct op_call *call)
{
    const struct activation_attributes *attributes = call->value->attributes;
    const real *x = call->input[0], *dy = call->input[1];
    real *dx = call->output[0];
    int64_t n = shape_count(call->value->shape);
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * activation_slope(attributes->activation, x[i]);
}

static struct cost cost_grad(const struct value *y) { return elementwise_cost(y, 16); }

#define CASE_GRAD_OF(n, kind)                                                                      \
    {.inputs = 2,                                                                                  \
     .input = {SHAPE2(n, 3), SHAPE2(n, 3)},                                                        \
     .attributes = &(const struct activation_attributes){kind}},
#define CASE_GRAD(n)                                                                               \
    CASE_GRAD_OF(n, ACTIVATION_NONE)                                                               \
    CASE_GRAD_OF(n, ACTIVATION_GELU_TANH)                                                          \
    CASE_GRAD_OF(n, ACTIVATION_GELU)                                                               \
    CASE_GRAD_OF(n, ACTIVATION_RELU)                                                               \
    CASE_GRAD_OF(n, ACTIVATION_SILU)                                                               \
    CASE_GRAD_OF(n, ACTIVATION_SIGMOID) CASE_GRAD_OF(n, ACTIVATION_TANH)
static const struct op_case cases_grad[] = {ODD_SIZES(CASE_GRAD)};

const struct op activation_grad_op = {.name = "activation_grad",
                                      .attribute_bytes = sizeof(struct activation_attributes),
                                      .infer = infer_grad,
                                      .vjp = vjp_none,
                                      .reference = reference_grad,
                                      .cost = cost_grad,
                                      .in_place = 2,
                                      CASES(cases_grad)};

struct value *(op_activation_grad)(struct graph *g, struct value *x, struct value *dy,
                                   enum activation activation)
{
    struct activation_attributes attributes = {activation};
    return graph_append(g, &activation_grad_op, (struct value *[]){x, dy}, 2, &attributes,
                        sizeof attributes);
}
