// SPDX-License-Identifier: Apache-2.0
// Recurrent encoder-decoder with attention: layers in both directions read the source; the decoder starts from what they end
// with, and each of its states looks at the source by Luong's general scores or Bahdanau's. The context enters what is
// predicted, not the next state (no input feeding), so that whole sequences are computed at once. Sources: Cho et al. 2014,
// arXiv:1406.1078; Luong et al. 2015, arXiv:1508.04025; Bahdanau et al. 2014, arXiv:1409.0473.
#include "model/parts.h"

#include <math.h>

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    if (c.rnn == CELL_NONE) c.rnn = CELL_GRU;
    if (c.layers == 0) c.layers = 1;
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

// What each state sees of the source: a mean of its vectors under softmax(state W memory), or of Bahdanau's v tanh(W state + U memory).
static struct value *context_of(struct builder *b, const struct model_config *c, struct value *x,
                                struct value *memory, struct value *lengths)
{
    const struct cross_attention_attributes general = {1, 1};
    const enum activation none = ACTIVATION_NONE;
    double deviation = 1 / sqrt(3 * (double)c->width);
    struct value *q = nn_linear(b, x, "score", c->width, false, none, LAYOUT_OUT_IN, deviation);
    if (!c->additive_attention)
        return op_cross_attention(b->g, q, op_concat(b->g, memory, memory), lengths, &general);
    struct value *k =
        nn_linear(b, memory, "keys", c->width, c->bias, none, LAYOUT_OUT_IN, deviation);
    struct value *v = nn_parameter(b, "score_v", shape_of(1, c->width), INIT_NORMAL, deviation);
    return op_mix(b->g, op_additive_scores(b->g, q, k, v), memory, lengths);
}

// tanh(W [context; state])
static struct value *attend(struct builder *b, const struct model_config *c, struct value *x,
                            struct value *memory, struct value *lengths)
{
    struct value *context = context_of(b, c, x, memory, lengths);
    return nn_linear(b, op_concat(b->g, context, x), "combine", c->width, c->bias, ACTIVATION_TANH,
                     LAYOUT_OUT_IN, 1 / sqrt(3 * (double)c->width));
}

static struct value *decode(struct builder *b, const struct model_config *c,
                            struct model_inputs inputs, struct value **table_p)
{
    struct value *last = NULL;
    *table_p = nn_embedding_table(b, "shared", c->vocabulary, c->width, c->init_deviation);
    struct value *memory = encode(b, c, inputs, *table_p, &last);
    prefix_push(b, "decoder");
    struct value *x =
        nn_dropout(b, op_embedding(b->g, *table_p, inputs.tokens), c->embedding_dropout);
    for (int64_t i = 0; i < c->layers; i++) {
        struct recurrent_module r = {.name = "rnn",
                                     .layer = (int)i,
                                     .cell = c->rnn,
                                     .hidden = c->width,
                                     .bias = c->bias,
                                     .weight_drop = c->weight_drop};
        r.h0 = bridge(b, c, last, "h", i);
        if (c->rnn == CELL_LSTM) r.c0 = bridge(b, c, last, "c", i);
        x = nn_dropout(b, nn_recurrent(b, x, &r), c->residual_dropout);
    }
    x = nn_dropout(b, attend(b, c, x, memory, inputs.source_lengths), c->residual_dropout);
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

const struct model_type rnn_seq2seq_model = {
    .name = "rnn_seq2seq",
    .tasks = TASK_TRANSLATE,
    .validate = validate,
    .loss = rnn_seq2seq_loss,
    .scores = rnn_seq2seq_scores,
    .architecture = "StentorRnnSeq2Seq",
};
