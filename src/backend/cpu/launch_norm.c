// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

static float epsilon_of(const struct value *v)
{
    const struct norm_attributes *attributes = v->attributes;
    return (float)attributes->epsilon;
}

void launch_layer_norm(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct shape y = call->value->shape;
    KERNEL_OF(step, layer_norm)
    (call->output[0], call->input[0], call->input[1], call->input[2], shape_rows(y), shape_last(y),
     epsilon_of(call->value));
}

void launch_layer_norm_grad(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct shape dx = call->value->shape;
    KERNEL_OF(step, layer_norm_grad)
    (call->output[0], call->output[1], call->output[2], call->input[0], call->input[1],
     call->input[2], shape_rows(dx), shape_last(dx), epsilon_of(call->value));
}

void launch_rms_norm(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct shape y = call->value->shape;
    KERNEL_OF(step, rms_norm)
    (call->output[0], call->input[0], call->input[1], shape_rows(y), shape_last(y),
     epsilon_of(call->value));
}

void launch_rms_norm_grad(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct shape dx = call->value->shape;
    KERNEL_OF(step, rms_norm_grad)
    (call->output[0], call->output[1], call->input[0], call->input[1], call->input[2],
     shape_rows(dx), shape_last(dx), epsilon_of(call->value));
}
