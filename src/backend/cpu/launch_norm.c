// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

static float epsilon_of(const struct value *v)
{
    const struct norm_attributes *attributes = v->attributes;
    return (float)attributes->epsilon;
}

void launch_layer_norm(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    int64_t width = shape_last(call->value->shape);
    struct range r = part_range(part, shape_rows(call->value->shape), 1);
    const float *x = call->input[0];
    float *y = call->output[0];
    KERNEL_OF(step, layer_norm)
    (y + r.first * width, x + r.first * width, call->input[1], call->input[2], r.last - r.first,
     width, epsilon_of(call->value));
}

void launch_rms_norm(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    int64_t width = shape_last(call->value->shape);
    struct range r = part_range(part, shape_rows(call->value->shape), 1);
    const float *x = call->input[0];
    float *y = call->output[0];
    KERNEL_OF(step, rms_norm)
    (y + r.first * width, x + r.first * width, call->input[1], r.last - r.first, width,
     epsilon_of(call->value));
}

struct scratch scratch_layer_norm_grad(const struct value *v, kernel_function sizes, int threads)
{
    return (struct scratch){
        .shared =
            ((__typeof__(&norm_grad_scratch_bytes_generic))sizes)(shape_rows(v->shape), threads),
    };
}

struct scratch scratch_rms_norm_grad(const struct value *v, kernel_function sizes, int threads)
{
    return scratch_layer_norm_grad(v, sizes, threads);
}

// RMS norm has no auxiliary output for a bias.
static struct norm_grad describe_grad(const struct op_call *call)
{
    struct shape dx = call->value->shape;
    return (struct norm_grad){.dx = call->output[0],
                              .dgain = call->output[1],
                              .dbias = call->output[2],
                              .x = call->input[0],
                              .gain = call->input[1],
                              .dy = call->input[2],
                              .rows = shape_rows(dx),
                              .width = shape_last(dx),
                              .epsilon = epsilon_of(call->value)};
}

void launch_layer_norm_grad(const struct step *step, const struct part *part)
{
    const struct norm_grad norm = describe_grad(&step->call);
    KERNEL_OF(step, layer_norm_grad)(&norm, step->call.scratch, part);
}

void launch_rms_norm_grad(const struct step *step, const struct part *part)
{
    const struct norm_grad norm = describe_grad(&step->call);
    KERNEL_OF(step, rms_norm_grad)(&norm, step->call.scratch, part);
}
