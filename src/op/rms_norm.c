// SPDX-License-Identifier: Apache-2.0
// Root-mean-square normalisation and its gradient.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

static void infer(struct graph *g, struct value *y)
{
    const struct norm_attributes *attributes = y->attributes;
    if (!check_input(g, y, 0, "x", F32, ANY_RANK) ||
        !check_shape(g, y, 1, "gain", F32, shape_of(1, shape_last(y->input[0]->shape))))
        return;
    if (y->op == &rms_norm_grad_op && !check_shape(g, y, 2, "dy", F32, y->input[0]->shape)) return;
    if (!(attributes->epsilon >= 0))
        graph_fail(g, STATUS_USAGE, "%s: epsilon is %g; it has to be 0 or more", y->op->name,
                   attributes->epsilon);
    y->shape = y->input[0]->shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    const struct norm_attributes *attributes = y->attributes;
    struct value *grad = op_rms_norm_grad(g, y->input[0], y->input[1], dy, attributes->epsilon);
    if (wants(y, 0)) dx[0] = grad;
    if (wants(y, 1)) dx[1] = graph_aux(g, grad, 0);
}

// 1 / root of the mean square of a row.
static real row_scale(const real *x, int64_t width, double epsilon)
{
    real square = 0;
    for (int64_t i = 0; i < width; i++) square += x[i] * x[i];
    return 1 / real_sqrt(square / (real)width + (real)epsilon);
}

static void reference(const struct op_call *call)
{
    const struct norm_attributes *attributes = call->value->attributes;
    const real *gain = call->input[1];
    int64_t rows = shape_rows(call->value->shape), width = shape_last(call->value->shape);
    for (int64_t row = 0; row < rows; row++) {
        const real *x = (const real *)call->input[0] + row * width;
        real *y = (real *)call->output[0] + row * width;
        real scale = row_scale(x, width, attributes->epsilon);
        for (int64_t i = 0; i < width; i++) y[i] = x[i] * scale * gain[i];
    }
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 4); }

// Large enough to be seen in the results.
#define EPSILON                                                                                    \
    .attributes = &(const struct norm_attributes) { 0.01 }
#define CASE(n)                                                                                    \
    {.inputs = 2, .input = {SHAPE2(n, 13), SHAPE1(13)}, EPSILON},                                  \
        {.inputs = 2, .input = {SHAPE3(2, 3, n), SHAPE1(n)}, EPSILON},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op rms_norm_op = {.name = "rms_norm",
                               .attribute_bytes = sizeof(struct norm_attributes),
                               .infer = infer,
                               .vjp = vjp,
                               .reference = reference,
                               .cost = cost,
                               CASES(cases)};

struct value *(op_rms_norm)(struct graph *g, struct value *x, struct value *gain, double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &rms_norm_op, (struct value *[]){x, gain}, 2, &attributes,
                        sizeof attributes);
}

// ---- gradient ----
static void infer_aux_grad(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = y->input[1]->shape;
}

static void reference_grad(const struct op_call *call)
{
    const struct norm_attributes *attributes = call->value->attributes;
    const real *gain = call->input[1];
    real *dgain = call->output[1];
    int64_t rows = shape_rows(call->value->shape), width = shape_last(call->value->shape);
    if (dgain) memset(dgain, 0, (size_t)width * sizeof *dgain);
    for (int64_t row = 0; row < rows; row++) {
        const real *x = (const real *)call->input[0] + row * width,
                   *dy = (const real *)call->input[2] + row * width;
        real *dx = (real *)call->output[0] + row * width;
        real scale = row_scale(x, width, attributes->epsilon), mean = 0;
        // With h = x scale and e = dy gain: dx = scale (e - h mean(e h)).
        for (int64_t i = 0; i < width; i++) mean += dy[i] * gain[i] * (x[i] * scale);
        mean /= (real)width;
        for (int64_t i = 0; i < width; i++) {
            real h = x[i] * scale;
            dx[i] = scale * (dy[i] * gain[i] - h * mean);
            if (dgain) dgain[i] += dy[i] * h;
        }
    }
}

static struct cost cost_grad(const struct value *y) { return elementwise_cost(y, 12); }

#define CASE_GRAD(n)                                                                               \
    {.inputs = 3, .input = {SHAPE2(n, 13), SHAPE1(13), SHAPE2(n, 13)}, EPSILON},                   \
        {.inputs = 3, .input = {SHAPE3(2, 3, n), SHAPE1(n), SHAPE3(2, 3, n)}, EPSILON},
static const struct op_case cases_grad[] = {ODD_SIZES(CASE_GRAD)};

const struct op rms_norm_grad_op = {.name = "rms_norm_grad",
                                    .attribute_bytes = sizeof(struct norm_attributes),
                                    .infer = infer,
                                    .aux_count = 1,
                                    .infer_aux = infer_aux_grad,
                                    .vjp = vjp_none,
                                    .reference = reference_grad,
                                    .cost = cost_grad,
                                    CASES(cases_grad)};

struct value *(op_rms_norm_grad)(struct graph *g, struct value *x, struct value *gain,
                                 struct value *dy, double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &rms_norm_grad_op, (struct value *[]){x, gain, dy}, 3, &attributes,
                        sizeof attributes);
}
