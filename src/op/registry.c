// SPDX-License-Identifier: Apache-2.0
// All operations: tests, printers and backends iterate this table.
#include "op/op.h"

#include <string.h>

const struct op *const op_registry[] = {
    &add_op,
    &add_row_op,
    &scale_op,
    &multiply_op,
    &dot_op,
    &ones_op,
    &embedding_op,
    &embedding_grad_op,
    &linear_op,
    &linear_grad_input_op,
    &linear_grad_weight_op,
    &column_sum_op,
    &activation_op,
    &activation_grad_op,
    &swiglu_op,
    &swiglu_grad_op,
    &layer_norm_op,
    &layer_norm_grad_op,
    &rms_norm_op,
    &rms_norm_grad_op,
    &dropout_op,
    &attention_op,
    &attention_grad_op,
    &attention_cached_op,
    &attention_beams_op,
    &recurrent_op,
    &recurrent_grad_op,
    &recurrent_previous_op,
    &recurrent_cached_op,
    &concat_op,
    &slice_op,
    &place_op,
    &reshape_op,
    &log_softmax_op,
    &batch_norm_op,
    &batch_norm_grad_op,
    &batch_norm_running_op,
    &drift_op,
    &cross_attention_op,
    &cross_attention_grad_op,
    &additive_scores_op,
    &additive_scores_grad_op,
    &mix_op,
    &mix_grad_op,
    &sinusoid_op,
    &pool_op,
    &pool_grad_op,
    &window_op,
    &window_grad_op,
    &score_loss_op,
    &class_loss_op,
    &output_loss_op,
    NULL,
};

const struct op *op_find(const char *name)
{
    for (int i = 0; op_registry[i]; i++)
        if (strcmp(op_registry[i]->name, name) == 0) return op_registry[i];
    return NULL;
}

void vjp_none(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    (void)dy;
    (void)dx;
    graph_fail(g, STATUS_UNSUPPORTED,
               "%s (value %d) has no gradient, but the loss depends on parameters through it",
               y->op->name, y->id);
}
