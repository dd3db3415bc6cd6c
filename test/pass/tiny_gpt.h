// SPDX-License-Identifier: Apache-2.0
// A small GPT built from operations alone, for tests of the passes and backends: tied embedding,
// residuals, dropout, attention, label smoothing, ignored targets, and optionally every layer as a
// recompute region.
#ifndef STN_TEST_PASS_TINY_GPT_H
#define STN_TEST_PASS_TINY_GPT_H

#include "base/philox.h"
#include "op/op.h"
#include "pass/pass.h"

#include <string.h>

struct gpt_sizes {
    int64_t batch, tokens, width, layers, heads, vocabulary;
    double dropout;
    bool recompute, gradient;
    int threads;   // of the team that runs it; 0: none
    int precision; // enum precision of its products
    int block;     // whether gradients begin the arena
};

struct gpt {
    struct graph *g;
    struct gpt_sizes n;
    struct value *ids, *positions, *targets, *random, *loss;
    int64_t elements; // of the block of weights
    int parameters;
    struct shape shape[1024];
    int64_t offset[1024];
};
enum { GPT_LOSS_TAG = 100000, GPT_LOSSES_TAG };

static inline struct value *gpt_parameter(struct gpt *m, struct shape shape)
{
    int p = m->parameters++;
    INVARIANT(p < 1024, "%d parameters", p);
    m->shape[p] = shape;
    m->offset[p] = m->elements;
    m->elements += (shape_count(shape) + 15) / 16 * 16;
    return graph_parameter(m->g, "parameter", shape, m->offset[p], p);
}

static inline struct value *gpt_norm(struct gpt *m, struct value *x)
{
    struct value *gain = gpt_parameter(m, shape_of(1, m->n.width)),
                 *bias = gpt_parameter(m, shape_of(1, m->n.width));
    return op_layer_norm(m->g, x, gain, bias, 1e-5);
}

static inline struct value *gpt_linear(struct gpt *m, struct value *x, int64_t out,
                                       enum activation activation)
{
    struct value *w = gpt_parameter(m, shape_of(2, shape_last(x->shape), out)),
                 *bias = gpt_parameter(m, shape_of(1, out));
    return op_linear(m->g, x, w, bias, activation, LAYOUT_IN_OUT);
}

static inline struct value *gpt_layer(struct gpt *m, struct value *x, int layer)
{
    struct graph *g = m->g;
    uint32_t operation = (uint32_t)(1 + layer * (2 + (int)m->n.heads));
    scope_push(g, "h.%d", layer);
    if (m->n.recompute) region_begin(g);
    scope_push(g, "attn");
    struct value *y = gpt_linear(m, gpt_norm(m, x), 3 * m->n.width, ACTIVATION_NONE);
    struct attention_attributes attributes = {.heads = (int)m->n.heads,
                                              .kv_heads = (int)m->n.heads,
                                              .rate = m->n.dropout,
                                              .operation = operation};
    y = op_attention(g, y, m->random, NULL, &attributes);
    y = gpt_linear(m, y, m->n.width, ACTIVATION_NONE);
    x = op_add(g, x, op_dropout(g, y, m->random, m->n.dropout, operation + (uint32_t)m->n.heads));
    scope_pop(g);
    scope_push(g, "mlp");
    y = gpt_linear(m, gpt_norm(m, x), 4 * m->n.width, ACTIVATION_GELU_TANH);
    y = gpt_linear(m, y, m->n.width, ACTIVATION_NONE);
    x = op_add(g, x,
               op_dropout(g, y, m->random, m->n.dropout, operation + (uint32_t)m->n.heads + 1));
    scope_pop(g);
    if (m->n.recompute) region_end(g);
    scope_pop(g);
    return x;
}

// The caller destroys m->g.
static inline enum status gpt_build(struct gpt *m, struct gpt_sizes n)
{
    *m = (struct gpt){.n = n};
    TRY(graph_create(&m->g));
    struct graph *g = m->g;
    m->ids = graph_input(g, "ids", I32, shape_of(2, n.batch, n.tokens));
    m->positions = graph_input(g, "positions", I32, shape_of(2, n.batch, n.tokens));
    m->targets = graph_input(g, "targets", I32, shape_of(2, n.batch, n.tokens));
    m->random = graph_input(g, "random", U32, shape_of(1, 4));
    struct value *table = gpt_parameter(m, shape_of(2, n.vocabulary, n.width));
    struct value *places = gpt_parameter(m, shape_of(2, n.tokens, n.width));
    struct value *x =
        op_add(g, op_embedding(g, table, m->ids), op_embedding(g, places, m->positions));
    x = op_dropout(g, x, m->random, n.dropout, 0);
    for (int layer = 0; layer < n.layers; layer++) x = gpt_layer(m, x, layer);
    x = gpt_norm(m, x);
    // The tied table once more, as another leaf of the same parameter.
    struct value *again =
        graph_parameter(g, "parameter", table->shape, table->offset, table->parameter);
    m->loss = op_output_loss(g, x, again, m->targets, 0.1);
    graph_yield(g, m->loss, GPT_LOSS_TAG);
    graph_yield(g, graph_aux(g, m->loss, 2), GPT_LOSSES_TAG);
    if (n.gradient) backward(g, m->loss, m->parameters);
    return graph_status(g);
}

// Gains about 1, the rest small.
static inline void gpt_weights(const struct gpt *m, real *weights)
{
    struct philox_address at = {.seed = 11, .stream = philox_stream(PHILOX_TEST, 1)};
    memset(weights, 0, (size_t)m->elements * sizeof *weights);
    for (int p = 0; p < m->parameters; p++)
        for (int64_t i = 0; i < shape_count(m->shape[p]); i++) {
            double u = philox_uniform(at, (uint64_t)(m->offset[p] + i)) - 0.5;
            weights[m->offset[p] + i] = (real)(m->shape[p].rank == 1 ? 1 + u : 0.5 * u);
        }
}

// ids: anything below the vocabulary; every seventh target is ignored.
static inline void gpt_fill(const struct gpt *m, int32_t *ids, int32_t *positions, int32_t *targets,
                            uint32_t *random)
{
    struct philox_address at = {.seed = 12, .stream = philox_stream(PHILOX_TEST, 2)};
    for (int64_t i = 0; i < m->n.batch * m->n.tokens; i++) {
        ids[i] = (int32_t)(philox_bits(at, (uint64_t)i) % (uint32_t)m->n.vocabulary);
        positions[i] = (int32_t)(i % m->n.tokens);
        targets[i] =
            i % 7 == 6 ? -1
                       : (int32_t)(philox_bits(at, (uint64_t)i + 1000) % (uint32_t)m->n.vocabulary);
    }
    uint32_t key[4] = {1337, 0, 3, 40};
    memcpy(random, key, sizeof key);
}
#endif
