// SPDX-License-Identifier: Apache-2.0
// What several models are made of: Transformer layers with all their options, and the head that scores an example.
#ifndef STN_MODEL_PARTS_H
#define STN_MODEL_PARTS_H

#include "model/model.h"

// Zeros become the sizes of a small Transformer.
void parts_transformer_defaults(struct model_config *c);
// Defaults and checks for models with a head over `classes`: at least one, and a loss that fits the task (LOSS_SOFTMAX with one
// class becomes LOSS_BINARY). Fails: STATUS_USAGE.
enum status parts_check_head(struct model_config *c) CHECK_RESULT;

// The same for a language model's body, where classes may be 0: no head. Its first token has seen nothing, so it scores no text.
enum status parts_check_causal_head(struct model_config *c) CHECK_RESULT;

// Tokens [batch, tokens] as vectors with their positions (learned in `positions_name`, or sines), with dropout.
struct value *parts_embed(struct builder *b, const struct model_config *c, struct value *table,
                          const char *positions_name, struct value *tokens,
                          struct value *positions);
// One layer: self-attention, attention over `memory` where there is one, feed-forward; norms before or behind.
struct layer_part {
    int64_t number;
    bool bidirectional;
    struct value *lengths;                    // of x, or NULL
    struct value *memory, *memory_lengths;    // of an encoder, or NULL
    struct value *memory_keys;                // parts_cross_keys of the memory, which is NULL then
    struct value *cache, *position, *origins; // of a search (op_attention_beams), or NULL
};
struct value *parts_layer(struct builder *b, const struct model_config *c, struct value *x,
                          const struct layer_part *part);
// What decoder layer `number` reads of the memory, the same at every step of a search: its keys and values.
struct value *parts_cross_keys(struct builder *b, const struct model_config *c, int64_t number,
                               struct value *memory);
// The norm behind all layers, where norms stand before.
struct value *parts_last_norm(struct builder *b, const struct model_config *c, struct value *x);
// Scores [batch, classes] of vectors [batch, width].
struct value *parts_scores(struct builder *b, const struct model_config *c, struct value *x,
                           const char *name);
// The loss of scores: of labels where the caller gives them, else of goals.
struct value *parts_loss(struct builder *b, const struct model_config *c, struct value *scores,
                         struct model_inputs inputs, double smoothing);
#endif
