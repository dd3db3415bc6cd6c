// SPDX-License-Identifier: Apache-2.0
#include "model/model.h"

bool model_takes_labels(const struct model_config *c)
{
    return c->classes > 1 &&
           (c->loss == LOSS_SOFTMAX || c->loss == LOSS_HINGE || c->loss == LOSS_SQUARED_HINGE);
}

enum model_tasks model_task_of(const struct model_type *type, const struct model_config *c)
{
    if (c->spans) return TASK_ANSWER;
    const enum model_tasks texts[] = {TASK_LM, TASK_TRANSLATE, TASK_MLM};
    for (int i = 0; i < 3; i++)
        if (type->tasks & texts[i] && (texts[i] == TASK_TRANSLATE || c->classes == 0))
            return texts[i];
    return model_takes_labels(c) ? TASK_CLASSIFY : TASK_REGRESS;
}

struct model_inputs model_inputs_create(struct graph *g, const struct model_config *c,
                                        enum model_tasks task, struct model_sizes sizes)
{
    struct shape examples = shape_of(1, sizes.batch), row = shape_of(2, sizes.batch, sizes.tokens);
    struct shape source = shape_of(2, sizes.batch, sizes.source_tokens);
    struct model_inputs in = {0};
    bool spans = task == TASK_ANSWER;
    bool scored = task == TASK_CLASSIFY || task == TASK_REGRESS || spans;
    if (scored && c->features) {
        in.features = graph_input(g, "features", F32, shape_of(2, sizes.batch, c->features));
    } else {
        in.tokens = graph_input(g, "tokens", I32, row);
        in.positions = graph_input(g, "positions", I32, row);
        if (task == TASK_MLM || scored) in.lengths = graph_input(g, "lengths", I32, examples);
    }
    if (task == TASK_TRANSLATE) {
        in.source = graph_input(g, "source", I32, source);
        in.source_positions = graph_input(g, "source_positions", I32, source);
        in.source_lengths = graph_input(g, "source_lengths", I32, examples);
    }
    if (scored && (spans || model_takes_labels(c)))
        in.labels = graph_input(g, "labels", I32, examples);
    if (scored && !in.labels)
        in.goals = graph_input(g, "goals", F32, shape_of(2, sizes.batch, c->classes));
    if (spans) in.ends = graph_input(g, "ends", I32, examples);
    if (spans) in.mask = graph_input(g, "mask", F32, row);
    if (spans && c->matches) in.matches = graph_input(g, "matches", I32, row);
    if (scored) in.weights = graph_input(g, "weights", F32, examples);
    if (!scored) in.targets = graph_input(g, "targets", I32, row);
    return in;
}
