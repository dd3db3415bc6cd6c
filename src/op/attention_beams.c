// SPDX-License-Identifier: Apache-2.0
// Attention of one new token each of many rows over a cache of keys and values, for searches that keep several beams of a
// sequence: a row says for every position in whose cache row its keys and values lie, so that beams change places without a copy.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

// Inputs qkv, cache, position, origins.
static void infer(struct graph *g, struct value *y)
{
    const struct attention_attributes *attributes = y->attributes;
    int heads = attributes->heads, kv_heads = attributes->kv_heads;
    if (!check_heads(g, y, heads, kv_heads) || !check_input(g, y, 1, "cache", F32, 4)) return;
    struct shape qkv = y->input[0]->shape, cache = y->input[1]->shape;
    int64_t head_size = qkv.size[2] / (heads + 2 * (int64_t)kv_heads);
    int64_t rows = qkv.size[0] * qkv.size[1], context = cache.size[2];
    if (!check_shape(g, y, 1, "cache", F32,
                     shape_of(4, rows, INT64_C(2), context, kv_heads * head_size)) ||
        !check_shape(g, y, 2, "position", I32, shape_of(1, INT64_C(1))) ||
        !check_shape(g, y, 3, "origins", I32, shape_of(2, rows, context)))
        return;
    y->shape = shape_of(3, qkv.size[0], qkv.size[1], heads * head_size);
}

struct query {
    const real *q, *cache; // of a head; of all rows, from the head's first column
    const int32_t *origins;
    int64_t row, last, context, width, size;
};

// The key (half 0) or value (1) of a position.
static const real *seen(const struct query *n, int64_t key, int64_t half)
{
    int64_t row = key == n->last ? n->row : n->origins[key];
    return n->cache + ((row * 2 + half) * n->context + key) * n->width;
}

static real score(const struct query *n, int64_t key)
{
    const real *k = seen(n, key, 0);
    real s = 0;
    for (int64_t i = 0; i < n->size; i++) s += n->q[i] * k[i];
    return s / real_sqrt((real)n->size);
}

static void attend(const struct query *n, real *y)
{
    real most = score(n, 0), sum = 0;
    for (int64_t key = 1; key <= n->last; key++) {
        real s = score(n, key);
        most = s > most ? s : most;
    }
    for (int64_t key = 0; key <= n->last; key++) sum += real_exp(score(n, key) - most);
    memset(y, 0, (size_t)n->size * sizeof *y);
    for (int64_t key = 0; key <= n->last; key++) {
        real p = real_exp(score(n, key) - most) / sum;
        for (int64_t i = 0; i < n->size; i++) y[i] += p * seen(n, key, 1)[i];
    }
}

static void reference(const struct op_call *call)
{
    const struct attention_attributes *attributes = call->value->attributes;
    struct shape cache = call->value->input[1]->shape;
    int64_t rows = cache.size[0], context = cache.size[2], kv_width = cache.size[3];
    int64_t width = shape_last(call->value->shape), heads = attributes->heads, size = width / heads;
    int64_t group = heads / attributes->kv_heads, position = *(const int32_t *)call->input[2];
    INVARIANT(position >= 0 && position < context, "position %lld of %lld", (long long)position,
              (long long)context);
    for (int64_t row = 0; row < rows; row++) {
        const real *q = (const real *)call->input[0] + row * (width + 2 * kv_width);
        for (int64_t half = 0; half < 2; half++)
            memcpy((real *)call->input[1] + ((row * 2 + half) * context + position) * kv_width,
                   q + width + half * kv_width, (size_t)kv_width * sizeof *q);
        for (int64_t h = 0; h < heads; h++)
            attend(&(struct query){.q = q + h * size,
                                   .cache = (const real *)call->input[1] + h / group * size,
                                   .origins = (const int32_t *)call->input[3] + row * context,
                                   .row = row,
                                   .last = position,
                                   .context = context,
                                   .width = kv_width,
                                   .size = size},
                   (real *)call->output[0] + row * width + h * size);
    }
}

// As if the cache were full.
static struct cost cost(const struct value *y)
{
    double keys = (double)y->input[1]->shape.size[2];
    return (struct cost){.flops = 4 * keys * (double)shape_count(y->shape),
                         .bytes = touched_bytes(y)};
}

// Positions and origins are below `limit`: at most the context and the rows.
#define CASE(batch, beams, context, count, kv_count, each, limit)                                  \
    {.inputs = 4,                                                                                  \
     .input = {SHAPE3(batch, beams, INT64_C(each) * ((count) + 2 * (kv_count))),                   \
               {.rank = 4,                                                                         \
                .size = {(int64_t)(batch) * (beams), 2, (context), (int64_t)(kv_count) * (each)}}, \
               SHAPE1(1),                                                                          \
               SHAPE2((int64_t)(batch) * (beams), context)},                                       \
     .dtype = {F32, F32, I32, I32},                                                                \
     .integer_limit = (limit),                                                                     \
     .attributes =                                                                                 \
         &(const struct attention_attributes){.heads = (count), .kv_heads = (kv_count)}},
static const struct op_case cases[] = {CASE(1, 1, 1, 1, 1, 1, 1) CASE(3, 5, 17, 2, 2, 7, 15) CASE(
    5, 1, 5, 6, 2, 17, 5) CASE(1, 7, 9, 3, 3, 16, 7) CASE(17, 9, 160, 2, 1, 8, 153)};

const struct op attention_beams_op = {.name = "attention_beams",
                                      .attribute_bytes = sizeof(struct attention_attributes),
                                      .infer = infer,
                                      .vjp = vjp_none,
                                      .reference = reference,
                                      .cost = cost,
                                      .writes = 1u << 1,
                                      CASES(cases)};

struct value *(op_attention_beams)(struct graph *g, struct value *const input[4], int heads,
                                   int kv_heads)
{
    struct attention_attributes attributes = {.heads = heads, .kv_heads = kv_heads};
    return graph_append(g, &attention_beams_op, input, 4, &attributes, sizeof attributes);
}
