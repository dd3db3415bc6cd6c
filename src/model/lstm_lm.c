// SPDX-License-Identifier: Apache-2.0
// A recurrent language model: token table, layers of LSTM, GRU or tanh, output layer, tied to the table or not. With `classes` the last
// layer's vectors are scored instead (the last token's, the largest or the mean); the body keeps its names, so a pretrained one goes on.
// Names are those of PyTorch's example and modules: encoder.weight, rnn.weight_ih_l0, decoder.weight. Sources: Zaremba et al.
// 2014, arXiv:1409.2329; Press and Wolf 2016, arXiv:1608.05859 (tied); Merity et al. 2017, arXiv:1708.02182 (weight drop).
#include "model/parts.h"

// Of the token table, which has no norm behind it, as in rnn_seq2seq.c: PyTorch's example draws from +-0.1 (0.06). From 0.02 learning
// starts late (doc/model.md).
static const double TABLE_DEVIATION = 0.1;

static void fill_defaults(struct model_config *c)
{
    if (c->context == 0) c->context = 35;
    if (c->width == 0) c->width = 200;
    if (c->layers == 0) c->layers = 2;
    if (c->hidden == 0) c->hidden = c->width;
    if (c->rnn == CELL_NONE) c->rnn = CELL_LSTM;
    if (c->activation == ACTIVATION_NONE) c->activation = ACTIVATION_GELU_TANH;
    if (c->norm_epsilon == 0) c->norm_epsilon = 1e-5;
    if (c->init_deviation == 0) c->init_deviation = TABLE_DEVIATION;
    c->heads = 1;
}

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    fill_defaults(&c);
    TRY(model_config_check(&c));
    if (c.rnn >= CELL_COUNT) FAIL(STATUS_USAGE, "model.rnn: %d is none that we know", (int)c.rnn);
    if (!(c.weight_drop >= 0 && c.weight_drop < 1))
        FAIL(STATUS_USAGE,
             "model.weight_drop: %g is not a rate; it must be at least 0 and less than 1",
             c.weight_drop);
    TRY(parts_check_causal_head(&c));
    *config = c;
    return STATUS_OK;
}

// A tied output layer reads vectors as wide as the table's: the last layer gives them.
static int64_t layer_hidden(const struct model_config *c, int64_t layer)
{
    return c->tied && layer == c->layers - 1 ? c->width : c->hidden;
}

static struct value *dropout(struct builder *b, const struct model_config *c, struct value *x,
                             double rate)
{
    return c->variational_dropout ? nn_variational_dropout(b, x, rate) : nn_dropout(b, x, rate);
}

// Of the carried state those of a layer begin at *first_p: hidden values and, LSTM, as many cells. Returns how many.
static int64_t layer_carried(const struct model_config *c, int64_t layer, int64_t *first_p)
{
    int64_t kinds = c->rnn == CELL_LSTM ? 2 : 1;
    *first_p = 0;
    for (int64_t i = 0; i < layer; i++) *first_p += kinds * layer_hidden(c, i);
    return kinds * layer_hidden(c, layer);
}

// Adds a layer's last states to those of the layers below it.
static void carry_on(struct builder *b, struct value **next, struct value *h, struct value *c)
{
    *next = *next ? op_concat(b->g, *next, h) : h;
    if (c) *next = op_concat(b->g, *next, c);
}

// [batch, tokens, width] -> [batch, tokens, hidden]. state and position are NULL in training.
static struct value *layer(struct builder *b, const struct model_config *c, struct value *x,
                           int64_t number, struct model_inputs inputs, struct value *state,
                           struct value *position)
{
    bool again = !state && number < c->recompute_layers, lstm = c->rnn == CELL_LSTM;
    int64_t first, hidden = layer_hidden(c, number);
    struct value *h0 = NULL, *c0 = NULL, *h = NULL, *cell = NULL;
    layer_carried(c, number, &first);
    if (inputs.state) h0 = op_slice(b->g, inputs.state, first, hidden);
    if (inputs.state && lstm) c0 = op_slice(b->g, inputs.state, first + hidden, hidden);
    if (again) region_begin(b->g);
    x = nn_recurrent(b, x,
                     &(struct recurrent_module){.name = "rnn",
                                                .layer = (int)number,
                                                .cell = c->rnn,
                                                .hidden = hidden,
                                                .bias = c->bias,
                                                .weight_drop = c->weight_drop,
                                                .h0 = h0,
                                                .c0 = c0,
                                                .lengths = inputs.lengths,
                                                .last_h = inputs.next ? &h : NULL,
                                                .last_c = inputs.next ? &cell : NULL,
                                                .state = state,
                                                .position = position});
    if (again) region_end(b->g);
    if (inputs.next) carry_on(b, inputs.next, h, cell);
    return dropout(b, c, x, c->residual_dropout);
}

// [batch, tokens, the last layer's], and in *table_p the token table.
static struct value *body(struct builder *b, const struct model_config *c,
                          struct model_inputs inputs, struct value *const *cache,
                          struct value *position, struct value **table_p)
{
    *table_p = nn_embedding_table(b, "encoder", c->vocabulary, c->width, c->init_deviation);
    struct value *x =
        dropout(b, c, op_embedding(b->g, *table_p, inputs.tokens), c->embedding_dropout);
    for (int64_t i = 0; i < c->layers; i++)
        x = layer(b, c, x, i, inputs, cache ? cache[i] : NULL, position);
    return x;
}

// The weights of the output layer [vocabulary, the last layer's].
static struct value *output_weights(struct builder *b, const struct model_config *c,
                                    struct value *table)
{
    if (c->tied) return table;
    return nn_embedding_table(b, "decoder", c->vocabulary, layer_hidden(c, c->layers - 1),
                              c->init_deviation);
}

static struct value *lstm_lm_scores(struct builder *b, const struct model_config *c,
                                    struct model_inputs inputs)
{
    struct value *table, *x = body(b, c, inputs, NULL, NULL, &table);
    return parts_scores(b, c, op_pool(b->g, x, inputs.lengths, c->pool), "score");
}

static struct value *lstm_lm_loss(struct builder *b, const struct model_config *c,
                                  struct model_inputs inputs, double smoothing)
{
    if (c->classes) return parts_loss(b, c, lstm_lm_scores(b, c, inputs), inputs, smoothing);
    struct value *table, *x = body(b, c, inputs, NULL, NULL, &table);
    return op_output_loss(b->g, x, output_weights(b, c, table), inputs.targets, smoothing);
}

static struct value *lstm_lm_decode(struct builder *b, const struct model_config *c,
                                    struct model_inputs inputs, struct value *const *cache,
                                    struct value *position)
{
    struct value *table, *x = body(b, c, inputs, cache, position, &table);
    return op_linear(b->g, x, output_weights(b, c, table), NULL, ACTIVATION_NONE, LAYOUT_OUT_IN);
}

static struct shape lstm_lm_state(const struct model_config *c, int64_t layer)
{
    return shape_of(2, INT64_C(2), layer_hidden(c, layer));
}

static int64_t lstm_lm_carried(const struct model_config *c)
{
    int64_t first, last = layer_carried(c, c->layers - 1, &first);
    return first + last;
}

const struct model_type lstm_lm_model = {
    .name = "lstm_lm",
    .reads = "layers, width, hidden, context, vocabulary, dropout, embedding_dropout, "
             "residual_dropout, variational_dropout, weight_drop, init_deviation, bias, rnn, "
             "tied, pool, recompute_layers",
    .init_deviation = TABLE_DEVIATION,
    .tasks = TASK_LM | TASK_CLASSIFY | TASK_REGRESS,
    .validate = validate,
    .loss = lstm_lm_loss,
    .scores = lstm_lm_scores,
    .state = lstm_lm_state,
    .carried = lstm_lm_carried,
    .decode = lstm_lm_decode,
    .table = "encoder.weight",
    .head = "score",
    .architecture = "LSTMLanguageModel",
};
