// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"
#include "data/columns.h"
#include "data/row_tokenizer.h"
#include "train/feed_answer.h"
#include "train/feed_extract.h"
#include "train/run_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES = 8000 };

// ---- columns ----

// Which columns are read: texts, features, target.
struct columns {
    int texts, features;
    bool target;             // a class or number
    int learned;             // place of what is learned among all columns, from 1; 0: none is
    struct column_list list; // of features
    const char *column[ROW_FIELDS];
};

static enum status add_features(const struct run_config *config, struct columns *c)
{
    char reason[512];
    // Beside them stands a target.
    enum status status = columns_read(config->data.features, ROW_FIELDS - 4, &c->list);
    if (status) {
        error_copy(reason, sizeof reason);
        error_clear();
        FAIL_KEY(config, "data.features", "%s", reason);
    }
    c->features = c->list.count;
    memcpy(c->column, c->list.column, (size_t)c->features * sizeof *c->column);
    return STATUS_OK;
}

static enum status find_columns(const struct run_config *config, struct columns *c)
{
    bool pair = run_task(config) == TASK_TRANSLATE, masked = run_task(config) == TASK_MLM;
    if (config->data.features[0]) TRY(add_features(config, c));
    if (c->features == 0) {
        c->column[c->texts++] = config->data.text;
        if (pair) c->column[c->texts++] = config->data.target;
        if (!pair && config->data.pair[0]) c->column[c->texts++] = config->data.pair;
    }
    c->target = !pair && !masked;
    c->learned = pair ? c->texts : c->target ? c->texts + c->features + 1 : 0;
    if (c->target) c->column[c->texts + c->features] = config->data.target;
    return STATUS_OK;
}

// file 0: data.train, 1: data.valid. from, count: of the columns.
static struct rows_setup rows_of(const struct trainer *trainer, const struct columns *c, int file,
                                 int from, int count)
{
    const struct run_config *config = &trainer->config;
    const char *pair = file ? config->data.valid_pair : config->data.train_pair;
    struct rows_setup setup = {
        .path = file ? config->data.valid : config->data.train,
        .pair = pair[0] ? pair : NULL,
        .format = config->data.format,
        .columns = count,
        .apart = from == 0 && c->learned <= count ? c->learned : 0,
        .header = config->data.header,
        .replace = config->data.replace,
        .stop = &trainer->stop,
    };
    memcpy(setup.column, c->column + from, (size_t)count * sizeof *c->column);
    return setup;
}

void setup_pairs(const struct trainer *trainer, int file, struct rows_setup *setup_p)
{
    const struct run_config *config = &trainer->config;
    const struct columns columns = {
        .texts = 2, .learned = 2, .column = {config->data.text, config->data.target}};
    *setup_p = rows_of(trainer, &columns, file, 0, columns.texts);
}

// ---- tokenizers ----

struct tokenizer_training setup_training(const struct run_config *config, bool words)
{
    bool spaces = !strcmp(config->data.split, "spaces");
    struct tokenizer_training training = {
        .words = words,
        .pattern = !words   ? SPLIT_GPT2
                   : spaces ? SPLIT_SPACES
                            : SPLIT_WORDS,
        .lower_case = words && config->data.lower_case,
        .vocabulary = (int32_t)config->data.vocabulary,
        .least_count = config->data.min_count,
    };
    if (!words && !training.vocabulary) training.vocabulary = PIECES;
    return training;
}

enum status setup_tokenizer(const struct run_config *config, const char *key, const char *name,
                            const struct rows_setup *rows, int count,
                            struct tokenizer **tokenizer_p)
{
    bool words = !strcmp(name, "word"), bpe = !strcmp(name, "bpe");
    char path[RUN_PATH + 16];
    if (words || bpe) {
        struct tokenizer_training training = setup_training(config, words);
        enum status status = rows_train_tokenizer(rows, count, &training, tokenizer_p);
        if (status != STATUS_USAGE) return status;
        char message[256];
        error_copy(message, sizeof message);
        error_clear();
        FAIL_KEY(config, "data.vocabulary", "%s", message);
    }
    if (!strcmp(name, "char")) return rows_train_tokenizer(rows, count, NULL, tokenizer_p);
    if (!strcmp(name, "byte")) {
        TRY(tokenizer_byte_create(tokenizer_p));
        return STATUS_OK;
    }
    if (!directory_exists(name) && !file_exists(name))
        FAIL_KEY(config, key, "\"%s\" is neither char, byte, word, bpe nor a tokenizer.json", name);
    if (directory_exists(name)) {
        TRY(path_join(path, sizeof path, name, "tokenizer.json"));
        name = path;
    }
    TRY(tokenizer_load(name, tokenizer_p));
    return STATUS_OK;
}

// char needs every character of the held-out rows, too; words and pieces are of the training rows only.
static int tokenizer_files(const struct run_config *config, const char *name)
{
    return !strcmp(name, "char") && config->data.valid[0] ? 2 : 1;
}

static enum status open_tokenizers(struct trainer *trainer, const struct columns *c)
{
    const struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    const char *name = config->data.tokenizer, *source = config->data.source_tokenizer;
    bool apart = source[0] && run_task(config) == TASK_TRANSLATE;
    struct rows_setup rows[2];
    if (c->texts == 0) return STATUS_OK;
    if (source[0] && !apart)
        FAIL_KEY(config, "data.source_tokenizer", "task: %s has one kind of text", config->task);
    for (int file = 0; file < 2; file++)
        rows[file] = rows_of(trainer, c, file, apart ? 1 : 0, apart ? 1 : c->texts);
    TRY(setup_tokenizer(config, "data.tokenizer", name, rows, tokenizer_files(config, name),
                        &trainer->tokenizer));
    if (!apart) return STATUS_OK;
    for (int file = 0; file < 2; file++) rows[file] = rows_of(trainer, c, file, 0, 1);
    return setup_tokenizer(config, "data.source_tokenizer", source, rows,
                           tokenizer_files(config, source), &feed->source_tokenizer);
}

// ---- what the model takes from the data ----

static enum status settle_classes(struct trainer *trainer)
{
    struct model_config *model = &trainer->config.model;
    int32_t labels = examples_of(trainer)->labels.count;
    bool one = labels == 2 && (model->loss == LOSS_BINARY || model->loss == LOSS_HINGE ||
                               model->loss == LOSS_SQUARED_HINGE);
    int64_t classes = one ? 1 : labels;
    if (labels < 2)
        FAIL(STATUS_INPUT,
             "%s: column %s has one class only, \"%.*s\"; there is nothing to tell "
             "apart",
             trainer->config.data.train, trainer->config.data.target,
             CUT(labels ? examples_of(trainer)->labels.name[0] : "", 60));
    if (model->classes && model->classes != classes)
        FAIL_KEY(
            &trainer->config, "model.classes",
            "%lld, but the data have %d classes, for which the model needs %lld scores; 0 takes "
            "what fits",
            (long long)model->classes, labels, (long long)classes);
    model->classes = classes;
    return STATUS_OK;
}

enum status setup_vocabulary(struct trainer *trainer)
{
    struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    struct form *form = &feed->form;
    form->size = tokenizer_size(trainer->tokenizer);
    form->first = !strcmp(config->pool, "first");
    form->once = config->model.presence;
    form->sentence = config->model.sentences;
    form->order = config->data.ngrams;
    form->hash = (int32_t)config->data.ngram_hash;
    config->model.ngrams = form->order;
    config->model.ngram_hash = form->order > 1 ? form->hash : 0;
    int64_t least = form_vocabulary(form);
    if (config->vocabulary && config->vocabulary < least)
        FAIL_KEY(
            config, "model.vocabulary",
            "%lld is less than the %lld ids of tokenizer (%s), marks and n-grams; it must be at "
            "least that, or 0",
            (long long)config->vocabulary, (long long)least, tokenizer_kind(trainer->tokenizer));
    config->model.vocabulary = config->vocabulary ? config->vocabulary : least;
    if (feed->source_tokenizer)
        config->model.source_vocabulary = tokenizer_size(feed->source_tokenizer) + SPECIALS;
    return STATUS_OK;
}

void setup_augmentation(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    const struct tokenizer *tokenizer =
        feed->source_tokenizer ? feed->source_tokenizer : trainer->tokenizer;
    int32_t size = tokenizer_size(tokenizer), mask = special_id(size, SPECIAL_MASK);
    int32_t unknown = tokenizer_unknown(tokenizer);
    feed->augmentation = (struct augmentation){
        .drop = config->data.word_dropout,
        .swap = config->data.swap,
        .mask = config->data.mask,
        .unknown = config->data.unknown,
        .mask_id = mask,
        .unknown_id = unknown < 0 ? mask : unknown,
        .seed = config->seed,
    };
    feed->augments = config->data.word_dropout > 0 || config->data.swap > 0 ||
                     config->data.mask > 0 || config->data.unknown > 0;
}

// Longest texts that the model has places for.
static enum status settle_longest(const struct trainer *trainer, int32_t longest[2])
{
    const struct run_config *config = &trainer->config;
    int64_t context = config->model.context;
    bool pair = config->data.pair[0] != 0;
    if (run_task(config) == TASK_TRANSLATE) {
        longest[0] = longest[1] = (int32_t)context - 1; // and an END
    } else if (pair) {
        longest[0] = longest[1] = (int32_t)form_longest_pair(&examples_of(trainer)->form, context);
    } else {
        longest[0] = (int32_t)form_longest(&examples_of(trainer)->form, context);
    }
    if (longest[0] < 1)
        FAIL_KEY(config, "model.context", "%lld leaves no place for a text", (long long)context);
    return STATUS_OK;
}

// ---- all of it ----

static enum status read_rows(struct trainer *trainer, const struct columns *c)
{
    const struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    const struct tokenizer *source = feed->source_tokenizer;
    int32_t longest[2] = {0, 0};
    if (c->texts) TRY(settle_longest(trainer, longest));
    for (int file = 0; file < (config->data.valid[0] ? 2 : 1); file++) {
        struct examples_setup setup = {
            .rows = rows_of(trainer, c, file, 0, c->texts + c->features + c->target),
            .texts = c->texts,
            .features = c->features,
            .target = !c->target           ? TARGET_NONE
                      : feed->labels.count ? TARGET_CLASS
                                           : TARGET_NUMBER,
            .tokenizer = {source ? source : trainer->tokenizer, trainer->tokenizer},
            .longest = {longest[0], longest[1]},
            .first = {false, run_task(config) == TASK_TRANSLATE},
            .pieces = run_task(config) == TASK_MLM && c->texts == 1,
            .labels = &feed->labels,
        };
        TRY(examples_read(&setup, &feed->read[file]));
    }
    return STATUS_OK;
}

static enum status check_kind(const struct trainer *trainer, const struct columns *c)
{
    const struct run_config *config = &trainer->config;
    if (!strcmp(config->model.type, "mlp") && c->features == 0)
        FAIL_KEY(config, "data.features", "%s reads numbers: name their columns, such as 1-10",
                 config->model.type);
    if (c->features && config->data.pair[0])
        FAIL_KEY(config, "data.pair", "rows of numbers have no texts");
    return STATUS_OK;
}

enum status setup_examples(struct trainer *trainer)
{
    struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    struct columns *c = NULL;
    bool classes = !strcmp(config->task, "classify");
    if (config->model.spans) return answer_setup(trainer);
    if (config->model.sentences) return extract_setup(trainer);
    TRY(memory_allocate(1, sizeof *c, "the columns", &c));
    enum status status = find_columns(config, c);
    if (!status) status = check_kind(trainer, c);
    if (!status) status = open_tokenizers(trainer, c);
    if (!status && c->texts) status = setup_vocabulary(trainer);
    if (!status && classes) {
        struct rows_setup target = rows_of(trainer, c, 0, c->texts + c->features, 1);
        status = labels_collect(&target, &feed->labels);
    }
    if (!status && classes) status = settle_classes(trainer);
    if (!status && c->texts) setup_augmentation(trainer);
    if (!status) status = read_rows(trainer, c);
    if (!status) config->model.features = c->features;
    free(c);
    return status;
}
