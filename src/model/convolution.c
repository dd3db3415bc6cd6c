// SPDX-License-Identifier: Apache-2.0
// Convolutional text classifier: filters over windows of 3, 4 and 5 tokens, the largest of each over time, dropout, a linear
// layer. A window that reaches into padding counts where its first token is there, so every row needs a margin of padding.
// Source: Kim 2014, arXiv:1408.5882.
#include "model/parts.h"

#include <math.h>
#include <stdio.h>

enum { LEAST_WINDOW = 3, MOST_WINDOW = 5 };

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    if (c.width == 0) c.width = 128;
    if (c.hidden == 0) c.hidden = 100; // filters of each size
    if (c.activation == ACTIVATION_NONE) c.activation = ACTIVATION_RELU;
    if (c.init_deviation == 0) c.init_deviation = 0.1;
    c.layers = c.heads = 1;
    parts_transformer_defaults(&c);
    TRY(model_config_check(&c));
    TRY(parts_check_head(&c));
    if (c.context < MOST_WINDOW)
        FAIL(STATUS_USAGE, "model.context: %lld is less than the largest window, %d",
             (long long)c.context, MOST_WINDOW);
    *config = c;
    return STATUS_OK;
}

// [batch, hidden]: what the filters of one size find. Rows of windows begin with their first token, so that lengths are those of tokens;
// what is longer means all windows.
static struct value *filters(struct builder *b, const struct model_config *c, struct value *x,
                             int64_t size, struct value *lengths)
{
    char name[24];
    snprintf(name, sizeof name, "conv%d", (int)size);
    struct value *windows = op_window(b->g, x, size);
    double deviation = 1 / sqrt(3 * (double)(size * c->width));
    struct value *y =
        nn_linear(b, windows, name, c->hidden, true, c->activation, LAYOUT_OUT_IN, deviation);
    return op_pool(b->g, y, lengths, POOL_MAX);
}

static struct value *convolution_scores(struct builder *b, const struct model_config *c,
                                        struct model_inputs inputs)
{
    struct value *table =
                     nn_embedding_table(b, "tokens", c->vocabulary, c->width, c->init_deviation),
                 *found = NULL;
    struct value *x = nn_dropout(b, op_embedding(b->g, table, inputs.tokens), c->embedding_dropout);
    for (int64_t size = LEAST_WINDOW; size <= MOST_WINDOW; size++) {
        struct value *y = filters(b, c, x, size, inputs.lengths);
        found = found ? op_concat(b->g, found, y) : y;
    }
    return parts_scores(b, c, nn_dropout(b, found, c->residual_dropout), "classifier");
}

static struct value *convolution_loss(struct builder *b, const struct model_config *c,
                                      struct model_inputs inputs, double smoothing)
{
    return parts_loss(b, c, convolution_scores(b, c, inputs), inputs, smoothing);
}

const struct model_type convolution_model = {
    .name = "convolution",
    .reads = "width, hidden, context, vocabulary, dropout, embedding_dropout, "
             "residual_dropout, activation, init_deviation, pool",
    .margin = MOST_WINDOW - 1,
    .tasks = TASK_CLASSIFY | TASK_REGRESS,
    .validate = validate,
    .loss = convolution_loss,
    .scores = convolution_scores,
    .table = "tokens.weight",
    .head = "classifier",
    .init_deviation = 0.1,
    .architecture = "StentorConvolution",
};
