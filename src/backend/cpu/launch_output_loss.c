// SPDX-License-Identifier: Apache-2.0
// The kernel computes both gradients or none: where only one was asked for, the other goes into
// scratch.
#include "backend/cpu/launch.h"

static struct output_loss describe(const struct value *v)
{
    const struct output_loss_attributes *attributes = v->attributes;
    struct shape x = v->input[0]->shape;
    return (struct output_loss){.rows = shape_rows(x),
                                .width = shape_last(x),
                                .vocabulary = v->input[1]->shape.size[0],
                                .smoothing = (float)attributes->smoothing};
}

static size_t stray_bytes(const struct value *v)
{
    if (!v->aux[0] == !v->aux[1]) return 0;
    size_t bytes = (size_t)shape_count(v->input[v->aux[0] ? 1 : 0]->shape) * sizeof(float);
    return (bytes + 63) / 64 * 64;
}

struct scratch scratch_output_loss(const struct value *v, kernel_function sizes, int threads)
{
    struct output_loss loss = describe(v);
    size_t kernel = ((__typeof__(&output_loss_scratch_bytes_generic))sizes)(
        loss.rows, loss.width, loss.vocabulary, threads);
    return (struct scratch){.shared = stray_bytes(v) + kernel};
}

// The table as an operand B of the logits, and of dx where gradients are asked for.
void packing_output_loss(const struct value *v, const struct cpu_row *row, struct packing *packing)
{
    struct output_loss loss = describe(v);
    struct product across = {
        .cols = loss.vocabulary, .depth = loss.width, .b_depth = 1, .b_col = loss.width};
    struct product dx = {
        .cols = loss.width, .depth = loss.vocabulary, .b_depth = loss.width, .b_col = 1};
    packing[0] = packing_of(v->input[1], row, &across);
    if (v->aux[0] || v->aux[1]) packing[1] = packing_of(v->input[1], row, &dx);
}

void launch_output_loss(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct output_loss loss = describe(call->value);
    size_t stray = stray_bytes(call->value);
    unsigned char *scratch = call->scratch; // the stray gradient, then the kernel's
    loss.x = call->input[0];
    loss.w = call->input[1];
    loss.targets = call->input[2];
    loss.loss = call->output[0];
    loss.dx = call->output[1];
    loss.dw = call->output[2];
    loss.losses = call->output[3];
    loss.packed_across = step->packed[0];
    loss.packed = step->packed[1];
    if (stray && !loss.dx) loss.dx = (float *)scratch;
    if (stray && !loss.dw) loss.dw = (float *)scratch;
    KERNEL_OF(step, output_loss)(&loss, scratch + stray, part);
}
