// SPDX-License-Identifier: Apache-2.0
// How Hugging Face writes a type of model: its config.json and what stands beside the parameters. One file (family_<type>.c) and one
// row in family.c for a type.
#ifndef STN_STORE_FAMILY_H
#define STN_STORE_FAMILY_H

#include "base/json.h"
#include "model/model.h"

struct model_family {
    const char *type;   // model_type of config.json, and of the model registry
    const char *prefix; // that files of the bare model leave out: "transformer."
    // The keys of config.json, without model_type and architectures, into `root`. False when memory does not suffice.
    bool (*write)(json_t *root, const struct model_config *config);
    // Fails: STATUS_INPUT or STATUS_UNSUPPORTED naming `path`, key, value and what would be right. `bias` is set to true.
    enum status (*read)(json_t *root, const char *path, struct model_config *config) CHECK_RESULT;
    // Numbers that the model has, for checking against the files before memory is taken. Sizes are in range.
    unsigned __int128 (*count)(const struct model_config *config);
    // Whether a parameter called name.weight has a name.bias when config.bias is set.
    bool (*has_bias)(const char *name);
    // Whether a tensor of a file (prefix included) is no parameter and may be left out: buffers, tied layers.
    bool (*is_ignored)(const char *name);
    bool own_bias;    // its config.json has a key for the lack of biases: none are written as zeros
    const char *tied; // a second name of the parameter `tied_to`, ignored when it has its shape
    const char *tied_to;
};
extern const struct model_family gpt2_family, lstm_lm_family;
extern const struct model_family encoder_family, seq2seq_family, rnn_seq2seq_family, bag_family;
extern const struct model_family convolution_family, mlp_family, linear_family;
const struct model_family *family_find(const char *type); // NULL when there is none

// "pool", "loss" and "sentences" of a head over classes, in an object of config.json; absent when reading: as they are.
bool family_write_head(json_t *object, const struct model_config *config);
enum status family_read_head(json_t *object, const char *path,
                             struct model_config *config) CHECK_RESULT;

// config.json and generation_config.json.
enum status model_config_write(const char *directory,
                               const struct model_config *config) CHECK_RESULT;
// Fails with STATUS_INPUT: a folder without config.json, which a run writes at its end.
enum status model_missing(const char *directory) CHECK_RESULT;
// Reads and checks config.json. *zero_bias_p: our own key says that biases in the file are zeros that the model lacks.
enum status model_config_read(const char *directory, struct model_config *config,
                              const struct model_family **family_p, bool *zero_bias_p) CHECK_RESULT;
#endif
