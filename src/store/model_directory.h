// SPDX-License-Identifier: Apache-2.0
// A Hugging Face model directory: config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json.
#ifndef STN_STORE_MODEL_DIRECTORY_H
#define STN_STORE_MODEL_DIRECTORY_H

#include "model/model.h"
#include "text/tokenizer.h"

// A Hugging Face model directory holds what belongs to a model beside its weights; a model of examples has more of it:
//   source_tokenizer.json   of a translator whose source has a tokenizer of its own
//   labels.txt              names of the classes, one a line, in the order of their numbers
struct model_words {
    const struct tokenizer *tokenizer, *source_tokenizer; // NULL: none
    char *const *label;                                   // [labels]
    int32_t labels;
};
// Writes the words' files (tokenizer.json, …).
enum status model_words_save(const char *directory, const struct model_words *words) CHECK_RESULT;
// Whether the directory's classes have other names, or another order, than these; false where it names none. Fails: STATUS_INPUT for
// files that do not belong together, STATUS_MEMORY.
enum status model_words_differ(const char *directory, const struct model_words *words,
                               bool *differ_p) CHECK_RESULT;

// Writes config.json, generation_config.json and model.safetensors (through a temporary name and rename, each), and the tokenizer's files.
// tokenizer may be NULL. Fails: STATUS_DISK; old files stay whole.
enum status model_directory_save(const char *directory, const struct model_config *config,
                                 const struct parameters *parameters, const float *weights,
                                 const struct tokenizer *tokenizer) CHECK_RESULT;

// A model that was read: configuration, registry (closed) and weights. Owns all.
struct loaded_model {
    struct model_config config;
    const struct model_type *type;
    struct parameters parameters;
    struct block weights;
    struct tokenizer *tokenizer;        // NULL when the directory has none that we know
    struct tokenizer *source_tokenizer; // NULL: it is the tokenizer
    char **label;                       // [labels] NULL: it has none
    int32_t labels;
};
// Reads a directory that we or transformers wrote (GPT-2 with or without the prefix "transformer."; attn.bias buffers ignored).
// Everything is checked against config.json before memory is taken. Fails: STATUS_INPUT naming file, key or tensor, and
// what would be right; STATUS_UNSUPPORTED for models that are known but not built here.
enum status model_directory_load(const char *directory, struct loaded_model **model_p) CHECK_RESULT;
void loaded_model_destroy(struct loaded_model *model);
// Builds a throw-away graph of the model so that `parameters` is declared in order, then closes the registry.
enum status model_declare(const struct model_config *config,
                          struct parameters *parameters) CHECK_RESULT;
#endif
