// SPDX-License-Identifier: Apache-2.0
// Losses of scores that exist: one of several classes, and numbers against numbers. Every row may have a weight; a row of weight
// 0 is padding. As in output_loss, gradients are computed with the loss.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

static const struct score_loss_attributes *attributes_of(const struct value *y)
{
    return y->attributes;
}

static bool check_loss(struct graph *g, const struct value *y, int first, int last)
{
    const struct score_loss_attributes *a = attributes_of(y);
    if ((int)a->loss < first || (int)a->loss > last)
        graph_fail(g, STATUS_USAGE, "%s: there is no loss %d here", y->op->name, (int)a->loss);
    else if (!(a->smoothing >= 0 && a->smoothing < 1))
        graph_fail(g, STATUS_USAGE, "%s: a smoothing of %g; it has to be at least 0 and below 1",
                   y->op->name, a->smoothing);
    if (g->status || !check_input(g, y, 0, "scores", F32, 2)) return false;
    return !y->input[2] ||
           check_shape(g, y, 2, "weights", F32, shape_of(1, y->input[0]->shape.size[0]));
}

static void infer_aux(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = aux->aux_index == 1 ? shape_of(1, y->input[0]->shape.size[0]) : y->input[0]->shape;
}

static real positive(real x) { return x > 0 ? x : 0; }

// Loss of one number s against its goal t, and both slopes.
static real pair_loss(enum score_loss loss, real s, real t, real *ds, real *dt)
{
    real left = 1 - t * s;
    switch (loss) {
    case LOSS_BINARY: {
        real small = real_exp(s > 0 ? -s : s);
        *ds = (s > 0 ? 1 / (1 + small) : small / (1 + small)) - t;
        *dt = -s;
        return positive(s) - s * t + real_log(1 + small);
    }
    case LOSS_SQUARED:
        *ds = 2 * (s - t), *dt = -2 * (s - t);
        return (s - t) * (s - t);
    case LOSS_HINGE:
        *ds = left > 0 ? -t : 0, *dt = left > 0 ? -s : 0;
        return positive(left);
    case LOSS_SQUARED_HINGE:
        *ds = -2 * t * positive(left), *dt = -2 * s * positive(left);
        return positive(left) * positive(left);
    default:
        return 0;
    }
}

static struct cost cost(const struct value *y)
{
    return (struct cost){.flops = 20 * (double)shape_count(y->input[0]->shape),
                         .bytes = touched_bytes(y)};
}

// ---- numbers: inputs scores, goals, weights ----
static void infer_score(struct graph *g, struct value *y)
{
    if (!check_loss(g, y, LOSS_BINARY, LOSS_SQUARED_HINGE)) return;
    if (check_shape(g, y, 1, "goals", F32, y->input[0]->shape)) y->shape = shape_of(1, 1);
}

static void vjp_score(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    const int aux[3] = {0, 2, 1};
    for (int i = 0; i < 3; i++)
        if (wants(y, i)) dx[i] = op_scale(g, graph_aux(g, y, aux[i]), dy);
}

static void reference_score(const struct op_call *call)
{
    const struct value *v = call->value;
    struct shape shape = v->input[0]->shape;
    const real *scores = call->input[0], *goals = call->input[1], *weights = call->input[2];
    real *dscores = call->output[1], *losses = call->output[2], *dgoals = call->output[3],
         total = 0;
    for (int64_t row = 0; row < shape.size[0]; row++) {
        real weight = weights ? weights[row] : 1, sum = 0;
        for (int64_t i = row * shape.size[1]; i < (row + 1) * shape.size[1]; i++) {
            real ds, dt;
            sum += pair_loss(attributes_of(v)->loss, scores[i], goals[i], &ds, &dt);
            if (dscores) dscores[i] = weight * ds;
            if (dgoals) dgoals[i] = weight * dt;
        }
        if (losses) losses[row] = sum;
        total += weight * sum;
    }
    *(real *)call->output[0] = total;
}

#define LOSS(kind, smoothing)                                                                      \
    .attributes = &(const struct score_loss_attributes) { kind, smoothing }
#define CASE_SCORE(kind)                                                                           \
    {.inputs = 3, .input = {SHAPE2(1, 1), SHAPE2(1, 1), ABSENT}, LOSS(kind, 0)},                   \
        {.inputs = 3, .input = {SHAPE2(7, 1), SHAPE2(7, 1), SHAPE1(7)}, LOSS(kind, 0)},            \
        {.inputs = 3, .input = {SHAPE2(5, 33), SHAPE2(5, 33), SHAPE1(5)}, LOSS(kind, 0)},
static const struct op_case cases_score[] = {CASE_SCORE(LOSS_BINARY) CASE_SCORE(
    LOSS_SQUARED) CASE_SCORE(LOSS_HINGE) CASE_SCORE(LOSS_SQUARED_HINGE)};

const struct op score_loss_op = {.name = "score_loss",
                                 .attribute_bytes = sizeof(struct score_loss_attributes),
                                 .infer = infer_score,
                                 .aux_count = 3,
                                 .infer_aux = infer_aux,
                                 .vjp = vjp_score,
                                 .reference = reference_score,
                                 .cost = cost,
                                 CASES(cases_score)};

struct value *(op_score_loss)(struct graph *g, struct value *scores, struct value *goals,
                              struct value *weights, enum score_loss loss)
{
    struct score_loss_attributes attributes = {loss, 0};
    return graph_append(g, &score_loss_op, (struct value *[]){scores, goals, weights}, 3,
                        &attributes, sizeof attributes);
}

// ---- classes: inputs scores, labels, weights ----
static void infer_class(struct graph *g, struct value *y)
{
    if (!check_loss(g, y, LOSS_SOFTMAX, LOSS_SQUARED_HINGE)) return;
    if (attributes_of(y)->loss == LOSS_BINARY || attributes_of(y)->loss == LOSS_SQUARED)
        graph_fail(g, STATUS_USAGE, "class_loss: loss %d is for numbers",
                   (int)attributes_of(y)->loss);
    else if (check_shape(g, y, 1, "labels", I32, shape_of(1, y->input[0]->shape.size[0])))
        y->shape = shape_of(1, 1);
}

static void vjp_class(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0)) dx[0] = op_scale(g, graph_aux(g, y, 0), dy);
    if (wants(y, 2)) dx[2] = op_scale(g, graph_aux(g, y, 1), dy);
}

static real softmax_loss(const real *s, int64_t n, int32_t label, real smoothing, real weight,
                         real *ds)
{
    real most = s[0], sum = 0, all = 0;
    for (int64_t j = 1; j < n; j++) most = s[j] > most ? s[j] : most;
    for (int64_t j = 0; j < n; j++) sum += real_exp(s[j] - most), all += s[j];
    real lse = most + real_log(sum), each = smoothing / (real)n;
    for (int64_t j = 0; ds && j < n; j++)
        ds[j] = weight * (real_exp(s[j] - lse) - each - (j == label ? 1 - smoothing : 0));
    return lse - (1 - smoothing) * s[label] - each * all;
}

static void reference_class(const struct op_call *call)
{
    const struct value *v = call->value;
    int64_t rows = v->input[0]->shape.size[0], n = v->input[0]->shape.size[1];
    const int32_t *labels = call->input[1];
    const real *weights = call->input[2];
    enum score_loss loss = attributes_of(v)->loss;
    real *dscores = call->output[1], *losses = call->output[2], total = 0;
    if (dscores) memset(dscores, 0, (size_t)(rows * n) * sizeof *dscores);
    for (int64_t row = 0; row < rows; row++) {
        const real *s = (const real *)call->input[0] + row * n;
        real weight = weights ? weights[row] : 1, sum = 0, *ds = dscores ? dscores + row * n : NULL;
        INVARIANT(labels[row] < n, "label %d of %lld", labels[row], (long long)n);
        if (labels[row] >= 0 && loss == LOSS_SOFTMAX)
            sum = softmax_loss(s, n, labels[row], (real)attributes_of(v)->smoothing, weight, ds);
        for (int64_t j = 0; labels[row] >= 0 && loss != LOSS_SOFTMAX && j < n; j++) {
            real slope = 0, ignored;
            sum += pair_loss(loss, s[j], j == labels[row] ? 1 : -1, &slope, &ignored);
            if (ds) ds[j] = weight * slope;
        }
        if (losses) losses[row] = sum;
        total += weight * sum;
    }
    *(real *)call->output[0] = total;
}

#define CASE_CLASS(rows, n, kind, smoothing, ...)                                                  \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE2(rows, n), SHAPE1(rows), __VA_ARGS__},                                        \
     .dtype = {F32, I32, F32},                                                                     \
     .integer_limit = (n),                                                                         \
     .negative = true,                                                                             \
     LOSS(kind, smoothing)},
static const struct op_case cases_class[] = {
    CASE_CLASS(5, 2, LOSS_SOFTMAX, 0, ABSENT) CASE_CLASS(9, 17, LOSS_SOFTMAX, 0, SHAPE1(9))
        CASE_CLASS(33, 31, LOSS_SOFTMAX, 0.1, SHAPE1(33)) CASE_CLASS(7, 5, LOSS_HINGE, 0, SHAPE1(7))
            CASE_CLASS(7, 19, LOSS_SQUARED_HINGE, 0, ABSENT)};

const struct op class_loss_op = {.name = "class_loss",
                                 .attribute_bytes = sizeof(struct score_loss_attributes),
                                 .infer = infer_class,
                                 .aux_count = 2,
                                 .infer_aux = infer_aux,
                                 .vjp = vjp_class,
                                 .reference = reference_class,
                                 .cost = cost,
                                 CASES(cases_class)};

struct value *(op_class_loss)(struct graph *g, struct value *scores, struct value *labels,
                              struct value *weights, enum score_loss loss, double smoothing)
{
    struct score_loss_attributes attributes = {loss, smoothing};
    return graph_append(g, &class_loss_op, (struct value *[]){scores, labels, weights}, 3,
                        &attributes, sizeof attributes);
}
