// SPDX-License-Identifier: Apache-2.0
// Attention of new tokens over a cache of keys and values, for decoding. It is the only operation
// that writes a state.
#include "op/common.h"
#include "op/real_math.h"

#include <string.h>

static void infer(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "qkv", F32, 3) || !check_input(g, y, 1, "cache", F32, 3)) return;
    const struct attention_attributes *attributes = y->attributes;
    struct shape qkv = y->input[0]->shape, cache = y->input[1]->shape;
    int64_t width = qkv.size[2] / 3;
    char text[64];
    if (qkv.size[0] != 1 || attributes->heads < 1 ||
        qkv.size[2] % (3 * (int64_t)attributes->heads) != 0) {
        graph_fail(g, STATUS_SHAPE,
                   "attention_cached: qkv %s has to be [1, tokens, 3 * width] with %d heads "
                   "dividing the width",
                   shape_print(qkv, text), attributes->heads);
        return;
    }
    if (qkv.size[1] > cache.size[1]) {
        graph_fail(g, STATUS_SHAPE, "attention_cached: %lld tokens do not fit a cache of %lld",
                   (long long)qkv.size[1], (long long)cache.size[1]);
        return;
    }
    if (!check_shape(g, y, 1, "cache", F32, shape_of(3, 2, cache.size[1], width)) ||
        !check_shape(g, y, 2, "position", I32, shape_of(1, 1)))
        return;
    y->shape = shape_of(3, 1, qkv.size[1], width);
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
    int64_t tokens = call->value->shape.size[1], width = cache_shape.size[2],
            context = cache_shape.size[1];
    int64_t heads = attributes->heads, head_size = width / heads,
            position = *(const int32_t *)call->input[2];
    INVARIANT(position >= 0 && position + tokens <= context, "position %lld of %lld",
              (long long)position, (long long)context);
    const real *qkv = call->input[0];
    real *k = (real *)call->input[1], *v = k + context * width, *y = call->output[0];
    for (int64_t t = 0; t < tokens; t++) {
        const real *q = qkv + t * 3 * width;
        memcpy(k + (position + t) * width, q + width, (size_t)width * sizeof *k);
        memcpy(v + (position + t) * width, q + 2 * width, (size_t)width * sizeof *v);
        for (int64_t h = 0; h < heads; h++)
            attend(q + h * head_size, k + h * head_size, v + h * head_size, position + t, width,
                   head_size, y + t * width + h * head_size);
    }
}

// As if the cache were full.
static struct cost cost(const struct value *y)
{
    double keys = (double)y->input[1]->shape.size[1];
    return (struct cost){.flops = 4 * keys * (double)shape_count(y->shape),
                         .bytes = touched_bytes(y)};
}

#define CASE_OF(tokens, context, count, size)                                                      \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE3(1, tokens, 3 * (int64_t)(count) * (size)),                                   \
               SHAPE3(2, context, (int64_t)(count) * (size)), SHAPE1(1)},                          \
     .dtype = {F32, F32, I32},                                                                     \
     .integer_limit = (context) - (tokens) + 1,                                                    \
     .attributes = &(const struct attention_attributes){.heads = (count)}},
#define CASE(n) CASE_OF(n, (n) + 9, 2, 5) CASE_OF(1, n, 1, 7) CASE_OF(3, 40, 2, n)
static const struct op_case cases[] = {ODD_SIZES(CASE) CASE_OF(1, 300, 2, 16)};

const struct op attention_cached_op = {.name = "attention_cached",
                                       .attribute_bytes = sizeof(struct attention_attributes),
                                       .infer = infer,
                                       .vjp = vjp_none,
                                       .reference = reference,
                                       .cost = cost,
                                       .writes = 1u << 1,
                                       CASES(cases)};

struct value *(op_attention_cached)(struct graph *g, struct value *qkv, struct value *cache,
                                    struct value *position, int heads)
{
    struct attention_attributes attributes = {.heads = heads};
    return graph_append(g, &attention_cached_op, (struct value *[]){qkv, cache, position}, 3,
                        &attributes, sizeof attributes);
}
