// SPDX-License-Identifier: Apache-2.0
// Linear models over numbers: least squares (LOSS_SQUARED), logistic (LOSS_BINARY) and softmax regression, linear support vector machines
// (LOSS_HINGE, LOSS_SQUARED_HINGE; of several classes each against the rest). All start from 0. L1 and L2 are the optimizer's.
#include "model/parts.h"

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    if (c.features == 0) c.features = c.width;
    if (c.features < 1 || c.features > 1 << 24)
        FAIL(STATUS_USAGE, "model.features: %lld is out of range; it must be 1 to %d",
             (long long)c.features, 1 << 24);
    if (c.classes == 0) c.classes = 1;
    c.vocabulary = c.context = c.width = c.heads = c.layers = c.hidden = 1;
    c.activation = ACTIVATION_RELU;
    parts_transformer_defaults(&c);
    TRY(model_config_check(&c));
    TRY(parts_check_head(&c));
    *config = c;
    return STATUS_OK;
}

static struct value *linear_scores(struct builder *b, const struct model_config *c,
                                   struct model_inputs inputs)
{
    return nn_linear(b, inputs.features, "linear", c->classes, c->bias, ACTIVATION_NONE,
                     LAYOUT_OUT_IN, 0);
}

static struct value *linear_loss(struct builder *b, const struct model_config *c,
                                 struct model_inputs inputs, double smoothing)
{
    return parts_loss(b, c, linear_scores(b, c, inputs), inputs, smoothing);
}

const struct model_type linear_model = {
    .name = "linear",
    .tasks = TASK_CLASSIFY | TASK_REGRESS,
    .validate = validate,
    .loss = linear_loss,
    .scores = linear_scores,
    .architecture = "StentorLinear",
};
