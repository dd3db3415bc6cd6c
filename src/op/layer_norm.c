// SPDX-License-Identifier: Apache-2.0
// Layer normalisation and its gradient, which computes the moments again rather than keep them.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

static bool check_norm(struct graph *g, const struct value *y)
{
    const struct norm_attributes *attributes = y->attributes;
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "gain", F32, shape_of(1, shape_last(y->input[0]->shape))))
        return false;
    if (!(attributes->epsilon >= 0))
        graph_fail(g, STATUS_USAGE, "%s: epsilon is %g; it has to be 0 or more", y->op->name,
                   attributes->epsilon);
    return !g->status;
}

static void infer(struct graph *g, struct value *y)
{
    if (!check_norm(g, y)) return;
    y->shape = y->input[0]->shape;
    if (y->input[2]) check_shape(g, y, 2, "bias", F32, y->input[1]->shape);
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    const struct norm_attributes *attributes = y->attributes;
    struct value *grad = op_layer_norm_grad(g, y->input[0], y->input[1], dy, attributes->epsilon);
    if (wants(y, 0)) dx[0] = grad;
    if (wants(y, 1)) dx[1] = graph_aux(g, grad, 0);
    if (wants(y, 2)) dx[2] = graph_aux(g, grad, 1);
}

// Mean and 1 / deviation of a row.
static void moments(const real *x, int64_t width, double epsilon, real *mean_p, real *scale_p)
{
    real mean = 0, variance = 0;
    for (int64_t i = 0; i < width; i++) mean += x[i];
    mean /= (real)width;
    for (int64_t i = 0; i < width; i++) variance += (x[i] - mean) * (x[i] - mean);
    variance /= (real)width;
    *mean_p = mean;
    *scale_p = 1 / real_sqrt(variance + (real)epsilon);
}

static void reference(const struct op_call *call)
{
    const struct norm_attributes *attributes = call->value->attributes;
    const real *gain = call->input[1], *bias = call->input[2];
    int64_t rows = shape_rows(call->value->shape), width = shape_last(call->value->shape);
    for (int64_t row = 0; row < rows; row++) {
        const real *x = (const real *)call->input[0] + row * width;
        real *y = (real *)call->output[0] + row * width, mean, scale;
        moments(x, width, attributes->epsilon, &mean, &scale);
        for (int64_t i = 0; i < width; i++)
            y[i] = (x[i] - mean) * scale * gain[i] + (bias ? bias[i] : 0);
    }
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 8); }

// Large enough to be seen in the results.
#define EPSILON                                                                                    \
    .attributes = &(const struct norm_attributes) { 0.01 }
#define CASE(n)                                                                                    \
    {.inputs = 3, .input = {SHAPE2(n, 13), SHAPE1(13), SHAPE1(13)}, EPSILON},                      \
        {.inputs = 3, .input = {SHAPE3(2, 3, n), SHAPE1(n), ABSENT}, EPSILON},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op layer_norm_op = {.name = "layer_norm",
                                 .attribute_bytes = sizeof(struct norm_attributes),
                                 .infer = infer,
                                 .vjp = vjp,
                                 .reference = reference,
                                 .cost = cost,
                                 CASES(cases)};

struct value *(op_layer_norm)(struct graph *g, struct value *x, struct value *gain,
                              struct value *bias, double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &layer_norm_op, (struct value *[]){x, gain, bias}, 3, &attributes,
                        sizeof attributes);
}

// ---- gradient ----
static void infer_grad(struct graph *g, struct value *y)
{
    if (!check_norm(g, y) || !check_shape(g, y, 2, "dy", F32, y->input[0]->shape)) return;
    y->shape = y->input[0]->shape;
}

static void infer_aux_grad(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = y->input[1]->shape;
}

static void reference_grad(const struct op_call *call)
{
    const struct norm_attributes *attributes = call->value->attributes;
    const real *gain = call->input[1];
    real *dgain = call->output[1], *dbias = call->output[2];
    int64_t rows = shape_rows(call->value->shape), width = shape_last(call->value->shape);
    if (dgain) memset(dgain, 0, (size_t)width * sizeof *dgain);
    if (dbias) memset(dbias, 0, (size_t)width * sizeof *dbias);
    for (int64_t row = 0; row < rows; row++) {
        const real *x = (const real *)call->input[0] + row * width,
                   *dy = (const real *)call->input[2] + row * width;
        real *dx = (real *)call->output[0] + row * width, mean, scale;
        moments(x, width, attributes->epsilon, &mean, &scale);
        // With h = (x - mean) scale and e = dy gain: dx = scale (e - mean(e) - h mean(e h)).
        real mean_e = 0, mean_eh = 0;
        for (int64_t i = 0; i < width; i++) {
            mean_e += dy[i] * gain[i];
            mean_eh += dy[i] * gain[i] * ((x[i] - mean) * scale);
        }
        mean_e /= (real)width;
        mean_eh /= (real)width;
        for (int64_t i = 0; i < width; i++) {
            real h = (x[i] - mean) * scale;
            dx[i] = scale * (dy[i] * gain[i] - mean_e - h * mean_eh);
            if (dgain) dgain[i] += dy[i] * h;
            if (dbias) dbias[i] += dy[i];
        }
    }
}

static struct cost cost_grad(const struct value *y) { return elementwise_cost(y, 18); }

#define CASE_GRAD(n)                                                                               \
    {.inputs = 3, .input = {SHAPE2(n, 13), SHAPE1(13), SHAPE2(n, 13)}, EPSILON},                   \
        {.inputs = 3, .input = {SHAPE3(2, 3, n), SHAPE1(n), SHAPE3(2, 3, n)}, EPSILON},
static const struct op_case cases_grad[] = {ODD_SIZES(CASE_GRAD)};

const struct op layer_norm_grad_op = {.name = "layer_norm_grad",
                                      .attribute_bytes = sizeof(struct norm_attributes),
                                      .infer = infer_grad,
                                      .aux_count = 2,
                                      .infer_aux = infer_aux_grad,
                                      .vjp = vjp_none,
                                      .reference = reference_grad,
                                      .cost = cost_grad,
                                      CASES(cases_grad)};

struct value *(op_layer_norm_grad)(struct graph *g, struct value *x, struct value *gain,
                                   struct value *dy, double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &layer_norm_grad_op, (struct value *[]){x, gain, dy}, 3, &attributes,
                        sizeof attributes);
}
