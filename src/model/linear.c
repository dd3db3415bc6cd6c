// SPDX-License-Identifier: Apache-2.0
// Linear models: least squares (LOSS_SQUARED), logistic (LOSS_BINARY) and softmax regression, linear support vector machines (LOSS_HINGE,
// LOSS_SQUARED_HINGE; of several classes each against the rest). All start from 0. L1 and L2 are the optimizer's.
//
// Over numbers, or (features 0) over texts: every token has a row of scores, an example the sum or mean of its tokens' rows. That is a
// product with the counts of a bag of words, of which only what is there is read. Naive Bayes has the same weights (train/count.c).
#include "model/parts.h"

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    if (c.features < 0 || c.features > 1 << 24)
        FAIL(STATUS_USAGE,
             "model.features: %lld is out of range; it must be 1 to %d, or 0 for texts",
             (long long)c.features, 1 << 24);
    if (c.features == 0 && c.pool != POOL_MEAN && c.pool != POOL_SUM)
        FAIL(STATUS_USAGE, "model.pool: linear takes the mean or the sum of tokens");
    if (c.classes == 0) c.classes = 1;
    if (c.features) c.vocabulary = c.context = 1;
    c.width = c.heads = c.layers = c.hidden = 1;
    c.activation = ACTIVATION_RELU;
    parts_transformer_defaults(&c);
    TRY(model_config_check(&c));
    TRY(parts_check_head(&c));
    *config = c;
    return STATUS_OK;
}

static struct value *text_scores(struct builder *b, const struct model_config *c,
                                 struct model_inputs inputs)
{
    struct value *table =
        nn_parameter(b, "linear.weight", shape_of(2, c->vocabulary, c->classes), INIT_ZERO, 0);
    struct value *y =
        op_pool(b->g, op_embedding(b->g, table, inputs.tokens), inputs.lengths, c->pool);
    if (!c->bias) return y;
    return op_add_row(b->g, y,
                      nn_parameter(b, "linear.bias", shape_of(1, c->classes), INIT_ZERO, 0));
}

static struct value *linear_scores(struct builder *b, const struct model_config *c,
                                   struct model_inputs inputs)
{
    if (!inputs.features) return text_scores(b, c, inputs);
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
    .reads =
        "context, vocabulary, bias, pool, presence, data.ngrams, data.ngram_hash, data.features",
    .tasks = TASK_CLASSIFY | TASK_REGRESS,
    .validate = validate,
    .loss = linear_loss,
    .scores = linear_scores,
    .head = "linear",
    .architecture = "StentorLinear",
};
