// SPDX-License-Identifier: Apache-2.0
#include "train/corpora.h"

#include "base/file.h"
#include "data/train_tokenizer.h"
#include "train/run_schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// A path that cannot be read is told with the key that names it.
static enum status check_path(const struct run_config *config, const char *key, const char *path)
{
    char place[RUN_PATH + 32];
    if (access(path, R_OK) == 0) return STATUS_OK;
    FAIL(STATUS_INPUT, "%s%s: cannot open %s: %s", run_key_place(config, key, place), key, path,
         strerror(errno));
}

static enum status check_tokenizer(const struct run_config *config)
{
    const char *name = config->data.tokenizer;
    char place[RUN_PATH + 32];
    if (!strcmp(name, "byte") || !strcmp(name, "char") || !strcmp(name, "word") ||
        directory_exists(name) || file_exists(name))
        return STATUS_OK;
    FAIL(STATUS_INPUT, "%sdata.tokenizer: \"%s\" is neither char, byte, word nor a tokenizer.json",
         run_key_place(config, "data.tokenizer", place), name);
}

// The token table has a row for each id of the tokenizer, and as many more as the run file asks for: a round number is
// faster on some machines, and a model of another size can be measured without its tokenizer.
static enum status settle_vocabulary(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    int64_t least = tokenizer_size(trainer->tokenizer);
    char place[RUN_PATH + 32];
    if (config->vocabulary && config->vocabulary < least)
        FAIL(STATUS_USAGE,
             "%smodel.vocabulary: %lld is less than the %lld ids of the tokenizer (%s); it must "
             "be at least that, or 0",
             run_key_place(config, "model.vocabulary", place), (long long)config->vocabulary,
             (long long)least, tokenizer_kind(trainer->tokenizer));
    trainer->config.model.vocabulary = config->vocabulary ? config->vocabulary : least;
    return STATUS_OK;
}

static enum status open_tokenizer(struct trainer *trainer, const struct corpus_source *source,
                                  int sources)
{
    const char *name = trainer->config.data.tokenizer;
    char path[RUN_PATH + 16];
    if (strcmp(name, "byte") == 0) {
        TRY(tokenizer_byte_create(&trainer->tokenizer));
    } else if (strcmp(name, "char") == 0) {
        TRY(corpus_char_tokenizer(source, sources, trainer->workers, &trainer->tokenizer));
    } else if (strcmp(name, "word") == 0) {
        // Of the training text only: a held-out word that it lacks is unknown.
        const struct tokenizer_training training = {.words = true, .pattern = SPLIT_SPACES};
        TRY(corpus_train_tokenizer(source, 1, trainer->workers, &training, &trainer->tokenizer));
    } else {
        if (directory_exists(name))
            TRY(path_join(path, sizeof path, name, "tokenizer.json"));
        else
            snprintf(path, sizeof path, "%s", name);
        TRY(tokenizer_load(path, &trainer->tokenizer));
    }
    return settle_vocabulary(trainer);
}

// Training text is [0, *split_p) of the corpus; what follows is held out.
static int64_t split_of(const struct trainer *trainer)
{
    int64_t count = trainer->corpus->count;
    if (trainer->valid_corpus) return count;
    return run_held_out_start(&trainer->config, count);
}

// Says which part of which text is too short.
static enum status place_range(const struct run_config *config, const char *key, const char *path,
                               const char *part, enum status status)
{
    char reason[1024], place[RUN_PATH + 32];
    if (!status) return status;
    snprintf(reason, sizeof reason, "%s", error_message());
    error_clear();
    FAIL(status, "%s%s: %s%s: %s", run_key_place(config, key, place), key, path, part, reason);
}

static enum status open_samplers(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    int64_t context = config->model.context, split = split_of(trainer);
    bool splits = !trainer->valid_corpus && config->data.valid_fraction > 0;
    char part[96] = "";
    if (splits)
        snprintf(part, sizeof part, ", the part before its held-out end (data.valid_fraction: %g)",
                 config->data.valid_fraction);
    TRY(place_range(
        config, "data.train", config->data.train, part,
        sampler_init(&trainer->training, trainer->corpus, 0, split, context, config->seed)));
    const struct corpus *held_out = trainer->valid_corpus ? trainer->valid_corpus : trainer->corpus;
    int64_t first = trainer->valid_corpus ? 0 : split;
    if (!trainer->valid_corpus && !splits) return STATUS_OK;
    if (splits)
        snprintf(part, sizeof part, ", its held-out end (data.valid_fraction: %g)",
                 config->data.valid_fraction);
    TRY(place_range(config, splits ? "data.train" : "data.valid",
                    splits ? config->data.train : config->data.valid, part,
                    sampler_init(&trainer->evaluation, held_out, first, held_out->count, context,
                                 config->seed)));
    int64_t windows = sampler_evaluation_windows(&trainer->evaluation);
    if (config->eval_windows > 0 && config->eval_windows < windows) windows = config->eval_windows;
    trainer->evaluation_windows = windows;
    trainer->groups = (windows + config->micro_batch - 1) / config->micro_batch;
    return STATUS_OK;
}

enum status corpora_open(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct corpus_source source[2] = {{config->data.train, config->data.field},
                                      {config->data.valid, config->data.field}};
    int sources = config->data.valid[0] ? 2 : 1;
    char cache[RUN_PATH + 16];
    TRY(check_path(config, "data.train", config->data.train));
    if (sources == 2) TRY(check_path(config, "data.valid", config->data.valid));
    TRY(check_tokenizer(config));
    TRY(open_tokenizer(trainer, source, sources));
    if (config->data.cache[0])
        snprintf(cache, sizeof cache, "%s", config->data.cache);
    else
        TRY(path_join(cache, sizeof cache, config->out, "cache"));
    TRY(corpus_open(&source[0], trainer->tokenizer, cache, trainer->workers, &trainer->corpus));
    if (sources == 2)
        TRY(corpus_open(&source[1], trainer->tokenizer, cache, trainer->workers,
                        &trainer->valid_corpus));
    TRY(open_samplers(trainer));
    return STATUS_OK;
}

void corpora_close(struct trainer *trainer)
{
    corpus_close(trainer->valid_corpus);
    corpus_close(trainer->corpus);
    tokenizer_destroy(trainer->tokenizer);
}
