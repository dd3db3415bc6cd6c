// SPDX-License-Identifier: Apache-2.0
// Layer and root-mean-square normalisation and their gradients, which compute the moments again
// rather than keep them. RMS norm is layer norm without a mean and without a bias.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

static bool is_centered(const struct value *y)
{
    return y->op == &layer_norm_op || y->op == &layer_norm_grad_op;
}

static double epsilon_of(const struct value *y)
{
    const struct norm_attributes *attributes = y->attributes;
    return attributes->epsilon;
}

static bool check_norm(struct graph *g, const struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "gain", F32, shape_of(1, shape_last(y->input[0]->shape))))
        return false;
    if (!(epsilon_of(y) >= 0))
        graph_fail(g, STATUS_USAGE, "%s: epsilon is %g; it has to be 0 or more", y->op->name,
                   epsilon_of(y));
    return !g->status;
}

static void infer(struct graph *g, struct value *y)
{
    if (!check_norm(g, y)) return;
    y->shape = y->input[0]->shape;
    if (is_centered(y) && y->input[2]) check_shape(g, y, 2, "bias", F32, y->input[1]->shape);
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    struct value *x = y->input[0], *gain = y->input[1];
    struct value *grad = is_centered(y) ? op_layer_norm_grad(g, x, gain, dy, epsilon_of(y))
                                        : op_rms_norm_grad(g, x, gain, dy, epsilon_of(y));
    if (wants(y, 0)) dx[0] = grad;
    if (wants(y, 1)) dx[1] = graph_aux(g, grad, 0);
    if (is_centered(y) && wants(y, 2)) dx[2] = graph_aux(g, grad, 1);
}

// Mean (0 without centering) and 1 / deviation of a row.
static void moments(const struct value *y, const real *x, real *mean_p, real *scale_p)
{
    int64_t width = shape_last(y->shape);
    real mean = 0, variance = 0;
    for (int64_t i = 0; is_centered(y) && i < width; i++) mean += x[i];
    mean /= (real)width;
    for (int64_t i = 0; i < width; i++) variance += (x[i] - mean) * (x[i] - mean);
    variance /= (real)width;
    *mean_p = mean;
    *scale_p = 1 / real_sqrt(variance + (real)epsilon_of(y));
}

static void reference(const struct op_call *call)
{
    const real *gain = call->input[1], *bias = is_centered(call->value) ? call->input[2] : NULL;
    int64_t rows = shape_rows(call->value->shape), width = shape_last(call->value->shape);
    for (int64_t row = 0; row < rows; row++) {
        const real *x = (const real *)call->input[0] + row * width;
        real *y = (real *)call->output[0] + row * width, mean, scale;
        moments(call->value, x, &mean, &scale);
        for (int64_t i = 0; i < width; i++)
            y[i] = (x[i] - mean) * scale * gain[i] + (bias ? bias[i] : 0);
    }
}

static struct cost cost(const struct value *y)
{
    return elementwise_cost(y, is_centered(y) ? 8 : 4);
}

// Large enough to be seen in the results.
#define EPSILON                                                                                    \
    .attributes = &(const struct norm_attributes) { 0.01 }
#define CASE_LAYER(n)                                                                              \
    {.inputs = 3, .input = {SHAPE2(n, 13), SHAPE1(13), SHAPE1(13)}, EPSILON},                      \
        {.inputs = 3, .input = {SHAPE3(2, 3, n), SHAPE1(n), ABSENT}, EPSILON},
#define CASE_RMS(n)                                                                                \
    {.inputs = 2, .input = {SHAPE2(n, 13), SHAPE1(13)}, EPSILON},                                  \
        {.inputs = 2, .input = {SHAPE3(2, 3, n), SHAPE1(n)}, EPSILON},
static const struct op_case cases_layer[] = {ODD_SIZES(CASE_LAYER)};
static const struct op_case cases_rms[] = {ODD_SIZES(CASE_RMS)};

const struct op layer_norm_op = {.name = "layer_norm",
                                 .attribute_bytes = sizeof(struct norm_attributes),
                                 .infer = infer,
                                 .vjp = vjp,
                                 .again = again_whole,
                                 .reference = reference,
                                 .cost = cost,
                                 CASES(cases_layer)};

const struct op rms_norm_op = {.name = "rms_norm",
                               .attribute_bytes = sizeof(struct norm_attributes),
                               .infer = infer,
                               .vjp = vjp,
                               .again = again_whole,
                               .reference = reference,
                               .cost = cost,
                               CASES(cases_rms)};

struct value *(op_layer_norm)(struct graph *g, struct value *x, struct value *gain,
                              struct value *bias, double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &layer_norm_op, (struct value *[]){x, gain, bias}, 3, &attributes,
                        sizeof attributes);
}

struct value *(op_rms_norm)(struct graph *g, struct value *x, struct value *gain, double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &rms_norm_op, (struct value *[]){x, gain}, 2, &attributes,
                        sizeof attributes);
}

// ---- gradients: inputs x, gain, dy ----
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

// dx of a row. With h = (x - mean) scale and e = dy gain: dx = scale (e - mean(e) - h mean(e h)); RMS
// norm has no mean(e).
static void row_grad(const struct value *y, const real *x, const real *gain, const real *dy,
                     real mean, real scale, real *dx)
{
    int64_t width = shape_last(y->shape);
    real mean_e = 0, mean_eh = 0;
    for (int64_t i = 0; i < width; i++) {
        if (is_centered(y)) mean_e += dy[i] * gain[i];
        mean_eh += dy[i] * gain[i] * ((x[i] - mean) * scale);
    }
    mean_e /= (real)width;
    mean_eh /= (real)width;
    for (int64_t i = 0; i < width; i++)
        dx[i] = scale * (dy[i] * gain[i] - mean_e - (x[i] - mean) * scale * mean_eh);
}

static void reference_grad(const struct op_call *call)
{
    const real *gain = call->input[1];
    real *dgain = call->output[1], *dbias = is_centered(call->value) ? call->output[2] : NULL;
    int64_t rows = shape_rows(call->value->shape), width = shape_last(call->value->shape);
    if (dgain) memset(dgain, 0, (size_t)width * sizeof *dgain);
    if (dbias) memset(dbias, 0, (size_t)width * sizeof *dbias);
    for (int64_t row = 0; row < rows; row++) {
        const real *x = (const real *)call->input[0] + row * width;
        const real *dy = (const real *)call->input[2] + row * width;
        real mean, scale;
        moments(call->value, x, &mean, &scale);
        row_grad(call->value, x, gain, dy, mean, scale, (real *)call->output[0] + row * width);
        for (int64_t i = 0; i < width; i++) {
            if (dgain) dgain[i] += dy[i] * ((x[i] - mean) * scale);
            if (dbias) dbias[i] += dy[i];
        }
    }
}

static struct cost cost_grad(const struct value *y)
{
    return elementwise_cost(y, is_centered(y) ? 18 : 12);
}

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

const struct op rms_norm_grad_op = {.name = "rms_norm_grad",
                                    .attribute_bytes = sizeof(struct norm_attributes),
                                    .infer = infer_grad,
                                    .aux_count = 1,
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

struct value *(op_rms_norm_grad)(struct graph *g, struct value *x, struct value *gain,
                                 struct value *dy, double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &rms_norm_grad_op, (struct value *[]){x, gain, dy}, 3, &attributes,
                        sizeof attributes);
}
