// SPDX-License-Identifier: Apache-2.0
// Batch norm over the rows of a micro-batch. Running statistics are parameters whose "gradient" is how far they are from those of
// the rows, times the rows: summed over the batch tree like any other, so that they are the same bits for any number of workers.
#include "op/common.h"
#include "op/real_math.h"

static real epsilon_of(const struct value *y)
{
    return (real)((const struct norm_attributes *)y->attributes)->epsilon;
}

static bool check_x(struct graph *g, const struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK)) return false;
    double epsilon = ((const struct norm_attributes *)y->attributes)->epsilon;
    if (!(epsilon > 0))
        graph_fail(g, STATUS_USAGE, "%s: an epsilon of %g; it has to be more than 0", y->op->name,
                   epsilon);
    return !g->status &&
           check_shape(g, y, 1, "gain", F32, shape_of(1, shape_last(y->input[0]->shape)));
}

// Inputs x, gain, bias, running mean and variance, which only the backward pass reads.
static void infer(struct graph *g, struct value *y)
{
    if (!check_x(g, y)) return;
    struct shape columns = shape_of(1, shape_last(y->input[0]->shape));
    if (!check_shape(g, y, 2, "bias", F32, columns)) return;
    if (y->input[3]) check_shape(g, y, 3, "running mean", F32, columns);
    if (y->input[4]) check_shape(g, y, 4, "running variance", F32, columns);
    y->shape = y->input[0]->shape;
}

static void infer_columns(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = shape_of(1, shape_last(y->shape));
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    const struct norm_attributes *attributes = y->attributes;
    int64_t rows = shape_rows(y->shape);
    for (int i = 3; i < 5; i++)
        if (wants(y, i)) dx[i] = op_drift(g, y->input[i], graph_aux(g, y, i - 3), rows);
    struct value *grad = op_batch_norm_grad(g, y->input[0], y->input[1], dy, attributes->epsilon);
    if (wants(y, 0)) dx[0] = grad;
    if (wants(y, 1)) dx[1] = graph_aux(g, grad, 0);
    if (wants(y, 2)) dx[2] = graph_aux(g, grad, 1);
}

// Of column j, two passes; the variance over n.
static void column_moments(const real *x, int64_t rows, int64_t width, int64_t j, real *mean_p,
                           real *variance_p)
{
    real mean = 0, variance = 0;
    for (int64_t i = 0; i < rows; i++) mean += x[i * width + j];
    mean /= (real)rows;
    for (int64_t i = 0; i < rows; i++)
        variance += (x[i * width + j] - mean) * (x[i * width + j] - mean);
    *mean_p = mean;
    *variance_p = variance / (real)rows;
}

static void reference(const struct op_call *call)
{
    const struct value *v = call->value;
    const real *x = call->input[0], *gain = call->input[1], *bias = call->input[2];
    real *y = call->output[0], *means = call->output[1], *variances = call->output[2];
    int64_t rows = shape_rows(v->shape), width = shape_last(v->shape);
    for (int64_t j = 0; j < width; j++) {
        real mean, variance;
        column_moments(x, rows, width, j, &mean, &variance);
        real scale = 1 / real_sqrt(variance + epsilon_of(v));
        for (int64_t i = 0; i < rows; i++)
            y[i * width + j] = (x[i * width + j] - mean) * scale * gain[j] + bias[j];
        if (means) means[j] = mean;
        if (variances)
            variances[j] = rows > 1 ? variance * (real)rows / (real)(rows - 1) : variance;
    }
}

static struct cost cost(const struct value *y) { return elementwise_cost(y, 8); }

#define NORM                                                                                       \
    .attributes = &(const struct norm_attributes) { 1e-5 }
#define CASE(n)                                                                                    \
    {.inputs = 5, .input = {SHAPE2((n) + 2, 7), SHAPE1(7), SHAPE1(7), ABSENT, ABSENT}, NORM},      \
        {.inputs = 5, .input = {SHAPE3(2, 3, n), SHAPE1(n), SHAPE1(n), ABSENT, ABSENT}, NORM},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op batch_norm_op = {.name = "batch_norm",
                                 .attribute_bytes = sizeof(struct norm_attributes),
                                 .infer = infer,
                                 .aux_count = 2,
                                 .infer_aux = infer_columns,
                                 .vjp = vjp,
                                 .reference = reference,
                                 .cost = cost,
                                 CASES(cases)};

struct value *(op_batch_norm)(struct graph *g, struct value *const input[5], double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &batch_norm_op, input, 5, &attributes, sizeof attributes);
}

// ---- gradient: inputs x, gain, dy ----
static void infer_grad(struct graph *g, struct value *dx)
{
    if (check_x(g, dx) && check_shape(g, dx, 2, "dy", F32, dx->input[0]->shape))
        dx->shape = dx->input[0]->shape;
}

static void reference_grad(const struct op_call *call)
{
    const struct value *v = call->value;
    const real *x = call->input[0], *gain = call->input[1], *dy = call->input[2];
    real *dx = call->output[0], *dgain = call->output[1], *dbias = call->output[2];
    int64_t rows = shape_rows(v->shape), width = shape_last(v->shape);
    for (int64_t j = 0; j < width; j++) {
        real mean, variance, sum = 0, along = 0;
        column_moments(x, rows, width, j, &mean, &variance);
        real scale = 1 / real_sqrt(variance + epsilon_of(v));
        for (int64_t i = 0; i < rows; i++) {
            sum += dy[i * width + j];
            along += dy[i * width + j] * (x[i * width + j] - mean) * scale;
        }
        for (int64_t i = 0; i < rows; i++) {
            real normal = (x[i * width + j] - mean) * scale;
            dx[i * width + j] =
                gain[j] * scale * (dy[i * width + j] - (sum + normal * along) / (real)rows);
        }
        if (dgain) dgain[j] = along;
        if (dbias) dbias[j] = sum;
    }
}

#define CASE_GRAD(n)                                                                               \
    {.inputs = 3, .input = {SHAPE2((n) + 2, 7), SHAPE1(7), SHAPE2((n) + 2, 7)}, NORM},             \
        {.inputs = 3, .input = {SHAPE3(2, 3, n), SHAPE1(n), SHAPE3(2, 3, n)}, NORM},
static const struct op_case cases_grad[] = {ODD_SIZES(CASE_GRAD)};

const struct op batch_norm_grad_op = {.name = "batch_norm_grad",
                                      .attribute_bytes = sizeof(struct norm_attributes),
                                      .infer = infer_grad,
                                      .aux_count = 2,
                                      .infer_aux = infer_columns,
                                      .vjp = vjp_none,
                                      .reference = reference_grad,
                                      .cost = cost,
                                      CASES(cases_grad)};

struct value *(op_batch_norm_grad)(struct graph *g, struct value *x, struct value *gain,
                                   struct value *dy, double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &batch_norm_grad_op, (struct value *[]){x, gain, dy}, 3, &attributes,
                        sizeof attributes);
}

// ---- drift: (running - now) rows ----
static void infer_drift(struct graph *g, struct value *y)
{
    if (check_input(g, y, 0, "running", F32, ANY_RANK) &&
        check_shape(g, y, 1, "now", F32, y->input[0]->shape))
        y->shape = y->input[0]->shape;
}

static void reference_drift(const struct op_call *call)
{
    const struct drift_attributes *attributes = call->value->attributes;
    const real *running = call->input[0], *now = call->input[1];
    real *y = call->output[0];
    for (int64_t i = 0; i < shape_count(call->value->shape); i++)
        y[i] = (running[i] - now[i]) * (real)attributes->rows;
}

static struct cost cost_drift(const struct value *y) { return elementwise_cost(y, 2); }

static const struct op_case cases_drift[] = {{.inputs = 2,
                                              .input = {SHAPE1(17), SHAPE1(17)},
                                              .attributes = &(const struct drift_attributes){5}}};

const struct op drift_op = {.name = "drift",
                            .attribute_bytes = sizeof(struct drift_attributes),
                            .infer = infer_drift,
                            .vjp = vjp_none,
                            .reference = reference_drift,
                            .cost = cost_drift,
                            CASES(cases_drift)};

struct value *(op_drift)(struct graph *g, struct value *running, struct value *now, int64_t rows)
{
    struct drift_attributes attributes = {rows};
    return graph_append(g, &drift_op, (struct value *[]){running, now}, 2, &attributes,
                        sizeof attributes);
}

// ---- by running statistics, for evaluation ----
static void infer_running(struct graph *g, struct value *y)
{
    if (!check_x(g, y)) return;
    const char *const names[5] = {"x", "gain", "bias", "running mean", "running variance"};
    for (int i = 2; i < 5; i++)
        if (!check_shape(g, y, i, names[i], F32, shape_of(1, shape_last(y->input[0]->shape))))
            return;
    y->shape = y->input[0]->shape;
}

static void reference_running(const struct op_call *call)
{
    const struct value *v = call->value;
    const real *x = call->input[0], *gain = call->input[1], *bias = call->input[2],
               *mean = call->input[3], *variance = call->input[4];
    real *y = call->output[0];
    int64_t rows = shape_rows(v->shape), width = shape_last(v->shape);
    for (int64_t i = 0; i < rows * width; i++) {
        int64_t j = i % width;
        real normal =
            (x[i] - mean[j]) / real_sqrt((variance[j] < 0 ? 0 : variance[j]) + epsilon_of(v));
        y[i] = normal * gain[j] + bias[j];
    }
}

#define CASE_RUNNING(n)                                                                            \
    {.inputs = 5,                                                                                  \
     .input = {SHAPE2(3, n), SHAPE1(n), SHAPE1(n), SHAPE1(n), SHAPE1(n)},                          \
     .attributes = &(const struct norm_attributes){0.1}},
static const struct op_case cases_running[] = {ODD_SIZES(CASE_RUNNING)};

const struct op batch_norm_running_op = {.name = "batch_norm_running",
                                         .attribute_bytes = sizeof(struct norm_attributes),
                                         .infer = infer_running,
                                         .vjp = vjp_none,
                                         .reference = reference_running,
                                         .cost = cost,
                                         CASES(cases_running)};

struct value *(op_batch_norm_running)(struct graph *g, struct value *const input[5], double epsilon)
{
    struct norm_attributes attributes = {epsilon};
    return graph_append(g, &batch_norm_running_op, input, 5, &attributes, sizeof attributes);
}
