// SPDX-License-Identifier: Apache-2.0
// Running text: windows of a corpus in a shuffled order, and windows of the held-out text in theirs.
#include "base/file.h"
#include "base/memory.h"
#include "data/partition.h"
#include "data/sampler.h"
#include "data/streams.h"
#include "data/train_tokenizer.h"
#include "train/feed_setup.h"
#include "train/internal.h"
#include "train/run_schema.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct text_data {
    struct corpus *corpus,
        *valid_corpus; // NULL: held-out text is corpus's end, or there is none
    struct sampler training, evaluation;
    struct streams streams, held_streams; // data.carry reads by these
    struct partition partition;           // of a step's samples
    int64_t windows;                      // of the held-out text that are used
};
static const struct text_data *data_of(const struct trainer *trainer) { return trainer->feed.own; }

// ---- opening ----

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
        !strcmp(name, "bpe") || directory_exists(name) || file_exists(name))
        return STATUS_OK;
    FAIL(STATUS_INPUT,
         "%sdata.tokenizer: \"%s\" is neither char, byte, word, bpe nor a tokenizer.json",
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
    } else if (!strcmp(name, "word") || !strcmp(name, "bpe")) {
        // Of the training text only: a held-out word that it lacks is unknown.
        struct tokenizer_training training = setup_training(&trainer->config, *name == 'w');
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
    const struct text_data *text = data_of(trainer);
    int64_t count = text->corpus->count;
    if (text->valid_corpus) return count;
    return run_held_out_start(&trainer->config, count);
}

// Says which part of which text is too short.
static enum status place_range(const struct run_config *config, const char *key, const char *path,
                               const char *part, enum status status)
{
    char reason[1024], place[RUN_PATH + 32];
    if (!status) return status;
    error_copy(reason, sizeof reason);
    error_clear();
    FAIL(status, "%s%s: %s%s: %s", run_key_place(config, key, place), key, path, part, reason);
}

// The held-out text as streams: the windows of a micro-batch's rows are one chain.
static enum status open_chains(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct text_data *text = trainer->feed.own;
    const struct sampler *all = &text->evaluation;
    struct streams *streams = &text->held_streams;
    TRY(streams_init(streams, all->corpus, all->first, all->last, config->batch, all->context));
    int64_t asked = (config->eval_windows + config->batch - 1) / config->batch;
    if (asked > 0 && asked < streams->windows) streams->windows = asked;
    trainer->feed.chain = streams->windows;
    trainer->feed.groups = streams->windows * (config->batch / config->micro_batch);
    return STATUS_OK;
}

static enum status open_training(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct text_data *text = trainer->feed.own;
    int64_t context = config->model.context, split = split_of(trainer);
    char part[96] = "";
    if (split < text->corpus->count)
        snprintf(part, sizeof part, ", the part before its held-out end (data.valid_fraction: %g)",
                 config->data.valid_fraction);
    TRY(place_range(config, "data.train", config->data.train, part,
                    sampler_init(&text->training, text->corpus, 0, split, context, config->seed)));
    if (!config->data.carry) return STATUS_OK;
    return place_range(
        config, "data.train", config->data.train, part,
        streams_init(&text->streams, text->corpus, 0, split, config->batch, context));
}

static enum status open_evaluation(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct text_data *text = trainer->feed.own;
    const struct corpus *held_out = text->valid_corpus ? text->valid_corpus : text->corpus;
    const char *key = text->valid_corpus ? "data.valid" : "data.train";
    const char *path = text->valid_corpus ? config->data.valid : config->data.train;
    int64_t context = config->model.context, first = text->valid_corpus ? 0 : split_of(trainer);
    char part[96] = "";
    if (!text->valid_corpus)
        snprintf(part, sizeof part, ", its held-out end (data.valid_fraction: %g)",
                 config->data.valid_fraction);
    TRY(place_range(
        config, key, path, part,
        sampler_init(&text->evaluation, held_out, first, held_out->count, context, config->seed)));
    if (config->data.carry) return place_range(config, key, path, part, open_chains(trainer));
    int64_t windows = sampler_evaluation_windows(&text->evaluation);
    if (config->eval_windows > 0 && config->eval_windows < windows) windows = config->eval_windows;
    text->windows = windows;
    trainer->feed.groups = (windows + config->micro_batch - 1) / config->micro_batch;
    return STATUS_OK;
}

// The shorter part first: the context that a refusal advises fits the other, too.
static enum status open_samplers(struct trainer *trainer)
{
    const struct text_data *text = data_of(trainer);
    int64_t split = split_of(trainer), held = text->corpus->count - split;
    if (text->valid_corpus) held = text->valid_corpus->count;
    if (!text->valid_corpus && !(trainer->config.data.valid_fraction > 0))
        return open_training(trainer);
    if (held >= split) TRY(open_training(trainer));
    TRY(open_evaluation(trainer));
    return held >= split ? STATUS_OK : open_training(trainer);
}

static enum status open_corpora(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct text_data *text = trainer->feed.own;
    struct corpus_source source[2];
    const char *file[2] = {config->data.train, config->data.valid};
    int sources = config->data.valid[0] ? 2 : 1;
    char cache[RUN_PATH + 16];
    for (int i = 0; i < 2; i++)
        source[i] = (struct corpus_source){file[i], config->data.field, &trainer->stop};
    TRY(check_path(config, "data.train", config->data.train));
    if (sources == 2) TRY(check_path(config, "data.valid", config->data.valid));
    TRY(check_tokenizer(config));
    TRY(open_tokenizer(trainer, source, sources));
    if (config->data.cache[0])
        snprintf(cache, sizeof cache, "%s", config->data.cache);
    else
        TRY(path_join(cache, sizeof cache, config->out, "cache"));
    TRY(corpus_open(&source[0], trainer->tokenizer, cache, trainer->workers, &text->corpus));
    if (sources == 2)
        TRY(corpus_open(&source[1], trainer->tokenizer, cache, trainer->workers,
                        &text->valid_corpus));
    return STATUS_OK;
}

static void describe(struct trainer *trainer)
{
    const struct text_data *text = data_of(trainer);
    const struct corpus *valid = text->valid_corpus;
    struct feed *feed = &trainer->feed;
    bool held_out = feed->groups > 0;
    feed->shapes = 1;
    feed->shape[0] = feed_typical(&trainer->config);
    feed->share[0] = 1;
    feed->rows = trainer->config.micro_batch;
    feed->hash = text->corpus->hash;
    feed->held_out_hash = valid ? valid->hash : 0;
    feed->bytes = text->corpus->map_bytes + (valid ? valid->map_bytes : 0);
    feed->report = (struct text_report){
        .tokens = text->training.last - text->training.first,
        .held_out = held_out ? text->evaluation.last - text->evaluation.first : 0,
        .tokenizer = tokenizer_kind(trainer->tokenizer),
        .vocabulary = tokenizer_size(trainer->tokenizer),
    };
}

static enum status text_open(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct text_data *text = NULL;
    TRY(memory_allocate(1, sizeof *text, "the text", &text));
    trainer->feed.own = text;
    text->partition = (struct partition){.micro_batches = config->batch / config->micro_batch,
                                         .rows = config->micro_batch};
    INVARIANT(partition_find(config->data.partition, &text->partition.kind),
              "data.partition %s was not checked", config->data.partition);
    TRY(open_corpora(trainer));
    TRY(open_samplers(trainer));
    describe(trainer);
    return STATUS_OK;
}

static void text_close(struct trainer *trainer)
{
    struct text_data *text = trainer->feed.own;
    if (!text) return;
    corpus_close(text->valid_corpus);
    corpus_close(text->corpus);
    free(text);
}

// ---- training ----

static int64_t text_sample(const struct trainer *trainer, int64_t m, int64_t row)
{
    int64_t place = m * trainer->config.micro_batch + row;
    return trainer->position.samples + partition_sample(&data_of(trainer)->partition, place);
}

static int64_t fill_streams(const struct trainer *trainer, const struct streams *streams, int64_t m,
                            int64_t window, const struct batch_inputs *in)
{
    int64_t context = streams->context, rows = trainer->config.micro_batch, targets = 0;
    for (int64_t row = 0; row < rows; row++)
        targets += streams_fill(streams, m * rows + row, window, in->tokens + row * context,
                                in->targets + row * context);
    feed_positions(in->positions, rows, context);
    return targets;
}

static int64_t text_fill(const struct trainer *trainer, int64_t m, const struct batch_inputs *in)
{
    const struct streams *streams = &data_of(trainer)->streams;
    if (in->state) {
        int64_t window = trainer->position.step % streams->windows;
        carry_fill(trainer, m, window == 0, in->state);
        return fill_streams(trainer, streams, m, window, in);
    }
    int64_t context = trainer->config.model.context, rows = trainer->config.micro_batch,
            targets = 0;
    for (int64_t row = 0; row < rows; row++)
        sampler_training(&data_of(trainer)->training, text_sample(trainer, m, row),
                         in->tokens + row * context, in->targets + row * context);
    for (int64_t i = 0; i < rows * context; i++) targets += in->targets[i] >= 0;
    feed_positions(in->positions, rows, context);
    return targets;
}

static int64_t text_epoch(const struct trainer *trainer, int64_t n)
{
    const struct streams *streams = &data_of(trainer)->streams;
    if (trainer->config.data.carry) return n / (streams->windows * streams->rows);
    return sampler_epoch(&data_of(trainer)->training, n);
}

// ---- evaluation ----

// Window number i of the evaluation: all of them, or eval_windows spread evenly.
static int64_t window_at(const struct text_data *text, int64_t i)
{
    int64_t all = sampler_evaluation_windows(&text->evaluation), asked = text->windows;
    return all == asked ? i : (int64_t)((double)i * ((double)all / (double)asked));
}

static int64_t text_fill_group(const struct trainer *trainer, int64_t g,
                               const struct batch_inputs *in)
{
    const struct text_data *text = data_of(trainer);
    int64_t context = trainer->config.model.context, rows = trainer->config.micro_batch,
            targets = 0;
    if (in->state) {
        int64_t windows = text->held_streams.windows, m = g / windows;
        carry_fill_group(trainer, m, g % windows == 0, in->state);
        return fill_streams(trainer, &text->held_streams, m, g % windows, in);
    }
    for (int64_t row = 0; row < rows; row++) {
        int64_t i = g * rows + row;
        int32_t *row_tokens = in->tokens + row * context,
                *row_targets = in->targets + row * context;
        if (i < text->windows) {
            sampler_evaluation(&text->evaluation, window_at(text, i), row_tokens, row_targets);
            continue;
        }
        // The last group's empty rows.
        for (int64_t t = 0; t < context; t++) {
            row_tokens[t] = 0;
            row_targets[t] = -1;
        }
    }
    feed_positions(in->positions, rows, context);
    for (int64_t i = 0; i < rows * context; i++) targets += in->targets[i] >= 0;
    return targets;
}

static enum status text_measure(struct trainer *trainer, struct evaluation_report *report)
{
    (void)trainer;
    report->measure[report->measures++] = (struct measure){"val/perplexity", exp(report->loss)};
    return STATUS_OK;
}

const struct feed_kind text_feed = {
    .measure = text_measure,
    .open = text_open,
    .close = text_close,
    .fill = text_fill,
    .fill_group = text_fill_group,
    .epoch = text_epoch,
    .sample = text_sample,
};
