// SPDX-License-Identifier: Apache-2.0
// Small models for tests: a loaded model made in memory, and its training program with all gradients.
#ifndef STN_TEST_SMALL_MODEL_H
#define STN_TEST_SMALL_MODEL_H

#include "backend/backend.h"
#include "base/philox.h"
#include "store/model_directory.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != STATUS_OK) fail_msg("%s: %s", #call, error_message());                       \
    } while (0)

// ---- a training program ----

struct training {
    struct graph *graph;
    struct program *program;
    struct value *tokens, *positions, *targets, *random;
    const struct parameters *parameters;
    float *gradients; // block
    double loss;
    int yields; // gradients that came
};
enum { LOSS_TAG = 1 << 20 };

static inline void training_take(void *context, int tag, const void *data)
{
    struct training *t = context;
    if (tag == LOSS_TAG) {
        t->loss = (double)*(const float *)data;
        return;
    }
    assert_in_range(tag, 0, t->parameters->count - 1);
    const struct parameter *p = &t->parameters->list[tag];
    memcpy(t->gradients + p->offset, data, (size_t)p->count * sizeof(float));
    t->yields++;
}

// Builds loss and backward pass; declares into `parameters` what it lacks.
static inline void training_build(const struct model_config *config, struct parameters *parameters,
                                  int64_t batch, int64_t tokens, double smoothing, bool dropout,
                                  struct training *t)
{
    const struct model_type *type;
    assert_ok(model_find(config->type, &type));
    memset(t, 0, sizeof *t);
    assert_ok(graph_create(&t->graph));
    struct graph *g = t->graph;
    t->tokens = graph_input(g, "tokens", I32, shape_of(2, batch, tokens));
    t->positions = graph_input(g, "positions", I32, shape_of(2, batch, tokens));
    t->targets = graph_input(g, "targets", I32, shape_of(2, batch, tokens));
    t->random = dropout ? graph_input(g, "random", U32, shape_of(1, INT64_C(4))) : NULL;
    struct builder b = {.g = g, .parameters = parameters, .random = t->random};
    struct model_inputs inputs = {
        .tokens = t->tokens, .positions = t->positions, .targets = t->targets};
    struct value *loss = type->loss(&b, config, inputs, smoothing);
    assert_int_equal(b.depth, 0);
    assert_string_equal(b.prefix, "");
    graph_yield(g, loss, LOSS_TAG);
    backward(g, loss, parameters->count);
    assert_ok(graph_status(g));
    assert_ok(graph_verify(g));
    t->parameters = parameters;
    t->gradients = calloc((size_t)parameters->elements, sizeof(float));
    assert_non_null(t->gradients);
}

static inline void training_prepare(struct training *t, const char *backend_name,
                                    const float *weights)
{
    const struct backend *backend;
    assert_ok(backend_find(backend_name, &backend));
    assert_ok(program_create(backend, t->graph, NULL, &t->program));
    assert_ok(program_prepare(t->program, weights, NULL));
    int64_t batch = t->tokens->shape.size[0], tokens = t->tokens->shape.size[1];
    int32_t *positions = program_input(t->program, t->positions);
    for (int64_t i = 0; i < batch * tokens; i++) positions[i] = (int32_t)(i % tokens);
}

static inline double training_run(struct training *t, const int *tokens, const int *targets,
                                  uint32_t step)
{
    size_t count = (size_t)shape_count(t->tokens->shape);
    memcpy(program_input(t->program, t->tokens), tokens, count * sizeof(int32_t));
    memcpy(program_input(t->program, t->targets), targets, count * sizeof(int32_t));
    if (t->random) memcpy(program_input(t->program, t->random), (uint32_t[]){7, 0, step, 0}, 16);
    memset(t->gradients, 0, (size_t)t->parameters->elements * sizeof(float));
    t->yields = 0;
    program_run(t->program, training_take, t);
    return t->loss;
}

static inline void training_release(struct training *t)
{
    program_destroy(t->program);
    graph_destroy(t->graph);
    free(t->gradients);
}

// ---- a model in memory ----

static inline struct model_config small_config(int64_t vocabulary, int64_t context, int64_t width,
                                               int64_t layers, int64_t heads)
{
    struct model_config config = {.type = "gpt2",
                                  .vocabulary = vocabulary,
                                  .context = context,
                                  .width = width,
                                  .layers = layers,
                                  .heads = heads,
                                  .bias = true};
    const struct model_type *type;
    assert_ok(model_find("gpt2", &type));
    assert_ok(type->validate(&config));
    return config;
}

// Weights of every parameter drawn anew, biases and norms too, so that no term of a gradient is zero by chance.
static inline void small_weights(const struct parameters *parameters, uint64_t seed, float spread,
                                 float *weights)
{
    parameters_initialise(parameters, seed, weights);
    for (int p = 0; p < parameters->count; p++) {
        const struct parameter *parameter = &parameters->list[p];
        struct philox_address at = {.seed = seed,
                                    .stream = philox_stream(PHILOX_TEST, (uint32_t)p)};
        for (int64_t i = 0; i < parameter->count; i++)
            weights[parameter->offset + i] +=
                spread * ((float)philox_uniform(at, (uint64_t)i) - 0.5f);
    }
}

// `spread` as above: with weights of GPT-2's initialisation alone all logits are nearly equal. Transfers `tokenizer`.
static inline void small_model(struct model_config config, uint64_t seed, float spread,
                               struct tokenizer *tokenizer, struct loaded_model *model)
{
    memset(model, 0, sizeof *model);
    model->config = config;
    assert_ok(model_find(config.type, &model->type));
    parameters_init(&model->parameters);
    struct training t;
    training_build(&config, &model->parameters, 1, 1, 0, false, &t);
    training_release(&t);
    model->parameters.closed = true;
    assert_ok(block_create((size_t)model->parameters.elements * sizeof(float), "weights",
                           &model->weights));
    small_weights(&model->parameters, seed, spread, model->weights.data);
    model->tokenizer = tokenizer;
}

static inline void small_model_release(struct loaded_model *model)
{
    parameters_release(&model->parameters);
    block_destroy(&model->weights);
    tokenizer_destroy(model->tokenizer);
}

// Ids and targets in [0, vocabulary), some targets ignored.
static inline void small_batch(uint64_t seed, int vocabulary, int count, int *tokens, int *targets)
{
    struct philox_address at = {.seed = seed, .stream = philox_stream(PHILOX_TEST, 999)};
    for (int i = 0; i < count; i++) {
        tokens[i] = (int)(philox_bits(at, (uint64_t)(2 * i)) % (uint32_t)vocabulary);
        targets[i] = (int)(philox_bits(at, (uint64_t)(2 * i + 1)) % (uint32_t)vocabulary);
        if (philox_bits(at, (uint64_t)(2 * i + 1)) % 7 == 0) targets[i] = -1;
    }
}
#endif
