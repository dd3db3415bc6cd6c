// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

enum {
    UNIT = 1024
}; // elements: parts of a flat array share no cache line, and few of them are worth no thread

static int64_t count_of(const struct step *step) { return shape_count(step->call.value->shape); }

static struct range elements_of(const struct step *step, const struct part *part)
{
    return part_range(part, count_of(step), UNIT);
}

void launch_add(const struct step *step, const struct part *part)
{
    const float *a = step->call.input[0], *b = step->call.input[1];
    float *y = step->call.output[0];
    struct range r = elements_of(step, part);
    KERNEL_OF(step, add)(y + r.first, a + r.first, b + r.first, r.last - r.first);
}

void launch_scale(const struct step *step, const struct part *part)
{
    const float *x = step->call.input[0], *factor = step->call.input[1];
    float *y = step->call.output[0];
    struct range r = elements_of(step, part);
    KERNEL_OF(step, scale)(y + r.first, x + r.first, *factor, r.last - r.first);
}

void launch_multiply(const struct step *step, const struct part *part)
{
    const struct multiply_attributes *attributes = step->call.value->attributes;
    const float *x = step->call.input[0];
    float *y = step->call.output[0];
    struct range r = elements_of(step, part);
    KERNEL_OF(step, scale)
    (y + r.first, x + r.first, (float)attributes->factor, r.last - r.first);
}

// One number: one thread.
void launch_dot(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    int64_t n = shape_count(call->value->input[0]->shape);
    if (part->index == 0)
        *(float *)call->output[0] = KERNEL_OF(step, dot)(call->input[0], call->input[1], n);
}

void launch_ones(const struct step *step, const struct part *part)
{
    if (part->index == 0) *(float *)step->call.output[0] = 1;
}

void launch_activation(const struct step *step, const struct part *part)
{
    const struct activation_attributes *attributes = step->call.value->attributes;
    const float *x = step->call.input[0];
    float *y = step->call.output[0];
    struct range r = elements_of(step, part);
    KERNEL_OF(step, activation)
    (y + r.first, x + r.first, r.last - r.first, attributes->activation);
}

void launch_activation_grad(const struct step *step, const struct part *part)
{
    const struct activation_attributes *attributes = step->call.value->attributes;
    const float *x = step->call.input[0], *dy = step->call.input[1];
    float *dx = step->call.output[0];
    struct range r = elements_of(step, part);
    KERNEL_OF(step, activation_grad)
    (dx + r.first, x + r.first, dy + r.first, r.last - r.first, attributes->activation);
}

void launch_swiglu(const struct step *step, const struct part *part)
{
    const float *a = step->call.input[0], *b = step->call.input[1];
    float *y = step->call.output[0];
    struct range r = elements_of(step, part);
    KERNEL_OF(step, swiglu)(y + r.first, a + r.first, b + r.first, r.last - r.first);
}

void launch_swiglu_grad(const struct step *step, const struct part *part)
{
    const float *a = step->call.input[0], *b = step->call.input[1], *dy = step->call.input[2];
    float *da = step->call.output[0], *db = step->call.output[1];
    struct range r = elements_of(step, part);
    KERNEL_OF(step, swiglu_grad)
    (da + r.first, db ? db + r.first : NULL, a + r.first, b + r.first, dy + r.first,
     r.last - r.first);
}

// By columns, since a sum is not cut.
void launch_column_sum(const struct step *step, const struct part *part)
{
    struct shape shape = step->call.value->input[0]->shape;
    const float *x = step->call.input[0];
    float *y = step->call.output[0];
    struct range r = part_range(part, shape_last(shape), COLUMN_UNIT);
    KERNEL_OF(step, column_sum)
    (y + r.first, x + r.first, shape_last(shape), shape_rows(shape), r.last - r.first);
}

// One mask for all positions of a sequence: each row draws it again.
static void dropout_rows(const struct step *step, const struct part *part, struct dropout dropout)
{
    struct shape shape = step->call.value->shape;
    const float *x = step->call.input[0];
    const uint32_t *random = dropout.random;
    float *y = step->call.output[0];
    int64_t width = shape.size[2], blocks = (width + PHILOX_BLOCK - 1) / PHILOX_BLOCK;
    struct range rows = part_range(part, shape_rows(shape), 1);
    for (int64_t row = rows.first; row < rows.last; row++) {
        const uint32_t own[4] = {random[0], random[1], random[2],
                                 random[3] + (uint32_t)(row / shape.size[1])};
        dropout.random = own;
        KERNEL_OF(step, dropout)(y + row * width, x + row * width, &dropout, width, 0, blocks);
    }
}

// By blocks of random bits.
void launch_dropout(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    const struct dropout_attributes *attributes = call->value->attributes;
    struct dropout dropout = dropout_of(call->input[1], attributes->rate, attributes->operation);
    bool alike = attributes->share == DROPOUT_STEP; // one sequence, whichever micro-batch this is
    const uint32_t *random = call->input[1], first[4] = {random[0], random[1], random[2], 0};
    if (attributes->share == DROPOUT_POSITIONS) {
        dropout_rows(step, part, dropout);
        return;
    }
    if (alike) dropout.random = first;
    int64_t sequences = alike ? 1 : call->value->shape.size[0],
            per_sequence = count_of(step) / sequences;
    int64_t blocks = (per_sequence + PHILOX_BLOCK - 1) / PHILOX_BLOCK;
    struct range r = part_range(part, sequences * blocks, 1);
    KERNEL_OF(step, dropout)
    (call->output[0], call->input[0], &dropout, per_sequence, r.first, r.last);
}
