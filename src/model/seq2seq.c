// SPDX-License-Identifier: Apache-2.0
// Transformer encoder-decoder: norms before or behind, learned positions or sines, one token table for source, target and
// output layer or an own one for the source. Source: Vaswani et al. 2017, arXiv:1706.03762; norms before: Xiong et al. 2020,
// arXiv:2002.04745.
#include "model/parts.h"

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    parts_transformer_defaults(&c);
    TRY(model_config_check(&c));
    if (c.source_vocabulary < 0 || c.source_vocabulary > INT32_MAX)
        FAIL(STATUS_USAGE, "model.source_vocabulary: %lld is out of range",
             (long long)c.source_vocabulary);
    if (c.encoder_layers < 1 || c.encoder_layers > 1 << 12)
        FAIL(STATUS_USAGE, "model.encoder_layers: %lld is out of range; it must be 1 to %d",
             (long long)c.encoder_layers, 1 << 12);
    *config = c;
    return STATUS_OK;
}

// [batch, source tokens, width]
static struct value *encode(struct builder *b, const struct model_config *c,
                            struct model_inputs inputs, struct value *table)
{
    prefix_push(b, "encoder");
    if (c->source_vocabulary)
        table = nn_embedding_table(b, "tokens", c->source_vocabulary, c->width, c->init_deviation);
    struct value *x = parts_embed(b, c, table, "positions", inputs.source, inputs.source_positions);
    for (int64_t i = 0; i < c->encoder_layers; i++)
        x = parts_layer(
            b, c, x,
            &(struct layer_part){i, .bidirectional = true, .lengths = inputs.source_lengths});
    x = parts_last_norm(b, c, x);
    prefix_pop(b);
    return x;
}

// What the output layer reads, and in *table_p its weights. Padding behind a target sees only what is ignored.
static struct value *decode(struct builder *b, const struct model_config *c,
                            struct model_inputs inputs, struct value **table_p)
{
    *table_p = nn_embedding_table(b, "shared", c->vocabulary, c->width, c->init_deviation);
    struct value *memory = encode(b, c, inputs, *table_p);
    prefix_push(b, "decoder");
    struct value *x = parts_embed(b, c, *table_p, "positions", inputs.tokens, inputs.positions);
    for (int64_t i = 0; i < c->layers; i++)
        x = parts_layer(
            b, c, x,
            &(struct layer_part){i, .memory = memory, .memory_lengths = inputs.source_lengths});
    x = parts_last_norm(b, c, x);
    prefix_pop(b);
    return x;
}

static struct value *seq2seq_loss(struct builder *b, const struct model_config *c,
                                  struct model_inputs inputs, double smoothing)
{
    struct value *table, *x = decode(b, c, inputs, &table);
    return op_output_loss(b->g, x, table, inputs.targets, smoothing);
}

static struct value *seq2seq_scores(struct builder *b, const struct model_config *c,
                                    struct model_inputs inputs)
{
    struct value *table, *x = decode(b, c, inputs, &table);
    return op_linear(b->g, x, table, NULL, ACTIVATION_NONE, LAYOUT_OUT_IN);
}

// Keys and values of every layer of the decoder.
static void seq2seq_encode(struct builder *b, const struct model_config *c,
                           struct model_inputs inputs, struct model_memory *memory)
{
    struct value *table =
        nn_embedding_table(b, "shared", c->vocabulary, c->width, c->init_deviation);
    struct value *x = encode(b, c, inputs, table);
    prefix_push(b, "decoder");
    for (int64_t i = 0; i < c->layers; i++)
        memory->source[memory->sources++] = parts_cross_keys(b, c, i, x);
    prefix_pop(b);
}

static struct value *seq2seq_step(struct builder *b, const struct model_config *c,
                                  const struct model_step *step)
{
    struct value *table =
        nn_embedding_table(b, "shared", c->vocabulary, c->width, c->init_deviation);
    prefix_push(b, "decoder");
    struct value *x = parts_embed(b, c, table, "positions", step->tokens, step->positions);
    for (int64_t i = 0; i < c->layers; i++)
        x = parts_layer(b, c, x,
                        &(struct layer_part){i, .memory_keys = step->memory->source[i],
                                             .memory_lengths = step->source_lengths,
                                             .cache = step->cache[i], .position = step->position,
                                             .origins = step->origins});
    x = parts_last_norm(b, c, x);
    prefix_pop(b);
    return op_linear(b->g, x, table, NULL, ACTIVATION_NONE, LAYOUT_OUT_IN);
}

const struct model_type seq2seq_model = {
    .name = "seq2seq",
    .reads = "layers, encoder_layers, heads, width, hidden, context, vocabulary, dropout, "
             "embedding_dropout, attention_dropout, residual_dropout, activation, "
             "norm_epsilon, init_deviation, bias, post_norm, sinusoidal",
    .tasks = TASK_TRANSLATE,
    .validate = validate,
    .loss = seq2seq_loss,
    .scores = seq2seq_scores,
    .encode = seq2seq_encode,
    .step = seq2seq_step,
    .step_keys = true,
    .table = "shared.weight",
    .architecture = "StentorSeq2Seq",
};
