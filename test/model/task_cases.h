// SPDX-License-Identifier: Apache-2.0
// Small configurations of every type of model, and inputs for them.
#ifndef STN_TEST_TASK_CASES_H
#define STN_TEST_TASK_CASES_H

#include "base/philox.h"
#include "base/status.h"
#include "model/model.h"

#include <string.h>

static const struct model_config task_cases[] = {
    {.type = "gpt2", .width = 8, .heads = 2, .layers = 2, .bias = true},
    {.type = "lstm_lm", .width = 8, .layers = 2, .rnn = CELL_LSTM, .tied = true, .bias = true},
    {.type = "lstm_lm", .width = 8, .hidden = 5, .layers = 2, .rnn = CELL_GRU},
    {.type = "gpt2",
     .width = 8,
     .heads = 2,
     .layers = 1,
     .bias = true,
     .classes = 3,
     .pool = POOL_LAST},
    {.type = "gpt2", .width = 8, .heads = 2, .layers = 1, .classes = 1, .loss = LOSS_SQUARED},
    {.type = "lstm_lm", .width = 8, .layers = 2, .tied = true, .bias = true, .classes = 3},
    {.type = "lstm_lm",
     .width = 8,
     .hidden = 5,
     .layers = 1,
     .rnn = CELL_GRU,
     .classes = 2,
     .loss = LOSS_BINARY,
     .pool = POOL_LAST},
    {.type = "encoder", .width = 8, .heads = 2, .layers = 2, .bias = true},
    {.type = "encoder",
     .width = 8,
     .heads = 2,
     .layers = 1,
     .bias = true,
     .classes = 3,
     .post_norm = true},
    {.type = "encoder",
     .width = 8,
     .heads = 2,
     .layers = 1,
     .classes = 1,
     .pool = POOL_FIRST,
     .sinusoidal = true},
    {.type = "encoder", .width = 8, .heads = 2, .layers = 1, .bias = true, .spans = true},
    {.type = "encoder", .width = 8, .heads = 2, .layers = 1, .spans = true, .matches = 5},
    {.type = "seq2seq", .width = 8, .heads = 2, .layers = 2, .bias = true},
    {.type = "seq2seq",
     .width = 8,
     .heads = 2,
     .layers = 1,
     .encoder_layers = 2,
     .source_vocabulary = 9,
     .bias = true,
     .post_norm = true,
     .sinusoidal = true},
    {.type = "rnn_seq2seq", .width = 8, .layers = 2, .bias = true},
    {.type = "rnn_seq2seq",
     .width = 8,
     .encoder_layers = 2,
     .rnn = CELL_LSTM,
     .source_vocabulary = 9,
     .bias = true},
    {.type = "rnn_seq2seq", .width = 8, .additive_attention = true, .rnn = CELL_TANH},
    {.type = "bag", .width = 8, .classes = 4},
    {.type = "bag", .width = 8, .classes = 2, .loss = LOSS_BINARY, .pool = POOL_MAX},
    {.type = "convolution", .width = 8, .hidden = 6, .classes = 4, .activation = ACTIVATION_TANH},
    {.type = "mlp",
     .features = 7,
     .layers = 2,
     .hidden = 6,
     .classes = 1,
     .activation = ACTIVATION_TANH},
    {.type = "mlp",
     .features = 7,
     .layers = 2,
     .hidden = 6,
     .classes = 3,
     .activation = ACTIVATION_SIGMOID,
     .batch_norm = true},
    {.type = "linear", .features = 7, .loss = LOSS_SQUARED, .bias = true},
    {.type = "linear", .features = 7, .classes = 3, .bias = true},
    {.type = "linear", .features = 7, .classes = 3, .loss = LOSS_SQUARED_HINGE},
    {.type = "linear", .classes = 3, .bias = true, .pool = POOL_SUM},
    {.type = "linear", .classes = 1, .loss = LOSS_HINGE},
};
enum {
    TASK_CASES = sizeof task_cases / sizeof *task_cases,
    TASK_BATCH = 5,
    TASK_TOKENS = 7,
    TASK_SOURCE = 6
};

// Case i with defaults; returns its validation's status.
static inline enum status task_config(int i, const struct model_type **type_p,
                                      struct model_config *config_p)
{
    *config_p = task_cases[i];
    config_p->vocabulary = 11;
    config_p->context = 8;
    TRY(model_find(config_p->type, type_p));
    return (*type_p)->validate(config_p);
}

static inline uint32_t task_bits(uint32_t stream, int64_t i)
{
    struct philox_address at = {.seed = 4, .stream = philox_stream(PHILOX_TEST, stream)};
    return philox_bits(at, (uint64_t)i);
}

// Fills one input of a micro-batch, by its name; padding holds `padding`, and weights and targets make it count for nothing.
static inline void task_fill(const struct model_config *c, const struct value *input,
                             int32_t padding, void *data)
{
    const char *name = input->name;
    bool source = strncmp(name, "source", 6) == 0;
    int64_t vocabulary = source && c->source_vocabulary ? c->source_vocabulary : c->vocabulary;
    int64_t n = shape_count(input->shape), row = shape_last(input->shape);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = task_bits((uint32_t)name[0] + 64 * source, i);
        double u = (double)bits / 4294967296.0 * 2 - 1;
        int32_t length = (int32_t)(2 + (i / row + 2) % (row > 1 ? row - 1 : 1)),
                id = (int32_t)(bits % (uint32_t)vocabulary);
        bool there = i % row < length;
        if (strstr(name, "positions"))
            ((int32_t *)data)[i] = (int32_t)(i % row);
        else if (strstr(name, "lengths"))
            ((int32_t *)data)[i] =
                (int32_t)(2 + (i + 2) % ((source ? TASK_SOURCE : TASK_TOKENS) - 1));
        else if (strcmp(name, "labels") == 0)
            ((int32_t *)data)[i] = i % 4 == 3 ? -1 : (int32_t)(bits % (uint32_t)c->classes);
        else if (strcmp(name, "ends") == 0)
            ((int32_t *)data)[i] = i % 4 == 3 ? -1 : (int32_t)(bits % 2);
        else if (strcmp(name, "matches") == 0)
            ((int32_t *)data)[i] = (int32_t)(bits % (uint32_t)c->matches);
        else if (strcmp(name, "mask") == 0)
            ((real *)data)[i] = there ? 0 : (real)SPAN_NEVER;
        else if (strcmp(name, "targets") == 0)
            ((int32_t *)data)[i] = there ? id : -1;
        else if (input->dtype == I32)
            ((int32_t *)data)[i] = there ? id : padding;
        else if (strcmp(name, "weights") == 0)
            ((real *)data)[i] = i == 1 ? 0 : (real)(1 + u / 2);
        else if (strcmp(name, "goals") == 0 && c->loss == LOSS_BINARY)
            ((real *)data)[i] = (real)(bits % 2);
        else
            ((real *)data)[i] = (real)u;
    }
}

// The inputs of `in` that there are; returns how many.
static inline int task_inputs(const struct model_inputs *in, const struct value *list[16])
{
    const struct value *const all[] = {
        in->tokens,           in->positions,      in->targets,  in->lengths, in->source,
        in->source_positions, in->source_lengths, in->features, in->labels,  in->goals,
        in->weights,          in->ends,           in->mask,     in->matches};
    int count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) list[count++] = all[i];
    return count;
}
#endif
