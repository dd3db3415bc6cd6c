// SPDX-License-Identifier: Apache-2.0
// Recurrent encoder-decoder with attention: layers in both directions read the source; the decoder starts from what they end
// with, and each of its states looks at the source by Luong's general scores or Bahdanau's. The context enters what is
// predicted, not the next state (no input feeding), so that whole sequences are computed at once. Sources: Cho et al. 2014,
// arXiv:1406.1078; Luong et al. 2015, arXiv:1508.04025; Bahdanau et al. 2014, arXiv:1409.0473.
#include "model/parts.h"

#include <math.h>

// Of the token tables, which have no norm behind them. From 0.02 gates are at a half and states near 0 for long: a cell's matrices, whose
// numbers have the variance 1/(3 width), shrink what comes in to a half. Luong et al. 2015 and OpenNMT draw from +-0.1 (0.06), PyTorch's
// nn.Embedding from N(0, 1); in between was best here (doc/model.md).
static const double TABLE_DEVIATION = 0.3;

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    if (c.rnn == CELL_NONE) c.rnn = CELL_GRU;
    if (c.layers == 0) c.layers = 1;
    if (c.init_deviation == 0) c.init_deviation = TABLE_DEVIATION;
    parts_transformer_defaults(&c);
    c.heads = 1;
    TRY(model_config_check(&c));
    if (c.rnn >= CELL_COUNT) FAIL(STATUS_USAGE, "model.rnn: %d is none that we know", (int)c.rnn);
    if (c.width % 2)
        FAIL(STATUS_USAGE, "model.width: %lld is odd; the encoder's two directions share it",
             (long long)c.width);
    if (c.source_vocabulary < 0 || c.source_vocabulary > INT32_MAX)
        FAIL(STATUS_USAGE, "model.source_vocabulary: %lld is out of range",
             (long long)c.source_vocabulary);
    if (c.encoder_layers < 1 || c.encoder_layers > 1 << 12)
        FAIL(STATUS_USAGE, "model.encoder_layers: %lld is out of range; it must be 1 to %d",
             (long long)c.encoder_layers, 1 << 12);
    *config = c;
    return STATUS_OK;
}

// One layer in both directions, each half as wide. *last_p: the states that they end with, [batch, width].
static struct value *both_ways(struct builder *b, const struct model_config *c, struct value *x,
                               int64_t number, struct value *lengths, struct value **last_p)
{
    struct recurrent_module r = {.name = "rnn",
                                 .layer = (int)number,
                                 .cell = c->rnn,
                                 .hidden = c->width / 2,
                                 .bias = c->bias,
                                 .weight_drop = c->weight_drop,
                                 .lengths = lengths};
    struct value *forward = nn_recurrent(b, x, &r);
    r.reverse = true;
    struct value *backward = nn_recurrent(b, x, &r);
    *last_p = op_concat(b->g, op_pool(b->g, forward, lengths, POOL_LAST),
                        op_pool(b->g, backward, lengths, POOL_FIRST));
    return op_concat(b->g, forward, backward);
}

static struct value *encode(struct builder *b, const struct model_config *c,
                            struct model_inputs inputs, struct value *table, struct value **last_p)
{
    prefix_push(b, "encoder");
    if (c->source_vocabulary)
        table = nn_embedding_table(b, "tokens", c->source_vocabulary, c->width, c->init_deviation);
    struct value *x = nn_dropout(b, op_embedding(b->g, table, inputs.source), c->embedding_dropout);
    for (int64_t i = 0; i < c->encoder_layers; i++) {
        x = both_ways(b, c, x, i, inputs.source_lengths, last_p);
        x = nn_dropout(b, x, c->residual_dropout);
    }
    prefix_pop(b);
    return x;
}

// A state to start from: tanh of a linear layer.
static struct value *bridge(struct builder *b, const struct model_config *c, struct value *last,
                            const char *part, int64_t number)
{
    prefix_push(b, "%s_l%d", part, (int)number);
    struct value *state = nn_linear(b, last, "bridge", c->width, c->bias, ACTIVATION_TANH,
                                    LAYOUT_OUT_IN, 1 / sqrt(3 * (double)c->width));
    prefix_pop(b);
    return state;
}

// What states look at, in memory->source: vectors (twice: keys and values), or Bahdanau's keys and vectors.
static void remember(struct builder *b, const struct model_config *c, struct value *x,
                     struct model_memory *memory)
{
    if (c->additive_attention)
        memory->source[memory->sources++] =
            nn_linear(b, x, "keys", c->width, c->bias, ACTIVATION_NONE, LAYOUT_OUT_IN,
                      1 / sqrt(3 * (double)c->width));
    memory->source[memory->sources++] = c->additive_attention ? x : op_concat(b->g, x, x);
}

// What each state sees of the source: a mean of its vectors under softmax(state W memory), or of Bahdanau's v tanh(W state + U memory).
// encoded: the vectors, NULL where they are in `memory` already.
static struct value *context_of(struct builder *b, const struct model_config *c, struct value *x,
                                struct value *encoded, struct model_memory *memory,
                                struct value *lengths)
{
    const struct cross_attention_attributes general = {1, 1};
    double deviation = 1 / sqrt(3 * (double)c->width);
    struct value *q =
        nn_linear(b, x, "score", c->width, false, ACTIVATION_NONE, LAYOUT_OUT_IN, deviation);
    if (encoded) remember(b, c, encoded, memory);
    if (!c->additive_attention)
        return op_cross_attention(b->g, q, memory->source[0], lengths, &general);
    struct value *v = nn_parameter(b, "score_v", shape_of(1, c->width), INIT_NORMAL, deviation);
    return op_mix(b->g, op_additive_scores(b->g, q, memory->source[0], v), memory->source[1],
                  lengths);
}

// tanh(W [context; state])
static struct value *attend(struct builder *b, const struct model_config *c, struct value *x,
                            struct value *encoded, struct model_memory *memory,
                            struct value *lengths)
{
    struct value *context = context_of(b, c, x, encoded, memory, lengths);
    x = nn_linear(b, op_concat(b->g, context, x), "combine", c->width, c->bias, ACTIVATION_TANH,
                  LAYOUT_OUT_IN, 1 / sqrt(3 * (double)c->width));
    return nn_dropout(b, x, c->residual_dropout);
}

// A layer over [batch, tokens, width] from the state *h (and *cell), which it replaces by the one that it ends with if that `carries`
// on.
static struct value *layer(struct builder *b, const struct model_config *c, struct value *x,
                           int64_t number, struct value **h, struct value **cell, bool carries)
{
    const struct recurrent_module r = {.name = "rnn",
                                       .layer = (int)number,
                                       .cell = c->rnn,
                                       .hidden = c->width,
                                       .bias = c->bias,
                                       .weight_drop = c->weight_drop,
                                       .h0 = *h,
                                       .c0 = *cell,
                                       .last_h = carries ? h : NULL,
                                       .last_c = carries ? cell : NULL};
    return nn_dropout(b, nn_recurrent(b, x, &r), c->residual_dropout);
}

static struct value *decode(struct builder *b, const struct model_config *c,
                            struct model_inputs inputs, struct value **table_p)
{
    struct value *last = NULL, *source[2] = {NULL};
    struct model_memory memory = {.source = source};
    *table_p = nn_embedding_table(b, "shared", c->vocabulary, c->width, c->init_deviation);
    struct value *encoded = encode(b, c, inputs, *table_p, &last);
    prefix_push(b, "decoder");
    struct value *x =
        nn_dropout(b, op_embedding(b->g, *table_p, inputs.tokens), c->embedding_dropout);
    for (int64_t i = 0; i < c->layers; i++) {
        struct value *h = bridge(b, c, last, "h", i);
        struct value *cell = c->rnn == CELL_LSTM ? bridge(b, c, last, "c", i) : NULL;
        x = layer(b, c, x, i, &h, &cell, false);
    }
    x = attend(b, c, x, encoded, &memory, inputs.source_lengths);
    prefix_pop(b);
    return x;
}

static struct value *rnn_seq2seq_loss(struct builder *b, const struct model_config *c,
                                      struct model_inputs inputs, double smoothing)
{
    struct value *table, *x = decode(b, c, inputs, &table);
    return op_output_loss(b->g, x, table, inputs.targets, smoothing);
}

static struct value *rnn_seq2seq_scores(struct builder *b, const struct model_config *c,
                                        struct model_inputs inputs)
{
    struct value *table, *x = decode(b, c, inputs, &table);
    return op_linear(b->g, x, table, NULL, ACTIVATION_NONE, LAYOUT_OUT_IN);
}

// What states look at, and the states that the decoder's layers start from.
static void rnn_seq2seq_encode(struct builder *b, const struct model_config *c,
                               struct model_inputs inputs, struct model_memory *memory)
{
    struct value *last = NULL, *table = nn_embedding_table(b, "shared", c->vocabulary, c->width,
                                                           c->init_deviation);
    struct value *encoded = encode(b, c, inputs, table, &last);
    prefix_push(b, "decoder");
    remember(b, c, encoded, memory);
    for (int64_t i = 0; i < c->layers; i++) {
        memory->carried[memory->carries++] = bridge(b, c, last, "h", i);
        if (c->rnn == CELL_LSTM) memory->carried[memory->carries++] = bridge(b, c, last, "c", i);
    }
    prefix_pop(b);
}

static struct value *rnn_seq2seq_step(struct builder *b, const struct model_config *c,
                                      const struct model_step *step)
{
    struct shape shape = step->tokens->shape;
    int64_t batch = shape.size[0], beams = shape.size[1], each = c->rnn == CELL_LSTM ? 2 : 1;
    struct value *table =
        nn_embedding_table(b, "shared", c->vocabulary, c->width, c->init_deviation);
    prefix_push(b, "decoder");
    // The layers see a row for each beam; attention sees a source's beams side by side.
    struct value *x = op_reshape(b->g, op_embedding(b->g, table, step->tokens),
                                 shape_of(3, batch * beams, INT64_C(1), c->width));
    for (int64_t i = 0; i < c->layers; i++) {
        struct value **h = step->memory->carried + i * each, *none = NULL;
        x = layer(b, c, x, i, h, each == 2 ? h + 1 : &none, true);
    }
    x = op_reshape(b->g, x, shape_of(3, batch, beams, c->width));
    x = attend(b, c, x, NULL, step->memory, step->source_lengths);
    prefix_pop(b);
    return op_linear(b->g, x, table, NULL, ACTIVATION_NONE, LAYOUT_OUT_IN);
}

const struct model_type rnn_seq2seq_model = {
    .name = "rnn_seq2seq",
    .reads = "layers, encoder_layers, width, context, vocabulary, dropout, embedding_dropout, "
             "residual_dropout, weight_drop, init_deviation, bias, rnn, additive_attention",
    .init_deviation = TABLE_DEVIATION,
    .tasks = TASK_TRANSLATE,
    .validate = validate,
    .loss = rnn_seq2seq_loss,
    .scores = rnn_seq2seq_scores,
    .encode = rnn_seq2seq_encode,
    .step = rnn_seq2seq_step,
    .table = "shared.weight",
    .architecture = "StentorRnnSeq2Seq",
};
