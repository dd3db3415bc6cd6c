// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

void launch_embedding(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct shape y = call->value->shape;
    KERNEL_OF(step, embedding)
    (call->output[0], call->input[0], call->input[1], shape_rows(y), shape_last(y));
}

void launch_embedding_grad(const struct step *step)
{
    const struct op_call *call = &step->call;
    struct shape dtable = call->value->shape;
    int64_t rows = shape_count(call->value->input[0]->shape);
    KERNEL_OF(step, embedding_grad)
    (call->output[0], call->input[0], call->input[1], rows, dtable.size[1], dtable.size[0]);
}
