// SPDX-License-Identifier: Apache-2.0
// One GPT-2 training step written by hand, in double, to be read from top to bottom: the oracle for the graph.
//
// It shares nothing with src/: no graph, no registry, no kernels. Weights lie in one dense block in the
// order of struct plain_weights; gradients lie in a second block of the same form.
#ifndef STN_TEST_GPT2_PLAIN_H
#define STN_TEST_GPT2_PLAIN_H

#include <stdbool.h>

struct plain_config {
    int vocabulary, context, width, layers, heads, hidden;
    bool bias; // in norms and linear layers
    double epsilon, smoothing;
};

enum { PLAIN_MOST_LAYERS = 16 };

struct plain_layer {
    double *ln_1_weight, *ln_1_bias;           // [width]
    double *attention_weight, *attention_bias; // [width, 3 * width], [3 * width]: query, key, value
    double *projection_weight, *projection_bias; // [width, width], [width]
    double *ln_2_weight, *ln_2_bias;             // [width]
    double *up_weight, *up_bias;                 // [width, hidden], [hidden]
    double *down_weight, *down_bias;             // [hidden, width], [width]
};
struct plain_weights {
    double *wte, *wpe; // [vocabulary, width], [context, width]
    struct plain_layer layer[PLAIN_MOST_LAYERS];
    double *ln_f_weight, *ln_f_bias; // [width]
};

// How many numbers a block holds.
long plain_count(const struct plain_config *config);
// Points into a block; biases are NULL without config->bias.
void plain_map(const struct plain_config *config, double *block, struct plain_weights *weights);

// Forward and backward over tokens and targets [batch, length]; a negative target is ignored. Adds the
// gradient of the summed loss to the block `gradients`. logits [batch, length, vocabulary] and gradients may
// be NULL. Returns the loss summed over all positions.
double plain_step(const struct plain_config *config, double *block, const int *tokens,
                  const int *targets, int batch, int length, double *gradients, double *logits);
#endif
