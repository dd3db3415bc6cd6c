// SPDX-License-Identifier: Apache-2.0
// A bidirectional Transformer. Without `classes` it learns what masked tokens were (output layer tied to the token table); with them it
// scores the first token's vector or the mean of all, pooled as in BERT through a tanh layer; with `spans` it scores every token as an
// answer's first and as its last, and may be told how places match the question (Chen et al. 2017, arXiv:1704.00051, "exact match").
// The body has the same names in all, so that a pretrained one goes on with another head. Source: Devlin et al. 2018, arXiv:1810.04805.
#include "model/parts.h"

// SPAN_SCORES of a token: that it is the first, that it is the last.
enum { SPAN_SCORES = 2, MOST_MATCHES = 1024 };

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    parts_transformer_defaults(&c);
    TRY(model_config_check(&c));
    if (c.spans && !c.classes) c.classes = SPAN_SCORES;
    if (c.spans && (c.classes != SPAN_SCORES || c.loss != LOSS_SOFTMAX))
        FAIL(STATUS_USAGE, "model.classes: %lld; spans have %d scores, and softmax for a loss",
             (long long)c.classes, SPAN_SCORES);
    if (c.matches < 0 || c.matches > MOST_MATCHES || (c.matches && !c.spans))
        FAIL(STATUS_USAGE, "model.matches: %lld kinds of places; only spans have some, at most %d",
             (long long)c.matches, MOST_MATCHES);
    if (c.classes) TRY(parts_check_head(&c));
    if (c.pool != POOL_MEAN && c.pool != POOL_FIRST)
        FAIL(STATUS_USAGE, "model.pool: an encoder takes the first token or the mean");
    *config = c;
    return STATUS_OK;
}

static struct value *embed_matches(struct builder *b, const struct model_config *c,
                                   struct value *matches)
{
    struct value *table = nn_embedding_table(b, "matches", c->matches, c->width, c->init_deviation);
    return op_embedding(b->g, table, matches);
}

// [batch, tokens, width], and in *table_p the token table.
static struct value *body(struct builder *b, const struct model_config *c,
                          struct model_inputs inputs, struct value **table_p)
{
    prefix_push(b, "encoder");
    *table_p = nn_embedding_table(b, "tokens", c->vocabulary, c->width, c->init_deviation);
    struct value *x = parts_embed(b, c, *table_p, "positions", inputs.tokens, inputs.positions);
    if (inputs.matches) x = op_add(b->g, x, embed_matches(b, c, inputs.matches));
    for (int64_t i = 0; i < c->layers; i++)
        x = parts_layer(b, c, x,
                        &(struct layer_part){i, .bidirectional = true, .lengths = inputs.lengths});
    x = parts_last_norm(b, c, x);
    prefix_pop(b);
    return x;
}

static struct value *encoder_scores(struct builder *b, const struct model_config *c,
                                    struct model_inputs inputs)
{
    struct value *table, *x = body(b, c, inputs, &table);
    if (c->spans) return parts_scores(b, c, nn_dropout(b, x, c->residual_dropout), "answers");
    x = op_pool(b->g, x, inputs.lengths, c->pool);
    x = nn_linear(b, x, "pooler", c->width, true, ACTIVATION_TANH, LAYOUT_OUT_IN,
                  c->init_deviation);
    return parts_scores(b, c, nn_dropout(b, x, c->residual_dropout), "classifier");
}

// Which of the tokens it is, by one column of the scores. A column alone lies like [batch, tokens].
static struct value *place_loss(struct builder *b, struct value *scores, int64_t column,
                                struct model_inputs inputs, struct value *places)
{
    struct value *x = op_slice(b->g, scores, column, 1);
    x = op_add(b->g, op_reshape(b->g, x, inputs.mask->shape), inputs.mask);
    return op_class_loss(b->g, x, places, inputs.weights, LOSS_SOFTMAX, 0);
}

static struct value *span_loss(struct builder *b, const struct model_config *c,
                               struct model_inputs inputs)
{
    struct value *scores = encoder_scores(b, c, inputs);
    return op_add(b->g, place_loss(b, scores, 0, inputs, inputs.labels),
                  place_loss(b, scores, 1, inputs, inputs.ends));
}

static struct value *encoder_loss(struct builder *b, const struct model_config *c,
                                  struct model_inputs inputs, double smoothing)
{
    if (c->spans) return span_loss(b, c, inputs);
    if (c->classes) return parts_loss(b, c, encoder_scores(b, c, inputs), inputs, smoothing);
    struct value *table, *x = body(b, c, inputs, &table);
    x = nn_linear(b, x, "mlm.dense", c->width, true, c->activation, LAYOUT_OUT_IN,
                  c->init_deviation);
    x = nn_layer_norm(b, x, "mlm.norm", c->bias, c->norm_epsilon);
    return op_output_loss(b->g, x, table, inputs.targets, smoothing);
}

const struct model_type encoder_model = {
    .name = "encoder",
    .reads = "layers, heads, width, hidden, context, vocabulary, dropout, embedding_dropout, "
             "attention_dropout, residual_dropout, activation, norm_epsilon, init_deviation, "
             "bias, post_norm, sinusoidal, pool",
    .tasks = TASK_MLM | TASK_CLASSIFY | TASK_REGRESS | TASK_ANSWER,
    .validate = validate,
    .loss = encoder_loss,
    .scores = encoder_scores,
    .table = "encoder.tokens.weight",
    .head = "classifier",
    .architecture = "StentorEncoder",
};
