// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

static const struct attention_attributes *attributes_of(const struct value *v)
{
    return v->attributes;
}

// Sizes and qkv; *dropout has to live as long as the result.
static struct attention describe(const struct op_call *call, struct dropout *dropout)
{
    const struct attention_attributes *attributes = attributes_of(call->value);
    struct shape qkv = call->value->input[0]->shape;
    *dropout = dropout_of(call->input[1], attributes->rate, attributes->operation);
    return (struct attention){.batch = qkv.size[0],
                              .tokens = qkv.size[1],
                              .heads = attributes->heads,
                              .head_size = qkv.size[2] / 3 / attributes->heads,
                              .qkv = call->input[0],
                              .dropout = dropout->rate > 0 ? dropout : NULL};
}

void launch_attention(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct dropout dropout;
    struct attention attention = describe(call, &dropout);
    attention.y = call->output[0];
    attention.lse = call->output[1];
    KERNEL_OF(step, attention)(&attention, call->scratch);
}

void launch_attention_grad(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct dropout dropout;
    struct attention attention = describe(call, &dropout);
    // The backward kernel reads these two; the struct is shared with the forward kernel, which
    // writes them.
    attention.y = (float *)call->input[2];
    attention.lse = (float *)call->input[3];
    attention.dy = call->input[4];
    attention.dqkv = call->output[0];
    KERNEL_OF(step, attention_grad)(&attention, call->scratch);
}

void launch_attention_cached(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct shape y = call->value->shape, cache = call->value->input[1]->shape;
    int64_t heads = attributes_of(call->value)->heads, position = *(const int32_t *)call->input[2];
    INVARIANT(position >= 0 && position + y.size[1] <= cache.size[1],
              "%lld tokens at position %lld of %lld", (long long)y.size[1], (long long)position,
              (long long)cache.size[1]);
    struct attention_cached attention = {.tokens = y.size[1],
                                         .context = cache.size[1],
                                         .heads = heads,
                                         .head_size = y.size[2] / heads,
                                         .qkv = call->input[0],
                                         .cache = (float *)call->input[1],
                                         .position = position,
                                         .y = call->output[0]};
    KERNEL_OF(step, attention_cached)(&attention, call->scratch);
}

static size_t scratch_bytes(kernel_function sizes, int64_t tokens, int64_t heads, int64_t width)
{
    return ((__typeof__(&attention_scratch_bytes_generic))sizes)(tokens, heads, width / heads);
}

size_t scratch_attention(const struct value *v, kernel_function sizes)
{
    struct shape qkv = v->input[0]->shape;
    return scratch_bytes(sizes, qkv.size[1], attributes_of(v)->heads, qkv.size[2] / 3);
}

size_t scratch_attention_grad(const struct value *v, kernel_function sizes)
{
    return scratch_attention(v, sizes);
}

// Scores of one query reach over the whole cache.
size_t scratch_attention_cached(const struct value *v, kernel_function sizes)
{
    struct shape cache = v->input[1]->shape;
    return scratch_bytes(sizes, cache.size[1], attributes_of(v)->heads, cache.size[2]);
}
