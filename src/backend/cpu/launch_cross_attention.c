// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

#include <math.h>

static struct cross_attention describe(const struct value *v)
{
    const struct cross_attention_attributes *attributes = v->attributes;
    struct shape q = v->input[0]->shape;
    int64_t size = q.size[2] / attributes->heads;
    return (struct cross_attention){.batch = q.size[0],
                                    .queries = q.size[1],
                                    .keys = v->input[1]->shape.size[1],
                                    .heads = attributes->heads,
                                    .size = size,
                                    .scale = attributes->scale > 0 ? (float)attributes->scale
                                                                   : 1 / sqrtf((float)size)};
}

struct scratch scratch_cross_attention(const struct value *v, kernel_function sizes, int threads)
{
    const struct cross_attention a = describe(v);
    (void)threads;
    return (struct scratch){.each = ((__typeof__(&cross_attention_scratch_bytes_generic))sizes)(
                                a.queries, a.keys, a.size)};
}

struct scratch scratch_cross_attention_grad(const struct value *v, kernel_function sizes,
                                            int threads)
{
    return scratch_cross_attention(v, sizes, threads);
}

void launch_cross_attention(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct cross_attention a = describe(call->value);
    a.q = call->input[0], a.kv = call->input[1], a.lengths = call->input[2];
    a.y = call->output[0], a.p = call->output[1];
    struct range heads = part_range(part, a.batch * a.heads, 1);
    KERNEL_OF(step, cross_attention)(&a, heads.first, heads.last, step_part_scratch(step, part));
}

void launch_cross_attention_grad(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct cross_attention a = describe(call->value);
    a.q = call->input[0], a.kv = call->input[1], a.lengths = call->input[2];
    a.p = (float *)call->input[3], a.dy = call->input[4];
    a.dq = call->output[0], a.dkv = call->output[1];
    struct range heads = part_range(part, a.batch * a.heads, 1);
    KERNEL_OF(step, cross_attention_grad)
    (&a, heads.first, heads.last, step_part_scratch(step, part));
}
