// SPDX-License-Identifier: Apache-2.0
// Self-attention and its gradient: causal or not, with grouped heads and padding. The score matrix
// is never stored: a row's probabilities follow from its scores and the logarithm of their sum.
#include "op/common.h"
#include "op/random.h"
#include "op/real_math.h"

#include <string.h>

static const struct attention_attributes *attributes_of(const struct value *y)
{
    return y->attributes;
}

struct sizes {
    int64_t batch, tokens, heads, kv_heads, head_size;
    int64_t row, width; // elements of a token in qkv and in y
};

static struct sizes sizes_of(const struct value *y)
{
    struct shape qkv = y->input[0]->shape;
    int64_t heads = attributes_of(y)->heads, kv_heads = attributes_of(y)->kv_heads;
    int64_t head_size = qkv.size[2] / (heads + 2 * kv_heads);
    return (struct sizes){qkv.size[0], qkv.size[1],      heads, kv_heads, head_size,
                          qkv.size[2], heads * head_size};
}

static bool check_qkv(struct graph *g, const struct value *y)
{
    const struct attention_attributes *a = attributes_of(y);
    return check_heads(g, y, a->heads, a->kv_heads) &&
           (!y->input[2] ||
            check_shape(g, y, 2, "lengths", I32, shape_of(1, y->input[0]->shape.size[0])));
}

static bool check_random(struct graph *g, const struct value *y)
{
    double rate = attributes_of(y)->rate;
    if (!check_rate(g, y, rate) || (rate == 0 && !y->input[1])) return !g->status;
    int64_t tokens = y->input[0]->shape.size[1];
    // Element (query, key) counts in blocks of 64 keys; see base/philox.h.
    if (tokens > (int64_t)1 << 17)
        graph_fail(g, STATUS_SHAPE, "%s: dropout over %lld tokens; at most 131072 are possible",
                   y->op->name, (long long)tokens);
    return check_shape(g, y, 1, "random", U32, shape_of(1, 4));
}

static void infer(struct graph *g, struct value *y)
{
    if (!check_qkv(g, y) || !check_random(g, y)) return;
    y->shape = shape_with_last(y->input[0]->shape, sizes_of(y).width);
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
        dx[0] = op_attention_grad(
            g,
            (struct value *[6]){y->input[0], y->input[1], y->input[2], y, graph_aux(g, y, 0), dy},
            attributes_of(y));
}

// One head of one sequence: its operands and how far apart tokens lie.
struct head {
    const real *q, *k, *v;
    int64_t stride, head_size; // of qkv in elements
    int64_t length;            // tokens of the sequence that are there
    bool bidirectional;
    real scale; // of scores
    struct philox_address address;
    uint64_t row; // elements between the random numbers of neighbouring queries
    double rate;
};

static struct head head_of(const struct op_call *call, struct sizes n, int64_t b, int64_t h)
{
    const struct attention_attributes *attributes = call->value->attributes;
    const real *token = (const real *)call->input[0] + b * n.tokens * n.row;
    const int32_t *lengths = call->input[2];
    int64_t kv_head = h / (n.heads / n.kv_heads), length = lengths ? lengths[b] : n.tokens;
    INVARIANT(length >= 0 && length <= n.tokens, "a length of %lld of %lld", (long long)length,
              (long long)n.tokens);
    struct head head = {.q = token + h * n.head_size,
                        .k = token + n.width + kv_head * n.head_size,
                        .v = token + n.width + (n.kv_heads + kv_head) * n.head_size,
                        .stride = n.row,
                        .head_size = n.head_size,
                        .length = length,
                        .bidirectional = attributes->bidirectional,
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

// How many keys, from the first, a query sees.
static int64_t seen_keys(const struct head *head, int64_t query)
{
    if (query >= head->length) return 0;
    return head->bidirectional ? head->length : query + 1;
}

// y of one query; returns the logarithm of the sum of exponentials.
static real attend(const struct head *head, int64_t query, real *y)
{
    int64_t keys = seen_keys(head, query);
    memset(y, 0, (size_t)head->head_size * sizeof *y);
    if (keys == 0) return 0;
    real most = score(head, query, 0), sum = 0;
    for (int64_t key = 1; key < keys; key++) {
        real s = score(head, query, key);
        if (s > most) most = s;
    }
    for (int64_t key = 0; key < keys; key++) sum += real_exp(score(head, query, key) - most);
    for (int64_t key = 0; key < keys; key++) {
        real p = real_exp(score(head, query, key) - most) / sum * factor(head, query, key);
        for (int64_t i = 0; i < head->head_size; i++) y[i] += p * head->v[key * head->stride + i];
    }
    return most + real_log(sum);
}

static void reference(const struct op_call *call)
{
    struct sizes n = sizes_of(call->value);
    real *y = call->output[0], *lse = call->output[1];
    for (int64_t b = 0; b < n.batch; b++)
        for (int64_t h = 0; h < n.heads; h++) {
            struct head head = head_of(call, n, b, h);
            for (int64_t query = 0; query < n.tokens; query++) {
                real sum =
                    attend(&head, query, y + (b * n.tokens + query) * n.width + h * n.head_size);
                if (lse) lse[(b * n.heads + h) * n.tokens + query] = sum;
            }
        }
}

// `each` operations for every pair of a query and a key that it sees, and every element of a head.
static struct cost pairs_cost(const struct value *y, double each)
{
    struct sizes n = sizes_of(y);
    double tokens = (double)n.tokens,
           pairs = attributes_of(y)->bidirectional ? tokens * tokens : tokens * (tokens + 1) / 2;
    return (struct cost){.flops = each * pairs * (double)(n.batch * n.heads * n.head_size),
                         .bytes = touched_bytes(y)};
}

static struct cost cost(const struct value *y) { return pairs_cost(y, 4); }

// Attributes (heads, kv_heads, bidirectional, rate), and a case with or without `padding`.
#define ATTENTION(...)                                                                             \
    .attributes = &(const struct attention_attributes) { __VA_ARGS__, 3 }
#define WHOLE(batch)  ABSENT
#define PADDED(batch) SHAPE1(batch)
#define CASE_OF(batch, tokens, row, lengths, ...)                                                  \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE3(batch, tokens, row), SHAPE1(4), lengths(batch)},                             \
     .dtype = {F32, U32, I32},                                                                     \
     .integer_limit = (tokens) + 1,                                                                \
     ATTENTION(__VA_ARGS__)},
#define CASE(n)                                                                                    \
    {.inputs = 3, .input = {SHAPE3(2, n, 30), ABSENT, ABSENT}, ATTENTION(2, 2, false, 0)},         \
        CASE_OF(2, n, 9, WHOLE, 1, 1, false, 0.25)                                                 \
            CASE_OF(1, 5, 9 * (int64_t)(n), WHOLE, 3, 3, false, 0.1)                               \
                CASE_OF(3, n, 40, PADDED, 6, 2, false, 0)                                          \
                    CASE_OF(3, n, 18, PADDED, 4, 1, true, 0.1)
static const struct op_case cases[] = {ODD_SIZES(CASE) CASE_OF(1, 150, 96, WHOLE, 2, 2, false, 0)
                                           CASE_OF(1, 150, 96, WHOLE, 2, 2, false, 0.1)
                                               CASE_OF(3, 150, 64, PADDED, 2, 1, false, 0.1)
                                                   CASE_OF(3, 150, 128, PADDED, 4, 2, true, 0)};

const struct op attention_op = {.name = "attention",
                                .attribute_bytes = sizeof(struct attention_attributes),
                                .infer = infer,
                                .aux_count = 1,
                                .infer_aux = infer_aux,
                                .vjp = vjp,
                                .reference = reference,
                                .cost = cost,
                                CASES(cases)};

struct value *(op_attention)(struct graph *g, struct value *qkv, struct value *random,
                             struct value *lengths, const struct attention_attributes *attributes)
{
    struct attention_attributes own = *attributes;
    if (own.rate == 0) random = NULL;
    if (!random) own.rate = 0;
    return graph_append(g, &attention_op, (struct value *[]){qkv, random, lengths}, 3, &own,
                        sizeof own);
}

// ---- gradient: inputs qkv, random, lengths, y, lse, dy ----
static void infer_grad(struct graph *g, struct value *dqkv)
{
    if (!check_qkv(g, dqkv) || !check_random(g, dqkv)) return;
    struct shape qkv = dqkv->input[0]->shape, y = shape_with_last(qkv, sizes_of(dqkv).width);
    if (check_shape(g, dqkv, 3, "y", F32, y) &&
        check_shape(g, dqkv, 4, "lse", F32, lse_shape(dqkv)) &&
        check_shape(g, dqkv, 5, "dy", F32, y))
        dqkv->shape = qkv;
}

// Adds what one query's output gradient says about its own q and about the keys and values that it
// saw.
static void add_gradient(const struct head *head, int64_t query, real lse, const real *y,
                         const real *dy, real *dq)
{
    int64_t n = head->head_size, to_k = head->k - head->q, to_v = head->v - head->q;
    int64_t keys = seen_keys(head, query);
    real delta = dot(y, dy, n);
    for (int64_t key = 0; key < keys; key++) {
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
    const real *y = call->input[3], *lse = call->input[4], *dy = call->input[5];
    real *dqkv = call->output[0];
    memset(dqkv, 0, (size_t)(n.batch * n.tokens * n.row) * sizeof *dqkv);
    for (int64_t b = 0; b < n.batch; b++)
        for (int64_t h = 0; h < n.heads; h++) {
            struct head head = head_of(call, n, b, h);
            for (int64_t query = 0; query < n.tokens; query++) {
                int64_t at = (b * n.tokens + query) * n.width + h * n.head_size;
                add_gradient(&head, query, lse[(b * n.heads + h) * n.tokens + query], y + at,
                             dy + at, dqkv + b * n.tokens * n.row + h * n.head_size);
            }
        }
}

static struct cost cost_grad(const struct value *y) { return pairs_cost(y, 10); }

#define CASE_GRAD_OF(batch, tokens, size, lengths, heads, kv_heads, ...)                           \
    {.inputs = 6,                                                                                  \
     .input = {SHAPE3(batch, tokens, (int64_t)((heads) + 2 * (kv_heads)) * (size)), SHAPE1(4),     \
               lengths(batch), SHAPE3(batch, tokens, (int64_t)(heads) * (size)),                   \
               SHAPE3(batch, heads, tokens), SHAPE3(batch, tokens, (int64_t)(heads) * (size))},    \
     .dtype = {F32, U32, I32, F32, F32, F32},                                                      \
     .integer_limit = (tokens) + 1,                                                                \
     ATTENTION(heads, kv_heads, __VA_ARGS__)},
#define CASE_GRAD(n)                                                                               \
    {.inputs = 6,                                                                                  \
     .input = {SHAPE3(2, n, 30), ABSENT, ABSENT, SHAPE3(2, n, 10), SHAPE3(2, 2, n),                \
               SHAPE3(2, n, 10)},                                                                  \
     ATTENTION(2, 2, false, 0)},                                                                   \
        CASE_GRAD_OF(2, n, 3, WHOLE, 1, 1, false, 0.25)                                            \
            CASE_GRAD_OF(1, 5, n, WHOLE, 3, 3, false, 0.1)                                         \
                CASE_GRAD_OF(3, n, 4, PADDED, 6, 2, false, 0)                                      \
                    CASE_GRAD_OF(3, n, 3, PADDED, 4, 1, true, 0.1)
static const struct op_case cases_grad[] = {ODD_SIZES(CASE_GRAD) CASE_GRAD_OF(
    1, 150, 16, WHOLE, 2, 2, false, 0.1) CASE_GRAD_OF(3, 150, 16, PADDED, 4, 2, false, 0)
                                                CASE_GRAD_OF(3, 150, 16, PADDED, 2, 1, true, 0.1)};

const struct op attention_grad_op = {.name = "attention_grad",
                                     .attribute_bytes = sizeof(struct attention_attributes),
                                     .infer = infer_grad,
                                     .vjp = vjp_none,
                                     .reference = reference_grad,
                                     .cost = cost_grad,
                                     CASES(cases_grad)};

struct value *(op_attention_grad)(struct graph *g, struct value *const input[6],
                                  const struct attention_attributes *attributes)
{
    return graph_append(g, &attention_grad_op, input, 6, attributes, sizeof *attributes);
}
