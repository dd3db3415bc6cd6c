// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

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
    int64_t rows = shape_count(call->value->input[0]->shape);
    struct range r = part_range(part, dtable.size[1], COLUMN_UNIT);
    KERNEL_OF(step, embedding_grad)
    (call->output[0], call->input[0], call->input[1], rows, dtable.size[1], dtable.size[0], r.first,
     r.last);
}
