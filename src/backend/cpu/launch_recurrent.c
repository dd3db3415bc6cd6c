// SPDX-License-Identifier: Apache-2.0
// Recurrent layers, cut by sequences, which do not see one another.
#include "backend/cpu/launch.h"

#include <string.h>

static struct scratch scratch_of(const struct value *v, enum cell kind, kernel_function sizes)
{
    return (struct scratch){.each = ((__typeof__(&recurrent_scratch_bytes_generic))sizes)(
                                kind, v->shape.size[0], v->input[1]->shape.size[1])};
}

static enum cell kind_of(const struct value *v)
{
    return ((const struct recurrent_attributes *)v->attributes)->kind;
}

struct scratch scratch_recurrent(const struct value *v, kernel_function sizes, int threads)
{
    (void)threads;
    return scratch_of(v, kind_of(v), sizes);
}

struct scratch scratch_recurrent_grad(const struct value *v, kernel_function sizes, int threads)
{
    return scratch_recurrent(v, sizes, threads);
}

struct scratch scratch_recurrent_cached(const struct value *v, kernel_function sizes, int threads)
{
    return scratch_recurrent(v, sizes, threads);
}

static struct recurrent sizes_of(const struct value *v)
{
    const struct recurrent_attributes *attributes = v->attributes;
    return (struct recurrent){.batch = v->shape.size[0],
                              .tokens = v->shape.size[1],
                              .hidden = v->input[1]->shape.size[1],
                              .kind = attributes->kind,
                              .reverse = attributes->reverse};
}

void launch_recurrent(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct recurrent r = sizes_of(call->value);
    r.z = call->input[0], r.w = call->input[1], r.bias = call->input[2];
    r.h0 = call->input[3], r.c0 = call->input[4], r.lengths = call->input[5];
    r.y = call->output[0], r.kept = call->output[1];
    r.last_h = call->output[2], r.last_c = call->output[3];
    struct range sequences = part_range(part, r.batch, 1);
    KERNEL_OF(step, recurrent)
    (&r, sequences.first, sequences.last, step_part_scratch(step, part));
}

void launch_recurrent_grad(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct recurrent r = sizes_of(call->value);
    r.kept = (float *)call->input[0], r.w = call->input[1], r.dy = call->input[2];
    r.previous = call->input[3], r.c0 = call->input[4], r.lengths = call->input[5];
    r.da = call->output[0], r.dh0 = call->output[1];
    r.dc0 = call->output[2], r.dz = call->output[3];
    struct range sequences = part_range(part, r.batch, 1);
    KERNEL_OF(step, recurrent_grad)
    (&r, sequences.first, sequences.last, step_part_scratch(step, part));
}

// One sequence: one thread.
void launch_recurrent_cached(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct recurrent r = sizes_of(call->value);
    float *state = (float *)call->input[3];
    const int32_t *position = call->input[4];
    if (part->index > 0) return;
    r.z = call->input[0], r.w = call->input[1], r.bias = call->input[2];
    if (*position > 0) r.h0 = state, r.c0 = state + r.hidden;
    r.last_h = state, r.last_c = state + r.hidden;
    r.lengths = call->input[5];
    r.y = call->output[0];
    KERNEL_OF(step, recurrent)(&r, 0, 1, step_part_scratch(step, part));
}

void launch_recurrent_previous(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    const struct recurrent_attributes *attributes = call->value->attributes;
    struct shape shape = call->value->shape;
    int64_t tokens = shape.size[1], n = shape.size[2];
    const float *y = call->input[0], *h0 = call->input[1];
    const int32_t *lengths = call->input[2];
    float *x = call->output[0];
    struct range sequences = part_range(part, shape.size[0], 1);
    for (int64_t b = sequences.first; b < sequences.last; b++) {
        int64_t length = lengths ? lengths[b] : tokens, start = b * tokens;
        int64_t first = attributes->reverse ? length - 1 : 0;
        size_t row = (size_t)n * sizeof *x;
        memset(x + (start + length) * n, 0, (size_t)(tokens - length) * row);
        if (length == 0) continue;
        memcpy(x + (start + !attributes->reverse) * n, y + (start + attributes->reverse) * n,
               (size_t)(length - 1) * row);
        if (h0)
            memcpy(x + (start + first) * n, h0 + b * n, row);
        else
            memset(x + (start + first) * n, 0, row);
    }
}
