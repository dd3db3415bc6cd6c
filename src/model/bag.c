// SPDX-License-Identifier: Apache-2.0
// The mean of the vectors of words and n-grams, scored by a linear layer. n-grams are tokens like any other: who makes the inputs hashes
// them to ids behind the words'. Source: Joulin et al. 2016, arXiv:1607.01759 (fastText).
#include "model/parts.h"

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    if (c.width == 0) c.width = 64;
    if (c.init_deviation == 0) c.init_deviation = 0.1;
    c.layers = c.heads = 1;
    parts_transformer_defaults(&c);
    TRY(model_config_check(&c));
    TRY(parts_check_head(&c));
    // The mark before every text is the same, and no place knows of another.
    if (c.pool == POOL_FIRST)
        FAIL(STATUS_USAGE, "model.pool: first of a bag says the same of every text; it takes the "
                           "mean, sum or last");
    *config = c;
    return STATUS_OK;
}

static struct value *bag_scores(struct builder *b, const struct model_config *c,
                                struct model_inputs inputs)
{
    struct value *table =
        nn_embedding_table(b, "tokens", c->vocabulary, c->width, c->init_deviation);
    struct value *x =
        op_pool(b->g, op_embedding(b->g, table, inputs.tokens), inputs.lengths, c->pool);
    return parts_scores(b, c, nn_dropout(b, x, c->embedding_dropout), "classifier");
}

static struct value *bag_loss(struct builder *b, const struct model_config *c,
                              struct model_inputs inputs, double smoothing)
{
    return parts_loss(b, c, bag_scores(b, c, inputs), inputs, smoothing);
}

const struct model_type bag_model = {
    .name = "bag",
    .reads = "width, context, vocabulary, dropout, embedding_dropout, init_deviation, pool, "
             "presence, data.ngrams, data.ngram_hash",
    .tasks = TASK_CLASSIFY | TASK_REGRESS,
    .validate = validate,
    .loss = bag_loss,
    .scores = bag_scores,
    .table = "tokens.weight",
    .head = "classifier",
    .init_deviation = 0.1,
    .architecture = "StentorBag",
};
