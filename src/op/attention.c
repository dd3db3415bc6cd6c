// SPDX-License-Identifier: Apache-2.0
// Causal self-attention, its gradient, and the form that decoding uses, with keys and values of
// earlier tokens in a cache. The score matrix is never stored: a row's probabilities follow from
// its scores and the logarithm of their sum.
#include "op/common.h"
#include "op/random.h"
#include "op/real_math.h"

#include <string.h>

static const struct attention_attributes *attributes_of(const struct value *y)
{
    return y->attributes;
}

struct sizes {
    int64_t batch, tokens, heads, head_size;
};

static struct sizes sizes_of(const struct value *y)
{
    struct shape qkv = y->input[0]->shape;
    int64_t heads = attributes_of(y)->heads;
    return (struct sizes){qkv.size[0], qkv.size[1], heads, qkv.size[2] / 3 / heads};
}

static bool check_heads(struct graph *g, const struct value *y)
{
    if (!check_input(g, y, 0, "qkv", F32, 3)) return false;
    struct shape qkv = y->input[0]->shape;
    int heads = attributes_of(y)->heads;
    char text[64];
    if (heads < 1 || qkv.size[2] % (3 * (int64_t)heads) != 0)
        graph_fail(g, STATUS_SHAPE,
                   "%s: the last dimension of qkv %s is not 3 times a width that %d heads divide",
                   y->op->name, shape_print(qkv, text), heads);
    return !g->status;
}

static bool check_random(struct graph *g, const struct value *y)
{
    double rate = attributes_of(y)->rate;
    if (!check_rate(g, y, rate) || rate == 0) return !g->status;
    int64_t tokens = y->input[0]->shape.size[1];
    // Element (query, key) counts in blocks of 64 keys; see base/philox.h.
    if (tokens > (int64_t)1 << 17)
        graph_fail(g, STATUS_SHAPE, "%s: dropout over %lld tokens; at most 131072 are possible",
                   y->op->name, (long long)tokens);
    return check_shape(g, y, 1, "random", U32, shape_of(1, 4));
}

static void infer(struct graph *g, struct value *y)
{
    if (!check_heads(g, y) || !check_random(g, y)) return;
    y->shape = shape_with_last(y->input[0]->shape, shape_last(y->input[0]->shape) / 3);
}

static struct shape lse_shape(const struct value *y)
{
    struct sizes n = sizes_of(y);
    return shape_of(3, n.batch, n.heads, n.tokens);
}

static void infer_aux(struct graph *g, const struct value *y, struct value *aux)
{
    (void)g;
    aux->shape = lse_shape(y);
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0))
        dx[0] = op_attention_grad(g, y->input[0], y->input[1], y, graph_aux(g, y, 0), dy,
                                  attributes_of(y));
}

// One head of one sequence: its operands and how far apart tokens lie.
struct head {
    const real *q, *k, *v;
    int64_t stride, head_size; // of qkv in elements
    real scale;                // of scores
    struct philox_address address;
    uint64_t row; // elements between the random numbers of neighbouring queries
    double rate;
};

static struct head head_of(const struct op_call *call, struct sizes n, int64_t b, int64_t h)
{
    const struct attention_attributes *attributes = call->value->attributes;
    int64_t width = n.heads * n.head_size;
    const real *q = (const real *)call->input[0] + b * n.tokens * 3 * width + h * n.head_size;
    struct head head = {.q = q,
                        .k = q + width,
                        .v = q + 2 * width,
                        .stride = 3 * width,
                        .head_size = n.head_size,
                        .scale = 1 / real_sqrt((real)n.head_size),
                        .row = (uint64_t)(n.tokens + 63) / 64 * 64,
                        .rate = call->input[1] ? attributes->rate : 0};
    if (call->input[1])
        head.address = dropout_address(call->input[1], attributes->operation + (uint32_t)h, b);
    return head;
}

static real dot(const real *a, const real *b, int64_t n)
{
    real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static real score(const struct head *head, int64_t query, int64_t key)
{
    return dot(head->q + query * head->stride, head->k + key * head->stride, head->head_size) *
           head->scale;
}

static real factor(const struct head *head, int64_t query, int64_t key)
{
    if (head->rate == 0) return 1;
    return dropout_factor(head->address, (uint64_t)query * head->row + (uint64_t)key, head->rate);
}

// y of one query over the keys 0..query; returns the logarithm of the sum of exponentials.
static real attend(const struct head *head, int64_t query, real *y)
{
    real most = score(head, query, 0), sum = 0;
    for (int64_t key = 1; key <= query; key++) {
        real s = score(head, query, key);
        if (s > most) most = s;
    }
    for (int64_t key = 0; key <= query; key++) sum += real_exp(score(head, query, key) - most);
    memset(y, 0, (size_t)head->head_size * sizeof *y);
    for (int64_t key = 0; key <= query; key++) {
        real p = real_exp(score(head, query, key) - most) / sum * factor(head, query, key);
        for (int64_t i = 0; i < head->head_size; i++) y[i] += p * head->v[key * head->stride + i];
    }
    return most + real_log(sum);
}

static void reference(const struct op_call *call)
{
    struct sizes n = sizes_of(call->value);
    real *y = call->output[0], *lse = call->output[1];
    int64_t width = n.heads * n.head_size;
    for (int64_t b = 0; b < n.batch; b++)
        for (int64_t h = 0; h < n.heads; h++) {
            struct head head = head_of(call, n, b, h);
            for (int64_t query = 0; query < n.tokens; query++) {
                real sum =
                    attend(&head, query, y + (b * n.tokens + query) * width + h * n.head_size);
                if (lse) lse[(b * n.heads + h) * n.tokens + query] = sum;
            }
        }
}

// `each` operations for every pair of a query and a key that it sees, and every element of a head.
static struct cost pairs_cost(const struct value *y, double each)
{
    struct sizes n = sizes_of(y);
    double pairs = (double)n.tokens * ((double)n.tokens + 1) / 2;
    return (struct cost){.flops = each * pairs * (double)(n.batch * n.heads * n.head_size),
                         .bytes = touched_bytes(y)};
}

static struct cost cost(const struct value *y) { return pairs_cost(y, 4); }

#define ATTENTION(heads, rate)                                                                     \
    .attributes = &(const struct attention_attributes) { heads, rate, 3 }
#define CASE(n)                                                                                    \
    {.inputs = 2, .input = {SHAPE3(2, n, 30), ABSENT}, ATTENTION(2, 0)},                           \
        {.inputs = 2,                                                                              \
         .input = {SHAPE3(2, n, 9), SHAPE1(4)},                                                    \
         .dtype = {F32, U32},                                                                      \
         ATTENTION(1, 0.25)},                                                                      \
        {.inputs = 2,                                                                              \
         .input = {SHAPE3(1, 5, 9 * (int64_t)(n)), SHAPE1(4)},                                     \
         .dtype = {F32, U32},                                                                      \
         ATTENTION(3, 0.1)},
static const struct op_case cases[] = {
    ODD_SIZES(CASE){.inputs = 2, .input = {SHAPE3(1, 150, 96), ABSENT}, ATTENTION(2, 0)},
    {.inputs = 2,
     .input = {SHAPE3(1, 150, 96), SHAPE1(4)},
     .dtype = {F32, U32},
     ATTENTION(2, 0.1)}};

const struct op attention_op = {.name = "attention",
                                .attribute_bytes = sizeof(struct attention_attributes),
                                .infer = infer,
                                .aux_count = 1,
                                .infer_aux = infer_aux,
                                .vjp = vjp,
                                .reference = reference,
                                .cost = cost,
                                CASES(cases)};

struct value *(op_attention)(struct graph *g, struct value *qkv, struct value *random, int heads,
                             double rate, uint32_t operation)
{
    if (rate == 0) random = NULL;
    struct attention_attributes attributes = {heads, random ? rate : 0, operation};
    return graph_append(g, &attention_op, (struct value *[]){qkv, random}, 2, &attributes,
                        sizeof attributes);
}

// ---- gradient: inputs qkv, random, y, lse, dy ----
static void infer_grad(struct graph *g, struct value *dqkv)
{
    if (!check_heads(g, dqkv) || !check_random(g, dqkv)) return;
    struct shape qkv = dqkv->input[0]->shape, y = shape_with_last(qkv, shape_last(qkv) / 3);
    if (check_shape(g, dqkv, 2, "y", F32, y) &&
        check_shape(g, dqkv, 3, "lse", F32, lse_shape(dqkv)) &&
        check_shape(g, dqkv, 4, "dy", F32, y))
        dqkv->shape = qkv;
}

// Adds what one query's output gradient says about its own q and about the keys and values that it
// saw.
static void add_gradient(const struct head *head, int64_t query, real lse, const real *y,
                         const real *dy, real *dq)
{
    int64_t n = head->head_size, to_k = head->k - head->q, to_v = head->v - head->q;
    real delta = dot(y, dy, n);
    for (int64_t key = 0; key <= query; key++) {
        real p = real_exp(score(head, query, key) - lse), f = factor(head, query, key);
        real dp = f * dot(dy, head->v + key * head->stride, n);
        real ds = p * (dp - delta) * head->scale;
        for (int64_t i = 0; i < n; i++) {
            dq[query * head->stride + i] += ds * head->k[key * head->stride + i];
            dq[key * head->stride + i + to_k] += ds * head->q[query * head->stride + i];
            dq[key * head->stride + i + to_v] += p * f * dy[i];
        }
    }
}

static void reference_grad(const struct op_call *call)
{
    struct sizes n = sizes_of(call->value);
    const real *y = call->input[2], *lse = call->input[3], *dy = call->input[4];
    real *dqkv = call->output[0];
    int64_t width = n.heads * n.head_size;
    memset(dqkv, 0, (size_t)(n.batch * n.tokens * 3 * width) * sizeof *dqkv);
    for (int64_t b = 0; b < n.batch; b++)
        for (int64_t h = 0; h < n.heads; h++) {
            struct head head = head_of(call, n, b, h);
            for (int64_t query = 0; query < n.tokens; query++) {
                int64_t at = (b * n.tokens + query) * width + h * n.head_size;
                add_gradient(&head, query, lse[(b * n.heads + h) * n.tokens + query], y + at,
                             dy + at, dqkv + b * n.tokens * 3 * width + h * n.head_size);
            }
        }
}

static struct cost cost_grad(const struct value *y) { return pairs_cost(y, 10); }

#define GRAD_WIDTH(heads, size) ((int64_t)(heads) * (size))
#define CASE_GRAD_OF(batch, tokens, heads, size, rate)                                             \
    {.inputs = 5,                                                                                  \
     .input = {SHAPE3(batch, tokens, 3 * GRAD_WIDTH(heads, size)), SHAPE1(4),                      \
               SHAPE3(batch, tokens, GRAD_WIDTH(heads, size)), SHAPE3(batch, heads, tokens),       \
               SHAPE3(batch, tokens, GRAD_WIDTH(heads, size))},                                    \
     .dtype = {F32, U32, F32, F32, F32},                                                           \
     ATTENTION(heads, rate)},
#define CASE_GRAD(n)                                                                               \
    {.inputs = 5,                                                                                  \
     .input = {SHAPE3(2, n, 30), ABSENT, SHAPE3(2, n, 10), SHAPE3(2, 2, n), SHAPE3(2, n, 10)},     \
     ATTENTION(2, 0)},                                                                             \
        CASE_GRAD_OF(2, n, 1, 3, 0.25) CASE_GRAD_OF(1, 5, 3, n, 0.1)
static const struct op_case cases_grad[] = {ODD_SIZES(CASE_GRAD) CASE_GRAD_OF(1, 150, 2, 16, 0.1)};

const struct op attention_grad_op = {.name = "attention_grad",
                                     .attribute_bytes = sizeof(struct attention_attributes),
                                     .infer = infer_grad,
                                     .vjp = vjp_none,
                                     .reference = reference_grad,
                                     .cost = cost_grad,
                                     CASES(cases_grad)};

struct value *(op_attention_grad)(struct graph *g, struct value *qkv, struct value *random,
                                  struct value *y, struct value *lse, struct value *dy,
                                  const struct attention_attributes *attributes)
{
    return graph_append(g, &attention_grad_op, (struct value *[]){qkv, random, y, lse, dy}, 5,
                        attributes, sizeof *attributes);
}
