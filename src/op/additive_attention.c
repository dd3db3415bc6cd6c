// SPDX-License-Identifier: Apache-2.0
// Attention in parts, for scores that are no product: additive scores (Bahdanau), and the mean of vectors under the softmax of any
// scores. With their gradients.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

struct sizes {
    int64_t batch, queries, keys, width;
};

// ---- scores: inputs q, k, v ----
static bool check_scores(struct graph *g, const struct value *y)
{
    if (!check_input(g, y, 0, "q", F32, 3) || !check_input(g, y, 1, "k", F32, 3)) return false;
    struct shape q = y->input[0]->shape, k = y->input[1]->shape;
    return check_shape(g, y, 1, "k", F32, shape_of(3, q.size[0], k.size[1], q.size[2])) &&
           check_shape(g, y, 2, "v", F32, shape_of(1, q.size[2]));
}

static struct sizes scores_of(const struct value *y)
{
    struct shape q = y->input[0]->shape, k = y->input[1]->shape;
    return (struct sizes){q.size[0], q.size[1], k.size[1], q.size[2]};
}

static void infer_scores(struct graph *g, struct value *y)
{
    if (!check_scores(g, y)) return;
    struct sizes n = scores_of(y);
    y->shape = shape_of(3, n.batch, n.queries, n.keys);
}

static void vjp_scores(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    struct value *dq = op_additive_scores_grad(g, y->input[0], y->input[1], y->input[2], dy);
    if (wants(y, 0)) dx[0] = dq;
    if (wants(y, 1)) dx[1] = graph_aux(g, dq, 0);
    if (wants(y, 2)) dx[2] = graph_aux(g, dq, 1);
}

static void reference_scores(const struct op_call *call)
{
    struct sizes n = scores_of(call->value);
    const real *q = call->input[0], *k = call->input[1], *v = call->input[2];
    real *y = call->output[0];
    for (int64_t i = 0; i < n.batch * n.queries * n.keys; i++) {
        const real *left = q + i / n.keys * n.width;
        const real *right = k + (i / n.keys / n.queries * n.keys + i % n.keys) * n.width;
        y[i] = 0;
        for (int64_t j = 0; j < n.width; j++) y[i] += v[j] * real_tanh(left[j] + right[j]);
    }
}

static struct cost cost_scores(const struct value *y)
{
    struct sizes n = scores_of(y);
    double terms = (double)n.batch * (double)n.queries * (double)n.keys * (double)n.width;
    return (struct cost){.flops = 25 * terms, .bytes = touched_bytes(y)};
}

static const struct op_case cases_scores[] = {
    {.inputs = 3, .input = {SHAPE3(1, 1, 1), SHAPE3(1, 1, 1), SHAPE1(1)}},
    {.inputs = 3, .input = {SHAPE3(3, 5, 17), SHAPE3(3, 4, 17), SHAPE1(17)}},
    {.inputs = 3, .input = {SHAPE3(2, 7, 65), SHAPE3(2, 9, 65), SHAPE1(65)}}};

const struct op additive_scores_op = {.name = "additive_scores",
                                      .infer = infer_scores,
                                      .vjp = vjp_scores,
                                      .reference = reference_scores,
                                      .cost = cost_scores,
                                      CASES(cases_scores)};

struct value *(op_additive_scores)(struct graph *g, struct value *q, struct value *k,
                                   struct value *v)
{
    return graph_append(g, &additive_scores_op, (struct value *[]){q, k, v}, 3, NULL, 0);
}

// ---- their gradient: inputs q, k, v, dy; auxiliary outputs dk, dv ----
static void infer_scores_grad(struct graph *g, struct value *dq)
{
    if (!check_scores(g, dq)) return;
    struct sizes n = scores_of(dq);
    if (check_shape(g, dq, 3, "dy", F32, shape_of(3, n.batch, n.queries, n.keys)))
        dq->shape = dq->input[0]->shape;
}

static void infer_scores_grad_aux(struct graph *g, const struct value *dq, struct value *aux)
{
    (void)g;
    aux->shape = dq->input[1 + aux->aux_index]->shape;
}

static void reference_scores_grad(const struct op_call *call)
{
    struct sizes n = scores_of(call->value);
    const real *q = call->input[0], *k = call->input[1], *v = call->input[2], *dy = call->input[3];
    real *dq = call->output[0], *dk = call->output[1], *dv = call->output[2];
    memset(dq, 0, (size_t)(n.batch * n.queries * n.width) * sizeof *dq);
    if (dk) memset(dk, 0, (size_t)(n.batch * n.keys * n.width) * sizeof *dk);
    if (dv) memset(dv, 0, (size_t)n.width * sizeof *dv);
    for (int64_t i = 0; i < n.batch * n.queries * n.keys; i++) {
        int64_t left = i / n.keys * n.width,
                right = (i / n.keys / n.queries * n.keys + i % n.keys) * n.width;
        for (int64_t j = 0; j < n.width; j++) {
            real t = real_tanh(q[left + j] + k[right + j]), slope = dy[i] * v[j] * (1 - t * t);
            dq[left + j] += slope;
            if (dk) dk[right + j] += slope;
            if (dv) dv[j] += dy[i] * t;
        }
    }
}

static const struct op_case cases_scores_grad[] = {
    {.inputs = 4, .input = {SHAPE3(1, 1, 1), SHAPE3(1, 1, 1), SHAPE1(1), SHAPE3(1, 1, 1)}},
    {.inputs = 4, .input = {SHAPE3(3, 5, 17), SHAPE3(3, 4, 17), SHAPE1(17), SHAPE3(3, 5, 4)}},
    {.inputs = 4, .input = {SHAPE3(2, 7, 65), SHAPE3(2, 9, 65), SHAPE1(65), SHAPE3(2, 7, 9)}}};

const struct op additive_scores_grad_op = {.name = "additive_scores_grad",
                                           .infer = infer_scores_grad,
                                           .aux_count = 2,
                                           .infer_aux = infer_scores_grad_aux,
                                           .vjp = vjp_none,
                                           .reference = reference_scores_grad,
                                           .cost = cost_scores,
                                           CASES(cases_scores_grad)};

struct value *(op_additive_scores_grad)(struct graph *g, struct value *q, struct value *k,
                                        struct value *v, struct value *dy)
{
    return graph_append(g, &additive_scores_grad_op, (struct value *[]){q, k, v, dy}, 4, NULL, 0);
}

// ---- mix: inputs scores (or, for the gradient, probabilities), memory, lengths ----
static bool check_mix(struct graph *g, const struct value *y, const char *name)
{
    if (!check_input(g, y, 0, name, F32, 3) || !check_input(g, y, 1, "memory", F32, 3))
        return false;
    struct shape s = y->input[0]->shape, m = y->input[1]->shape;
    return check_shape(g, y, 1, "memory", F32, shape_of(3, s.size[0], s.size[2], m.size[2])) &&
           (!y->input[2] || check_shape(g, y, 2, "lengths", I32, shape_of(1, s.size[0])));
}

static struct sizes mix_of(const struct value *y)
{
    struct shape s = y->input[0]->shape;
    return (struct sizes){s.size[0], s.size[1], s.size[2], y->input[1]->shape.size[2]};
}

static void infer_mix(struct graph *g, struct value *y)
{
    if (!check_mix(g, y, "scores")) return;
    struct sizes n = mix_of(y);
    y->shape = shape_of(3, n.batch, n.queries, n.width);
}

static void infer_mix_aux(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = y->input[0]->shape;
}

static void vjp_mix(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    struct value *ds = op_mix_grad(g, graph_aux(g, y, 0), y->input[1], y->input[2], dy);
    if (wants(y, 0)) dx[0] = ds;
    if (wants(y, 1)) dx[1] = graph_aux(g, ds, 0);
}

static void reference_mix(const struct op_call *call)
{
    struct sizes n = mix_of(call->value);
    const int32_t *lengths = call->input[2];
    real *y = call->output[0], *p = call->output[1];
    for (int64_t row = 0; row < n.batch * n.queries; row++, y += n.width) {
        int64_t b = row / n.queries, length = lengths ? lengths[b] : n.keys;
        const real *s = (const real *)call->input[0] + row * n.keys;
        real most = s[0], sum = 0;
        for (int64_t j = 1; j < length; j++) most = s[j] > most ? s[j] : most;
        for (int64_t j = 0; j < length; j++) sum += real_exp(s[j] - most);
        memset(y, 0, (size_t)n.width * sizeof *y);
        for (int64_t j = 0; j < n.keys; j++) {
            real share = j < length ? real_exp(s[j] - most) / sum : 0;
            const real *m = (const real *)call->input[1] + (b * n.keys + j) * n.width;
            if (p) p[row * n.keys + j] = share;
            for (int64_t i = 0; i < n.width && j < length; i++) y[i] += share * m[i];
        }
    }
}

static struct cost cost_mix(const struct value *y)
{
    struct sizes n = mix_of(y);
    double pairs = (double)n.batch * (double)n.queries * (double)n.keys;
    return (struct cost){.flops = pairs * (2 * (double)n.width + 15), .bytes = touched_bytes(y)};
}

#define CASE_MIX(batch, queries, keys, width, ...)                                                 \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE3(batch, queries, keys), SHAPE3(batch, keys, width), __VA_ARGS__},             \
     .dtype = {F32, F32, I32},                                                                     \
     .integer_limit = (keys) + 1},
static const struct op_case cases_mix[] = {
    CASE_MIX(1, 1, 1, 1, ABSENT) CASE_MIX(3, 5, 17, 9, ABSENT) CASE_MIX(7, 4, 33, 17, SHAPE1(7))};

const struct op mix_op = {.name = "mix",
                          .infer = infer_mix,
                          .aux_count = 1,
                          .infer_aux = infer_mix_aux,
                          .vjp = vjp_mix,
                          .reference = reference_mix,
                          .cost = cost_mix,
                          CASES(cases_mix)};

struct value *(op_mix)(struct graph *g, struct value *scores, struct value *memory,
                       struct value *lengths)
{
    return graph_append(g, &mix_op, (struct value *[]){scores, memory, lengths}, 3, NULL, 0);
}

// ---- its gradient: inputs p, memory, lengths, dy; auxiliary output dmemory ----
static void infer_mix_grad(struct graph *g, struct value *ds)
{
    if (!check_mix(g, ds, "p")) return;
    struct sizes n = mix_of(ds);
    if (check_shape(g, ds, 3, "dy", F32, shape_of(3, n.batch, n.queries, n.width)))
        ds->shape = ds->input[0]->shape;
}

static void infer_mix_grad_aux(struct graph *g, const struct value *ds, struct value *aux)
{
    (void)g;
    aux->shape = ds->input[1]->shape;
}

static void reference_mix_grad(const struct op_call *call)
{
    struct sizes n = mix_of(call->value);
    const int32_t *lengths = call->input[2];
    real *ds = call->output[0], *dm = call->output[1];
    if (dm) memset(dm, 0, (size_t)(n.batch * n.keys * n.width) * sizeof *dm);
    for (int64_t row = 0; row < n.batch * n.queries; row++) {
        int64_t b = row / n.queries, length = lengths ? lengths[b] : n.keys;
        const real *p = (const real *)call->input[0] + row * n.keys;
        const real *dy = (const real *)call->input[3] + row * n.width;
        real mean = 0;
        for (int64_t j = 0; j < n.keys; j++) {
            const real *m = (const real *)call->input[1] + (b * n.keys + j) * n.width;
            real dp = 0;
            for (int64_t i = 0; i < n.width; i++) dp += dy[i] * m[i];
            ds[row * n.keys + j] = dp;
            if (j < length) mean += p[j] * dp;
            for (int64_t i = 0; dm && j < length && i < n.width; i++)
                dm[(b * n.keys + j) * n.width + i] += p[j] * dy[i];
        }
        for (int64_t j = 0; j < n.keys; j++)
            ds[row * n.keys + j] = j < length ? p[j] * (ds[row * n.keys + j] - mean) : 0;
    }
}

#define CASE_MIX_GRAD(batch, queries, keys, width, ...)                                            \
    {.inputs = 4,                                                                                  \
     .input = {SHAPE3(batch, queries, keys), SHAPE3(batch, keys, width), __VA_ARGS__,              \
               SHAPE3(batch, queries, width)},                                                     \
     .dtype = {F32, F32, I32, F32},                                                                \
     .integer_limit = (keys) + 1},
static const struct op_case cases_mix_grad[] = {CASE_MIX_GRAD(1, 1, 1, 1, ABSENT) CASE_MIX_GRAD(
    3, 5, 17, 9, ABSENT) CASE_MIX_GRAD(7, 4, 33, 17, SHAPE1(7))};

const struct op mix_grad_op = {.name = "mix_grad",
                               .infer = infer_mix_grad,
                               .aux_count = 1,
                               .infer_aux = infer_mix_grad_aux,
                               .vjp = vjp_none,
                               .reference = reference_mix_grad,
                               .cost = cost_mix,
                               CASES(cases_mix_grad)};

struct value *(op_mix_grad)(struct graph *g, struct value *p, struct value *memory,
                            struct value *lengths, struct value *dy)
{
    return graph_append(g, &mix_grad_op, (struct value *[]){p, memory, lengths, dy}, 4, NULL, 0);
}
