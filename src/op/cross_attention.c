// SPDX-License-Identifier: Apache-2.0
// Attention of one sequence over another (encoder-decoder), and its gradient. Probabilities are kept: sentences are short.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

struct sizes {
    int64_t batch, queries, keys, heads, width, size;
    real scale;
};

static struct sizes sizes_of(const struct value *y)
{
    const struct cross_attention_attributes *a = y->attributes;
    struct shape q = y->input[0]->shape, kv = y->input[1]->shape;
    int64_t head_size = q.size[2] / a->heads;
    return (struct sizes){q.size[0],
                          q.size[1],
                          kv.size[1],
                          a->heads,
                          q.size[2],
                          head_size,
                          a->scale > 0 ? (real)a->scale : 1 / real_sqrt((real)head_size)};
}

static bool check(struct graph *g, const struct value *y)
{
    const struct cross_attention_attributes *a = y->attributes;
    char text[64];
    if (!check_input(g, y, 0, "q", F32, 3) || !check_input(g, y, 1, "kv", F32, 3)) return false;
    struct shape q = y->input[0]->shape, kv = y->input[1]->shape;
    if (a->heads < 1 || q.size[2] % a->heads)
        graph_fail(g, STATUS_SHAPE, "%s: q %s cannot be cut into %d heads", y->op->name,
                   shape_print(q, text), a->heads);
    else if (!(a->scale >= 0))
        graph_fail(g, STATUS_USAGE, "%s: a scale of %g", y->op->name, a->scale);
    if (g->status ||
        !check_shape(g, y, 1, "kv", F32, shape_of(3, q.size[0], kv.size[1], 2 * q.size[2])))
        return false;
    return !y->input[2] || check_shape(g, y, 2, "lengths", I32, shape_of(1, q.size[0]));
}

static void infer(struct graph *g, struct value *y)
{
    if (check(g, y)) y->shape = y->input[0]->shape;
}

static struct shape p_shape(const struct value *y)
{
    struct sizes n = sizes_of(y);
    return shape_of(4, n.batch, n.heads, n.queries, n.keys);
}

static void infer_aux(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = p_shape(y);
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (!wants(y, 0) && !wants(y, 1)) return;
    struct value *dq = op_cross_attention_grad(
        g, (struct value *[]){y->input[0], y->input[1], y->input[2], graph_aux(g, y, 0), dy},
        y->attributes);
    if (wants(y, 0)) dx[0] = dq;
    if (wants(y, 1)) dx[1] = graph_aux(g, dq, 0);
}

static real dot(const real *a, const real *b, int64_t n)
{
    real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

// The probability of a key, by scores computed again and again.
static real probability(const real *q, const real *k, struct sizes n, int64_t length, int64_t key)
{
    real most = 0, sum = 0;
    for (int64_t j = 0; j < length; j++) {
        real s = dot(q, k + j * 2 * n.width, n.size) * n.scale;
        most = j == 0 || s > most ? s : most;
    }
    for (int64_t j = 0; j < length; j++)
        sum += real_exp(dot(q, k + j * 2 * n.width, n.size) * n.scale - most);
    return real_exp(dot(q, k + key * 2 * n.width, n.size) * n.scale - most) / sum;
}

static void reference(const struct op_call *call)
{
    struct sizes n = sizes_of(call->value);
    const int32_t *lengths = call->input[2];
    real *p = call->output[1];
    memset(call->output[0], 0, (size_t)(n.batch * n.queries * n.width) * sizeof(real));
    if (p) memset(p, 0, (size_t)(n.batch * n.heads * n.queries * n.keys) * sizeof *p);
    for (int64_t row = 0; row < n.batch * n.heads * n.queries; row++) {
        int64_t b = row / (n.heads * n.queries), h = row / n.queries % n.heads, t = row % n.queries;
        int64_t at = (b * n.queries + t) * n.width + h * n.size,
                length = lengths ? lengths[b] : n.keys;
        const real *k = (const real *)call->input[1] + b * n.keys * 2 * n.width + h * n.size;
        for (int64_t j = 0; j < length; j++) {
            real value = probability((const real *)call->input[0] + at, k, n, length, j);
            if (p) p[row * n.keys + j] = value;
            for (int64_t i = 0; i < n.size; i++)
                ((real *)call->output[0])[at + i] += value * k[j * 2 * n.width + n.width + i];
        }
    }
}

static struct cost cost_of(const struct value *y, double products)
{
    struct sizes n = sizes_of(y);
    double pairs = (double)n.batch * (double)n.queries * (double)n.keys;
    return (struct cost){.flops = pairs * (2 * products * (double)n.width + 10 * (double)n.heads),
                         .bytes = touched_bytes(y)};
}
static struct cost cost(const struct value *y) { return cost_of(y, 2); }
static struct cost cost_grad(const struct value *y) { return cost_of(y, 4); }

#define ATTENTION(...)                                                                             \
    .attributes = &(const struct cross_attention_attributes) { __VA_ARGS__ }
#define CASE(batch, queries, keys, width, lengths, ...)                                            \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE3(batch, queries, width), SHAPE3(batch, keys, INT64_C(2) * (width)), lengths}, \
     .dtype = {F32, F32, I32},                                                                     \
     .integer_limit = (keys) + 1,                                                                  \
     ATTENTION(__VA_ARGS__)},
static const struct op_case cases[] = {
    CASE(1, 1, 1, 1, ABSENT, 1, 0) CASE(2, 5, 7, 12, ABSENT, 3, 0)
        CASE(3, 4, 33, 17, SHAPE1(3), 1, 1) CASE(5, 17, 9, 10, SHAPE1(5), 2, 0)};

const struct op cross_attention_op = {.name = "cross_attention",
                                      .attribute_bytes = sizeof(struct cross_attention_attributes),
                                      .infer = infer,
                                      .aux_count = 1,
                                      .infer_aux = infer_aux,
                                      .vjp = vjp,
                                      .reference = reference,
                                      .cost = cost,
                                      CASES(cases)};

struct value *(op_cross_attention)(struct graph *g, struct value *q, struct value *kv,
                                   struct value *lengths,
                                   const struct cross_attention_attributes *attributes)
{
    return graph_append(g, &cross_attention_op, (struct value *[]){q, kv, lengths}, 3, attributes,
                        sizeof *attributes);
}

// ---- gradient: inputs q, kv, lengths, p, dy; auxiliary output 0: dkv ----
static void infer_grad(struct graph *g, struct value *dq)
{
    if (!check(g, dq)) return;
    if (check_shape(g, dq, 3, "p", F32, p_shape(dq)) &&
        check_shape(g, dq, 4, "dy", F32, dq->input[0]->shape))
        dq->shape = dq->input[0]->shape;
}

static void infer_grad_aux(struct graph *g, const struct value *dq, struct value *aux)
{
    (void)g;
    aux->shape = dq->input[1]->shape;
}

static void reference_grad(const struct op_call *call)
{
    struct sizes n = sizes_of(call->value);
    const int32_t *lengths = call->input[2];
    const real *q = call->input[0], *dy = call->input[4];
    real *dq = call->output[0], *dkv = call->output[1];
    memset(dq, 0, (size_t)(n.batch * n.queries * n.width) * sizeof *dq);
    if (dkv) memset(dkv, 0, (size_t)(n.batch * n.keys * 2 * n.width) * sizeof *dkv);
    for (int64_t row = 0; row < n.batch * n.heads * n.queries; row++) {
        int64_t b = row / (n.heads * n.queries), h = row / n.queries % n.heads, t = row % n.queries;
        int64_t at = (b * n.queries + t) * n.width + h * n.size,
                length = lengths ? lengths[b] : n.keys;
        int64_t start = b * n.keys * 2 * n.width + h * n.size;
        const real *k = (const real *)call->input[1] + start, *v = k + n.width;
        const real *p = (const real *)call->input[3] + row * n.keys;
        real mean = 0;
        for (int64_t j = 0; j < length; j++)
            mean += p[j] * dot(dy + at, v + j * 2 * n.width, n.size);
        for (int64_t j = 0; j < length; j++) {
            real ds = p[j] * (dot(dy + at, v + j * 2 * n.width, n.size) - mean) * n.scale;
            for (int64_t i = 0; i < n.size; i++) {
                dq[at + i] += ds * k[j * 2 * n.width + i];
                if (!dkv) continue;
                dkv[start + j * 2 * n.width + i] += ds * q[at + i];
                dkv[start + j * 2 * n.width + n.width + i] += p[j] * dy[at + i];
            }
        }
    }
}

#define CASE_GRAD(batch, queries, keys, width, lengths, heads, scale)                              \
    {.inputs = 5,                                                                                  \
     .input = {SHAPE3(batch, queries, width),                                                      \
               SHAPE3(batch, keys, INT64_C(2) * (width)),                                          \
               lengths,                                                                            \
               {.rank = 4, .size = {batch, heads, queries, keys}},                                 \
               SHAPE3(batch, queries, width)},                                                     \
     .dtype = {F32, F32, I32, F32, F32},                                                           \
     .integer_limit = (keys) + 1,                                                                  \
     ATTENTION(heads, scale)},
static const struct op_case cases_grad[] = {
    CASE_GRAD(1, 1, 1, 1, ABSENT, 1, 0) CASE_GRAD(2, 5, 7, 12, ABSENT, 3, 0)
        CASE_GRAD(3, 4, 33, 17, SHAPE1(3), 1, 1) CASE_GRAD(5, 17, 9, 10, SHAPE1(5), 2, 0)};

const struct op cross_attention_grad_op = {.name = "cross_attention_grad",
                                           .attribute_bytes =
                                               sizeof(struct cross_attention_attributes),
                                           .infer = infer_grad,
                                           .aux_count = 1,
                                           .infer_aux = infer_grad_aux,
                                           .vjp = vjp_none,
                                           .reference = reference_grad,
                                           .cost = cost_grad,
                                           CASES(cases_grad)};

struct value *(op_cross_attention_grad)(struct graph *g, struct value *const input[5],
                                        const struct cross_attention_attributes *attributes)
{
    return graph_append(g, &cross_attention_grad_op, input, 5, attributes, sizeof *attributes);
}
