// SPDX-License-Identifier: Apache-2.0
// GPT-2: learned positions, layer norm before each part, output layer tied to the token table. With `classes` its vectors are scored
// instead (the last token's, as Hugging Face does, the largest or the mean); the body keeps its names, so a pretrained one goes on.
// Names and layouts are Hugging Face's. Source: Radford et al. 2019; initialisation: section 2.3 and the
// released code.
#include "model/parts.h"

#include <math.h>

// Zeros become the sizes of the smallest model of the paper.
static void fill_defaults(struct model_config *c)
{
    if (c->context == 0) c->context = 1024;
    if (c->width == 0) c->width = 768;
    if (c->layers == 0) c->layers = 12;
    if (c->heads == 0) c->heads = 12;
    if (c->hidden == 0 && c->width > 0 && c->width <= INT64_MAX / 4) c->hidden = 4 * c->width;
    if (c->activation == ACTIVATION_NONE) c->activation = ACTIVATION_GELU_TANH;
    if (c->norm_epsilon == 0) c->norm_epsilon = 1e-5;
    if (c->init_deviation == 0) c->init_deviation = 0.02;
}

static enum status validate(struct model_config *config)
{
    struct model_config c = *config;
    fill_defaults(&c);
    TRY(model_config_check(&c));
    if (c.activation > ACTIVATION_SILU) // Hugging Face's GPT-2 has no other
        FAIL(STATUS_USAGE, "model.activation: %d is none that GPT-2 knows", (int)c.activation);
    TRY(parts_check_causal_head(&c));
    *config = c;
    return STATUS_OK;
}

// ---- the model ----

// The token table [vocabulary, width], which is also the output layer, and in *x_p the embedded tokens
// [batch, tokens, width].
static struct value *embed(struct builder *b, const struct model_config *c,
                           struct model_inputs inputs, struct value **x_p)
{
    struct value *tokens = nn_embedding_table(b, "wte", c->vocabulary, c->width, c->init_deviation);
    struct value *places = nn_embedding_table(b, "wpe", c->context, c->width, c->init_deviation);
    struct value *x = op_add(b->g, op_embedding(b->g, tokens, inputs.tokens),
                             op_embedding(b->g, places, inputs.positions));
    *x_p = nn_dropout(b, x, c->embedding_dropout);
    return tokens;
}

// Layers that add to the residual stream start smaller by 1 / sqrt(number of layers).
static double residual_deviation(const struct model_config *c)
{
    return c->init_deviation / sqrt((double)c->layers);
}

// [batch, tokens, width] -> the same, added to `residual` unless it is NULL. cache and position are NULL in training.
static struct value *attention(struct builder *b, const struct model_config *c, struct value *x,
                               struct value *residual, struct value *lengths, struct value *cache,
                               struct value *position)
{
    return nn_attention(b, x,
                        &(struct attention_module){.qkv = "attn.c_attn",
                                                   .out = "attn.c_proj",
                                                   .layout = LAYOUT_IN_OUT,
                                                   .bias = c->bias,
                                                   .deviation = c->init_deviation,
                                                   .out_deviation = residual_deviation(c),
                                                   .heads = (int)c->heads,
                                                   .residual = residual,
                                                   .dropout = c->attention_dropout,
                                                   .lengths = lengths,
                                                   .cache = cache,
                                                   .position = position});
}

// [batch, tokens, width] -> the same, through [batch, tokens, hidden]; residual as above.
static struct value *mlp(struct builder *b, const struct model_config *c, struct value *x,
                         struct value *residual)
{
    struct value *y = nn_linear(b, x, "mlp.c_fc", c->hidden, c->bias, c->activation, LAYOUT_IN_OUT,
                                c->init_deviation);
    return nn_linear_add(b, y, residual, "mlp.c_proj", c->width, c->bias, LAYOUT_IN_OUT,
                         residual_deviation(c));
}

static struct value *layer(struct builder *b, const struct model_config *c, struct value *x,
                           int64_t number, struct value *lengths, struct value *cache,
                           struct value *position)
{
    bool again = !cache && number < c->recompute_layers;
    // Products add to the residual stream themselves where nothing is dropped in between; the last one of a layer that is computed
    // again does not, as its result stays while its input goes.
    bool adds = !nn_drops(b, c->residual_dropout);
    prefix_push(b, "h.%d", (int)number);
    if (again) region_begin(b->g);
    struct value *y = nn_layer_norm(b, x, "ln_1", c->bias, c->norm_epsilon);
    y = attention(b, c, y, adds ? x : NULL, lengths, cache, position);
    y = nn_dropout(b, y, c->residual_dropout);
    x = adds ? y : op_add(b->g, x, y);
    adds = adds && !again;
    y = nn_layer_norm(b, x, "ln_2", c->bias, c->norm_epsilon);
    y = nn_dropout(b, mlp(b, c, y, adds ? x : NULL), c->residual_dropout);
    if (again) region_end(b->g); // the layer's result stays: it is where the next region starts
    x = adds ? y : op_add(b->g, x, y);
    prefix_pop(b);
    return x;
}

// [batch, tokens, width], and in *table_p the token table.
static struct value *body(struct builder *b, const struct model_config *c,
                          struct model_inputs inputs, struct value *const *cache,
                          struct value *position, struct value **table_p)
{
    struct value *x;
    prefix_push(b, "transformer");
    *table_p = embed(b, c, inputs, &x);
    for (int64_t i = 0; i < c->layers; i++)
        x = layer(b, c, x, i, inputs.lengths, cache ? cache[i] : NULL, position);
    x = nn_layer_norm(b, x, "ln_f", c->bias, c->norm_epsilon);
    prefix_pop(b);
    return x;
}

// Hugging Face's head has no bias.
static struct value *gpt2_scores(struct builder *b, const struct model_config *c,
                                 struct model_inputs inputs)
{
    struct value *table, *x = body(b, c, inputs, NULL, NULL, &table);
    x = op_pool(b->g, x, inputs.lengths, c->pool);
    return nn_linear(b, x, "score", c->classes, false, ACTIVATION_NONE, LAYOUT_OUT_IN,
                     c->init_deviation);
}

static struct value *gpt2_loss(struct builder *b, const struct model_config *c,
                               struct model_inputs inputs, double smoothing)
{
    if (c->classes) return parts_loss(b, c, gpt2_scores(b, c, inputs), inputs, smoothing);
    struct value *table, *x = body(b, c, inputs, NULL, NULL, &table);
    return op_output_loss(b->g, x, table, inputs.targets, smoothing);
}

static struct value *gpt2_decode(struct builder *b, const struct model_config *c,
                                 struct model_inputs inputs, struct value *const *cache,
                                 struct value *position)
{
    struct value *table, *x = body(b, c, inputs, cache, position, &table);
    return op_linear(b->g, x, table, NULL, ACTIVATION_NONE, LAYOUT_OUT_IN);
}

const struct model_type gpt2_model = {
    .name = "gpt2",
    .reads = "layers, heads, width, hidden, context, vocabulary, dropout, embedding_dropout, "
             "attention_dropout, residual_dropout, activation, norm_epsilon, init_deviation, "
             "bias, pool, recompute_layers",
    .tasks = TASK_LM | TASK_CLASSIFY | TASK_REGRESS,
    .validate = validate,
    .loss = gpt2_loss,
    .scores = gpt2_scores,
    .decode = gpt2_decode,
    .table = "transformer.wte.weight",
    .head = "score",
    .architecture = "GPT2LMHeadModel",
};
