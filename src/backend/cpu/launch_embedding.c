// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

#include <string.h>

void launch_embedding(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    int64_t width = shape_last(call->value->shape);
    const int32_t *ids = call->input[1];
    float *y = call->output[0];
    struct range r = part_range(part, shape_rows(call->value->shape), 1);
    KERNEL_OF(step, embedding)
    (y + r.first * width, call->input[0], ids + r.first, r.last - r.first, width);
}

// By columns: rows of the table meet in any order of ids, and a sum is not cut.
void launch_embedding_grad(const struct step *step, const struct part *part)
{
    const struct op_call *call = &step->call;
    struct shape dtable = call->value->shape;
    struct embedding_grad grad = {.dtable = call->output[0],
                                  .sum = call->input[2] ? call->output[0] : NULL,
                                  .ids = call->input[0],
                                  .dy = call->input[1],
                                  .rows = shape_count(call->value->input[0]->shape),
                                  .width = dtable.size[1],
                                  .vocabulary = dtable.size[0]};
    struct range r = part_range(part, dtable.size[1], COLUMN_UNIT);
    const float *from = call->input[2];
    // Where the sum dies here, it lies in the output's place already.
    for (int64_t id = 0; from && from != grad.dtable && r.first < r.last && id < dtable.size[0];
         id++)
        memcpy(grad.dtable + id * grad.width + r.first, from + id * grad.width + r.first,
               (size_t)(r.last - r.first) * sizeof *from);
    KERNEL_OF(step, embedding_grad)(&grad, r.first, r.last, step_part_scratch(step, part));
}

struct scratch scratch_embedding_grad(const struct value *v, kernel_function sizes, int threads)
{
    (void)threads;
    return (struct scratch){.each = ((__typeof__(&embedding_grad_scratch_bytes_generic))sizes)(
                                shape_count(v->input[0]->shape), v->shape.size[0])};
}
