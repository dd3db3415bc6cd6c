// SPDX-License-Identifier: Apache-2.0
// Models: one file of about 150 lines each and one row in registry.c (doc/adding-a-model.md).
#ifndef STN_MODEL_MODEL_H
#define STN_MODEL_MODEL_H

#include "nn/nn.h"

enum recompute {
    RECOMPUTE_NONE,
    RECOMPUTE_ALL
}; // all: activations of every layer are computed again in the backward pass

struct model_config {
    char type[24];                        // row of the registry: "gpt2"
    int64_t vocabulary;                   // rows of the token table
    int64_t context;                      // most positions
    int64_t width, layers, heads, hidden; // hidden 0: 4 * width
    double embedding_dropout, attention_dropout, residual_dropout;
    enum activation activation;
    double norm_epsilon, init_deviation;
    bool bias;     // in linear layers and norms. false is nanoGPT's choice
    enum cell rnn; // of recurrent layers
    bool tied;     // the output layer is the token table, where a model lets choose
    bool
        variational_dropout; // embedding and residual dropout: one mask for all positions of a sequence
    double weight_drop;      // dropout of recurrent weights, one mask for a step
    int64_t
        recompute_layers; // activations of the first n layers are computed again in the backward pass; 0 none
};

// Inputs of a graph of the model, made by the caller of build functions.
struct model_inputs {
    struct value *tokens;    // I32 [batch, tokens]
    struct value *positions; // I32 [batch, tokens]
    struct value *targets;   // I32 [batch, tokens], negative: ignored; NULL when decoding
    struct value *
        lengths; // I32 [batch] tokens that are there, NULL: all; when decoding with states never NULL
};

// Ranges, rates, heads that divide the width, a bounded number of parameters: for validate functions, after defaults.
// Fails: STATUS_USAGE naming key, value and what would be right.
enum status model_config_check(const struct model_config *config) CHECK_RESULT;

struct model_type {
    const char *name;
    // Fills what is 0 with the type's defaults, then checks. Fails: STATUS_USAGE naming key, value and what
    // would be right.
    enum status (*validate)(struct model_config *config);
    // Sum of the losses over all positions of the batch, shape [1].
    struct value *(*loss)(struct builder *b, const struct model_config *config,
                          struct model_inputs inputs, double smoothing);
    // (optional) the shape of what decoding keeps of a layer, for models that carry a state of one size over any number of
    // positions. NULL: keys and values of at most `context` positions, [2, context, width].
    struct shape (*state)(const struct model_config *config, int64_t layer);
    bool chooses_tied; // model.tied: false is possible
    // Logits [1, tokens, vocabulary] for new tokens of one sequence; cache[layer] are STATE values; position I32 [1]:
    // tokens so far. With `state`, inputs.lengths says how many of the tokens are there.
    struct value *(*decode)(struct builder *b, const struct model_config *config,
                            struct model_inputs inputs, struct value *const *cache,
                            struct value *position);
    // What Hugging Face calls it, for config.json.
    const char *architecture; // "GPT2LMHeadModel"
};
extern const struct model_type *const model_registry[]; // ends with NULL
// Fails: STATUS_USAGE listing the names and the nearest.
enum status model_find(const char *name, const struct model_type **type_p) CHECK_RESULT;
#endif
