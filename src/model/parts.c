// SPDX-License-Identifier: Apache-2.0
#include "model/parts.h"

#include <math.h>

void parts_transformer_defaults(struct model_config *c)
{
    if (c->context == 0) c->context = 128;
    if (c->width == 0) c->width = 256;
    if (c->layers == 0) c->layers = 4;
    if (c->encoder_layers == 0) c->encoder_layers = c->layers;
    if (c->heads == 0) c->heads = 4;
    if (c->hidden == 0 && c->width > 0 && c->width <= INT64_MAX / 4) c->hidden = 4 * c->width;
    if (c->activation == ACTIVATION_NONE) c->activation = ACTIVATION_GELU;
    if (c->norm_epsilon == 0) c->norm_epsilon = 1e-5;
    if (c->init_deviation == 0) c->init_deviation = 0.02;
}

enum status parts_check_head(struct model_config *c)
{
    if (c->classes < 1 || c->classes > 1 << 20)
        FAIL(STATUS_USAGE, "model.classes: %lld is out of range; it must be 1 to %d",
             (long long)c->classes, 1 << 20);
    if ((int)c->loss < 0 || c->loss > LOSS_SQUARED_HINGE)
        FAIL(STATUS_USAGE, "model.loss: %d is none that we know", (int)c->loss);
    if (c->loss == LOSS_SOFTMAX && c->classes == 1) c->loss = LOSS_BINARY;
    return STATUS_OK;
}

enum status parts_check_causal_head(struct model_config *c)
{
    if (c->classes == 0) return STATUS_OK;
    TRY(parts_check_head(c));
    if (c->pool != POOL_LAST && c->pool != POOL_MEAN && c->pool != POOL_MAX)
        FAIL(STATUS_USAGE, "model.pool: %s takes the last token, the mean or the largest", c->type);
    return STATUS_OK;
}

struct value *parts_embed(struct builder *b, const struct model_config *c, struct value *table,
                          const char *positions_name, struct value *tokens, struct value *positions)
{
    struct value *x = op_embedding(b->g, table, tokens), *places;
    if (c->sinusoidal) {
        // Sines are as large as 1: section 3.4 of Vaswani et al. 2017 makes the tokens as large.
        x = op_multiply(b->g, x, sqrt((double)c->width));
        places = op_sinusoid(b->g, positions, c->width);
    } else
        places = op_embedding(
            b->g, nn_embedding_table(b, positions_name, c->context, c->width, c->init_deviation),
            positions);
    return nn_dropout(b, op_add(b->g, x, places), c->embedding_dropout);
}

// x + part(norm(x)), or norm(x + part(x)).
static struct value *before(struct builder *b, const struct model_config *c, struct value *x,
                            const char *norm)
{
    return c->post_norm ? x : nn_layer_norm(b, x, norm, c->bias, c->norm_epsilon);
}
// What the part's last product adds to: x itself, where nothing is dropped in between; the same bits.
static struct value *residual(const struct builder *b, const struct model_config *c,
                              struct value *x)
{
    return nn_drops(b, c->residual_dropout) ? NULL : x;
}
static struct value *behind(struct builder *b, const struct model_config *c, struct value *x,
                            struct value *y, const char *norm)
{
    y = nn_dropout(b, y, c->residual_dropout);
    x = residual(b, c, x) ? y : op_add(b->g, x, y);
    return c->post_norm ? nn_layer_norm(b, x, norm, c->bias, c->norm_epsilon) : x;
}

static double out_deviation(const struct model_config *c)
{
    return c->init_deviation / sqrt(2 * (double)c->layers);
}

static struct cross_module cross_of(const struct model_config *c)
{
    return (struct cross_module){.name = "cross_attn",
                                 .heads = (int)c->heads,
                                 .bias = c->bias,
                                 .deviation = c->init_deviation,
                                 .out_deviation = out_deviation(c)};
}

struct value *parts_cross_keys(struct builder *b, const struct model_config *c, int64_t number,
                               struct value *memory)
{
    struct cross_module cross = cross_of(c);
    cross.memory = memory;
    prefix_push(b, "layers.%d", (int)number);
    struct value *kv = nn_cross_keys(b, &cross);
    prefix_pop(b);
    return kv;
}

struct value *parts_layer(struct builder *b, const struct model_config *c, struct value *x,
                          const struct layer_part *part)
{
    double out = out_deviation(c);
    prefix_push(b, "layers.%d", (int)part->number);
    struct attention_module attention = {.qkv = "self_attn.qkv",
                                         .out = "self_attn.out",
                                         .layout = LAYOUT_OUT_IN,
                                         .bias = c->bias,
                                         .deviation = c->init_deviation,
                                         .out_deviation = out,
                                         .heads = (int)c->heads,
                                         .residual = residual(b, c, x),
                                         .bidirectional = part->bidirectional,
                                         .dropout = c->attention_dropout,
                                         .lengths = part->lengths,
                                         .cache = part->cache,
                                         .position = part->position,
                                         .origins = part->origins};
    struct value *y = nn_attention(b, before(b, c, x, "self_attn_norm"), &attention);
    x = behind(b, c, x, y, "self_attn_norm");
    if (part->memory || part->memory_keys) {
        struct cross_module cross = cross_of(c);
        cross.memory = part->memory, cross.kv = part->memory_keys;
        cross.lengths = part->memory_lengths;
        cross.residual = residual(b, c, x);
        y = nn_cross_attention(b, before(b, c, x, "cross_attn_norm"), &cross);
        x = behind(b, c, x, y, "cross_attn_norm");
    }
    y = nn_linear(b, before(b, c, x, "mlp_norm"), "mlp.in", c->hidden, c->bias, c->activation,
                  LAYOUT_OUT_IN, c->init_deviation);
    y = nn_linear_add(b, y, residual(b, c, x), "mlp.out", c->width, c->bias, LAYOUT_OUT_IN, out);
    x = behind(b, c, x, y, "mlp_norm");
    prefix_pop(b);
    return x;
}

struct value *parts_last_norm(struct builder *b, const struct model_config *c, struct value *x)
{
    return c->post_norm ? x : nn_layer_norm(b, x, "norm", c->bias, c->norm_epsilon);
}

struct value *parts_scores(struct builder *b, const struct model_config *c, struct value *x,
                           const char *name)
{
    return nn_linear(b, x, name, c->classes, true, ACTIVATION_NONE, LAYOUT_OUT_IN,
                     c->init_deviation);
}

struct value *parts_loss(struct builder *b, const struct model_config *c, struct value *scores,
                         struct model_inputs inputs, double smoothing)
{
    if (inputs.labels)
        return op_class_loss(b->g, scores, inputs.labels, inputs.weights, c->loss,
                             c->loss == LOSS_SOFTMAX ? smoothing : 0);
    return op_score_loss(b->g, scores, inputs.goals, inputs.weights, c->loss);
}
