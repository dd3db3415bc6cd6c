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
    bool bias;                // in linear layers and norms. false is nanoGPT's choice
    enum cell rnn;            // of recurrent layers
    bool tied;                // the output layer is the token table, where a model lets choose
    bool variational_dropout; // of embedding and residual: one mask for all positions of a sequence
    double weight_drop;       // dropout of recurrent weights, one mask for a step
    int64_t recompute_layers; // activations of so many first layers are computed again, not kept

    // Of models for other tasks than lm; 0 and false are each type's defaults.
    int64_t classes;      // scores of an example; 0: the head is a language model's
    enum score_loss loss; // of those scores
    enum pool pool;       // how a sequence becomes one vector
    int64_t features;     // numbers of an example (mlp, linear)
    int64_t ngrams,
        ngram_hash; // of a bag: longest runs of tokens that are tokens, too, and rows for them
    int64_t source_vocabulary; // an encoder's own table; 0: it shares the decoder's
    int64_t encoder_layers;    // 0: as many as `layers`
    bool post_norm;  // Transformers: norms behind the sums, as in 2017; else before each part
    bool sinusoidal; // Transformers: positions are sines, not learned
    // A text is a sentence, marked with its place in a longer one; its score says how good a summary it is.
    bool sentences;
    bool presence;           // texts: a token counts once, however often it is there
    bool batch_norm;         // mlp: before each activation
    bool additive_attention; // rnn_seq2seq: Bahdanau's scores, else Luong's general ones
    bool spans; // encoder: two scores of every token, that an answer begins and that it ends there
    int64_t
        matches; // with spans: kinds of places, by how they match the question (inputs.matches); 0: not told
};

// What a model can be trained for, and the inputs that belong to it.
enum model_tasks {
    TASK_LM = 1,  // tokens, positions, targets: the next token
    TASK_MLM = 2, // tokens, positions, lengths; targets: what masked tokens were, else negative
    TASK_TRANSLATE = 4, // source, source_positions, source_lengths; tokens, positions, targets
    TASK_CLASSIFY = 8,  // tokens, positions, lengths; or features. labels, weights
    TASK_REGRESS = 16,  // the same with goals for labels
    TASK_ANSWER =
        32 // tokens, positions, lengths; labels and ends: places of a span's first and last token; mask, weights
};

// Inputs of a graph of the model, made by the caller of build functions; NULL where a task has none.
struct model_inputs {
    struct value *tokens;    // I32 [batch, tokens]
    struct value *positions; // I32 [batch, tokens]
    struct value *targets;   // I32 [batch, tokens], negative: ignored; NULL when decoding
    // I32 [batch] tokens that are there; NULL: all. When decoding with states never NULL.
    struct value *lengths;
    struct value *source, *source_positions; // I32 [batch, source tokens], of an encoder
    struct value *source_lengths;            // I32 [batch] of them that are there; NULL: all
    struct value *features;                  // F32 [batch, features]
    struct value *labels;                    // I32 [batch] class, negative: ignored
    // F32 [batch, classes]: 0 to 1 (LOSS_BINARY), -1 or 1 (hinges), numbers (LOSS_SQUARED)
    struct value *goals;
    struct value *weights; // F32 [batch] of the examples' losses, 0: padding; NULL: 1
    // Of models that carry a state (model_type.carried): F32 [batch, carried] that sequences begin with, NULL: 0; and where the one
    // that they end with shall be, a value of the same shape.
    struct value *state, **next;
    // Of spans: I32 [batch] as labels, which are their firsts; F32 [batch, tokens] added to scores: 0, or SPAN_NEVER
    struct value *ends, *mask;
    struct value *matches; // I32 [batch, tokens] below config.matches; NULL: not told
};

// Added to a score it leaves no probability.
#define SPAN_NEVER (-1e4F)

// What a search keeps of a batch of sources, in the order of the type: filled by `encode`, given back as STATE values of the same
// shapes to `step`. Arrays have room for MODEL_MEMORY(config) values.
struct model_memory {
    struct value **source; // [batch, ..] the same at all steps
    int sources;
    // [batch, ..] what a decoder starts with; to and from `step` [batch * beams, ..], which replaces it
    struct value **carried;
    int carries;
};
#define MODEL_MEMORY(config) (2 * (size_t)(config)->layers + 2)
// One step of a search: the newest token of each of `beams` beams of every source.
struct model_step {
    struct value *tokens, *positions; // I32 [batch, beams]
    struct value *source_lengths;     // I32 [batch]
    struct value *position;           // I32 [1] tokens before
    // Of types with `step_keys`: I32 [rows, steps] and, of each layer, STATE [rows, 2, steps, width] (op_attention_beams).
    struct value *origins, *const *cache;
    struct model_memory *memory;
};

// Ranges, rates, heads that divide the width, a bounded number of parameters: for validate functions, after defaults.
// Fails: STATUS_USAGE naming key, value and what would be right.
enum status model_config_check(const struct model_config *config) CHECK_RESULT;

struct model_type {
    const char *name;
    // Keys of run files that it reads, those of `model` without that: "layers, width, data.ngrams". A key that no type names is not a
    // model's matter; one that others name and this does not is refused where it is set, and printed run files leave it out. `tied`: the
    // output layer may have a table of its own.
    const char *reads;
    // Fills what is 0 with the type's defaults, then checks. Fails: STATUS_USAGE naming key, value and what
    // would be right.
    enum status (*validate)(struct model_config *config);
    unsigned tasks; // enum model_tasks
    // Sum of the losses over all positions, or examples with their weights, of the batch, shape [1].
    struct value *(*loss)(struct builder *b, const struct model_config *config,
                          struct model_inputs inputs, double smoothing);
    // (optional) the shape of what decoding keeps of a layer, for models that carry a state of one size over any number of
    // positions. NULL: keys and values of at most `context` positions, [2, context, width].
    struct shape (*state)(const struct model_config *config, int64_t layer);
    // (optional) Numbers of the state that a sequence goes on with from window to window (inputs.state).
    int64_t (*carried)(const struct model_config *config);
    // (optional) Scores [batch, classes] for tasks of examples, whose loss is parts_loss() of them, [batch, tokens, 2] for TASK_ANSWER;
    // logits [batch, tokens, vocabulary] for TASK_TRANSLATE, each of the token behind it. Targets, labels, goals and weights are not
    // read.
    struct value *(*scores)(struct builder *b, const struct model_config *config,
                            struct model_inputs inputs);
    // (optional) the parameter with the vectors of a text's tokens, which models of other types may start from
    const char *table;     // "transformer.wte.weight"
    const char *head;      // (optional) the layer whose outputs are classes: "score"
    double init_deviation; // what a run file that names none gets; 0: 0.02, GPT-2's
    int64_t
        margin; // places of padding behind the longest text, so that scores do not depend on its length
    // (TASK_LM, else NULL) Logits [1, tokens, vocabulary] for new tokens of one sequence; cache[layer] are STATE values;
    // position I32 [1]: tokens so far. With `state`, inputs.lengths says how many of the tokens are there.
    struct value *(*decode)(struct builder *b, const struct model_config *config,
                            struct model_inputs inputs, struct value *const *cache,
                            struct value *position);
    // (TASK_TRANSLATE, else NULL) Appends the encoder, and what of it a search keeps.
    void (*encode)(struct builder *b, const struct model_config *config, struct model_inputs inputs,
                   struct model_memory *memory);
    // (with encode) Logits [batch, beams, vocabulary] of the tokens behind.
    struct value *(*step)(struct builder *b, const struct model_config *config,
                          const struct model_step *step);
    bool step_keys; // a step keeps keys and values of all tokens before
    // What Hugging Face calls it, for config.json.
    const char *architecture; // "GPT2LMHeadModel"
};
// What a directory's model is for: its config chooses where a type knows several tasks.
enum model_tasks model_task_of(const struct model_type *type, const struct model_config *config);
// Whether the loss is one of several classes (inputs.labels); else scores go against goals.
bool model_takes_labels(const struct model_config *config);
// The inputs of a task, as leaves of g: all of those that enum model_tasks names.
struct model_sizes {
    int64_t batch, tokens, source_tokens;
};
struct model_inputs model_inputs_create(struct graph *g, const struct model_config *config,
                                        enum model_tasks task, struct model_sizes sizes);
extern const struct model_type *const model_registry[]; // ends with NULL
// Fails: STATUS_USAGE listing the names and the nearest.
enum status model_find(const char *name, const struct model_type **type_p) CHECK_RESULT;
#endif
