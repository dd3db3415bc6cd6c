// SPDX-License-Identifier: Apache-2.0
// What a run that starts from another model has of that one: the sizes and kinds that the run file does not name.
//
// They are taken whenever a configuration is checked, of the directory or, where that is gone, of the run's own run.yaml, which names
// all of them. What contradicts is an error only where weights are taken over: a resumed run has its own. From a model of another type
// a run has vectors of tokens, and so their width.
#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"
#include "model/model.h"
#include "store/family.h"
#include "train/run_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Keys that are taken. firm: another value would give the numbers of the directory another meaning, or leave them out; of the others
// less, or more, can be taken over (layers, positions).
static const struct {
    const char *key;
    bool firm;
} taken[] = {
    {"model.width", true},       {"model.heads", true},
    {"model.hidden", true},      {"model.layers", false},
    {"model.context", false},    {"model.encoder_layers", false},
    {"model.activation", true},  {"model.norm_epsilon", false},
    {"model.bias", false},       {"model.rnn", true},
    {"model.tied", false},       {"model.post_norm", true},
    {"model.sinusoidal", true},  {"model.additive_attention", true},
    {"model.batch_norm", false}, {"model.pool", false},
    {"model.presence", true},    {"data.ngrams", false},
    {"data.ngram_hash", true},
};
enum { TAKEN = sizeof taken / sizeof *taken };

static enum status read_directory(const char *from, struct run_config *other)
{
    const struct model_family *family;
    struct model_config model = {.vocabulary = 0};
    bool zero_bias = false;
    TRY(model_config_read(from, &model, &family, &zero_bias));
    run_config_defaults(other);
    other->model = model;
    // What auto makes of it says nothing.
    if (model.pool != (strcmp(model.type, "linear") ? POOL_MEAN : POOL_SUM))
        snprintf(other->pool, sizeof other->pool, "%s", run_pools[model.pool]);
    if (model.ngrams) other->data.ngrams = model.ngrams;
    other->data.ngram_hash = model.ngram_hash;
    if (zero_bias) other->model.bias = false;
    return STATUS_OK;
}

// A run that goes on does not need the directory any more: its own run.yaml says what was there.
static enum status read_earlier(const struct run_config *config, struct run_config *other)
{
    char path[RUN_PATH + 16];
    TRY(path_join(path, sizeof path, config->out, "run.yaml"));
    run_config_defaults(other);
    TRY(run_config_read(other, path));
    if (strcmp(other->from, config->from) != 0) FAIL(STATUS_INPUT, "%s: another run", path);
    return STATUS_OK;
}

static bool chooses_type(const struct run_config *config)
{
    return !run_key_is_start(config, "model.type") ||
           config->origin[run_key_find("model.type")] != RUN_DEFAULT;
}

// Whether there is something to take sizes of; where not, whoever takes weights over says why.
static bool read_there(const struct run_config *config, struct run_config *other)
{
    char path[RUN_PATH + 16];
    bool here = !path_join(path, sizeof path, config->from, "config.json") && file_exists(path);
    if (here ? read_directory(config->from, other) : read_earlier(config, other)) {
        error_clear();
        return false;
    }
    return true;
}

static bool knows_tokens_by_vectors(const char *name)
{
    const struct model_type *type;
    bool known = !model_find(name, &type);
    if (!known) error_clear();
    return known && type->table;
}

// Whether the value of a key of `taken` belongs to what is taken over.
static bool belongs(const struct run_config *config, const struct run_config *other,
                    const char *key)
{
    if (!strcmp(key, "model.pool") && !run_has_scores(config) && run_task(config) != TASK_MLM)
        return false;
    if (strcmp(config->model.type, other->model.type) == 0) return true;
    return strcmp(key, "model.width") == 0 && knows_tokens_by_vectors(config->model.type) &&
           knows_tokens_by_vectors(other->model.type);
}

// Whether a value of the directory says something: 0 is what its type does not have.
static bool says_something(const struct run_config *other, const char *key)
{
    const struct run_key *row = &run_schema[run_key_find(key)];
    const char *field = (const char *)other + row->offset;
    int64_t number = 1;
    int choice = 1;
    if (row->type == RUN_INTEGER) memcpy(&number, field, sizeof number);
    if (row->type == RUN_ENUM) memcpy(&choice, field, sizeof choice);
    return number && choice && run_key_is_of_type(key, other->model.type);
}

static bool is_open(const struct run_config *config, const char *key)
{
    int number = run_key_find(key);
    const struct run_key *row = &run_schema[number];
    double start = 0, value = 0;
    if (config->origin[number] != RUN_DEFAULT) return false;
    if (row->type != RUN_NUMBER) return run_key_is_start(config, key);
    memcpy(&value, (const char *)config + row->offset, sizeof value);
    return number_parse(row->start, &start) && value == start;
}

static enum status with_other(struct run_config *config,
                              enum status (*use)(struct run_config *config,
                                                 const struct run_config *other))
{
    struct run_config *other;
    TRY(memory_allocate(1, sizeof *other, "settings of model.from", &other));
    enum status status = read_there(config, other) ? use(config, other) : STATUS_OK;
    free(other);
    return status;
}

static enum status take(struct run_config *config, const struct run_config *other)
{
    if (!chooses_type(config))
        snprintf(config->model.type, sizeof config->model.type, "%s", other->model.type);
    for (int i = 0; i < TAKEN; i++) {
        const struct run_key *row = &run_schema[run_key_find(taken[i].key)];
        if (!belongs(config, other, taken[i].key)) continue;
        if (!is_open(config, taken[i].key) || !says_something(other, taken[i].key)) continue;
        memcpy((char *)config + row->offset, (const char *)other + row->offset, row->bytes);
    }
    return STATUS_OK;
}

enum status run_take_sizes(struct run_config *config)
{
    return config->from[0] ? with_other(config, take) : STATUS_OK;
}

static enum status compare(struct run_config *config, const struct run_config *other)
{
    char here[RUN_PATH], there[RUN_PATH], place[RUN_PATH + 32];
    for (int i = 0; i < TAKEN; i++) {
        const char *key = taken[i].key;
        if (!taken[i].firm || !says_something(other, key) || !belongs(config, other, key)) continue;
        run_key_text(config, run_key_find(key), here);
        run_key_text(other, run_key_find(key), there);
        if (!strcmp(here, there)) continue;
        FAIL(STATUS_USAGE,
             "%s%s: %s, but the model of model.from: %.*s has %s; leave it out, and it is taken "
             "from there",
             run_key_place(config, key, place), key, here, CUT(config->from, 300), there);
    }
    return STATUS_OK;
}

enum status run_compare_sizes(struct run_config *config)
{
    return config->from[0] ? with_other(config, compare) : STATUS_OK;
}

// Whether the run file says itself how large the model is, as that of a run that was trained does.
static bool names_sizes(const struct run_config *config)
{
    static const char *const keys[] = {"model.type",   "model.width",  "model.heads",
                                       "model.hidden", "model.layers", "model.context"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (run_key_is_of_type(keys[i], config->model.type) &&
            config->origin[run_key_find(keys[i])] == RUN_DEFAULT)
            return false;
    return true;
}

enum status run_config_check_from(const struct run_config *config)
{
    struct run_config *other;
    char place[RUN_PATH + 32];
    if (!config->from[0] || names_sizes(config)) return STATUS_OK;
    TRY(memory_allocate(1, sizeof *other, "settings of model.from", &other));
    enum status status = STATUS_OK;
    if (!read_there(config, other)) {
        status = directory_exists(config->from)
                     ? read_directory(config->from, other)
                     : error_at(STATUS_INPUT, __FILE__, __LINE__,
                                "%smodel.from: %.*s is no folder; a model directory is needed, "
                                "whose sizes this run has",
                                run_key_place(config, "model.from", place), CUT(config->from, 300));
    }
    free(other);
    return status;
}
