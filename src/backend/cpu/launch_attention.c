// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

static const struct attention_attributes *attributes_of(const struct value *v)
{
    return v->attributes;
}

static int64_t head_size_of(const struct value *v)
{
    const struct attention_attributes *attributes = attributes_of(v);
    return v->input[0]->shape.size[2] / (attributes->heads + 2 * (int64_t)attributes->kv_heads);
}

// Sizes, lengths and qkv; *dropout has to live as long as the result.
static struct attention describe(const struct op_call *call, struct dropout *dropout)
{
    const struct attention_attributes *attributes = attributes_of(call->value);
    struct shape qkv = call->value->input[0]->shape;
    const int32_t *lengths = call->input[2];
    for (int64_t i = 0; lengths && i < qkv.size[0]; i++)
        INVARIANT(lengths[i] >= 0 && lengths[i] <= qkv.size[1], "a length of %d of %lld",
                  (int)lengths[i], (long long)qkv.size[1]);
    *dropout = dropout_of(call->input[1], attributes->rate, attributes->operation);
    return (struct attention){.batch = qkv.size[0],
                              .tokens = qkv.size[1],
                              .heads = attributes->heads,
                              .kv_heads = attributes->kv_heads,
                              .head_size = head_size_of(call->value),
                              .bidirectional = attributes->bidirectional,
                              .lengths = lengths,
                              .qkv = call->input[0],
                              .dropout = dropout->rate > 0 ? dropout : NULL};
}

void launch_attention(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct dropout dropout;
    struct attention attention = describe(call, &dropout);
    attention.y = call->output[0];
    attention.lse = call->output[1];
    struct range r = part_range(part, attention.batch * attention.heads, 1);
    KERNEL_OF(step, attention)(&attention, r.first, r.last, step_part_scratch(step, part));
}

void launch_attention_grad(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct dropout dropout;
    struct attention attention = describe(call, &dropout);
    // The backward kernel reads these two; the struct is shared with the forward kernel, which
    // writes them.
    attention.y = (float *)call->input[3];
    attention.lse = (float *)call->input[4];
    attention.dy = call->input[5];
    attention.dqkv = call->output[0];
    struct range r = part_range(part, attention.batch * attention.kv_heads, 1);
    KERNEL_OF(step, attention_grad)(&attention, r.first, r.last, step_part_scratch(step, part));
}

void launch_attention_cached(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct shape y = call->value->shape, cache = call->value->input[1]->shape;
    const struct attention_attributes *attributes = attributes_of(call->value);
    int64_t position = *(const int32_t *)call->input[2];
    INVARIANT(position >= 0 && position + y.size[1] <= cache.size[1],
              "%lld tokens at position %lld of %lld", (long long)y.size[1], (long long)position,
              (long long)cache.size[1]);
    struct attention_cached attention = {.tokens = y.size[1],
                                         .context = cache.size[1],
                                         .heads = attributes->heads,
                                         .kv_heads = attributes->kv_heads,
                                         .head_size = head_size_of(call->value),
                                         .qkv = call->input[0],
                                         .cache = (float *)call->input[1],
                                         .position = position,
                                         .y = call->output[0]};
    struct range r = part_range(part, attention.kv_heads, 1);
    KERNEL_OF(step, attention_cached)(&attention, r.first, r.last, step_part_scratch(step, part));
}

void launch_attention_beams(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct shape cache = call->value->input[1]->shape;
    const struct attention_attributes *attributes = attributes_of(call->value);
    int64_t position = *(const int32_t *)call->input[2], rows = cache.size[0],
            context = cache.size[2];
    const int32_t *origins = call->input[3];
    INVARIANT(position >= 0 && position < context, "position %lld of %lld", (long long)position,
              (long long)context);
    for (int64_t i = 0; i < rows * position; i++) {
        int32_t origin = origins[i / position * context + i % position];
        INVARIANT(origin >= 0 && origin < rows, "row %d of %lld", (int)origin, (long long)rows);
    }
    struct attention_beams attention = {.context = context,
                                        .heads = attributes->heads,
                                        .kv_heads = attributes->kv_heads,
                                        .head_size = head_size_of(call->value),
                                        .qkv = call->input[0],
                                        .cache = (float *)call->input[1],
                                        .position = position,
                                        .origins = origins,
                                        .y = call->output[0]};
    struct range r = part_range(part, rows, 1);
    // A row reads what others wrote in earlier runs only: parts need not meet.
    KERNEL_OF(step, attention_beams)(&attention, r.first, r.last, step_part_scratch(step, part));
}

static struct scratch scratch_for(const struct value *v, kernel_function sizes, int64_t keys)
{
    const struct attention_attributes *attributes = attributes_of(v);
    __typeof__(&attention_scratch_bytes_generic) bytes =
        (__typeof__(&attention_scratch_bytes_generic))sizes;
    return (struct scratch){.each =
                                bytes(v->input[0]->shape.size[1], keys,
                                      attributes->heads / attributes->kv_heads, head_size_of(v))};
}

struct scratch scratch_attention(const struct value *v, kernel_function sizes, int threads)
{
    (void)threads;
    return scratch_for(v, sizes, v->input[0]->shape.size[1]);
}

struct scratch scratch_attention_grad(const struct value *v, kernel_function sizes, int threads)
{
    return scratch_attention(v, sizes, threads);
}

struct scratch scratch_attention_cached(const struct value *v, kernel_function sizes, int threads)
{
    (void)threads;
    return scratch_for(v, sizes, v->input[1]->shape.size[1]);
}

// Beside the kernel's own, the keys and values of a head that a row sees.
struct scratch scratch_attention_beams(const struct value *v, kernel_function sizes, int threads)
{
    (void)threads;
    int64_t keys = v->input[1]->shape.size[2], one = (keys * head_size_of(v) + 15) / 16 * 16;
    __typeof__(&attention_scratch_bytes_generic) bytes =
        (__typeof__(&attention_scratch_bytes_generic))sizes;
    return (struct scratch){.each = bytes(1, keys, 1, head_size_of(v)) +
                                    2 * (size_t)one * sizeof(float)};
}
