// SPDX-License-Identifier: Apache-2.0
// Attention of new tokens over a cache of keys and values, for decoding. It is the only operation
// that writes a state.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

static void infer(struct graph *g, struct value *y)
{
    const struct attention_attributes *attributes = y->attributes;
    int heads = attributes->heads, kv_heads = attributes->kv_heads;
    if (!check_heads(g, y, heads, kv_heads) || !check_input(g, y, 1, "cache", F32, 3)) return;
    struct shape qkv = y->input[0]->shape, cache = y->input[1]->shape;
    int64_t head_size = qkv.size[2] / (heads + 2 * (int64_t)kv_heads);
    if (qkv.size[0] != 1) {
        graph_fail(g, STATUS_SHAPE, "attention_cached: qkv holds %lld sequences; it takes one",
                   (long long)qkv.size[0]);
        return;
    }
    if (qkv.size[1] > cache.size[1]) {
        graph_fail(g, STATUS_SHAPE, "attention_cached: %lld tokens do not fit a cache of %lld",
                   (long long)qkv.size[1], (long long)cache.size[1]);
        return;
    }
    if (!check_shape(g, y, 1, "cache", F32, shape_of(3, 2, cache.size[1], kv_heads * head_size)) ||
        !check_shape(g, y, 2, "position", I32, shape_of(1, 1)))
        return;
    y->shape = shape_of(3, 1, qkv.size[1], heads * head_size);
}

// One head of one query over the keys and values 0..last.
static void attend(const real *q, const real *k, const real *v, int64_t last, int64_t width,
                   int64_t head_size, real *y)
{
    real scale = 1 / real_sqrt((real)head_size), most = 0, sum = 0;
    for (int pass = 0; pass < 3; pass++) {
        if (pass == 2) memset(y, 0, (size_t)head_size * sizeof *y);
        for (int64_t key = 0; key <= last; key++) {
            real s = 0;
            for (int64_t i = 0; i < head_size; i++) s += q[i] * k[key * width + i];
            s *= scale;
            if (pass == 0 && (key == 0 || s > most)) most = s;
            if (pass == 1) sum += real_exp(s - most);
            if (pass < 2) continue;
            real p = real_exp(s - most) / sum;
            for (int64_t i = 0; i < head_size; i++) y[i] += p * v[key * width + i];
        }
    }
}

static void reference(const struct op_call *call)
{
    const struct attention_attributes *attributes = call->value->attributes;
    struct shape cache_shape = call->value->input[1]->shape;
    int64_t tokens = call->value->shape.size[1], width = call->value->shape.size[2];
    int64_t context = cache_shape.size[1], kv_width = cache_shape.size[2];
    int64_t heads = attributes->heads, head_size = width / heads,
            group = heads / attributes->kv_heads, position = *(const int32_t *)call->input[2];
    INVARIANT(position >= 0 && position + tokens <= context, "position %lld of %lld",
              (long long)position, (long long)context);
    const real *qkv = call->input[0];
    real *k = (real *)call->input[1], *v = k + context * kv_width, *y = call->output[0];
    for (int64_t t = 0; t < tokens; t++) {
        const real *q = qkv + t * (width + 2 * kv_width), *new_k = q + width;
        memcpy(k + (position + t) * kv_width, new_k, (size_t)kv_width * sizeof *k);
        memcpy(v + (position + t) * kv_width, new_k + kv_width, (size_t)kv_width * sizeof *v);
        for (int64_t h = 0; h < heads; h++)
            attend(q + h * head_size, k + h / group * head_size, v + h / group * head_size,
                   position + t, kv_width, head_size, y + t * width + h * head_size);
    }
}

// As if the cache were full.
static struct cost cost(const struct value *y)
{
    double keys = (double)y->input[1]->shape.size[1];
    return (struct cost){.flops = 4 * keys * (double)shape_count(y->shape),
                         .bytes = touched_bytes(y)};
}

#define CASE_OF(tokens, context, count, kv_count, size)                                            \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE3(1, tokens, (int64_t)((count) + 2 * (kv_count)) * (size)),                    \
               SHAPE3(2, context, (int64_t)(kv_count) * (size)), SHAPE1(1)},                       \
     .dtype = {F32, F32, I32},                                                                     \
     .integer_limit = (context) - (tokens) + 1,                                                    \
     .attributes =                                                                                 \
         &(const struct attention_attributes){.heads = (count), .kv_heads = (kv_count)}},
#define CASE(n)                                                                                    \
    CASE_OF(n, (n) + 9, 2, 2, 5)                                                                   \
    CASE_OF(1, n, 1, 1, 7) CASE_OF(3, 40, 2, 2, n) CASE_OF(2, 70, 6, 2, n)
static const struct op_case cases[] = {ODD_SIZES(CASE) CASE_OF(1, 300, 2, 2, 16)
                                           CASE_OF(1, 300, 4, 1, 16)};

const struct op attention_cached_op = {.name = "attention_cached",
                                       .attribute_bytes = sizeof(struct attention_attributes),
                                       .infer = infer,
                                       .vjp = vjp_none,
                                       .reference = reference,
                                       .cost = cost,
                                       .writes = 1u << 1,
                                       CASES(cases)};

struct value *(op_attention_cached)(struct graph *g, struct value *qkv, struct value *cache,
                                    struct value *position, int heads, int kv_heads)
{
    struct attention_attributes attributes = {.heads = heads, .kv_heads = kv_heads};
    return graph_append(g, &attention_cached_op, (struct value *[]){qkv, cache, position}, 3,
                        &attributes, sizeof attributes);
}
