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

// ---- additive scores: by rows, and by columns of the gradients ----
static struct additive_scores describe_scores(const struct op_call *call)
{
    struct shape q = call->value->input[0]->shape;
    return (struct additive_scores){.batch = q.size[0],
                                    .queries = q.size[1],
                                    .keys = call->value->input[1]->shape.size[1],
                                    .width = q.size[2],
                                    .q = call->input[0],
                                    .k = call->input[1],
                                    .v = call->input[2]};
}

void launch_additive_scores(const struct step *step, const struct part *part)
{
    struct additive_scores a = describe_scores(&step->call);
    a.y = step->call.output[0];
    struct range rows = part_range(part, a.batch * a.queries, 1);
    KERNEL_OF(step, additive_scores)(&a, rows.first, rows.last);
}

void launch_additive_scores_grad(const struct step *step, const struct part *part)
{
    struct additive_scores a = describe_scores(&step->call);
    a.dy = step->call.input[3];
    a.dq = step->call.output[0], a.dk = step->call.output[1], a.dv = step->call.output[2];
    struct range columns = part_range(part, a.width, COLUMN_UNIT);
    KERNEL_OF(step, additive_scores_grad)(&a, columns.first, columns.last);
}

// ---- mix: by sequences ----
static struct mix describe_mix(const struct value *v)
{
    struct shape scores = v->input[0]->shape;
    return (struct mix){.batch = scores.size[0],
                        .queries = scores.size[1],
                        .keys = scores.size[2],
                        .width = v->input[1]->shape.size[2]};
}

struct scratch scratch_mix(const struct value *v, kernel_function sizes, int threads)
{
    const struct mix m = describe_mix(v);
    (void)threads;
    return (struct scratch){.each = ((__typeof__(&cross_attention_scratch_bytes_generic))sizes)(
                                m.queries, m.keys, m.width)};
}

struct scratch scratch_mix_grad(const struct value *v, kernel_function sizes, int threads)
{
    return scratch_mix(v, sizes, threads);
}

void launch_mix(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct mix m = describe_mix(call->value);
    m.scores = call->input[0], m.memory = call->input[1], m.lengths = call->input[2];
    m.y = call->output[0], m.p = call->output[1];
    struct range sequences = part_range(part, m.batch, 1);
    KERNEL_OF(step, mix)(&m, sequences.first, sequences.last, step_part_scratch(step, part));
}

void launch_mix_grad(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct mix m = describe_mix(call->value);
    m.p = (float *)call->input[0], m.memory = call->input[1], m.lengths = call->input[2];
    m.dy = call->input[3], m.ds = call->output[0], m.dmemory = call->output[1];
    struct range sequences = part_range(part, m.batch, 1);
    KERNEL_OF(step, mix_grad)(&m, sequences.first, sequences.last, step_part_scratch(step, part));
}
