// SPDX-License-Identifier: Apache-2.0
// Keys that nothing of the run reads, since they are of other models, tasks, schedules and so on: set they are an error, else they would
// be ignored without a word.
#include "train/run_schema.h"

#include <stdio.h>
#include <string.h>

// Who reads a key: tasks, schedules and so on. What types of models read, they say themselves.
struct reader {
    const char *key, *names;
};
static const struct reader of_tasks[] = {
    {"model.loss", "classify, regress, answer"},
    {"model.pool", "classify, regress, mlm"},
    {"data.mask_rate", "mlm"},
    {"data.answer_tokens", "answer"},
    {"data.answer_goal", "answer"},
    {"model.matches", "answer"},
};

// train.min_learning_rate is resolved, and printed, for all schedules.
static const struct reader of_schedules[] = {
    {"train.decay_steps", "linear, cosine, wsd"},
    {"train.step_size", "step"},
    {"train.factor", "step, plateau"},
    {"train.schedule_patience", "plateau"},
};
#define BY_GRADIENTS "sgd, rmsprop, adam, adamw"
static const struct reader of_optimizers[] = {
    {"train.momentum", "sgd, rmsprop"},
    {"train.nesterov", "sgd"},
    {"train.beta1", "adam, adamw"},
    {"train.beta2", "adam, adamw, rmsprop"},
    {"train.epsilon", "adam, adamw, rmsprop"},
    {"train.smoothing", "count"},
    {"train.learning_rate", BY_GRADIENTS},
    {"train.weight_decay", BY_GRADIENTS},
    {"train.clip", BY_GRADIENTS},
    {"train.l1", BY_GRADIENTS},
    {"train.l2", BY_GRADIENTS},
    {"train.label_smoothing", BY_GRADIENTS},
    {"train.layer_decay", BY_GRADIENTS},
    {"train.clip_value", BY_GRADIENTS},
    {"train.clip_infinity", BY_GRADIENTS},
    {"train.schedule", BY_GRADIENTS},
    {"train.warmup", BY_GRADIENTS},
    {"train.patience", BY_GRADIENTS},
    {"train.precision", BY_GRADIENTS},
    {"data.word_dropout", BY_GRADIENTS},
    {"data.swap", BY_GRADIENTS},
    {"data.mask", BY_GRADIENTS},
    {"data.unknown", BY_GRADIENTS},
};
// How an exchange is tuned stands for whenever that is chosen: keys of parallel are not asked.

// data.lower_case is of measures, too, where texts are written.
static const struct reader of_tokenizers[] = {
    {"data.vocabulary", "word, bpe"},
    {"data.min_count", "word, bpe"},
    {"data.split", "word"},
    {"data.lower_case", "word"},
};

// Columns of rows; of running text they are refused as such, of answers as what the file names itself.
static const struct reader of_columns[] = {
    {"data.pair", "classify, regress, mlm"},
    {"data.target", "classify, regress, translate, summarize"},
};

static bool is_among(const char *names, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = names; *at; at += strspn(at, ", ")) {
        size_t word = strcspn(at, ",");
        if (word == length && memcmp(at, name, word) == 0) return true;
        at += word;
    }
    return false;
}

// The types that say so (model_type.reads) of a key, "gpt2, lstm_lm"; "": no type does, and others ask for it.
static const char *types_that_read(const char *key, char names[256])
{
    size_t used = 0, section = strncmp(key, "model.", 6) ? 0 : 6;
    names[0] = 0;
    for (int i = 0; model_registry[i]; i++)
        if (is_among(model_registry[i]->reads, key + section))
            used += (size_t)snprintf(names + used, 256 - used, "%s%s", used ? ", " : "",
                                     model_registry[i]->name);
    return names;
}

bool run_key_is_of_type(const char *key, const char *type)
{
    char names[256];
    return !types_that_read(key, names)[0] || is_among(names, type);
}

// Run files that 0.1.0 printed name the keys of all types, with the values that it resolved for all: those not read mean nothing.
static bool names_keys_of_all_types(const struct run_config *config)
{
    static const char *const of_each[] = {"model.heads", "model.rnn", "model.batch_norm"};
    for (size_t i = 0; i < sizeof of_each / sizeof *of_each; i++)
        if (config->origin[run_key_find(of_each[i])] == RUN_DEFAULT) return false;
    return true;
}

static enum status check_readers(const struct run_config *config, const struct reader *reader,
                                 size_t count, const char *kind, const char *name)
{
    char value[RUN_PATH];
    for (size_t i = 0; i < count; i++) {
        const char *key = reader[i].key;
        if (run_key_is_start(config, key) || is_among(reader[i].names, name)) continue;
        if (config->origin[run_key_find(key)] == RUN_DEFAULT) continue; // resolved for all types
        run_key_text(config, run_key_find(key), value);
        FAIL_KEY(config, key, "%s, but %s: %s does not read it; it is of %s", value, kind, name,
                 reader[i].names);
    }
    return STATUS_OK;
}

static enum status check_types(const struct run_config *config)
{
    char names[256];
    for (int i = 0; i < run_schema_count; i++) {
        const struct reader reader = {run_schema[i].name,
                                      types_that_read(run_schema[i].name, names)};
        if (names[0]) TRY(check_readers(config, &reader, 1, "model.type", config->model.type));
    }
    return STATUS_OK;
}

// data.source_tokenizer reads the same keys.
static enum status check_tokenizers(const struct run_config *config)
{
    const char *source = config->data.source_tokenizer;
    bool writes = !strcmp(config->task, "translate") || !strcmp(config->task, "summarize");
    for (size_t i = 0; i < sizeof of_tokenizers / sizeof *of_tokenizers; i++) {
        const struct reader *reader = &of_tokenizers[i];
        bool measured = writes && !strcmp(reader->key, "data.lower_case");
        if (!measured && !is_among(reader->names, source))
            TRY(check_readers(config, reader, 1, "data.tokenizer", config->data.tokenizer));
    }
    return STATUS_OK;
}

// What is pooled is a text; a convolution takes the largest of each filter.
static enum status check_pool(const struct run_config *config)
{
    const char *pool = config->pool, *type = config->model.type;
    if (!strcmp(pool, "auto")) return STATUS_OK;
    if (config->data.features[0])
        FAIL_KEY(config, "model.pool", "%s, but rows of data.features are numbers, and no texts",
                 pool);
    if (!strcmp(type, "convolution") && strcmp(pool, "max") != 0)
        FAIL_KEY(config, "model.pool", "%s, but %s takes the largest that a filter finds: max",
                 pool, type);
    if (!strcmp(config->task, "mlm") && strcmp(pool, "first") != 0)
        FAIL_KEY(config, "model.pool",
                 "%s, but task: mlm pools no text; it takes first, the mark before each text, for "
                 "a classifier that goes on from it with first",
                 pool);
    return STATUS_OK;
}

enum status run_check_readers(const struct run_config *config)
{
    const struct model_type *type;
    TRY(model_find(config->model.type, &type));
    // Who summarizes without a decoder does it by scores.
    bool chooses = !strcmp(config->task, "summarize") && !(type->tasks & TASK_TRANSLATE);
    if (!chooses)
        TRY(check_readers(config, of_tasks, sizeof of_tasks / sizeof *of_tasks, "task",
                          config->task));
    if (!chooses && run_has_rows(config) && strcmp(config->task, "answer") != 0)
        TRY(check_readers(config, of_columns, sizeof of_columns / sizeof *of_columns, "task",
                          config->task));
    if (!names_keys_of_all_types(config)) TRY(check_types(config));
    TRY(check_pool(config));
    TRY(check_readers(config, of_schedules, sizeof of_schedules / sizeof *of_schedules,
                      "train.schedule", config->schedule.name));
    TRY(check_readers(config, of_optimizers, sizeof of_optimizers / sizeof *of_optimizers,
                      "train.optimizer", config->optimizer.name));
    TRY(check_tokenizers(config));
    if (config->label_smoothing > 0 &&
        (!strcmp(config->task, "regress") ||
         (strcmp(config->loss, "auto") != 0 && strcmp(config->loss, "softmax") != 0)))
        FAIL_KEY(config, "train.label_smoothing",
                 "%g, but only model.loss: softmax has a target to spread",
                 config->label_smoothing);
    return STATUS_OK;
}
