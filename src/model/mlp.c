// SPDX-License-Identifier: Apache-2.0
// A multilayer perceptron over numbers: hidden layers with any activation, batch norm before it where asked for, dropout behind
// it. Weights start from N(0, 1 / (3 in)), the variance of PyTorch's uniform numbers.
#include "model/parts.h"

#include <math.h>

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    if (c.features == 0) c.features = c.width;
    if (c.layers == 0) c.layers = 1;
    if (c.hidden == 0) c.hidden = 20;
    if (c.activation == ACTIVATION_NONE) c.activation = ACTIVATION_RELU;
    if (c.features < 1 || c.features > 1 << 24)
        FAIL(STATUS_USAGE, "model.features: %lld is out of range; it must be 1 to %d",
             (long long)c.features, 1 << 24);
    if (c.classes == 0) c.classes = 1;
    c.vocabulary = c.context = c.width = c.heads = 1;
    parts_transformer_defaults(&c);
    TRY(model_config_check(&c));
    TRY(parts_check_head(&c));
    *config = c;
    return STATUS_OK;
}

static struct value *layer(struct builder *b, const struct model_config *c, struct value *x,
                           int64_t number)
{
    double deviation = 1 / sqrt(3 * (double)shape_last(x->shape));
    enum activation activation = c->batch_norm ? ACTIVATION_NONE : c->activation;
    prefix_push(b, "layers.%d", (int)number);
    x = nn_linear(b, x, "linear", c->hidden, true, activation, LAYOUT_OUT_IN, deviation);
    if (c->batch_norm)
        x = op_activation(b->g, nn_batch_norm(b, x, "norm", c->norm_epsilon), c->activation);
    prefix_pop(b);
    return nn_dropout(b, x, c->residual_dropout);
}

static struct value *mlp_scores(struct builder *b, const struct model_config *c,
                                struct model_inputs inputs)
{
    struct value *x = inputs.features;
    for (int64_t i = 0; i < c->layers; i++) x = layer(b, c, x, i);
    return nn_linear(b, x, "out", c->classes, true, ACTIVATION_NONE, LAYOUT_OUT_IN,
                     1 / sqrt(3 * (double)c->hidden));
}

static struct value *mlp_loss(struct builder *b, const struct model_config *c,
                              struct model_inputs inputs, double smoothing)
{
    return parts_loss(b, c, mlp_scores(b, c, inputs), inputs, smoothing);
}

const struct model_type mlp_model = {
    .name = "mlp",
    .reads = "layers, hidden, dropout, residual_dropout, activation, norm_epsilon, batch_norm, "
             "data.features",
    .tasks = TASK_CLASSIFY | TASK_REGRESS,
    .validate = validate,
    .loss = mlp_loss,
    .scores = mlp_scores,
    .head = "out",
    .architecture = "StentorMlp",
};
