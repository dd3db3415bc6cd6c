// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

static int64_t count_of(const struct step *step) { return shape_count(step->call.value->shape); }

void launch_add(const struct step *step)
{
    const struct op_call *call = &step->call;
    KERNEL_OF(step, add)(call->output[0], call->input[0], call->input[1], count_of(step));
}

void launch_scale(const struct step *step)
{
    const struct op_call *call = &step->call;
    KERNEL_OF(step, scale)
    (call->output[0], call->input[0], *(const float *)call->input[1], count_of(step));
}

void launch_dot(const struct step *step)
{
    const struct op_call *call = &step->call;
    int64_t n = shape_count(call->value->input[0]->shape);
    *(float *)call->output[0] = KERNEL_OF(step, dot)(call->input[0], call->input[1], n);
}

void launch_ones(const struct step *step) { *(float *)step->call.output[0] = 1; }

void launch_activation(const struct step *step)
{
    const struct op_call *call = &step->call;
    const struct activation_attributes *attributes = call->value->attributes;
    KERNEL_OF(step, activation)
    (call->output[0], call->input[0], count_of(step), attributes->activation);
}

void launch_activation_grad(const struct step *step)
{
    const struct op_call *call = &step->call;
    const struct activation_attributes *attributes = call->value->attributes;
    KERNEL_OF(step, activation_grad)
    (call->output[0], call->input[0], call->input[1], count_of(step), attributes->activation);
}

void launch_swiglu(const struct step *step)
{
    const struct op_call *call = &step->call;
    KERNEL_OF(step, swiglu)(call->output[0], call->input[0], call->input[1], count_of(step));
}

void launch_swiglu_grad(const struct step *step)
{
    const struct op_call *call = &step->call;
    KERNEL_OF(step, swiglu_grad)
    (call->output[0], call->output[1], call->input[0], call->input[1], call->input[2],
     count_of(step));
}

void launch_column_sum(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct shape x = call->value->input[0]->shape;
    KERNEL_OF(step, column_sum)(call->output[0], call->input[0], shape_rows(x), shape_last(x));
}

void launch_dropout(const struct step *step)
{
    const struct op_call *call = &step->call;
    const struct dropout_attributes *attributes = call->value->attributes;
    struct dropout dropout = dropout_of(call->input[1], attributes->rate, attributes->operation);
    int64_t sequences = call->value->shape.size[0];
    KERNEL_OF(step, dropout)
    (call->output[0], call->input[0], &dropout, sequences, count_of(step) / sequences);
}
