// SPDX-License-Identifier: Apache-2.0
// Small models with an encoder and a decoder, of random weights.
#ifndef STN_TEST_TASK_MODEL_H
#define STN_TEST_TASK_MODEL_H

#include "model/small_model.h"

enum { TASK_VOCABULARY = 14, TASK_END = 11, TASK_CONTEXT = 24 };
static const struct model_config translators[] = {
    {.type = "seq2seq", .width = 8, .heads = 2, .layers = 2, .bias = true},
    {.type = "seq2seq",
     .width = 12,
     .heads = 3,
     .layers = 1,
     .encoder_layers = 2,
     .source_vocabulary = 9,
     .bias = true,
     .post_norm = true,
     .sinusoidal = true},
    {.type = "rnn_seq2seq", .width = 8, .layers = 2, .bias = true},
    {.type = "rnn_seq2seq",
     .width = 10,
     .layers = 2,
     .encoder_layers = 2,
     .rnn = CELL_LSTM,
     .source_vocabulary = 9,
     .bias = true},
    {.type = "rnn_seq2seq", .width = 8, .additive_attention = true, .rnn = CELL_TANH},
};
enum { TRANSLATORS = sizeof translators / sizeof *translators };

static inline void task_model(struct model_config config, uint64_t seed, float spread,
                              struct loaded_model *model)
{
    *model = (struct loaded_model){0};
    assert_ok(model_find(config.type, &model->type));
    if (!config.vocabulary) config.vocabulary = TASK_VOCABULARY;
    if (!config.context) config.context = TASK_CONTEXT;
    assert_ok(model->type->validate(&config));
    model->config = config;
    parameters_init(&model->parameters);
    assert_ok(model_declare(&config, &model->parameters));
    assert_ok(block_create((size_t)model->parameters.elements * sizeof(float), "weights",
                           &model->weights));
    small_weights(&model->parameters, seed, spread, model->weights.data);
}

// A model of bytes, whose parameters are initialised; what there is after a failure is the caller's to release.
static inline enum status small_byte_model(struct model_config config, struct loaded_model *model)
{
    TRY(model_find(config.type, &model->type));
    TRY(model->type->validate(&config));
    model->config = config;
    TRY(tokenizer_byte_create(&model->tokenizer));
    TRY(model_declare(&config, &model->parameters));
    TRY(block_create((size_t)model->parameters.elements * sizeof(float), "weights",
                     &model->weights));
    small_weights(&model->parameters, 1, 1, model->weights.data);
    return STATUS_OK;
}
#endif
