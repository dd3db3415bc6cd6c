// SPDX-License-Identifier: Apache-2.0
// config.json: what all types share. Keys that we do not know are left alone; keys that ask for code to be run are never obeyed.
#include "store/family.h"

#include "base/file.h"
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

enum { MOST_CONFIG = 1 << 20 };

static const struct model_family *const families[] = {
    &gpt2_family, &lstm_lm_family,     &encoder_family, &seq2seq_family, &rnn_seq2seq_family,
    &bag_family,  &convolution_family, &mlp_family,     &linear_family,  NULL};

const struct model_family *family_find(const char *type)
{
    for (int i = 0; families[i]; i++)
        if (strcmp(families[i]->type, type) == 0) return families[i];
    return NULL;
}

// ---- writing ----
static json_t *make_config(const struct model_config *config, const struct model_family *family,
                           const char *architecture)
{
    json_t *root =
        json_pack("{s:[s], s:s}", "architectures", architecture, "model_type", family->type);
    bool good = root && family->write(root, config);
    good = good && !json_object_set_new(root, "torch_dtype", json_string("float32"));
    good = good && !json_object_set_new(root, "dtype", json_string("float32"));
    if (!config->bias && !family->own_bias) {
        json_t *own =
            good ? json_object_get(root, "stentor") : NULL; // what the family has of its own
        good = good && (own ? !json_object_set_new(own, "bias", json_false())
                            : !json_object_set_new(root, "stentor", json_pack("{s:b}", "bias", 0)));
    }
    if (good) return root;
    json_decref(root);
    return NULL;
}

static enum status write_and_release(const char *directory, const char *name, json_t *root)
{
    char path[STORE_PATH];
    enum status status = path_join(path, sizeof path, directory, name);
    if (!status) status = json_write_file(root, path);
    json_decref(root);
    return status;
}

enum status model_config_write(const char *directory, const struct model_config *config)
{
    const struct model_family *family = family_find(config->type);
    const struct model_type *type;
    if (!family)
        FAIL(STATUS_UNSUPPORTED, "a model of type \"%s\" has no Hugging Face form", config->type);
    TRY(model_find(config->type, &type));
    TRY(write_and_release(directory, "config.json",
                          make_config(config, family, type->architecture)));
    json_t *generation = json_pack("{s:b, s:n, s:n, s:n}", "_from_model_config", 1, "bos_token_id",
                                   "eos_token_id", "pad_token_id");
    return write_and_release(directory, "generation_config.json", generation);
}

// ---- reading ----
static enum status find_family(json_t *root, const char *path, const struct model_family **family_p)
{
    const char *type;
    char type_shown[SHOWN];
    TRY(json_get_string(root, "model_type", path, true, NULL, &type));
    const struct model_family *family = family_find(type);
    if (!family) {
        char known[256] = "";
        for (int i = 0; families[i]; i++)
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s\"%s\"", i ? ", " : "",
                     families[i]->type);
        FAIL(STATUS_UNSUPPORTED, "%s: \"model_type\" is \"%s\"; this program knows %s", path,
             shown(type, type_shown, sizeof type_shown), known);
    }
    *family_p = family;
    return STATUS_OK;
}

// "stentor": {"bias": false}
static enum status read_own(json_t *root, const char *path, bool *zero_bias_p)
{
    json_t *own = json_object_get(root, "stentor");
    bool bias = true;
    if (own) TRY(json_get_boolean(own, "bias", path, true, &bias));
    *zero_bias_p = !bias;
    return STATUS_OK;
}

static enum status read_root(json_t *root, const char *path, struct model_config *config,
                             const struct model_family **family_p, bool *zero_bias_p)
{
    TRY(find_family(root, path, family_p));
    *config = (struct model_config){.bias = true, .tied = true};
    snprintf(config->type, sizeof config->type, "%s", (*family_p)->type);
    TRY((*family_p)->read(root, path, config));
    return read_own(root, path, zero_bias_p);
}

static bool holds(const char *directory, const char *name)
{
    char path[STORE_PATH];
    bool there = !path_join(path, sizeof path, directory, name) &&
                 (file_exists(path) || directory_exists(path));
    error_clear();
    return there;
}

enum status model_missing(const char *directory)
{
    if (holds(directory, "best/config.json"))
        FAIL(STATUS_INPUT,
             "%s is not a model: it has no config.json, since its run has not come to its end; "
             "%s/best is the best so far",
             directory, directory);
    if (holds(directory, "checkpoints"))
        FAIL(STATUS_INPUT,
             "%s is not a model: it has no config.json, since its run has not come to its end; "
             "`stentor train` with --resume goes on",
             directory);
    FAIL(STATUS_INPUT, "%s is not a model: it has no config.json", directory);
}

enum status model_config_read(const char *directory, struct model_config *config,
                              const struct model_family **family_p, bool *zero_bias_p)
{
    char path[STORE_PATH];
    json_t *root;
    TRY(path_join(path, sizeof path, directory, "config.json"));
    if (directory_exists(directory) && !file_exists(path)) return model_missing(directory);
    TRY(json_read_file(path, MOST_CONFIG, &root));
    enum status status = read_root(root, path, config, family_p, zero_bias_p);
    json_decref(root);
    return status;
}
