// SPDX-License-Identifier: Apache-2.0
// Rows of examples: what is learned from and what is held out, each dealt out to micro-batches of like length.
#include "train/feed_examples.h"

#include "base/memory.h"
#include "data/row_tokenizer.h"
#include "data/sampler.h"
#include "train/feed_answer.h"
#include "train/feed_extract.h"
#include "train/feed_translate.h"
#include "train/run_schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EDGE_MULTIPLE = 4 };
// Which rows are held out is drawn apart from the shuffles.
static const uint64_t SPLIT_SEED = UINT64_C(0xD1B54A32D192ED03);

// ---- who is held out ----

enum status check_folds(const struct run_config *config, int64_t count, const char *what)
{
    if (config->folds <= count) return STATUS_OK;
    FAIL(STATUS_INPUT, "%s: %lld %s cannot be %lld parts (train.folds), each with one at least",
         config->data.train, (long long)count, what, (long long)config->folds);
}

bool row_is_held_out(const struct run_config *config, int64_t count, int64_t row)
{
    if (config->data.valid[0]) return false;
    int64_t place = permutation_at(config->seed ^ SPLIT_SEED, 0, count, row);
    if (config->folds) return place % config->folds == config->fold;
    return place >= run_held_out_start(config, count);
}

bool row_is_asked(const struct run_config *config, int64_t i, int64_t have)
{
    int64_t asked = config->eval_windows;
    return asked == 0 || asked >= have || (i + 1) * asked / have > i * asked / have;
}

enum status share_add(struct share *share, int64_t *room, int32_t row)
{
    if (share->count == INT32_MAX)
        FAIL(STATUS_INPUT, "more than %d rows, those that are repeated counted", INT32_MAX);
    if (share->count == *room) {
        int64_t wanted = *room ? 2 * *room : 1024;
        TRY(memory_grow(&share->row, (size_t)wanted, sizeof *share->row, "the rows"));
        *room = wanted;
    }
    share->row[share->count++] = row;
    return STATUS_OK;
}

static enum status split_rows(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    if (config->model.spans) return answer_split(trainer);
    if (config->model.sentences) return extract_split(trainer);
    struct example_feed *feed = examples_of(trainer);
    const struct examples *read = &feed->read[0];
    int64_t room[2] = {0, 0}, count = read->whole ? read->whole : read->count;
    struct share *held_out = &feed->held_out;
    bool own_file = config->data.valid[0];
    feed->learned.rows = read;
    held_out->rows = &feed->read[own_file ? 1 : 0];
    TRY(check_folds(config, count, "rows"));
    for (int64_t row = 0; row < read->count; row++) {
        // Of a text that is in pieces, all are held out or none.
        bool held = row_is_held_out(config, count, read->whole ? read->whole_of[row] : row);
        TRY(held ? share_add(held_out, &room[1], (int32_t)row)
                 : share_add(&feed->learned, &room[0], (int32_t)row));
    }
    int64_t all = own_file ? feed->read[1].count : 0;
    for (int64_t row = 0; row < all; row++) TRY(share_add(held_out, &room[1], (int32_t)row));
    if (feed->learned.count == 0)
        FAIL(STATUS_INPUT,
             "%s: of %lld row%s all are held out (data.valid_fraction: %g), and none is left to "
             "learn "
             "from; 0 holds out none",
             config->data.train, (long long)count, count == 1 ? "" : "s",
             config->data.valid_fraction);
    // As many as are asked for, spread evenly.
    int64_t asked = config->eval_windows, have = held_out->count;
    if (asked > 0 && asked < have) {
        for (int64_t i = 0; i < asked; i++)
            held_out->row[i] = held_out->row[(int64_t)((double)i * ((double)have / (double)asked))];
        held_out->count = asked;
    }
    return STATUS_OK;
}

// ---- uneven classes ----

enum status count_classes(const struct example_feed *feed, int64_t **count_p)
{
    TRY(memory_allocate((size_t)feed->labels.count, sizeof **count_p, "the classes", count_p));
    for (int64_t i = 0; i < feed->learned.count; i++)
        (*count_p)[feed->read[0].label[feed->learned.row[i]]]++;
    return STATUS_OK;
}

// Each class weighs as much as if all had equally many; the mean weight of an example is 1.
static enum status weigh_classes(struct example_feed *feed, const int64_t *count)
{
    int32_t classes = feed->labels.count, there = 0;
    TRY(memory_allocate((size_t)classes, sizeof *feed->class_weight, "the classes' weights",
                        &feed->class_weight));
    for (int32_t c = 0; c < classes; c++) there += count[c] > 0;
    for (int32_t c = 0; c < classes; c++)
        feed->class_weight[c] =
            count[c] ? (float)((double)feed->learned.count / ((double)there * (double)count[c]))
                     : 0;
    return STATUS_OK;
}

// Rows of rarer classes are there again and again, until each class has as many as the largest; every row floor or ceiling of that.
static enum status repeat_rows(struct example_feed *feed, const int64_t *count)
{
    struct share *share = &feed->learned;
    int64_t most = 0, rows = share->count, room = rows, *seen = NULL;
    for (int32_t c = 0; c < feed->labels.count; c++) most = count[c] > most ? count[c] : most;
    share->once = rows;
    TRY(memory_allocate((size_t)feed->labels.count, sizeof *seen, "the classes", &seen));
    enum status status = memory_grow(&share->row, (size_t)room, sizeof *share->row, "the rows");
    for (int64_t i = 0; i < rows && !status; i++) {
        int32_t class = feed->read[0].label[share->row[i]];
        int64_t n = count[class], k = seen[class]++;
        int64_t times = most / n + (k < most % n);
        for (int64_t t = 1; t < times && !status; t++)
            status = share_add(share, &room, share->row[i]);
    }
    free(seen);
    return status;
}

static enum status balance_classes(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    bool weighs = !strcmp(config->data.class_weights, "balanced");
    bool repeats = !strcmp(config->data.sampling, "balanced");
    int64_t *count = NULL;
    if (!weighs && !repeats) return STATUS_OK;
    if (weighs && repeats)
        FAIL(STATUS_USAGE,
             "data.class_weights and data.sampling are both balanced, which would make "
             "rare classes the heavy ones; take one of them");
    if (!feed->labels.count)
        FAIL(STATUS_USAGE, "data.%s: balanced is for classes, and task: %s has none",
             weighs ? "class_weights" : "sampling", config->task);
    enum status status = count_classes(feed, &count);
    if (!status && weighs) status = weigh_classes(feed, count);
    if (!status && repeats) status = repeat_rows(feed, count);
    free(count);
    return status;
}

// ---- lengths and buckets ----

// Of each text of a share's rows.
static void find_longest(const struct share *share, int64_t longest[2])
{
    const struct examples *rows = share->rows;
    longest[0] = longest[1] = 1;
    for (int64_t i = 0; i < share->count; i++)
        for (int text = 0; text < rows->texts && text < 2; text++) {
            const int64_t *place = rows->place + (int64_t)share->row[i] * rows->texts + text;
            if (place[1] - place[0] + 1 > longest[text]) longest[text] = place[1] - place[0] + 1;
        }
}

static enum status measure_lengths(const struct trainer *trainer, struct share *share,
                                   const int64_t longest[2], int32_t *most_p)
{
    TRY(memory_allocate((size_t)share->count, sizeof *share->length, "the rows", &share->length));
    for (int64_t i = 0; i < share->count; i++) {
        share->length[i] = fill_length(trainer, share->rows, share->row[i], longest);
        if (share->length[i] > *most_p) *most_p = share->length[i];
    }
    return STATUS_OK;
}

// Lengths of micro-batches, chosen by those that are learned from.
static enum status choose_edges(struct trainer *trainer, int32_t longest, int32_t edge[],
                                int *edges_p)
{
    const struct share *share = &examples_of(trainer)->learned;
    int64_t *count = NULL;
    TRY(memory_allocate((size_t)longest + EDGE_MULTIPLE + 1, sizeof *count, "counts of lengths",
                        &count));
    for (int64_t i = 0; i < share->count; i++) count[share->length[i]]++;
    *edges_p =
        buckets_edges(count, longest, EDGE_MULTIPLE, (int)trainer->config.data.buckets, edge);
    free(count);
    // A multiple may be more than the model has positions for.
    for (int i = 0; i < *edges_p; i++)
        if (edge[i] > longest) edge[i] = longest;
    return STATUS_OK;
}

int64_t feed_rows(const struct run_config *config, const struct model_sizes *sizes, int64_t all)
{
    int64_t places = config->batch_tokens / (config->batch / config->micro_batch);
    int64_t longer = sizes->tokens > sizes->source_tokens ? sizes->tokens : sizes->source_tokens;
    if (!config->batch_tokens) return config->micro_batch;
    int64_t rows = longer > places ? 1 : places / (longer ? longer : 1);
    return rows < all ? rows : all;
}

static enum status deal_out(struct trainer *trainer, struct share *share, bool in_order)
{
    const struct feed *feed = &trainer->feed;
    struct buckets *buckets = &share->buckets;
    if (share->count == 0) return STATUS_OK;
    buckets->examples = share->count;
    buckets->length = share->length;
    buckets->step = in_order ? 1 : trainer->config.batch / trainer->config.micro_batch;
    buckets->seed = trainer->config.seed;
    buckets->in_order = in_order;
    for (int i = 0; i < feed->shapes; i++) buckets->rows[i] = feed->shape[i].batch;
    TRY(buckets_create(buckets));
    size_t places = (size_t)buckets->micro_batches * (size_t)buckets->most_rows;
    TRY(memory_allocate(places, sizeof *share->order, "an epoch's plan", &share->order));
    TRY(memory_allocate((size_t)buckets->micro_batches, 1, "an epoch's plan", &share->bucket));
    share->epoch = -1;
    return STATUS_OK;
}

static void plan_epoch(struct share *share, int64_t epoch)
{
    if (share->epoch == epoch) return;
    buckets_epoch(&share->buckets, (uint32_t)epoch, share->order, share->bucket);
    share->epoch = epoch;
}

// What is learned from alone decides how it is dealt out; held-out rows that are longer have a shape of their own.
static enum status make_shapes(struct trainer *trainer)
{
    struct example_feed *own = examples_of(trainer);
    struct feed *feed = &trainer->feed;
    int32_t longest = 1, held_longest = 1, edge[BUCKETS_MOST];
    int64_t most[2], held_most[2];
    bool pair = run_task(&trainer->config) == TASK_TRANSLATE;
    const struct model_type *type;
    TRY(model_find(trainer->config.model.type, &type));
    find_longest(&own->learned, most);
    find_longest(&own->held_out, held_most);
    TRY(measure_lengths(trainer, &own->learned, most, &longest));
    TRY(measure_lengths(trainer, &own->held_out, most, &held_longest));
    TRY(choose_edges(trainer, longest, edge, &feed->shapes));
    int shapes = feed->shapes;
    if (held_longest > edge[shapes - 1]) edge[feed->shapes++] = held_longest;
    for (int i = 0; i < feed->shapes; i++) {
        struct model_sizes *sizes = &feed->shape[i];
        *sizes = (struct model_sizes){.tokens = edge[i] + type->margin};
        // No target in the bucket is longer (pair_length in feed_fill.c).
        if (pair) sizes->source_tokens = edge[i];
        if (pair) sizes->tokens = edge[i] * most[1] / most[0] < 1 ? 1 : edge[i] * most[1] / most[0];
        if (pair && i == shapes) sizes->source_tokens = held_most[0], sizes->tokens = held_most[1];
        sizes->batch = feed_rows(&trainer->config, sizes, own->learned.count);
        if (sizes->batch > feed->rows) feed->rows = sizes->batch;
        own->learned.buckets.edge[i] = own->held_out.buckets.edge[i] = edge[i];
    }
    own->learned.buckets.edges = own->held_out.buckets.edges = feed->shapes;
    TRY(deal_out(trainer, &own->learned, false));
    TRY(deal_out(trainer, &own->held_out, true));
    const struct buckets *buckets = &own->learned.buckets;
    for (int i = 0; i < feed->shapes; i++)
        feed->share[i] = (double)buckets->batches[i] / (double)buckets->micro_batches;
    return STATUS_OK;
}

// ---- the feed ----

static size_t rows_bytes(const struct examples *rows)
{
    size_t count = (size_t)rows->count;
    size_t each = (size_t)rows->features * sizeof(float) + (rows->label ? sizeof(int32_t) : 0) +
                  (rows->number ? sizeof(float) : 0) + (rows->whole ? sizeof(int32_t) : 0);
    if (!rows->count) return 0;
    return count * each + (count * (size_t)rows->texts + 1) * sizeof *rows->place +
           (rows->place ? (size_t)rows->place[rows->count * rows->texts] * sizeof *rows->ids : 0);
}

static size_t share_bytes(const struct share *share)
{
    const struct buckets *b = &share->buckets;
    return (size_t)share->count * 3 * sizeof(int32_t) +
           (size_t)b->micro_batches * ((size_t)b->most_rows * sizeof *share->order + 1);
}

static int64_t tokens_of(const struct share *share)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < share->count; i++) tokens += share->length[i];
    return tokens;
}

// As struct text_report says.
static int64_t texts_of(const struct example_feed *feed)
{
    int64_t sentences = feed->extracts[0].count + feed->extracts[1].count, pieces = 0;
    const struct examples *read = feed->read;
    if (sentences) return sentences;
    for (int i = 0; i < 2; i++) pieces += read[i].whole ? read[i].whole : read[i].count;
    return read[0].whole || read[1].whole ? pieces : 0;
}

static enum status describe(struct trainer *trainer)
{
    struct example_feed *own = examples_of(trainer);
    struct feed *feed = &trainer->feed;
    const struct buckets *held_out = &own->held_out.buckets;
    size_t verdicts = (size_t)held_out->micro_batches * (size_t)held_out->most_rows;
    feed->groups = held_out->micro_batches;
    if (feed->groups) plan_epoch(&own->held_out, 0);
    if (feed->groups && run_has_scores(&trainer->config))
        TRY(memory_allocate(verdicts, sizeof *own->verdict, "the verdicts", &own->verdict));
    feed->hash = own->read[0].hash;
    feed->held_out_hash = own->read[1].hash;
    feed->bytes = rows_bytes(&own->read[0]) + rows_bytes(&own->read[1]) +
                  answers_bytes(&own->answers[0], &own->read[0]) +
                  answers_bytes(&own->answers[1], &own->read[1]) +
                  extracts_bytes(&own->extracts[0]) + extracts_bytes(&own->extracts[1]) +
                  share_bytes(&own->learned) + share_bytes(&own->held_out) +
                  translate_text_bytes(own) + (own->verdict ? verdicts * sizeof *own->verdict : 0);
    feed->report = (struct text_report){
        .tokens = tokens_of(&own->learned),
        .held_out = tokens_of(&own->held_out),
        .tokenizer = trainer->tokenizer ? tokenizer_kind(trainer->tokenizer) : "numbers",
        .vocabulary = trainer->tokenizer ? tokenizer_size(trainer->tokenizer) : 0,
        .rows = own->learned.count,
        .held_out_rows = own->held_out.count,
        .classes = own->labels.count,
        .texts = texts_of(own),
        .cut = own->read[0].cut + own->read[1].cut,
        .lost = own->answers[0].lost,
        .padding = buckets_waste(&own->learned.buckets),
    };
    return STATUS_OK;
}

// Where nothing is drawn to be masked in all held-out rows, or in a step's, one token is.
static enum status start_masking(struct trainer *trainer)
{
    struct example_feed *own = examples_of(trainer);
    const struct run_config *config = &trainer->config;
    const struct share *share[2] = {&own->held_out, &own->learned};
    int64_t longest = 0;
    own->nearest[0] = own->nearest[1] = -1;
    if (run_task(config) != TASK_MLM) return STATUS_OK;
    for (int learned = 0; learned < 2; learned++) {
        const struct examples *rows = share[learned]->rows;
        int64_t all = share[learned]->count;
        bool empty = true;
        for (int64_t i = 0; i < all && empty; i++) {
            const int64_t *place = rows->place + (int64_t)share[learned]->row[i] * rows->texts;
            empty = place[0] == place[rows->texts];
        }
        if (all && empty)
            FAIL(STATUS_INPUT,
                 "%s: all %lld texts %s are empty; task: mlm needs a token that it can mask",
                 !learned && config->data.valid[0] ? config->data.valid : config->data.train,
                 (long long)all, learned ? "to learn from" : "that are held out");
    }
    for (int i = 0; i < trainer->feed.shapes; i++)
        if (trainer->feed.shape[i].tokens > longest) longest = trainer->feed.shape[i].tokens;
    TRY(memory_allocate((size_t)longest, sizeof *own->scratch, "a text", &own->scratch));
    trainer->feed.bytes += (size_t)longest * sizeof *own->scratch;
    own->nearest[0] = fill_nearest(trainer, &own->held_out, 0, trainer->feed.groups, false);
    return STATUS_OK;
}

static enum status examples_open(struct trainer *trainer)
{
    struct example_feed *feed = NULL;
    TRY(memory_allocate(1, sizeof *feed, "the examples", &feed));
    trainer->feed.own = feed;
    feed->learned.epoch = feed->held_out.epoch = -1;
    TRY(setup_examples(trainer));
    TRY(split_rows(trainer));
    TRY(feed_warn(trainer));
    TRY(balance_classes(trainer));
    TRY(measure_known(trainer));
    TRY(make_shapes(trainer));
    TRY(translate_open(trainer));
    TRY(describe(trainer));
    if (trainer->config.model.spans) TRY(answer_plan(trainer));
    return start_masking(trainer);
}

static void release_share(struct share *share)
{
    free(share->row);
    free(share->length);
    free(share->order);
    free(share->bucket);
    buckets_release(&share->buckets);
}

static void examples_close(struct trainer *trainer)
{
    struct example_feed *feed = examples_of(trainer);
    if (!feed) return;
    release_share(&feed->learned);
    release_share(&feed->held_out);
    for (int i = 0; i < 2; i++) {
        examples_release(&feed->read[i]);
        answers_release(&feed->answers[i]);
        extracts_release(&feed->extracts[i]);
    }
    translate_close(feed);
    labels_release(&feed->labels);
    tokenizer_destroy(feed->source_tokenizer);
    free(feed->class_weight);
    free(feed->verdict);
    free(feed->choosing);
    free(feed->scratch);
    free(feed);
}

// Where the step's first micro-batch stands in all epochs. Samples count full batches, so it is a multiple of a step's.
static int64_t first_of_step(const struct trainer *trainer)
{
    return trainer->position.samples / trainer->config.micro_batch;
}

static int64_t examples_epoch(const struct trainer *trainer, int64_t n)
{
    return n / trainer->config.micro_batch / examples_of(trainer)->learned.buckets.micro_batches;
}

static int64_t in_plan(const struct trainer *trainer, int64_t m)
{
    return first_of_step(trainer) % examples_of(trainer)->learned.buckets.micro_batches + m;
}

static void examples_begin(struct trainer *trainer)
{
    struct example_feed *own = examples_of(trainer);
    plan_epoch(&own->learned, examples_epoch(trainer, trainer->position.samples));
    if (run_task(&trainer->config) == TASK_MLM)
        own->nearest[1] =
            fill_nearest(trainer, &own->learned, in_plan(trainer, trainer->micro_first),
                         in_plan(trainer, trainer->micro_last), true);
}

static int examples_shape(const struct trainer *trainer, int64_t m)
{
    return examples_of(trainer)->learned.bucket[in_plan(trainer, m)];
}

static int examples_group_shape(const struct trainer *trainer, int64_t g)
{
    return examples_of(trainer)->held_out.bucket[g];
}

static int64_t examples_fill(const struct trainer *trainer, int64_t m,
                             const struct batch_inputs *in)
{
    return fill_rows(trainer, &examples_of(trainer)->learned, in_plan(trainer, m), true, in);
}

static int64_t examples_fill_group(const struct trainer *trainer, int64_t g,
                                   const struct batch_inputs *in)
{
    return fill_rows(trainer, &examples_of(trainer)->held_out, g, false, in);
}

static int64_t examples_sample(const struct trainer *trainer, int64_t m, int64_t row)
{
    return share_draw(&examples_of(trainer)->learned, in_plan(trainer, m), row);
}

static void examples_words(const struct trainer *trainer, struct model_words *words)
{
    const struct example_feed *feed = examples_of(trainer);
    words->source_tokenizer = feed->source_tokenizer;
    words->label = feed->labels.name;
    words->labels = feed->labels.count;
}

const struct feed_kind example_feed = {
    .open = examples_open,
    .close = examples_close,
    .begin = examples_begin,
    .shape = examples_shape,
    .group_shape = examples_group_shape,
    .fill = examples_fill,
    .fill_group = examples_fill_group,
    .epoch = examples_epoch,
    .sample = examples_sample,
    .take = take_scores,
    .measure = measure_held_out,
    .plan = translate_plan,
    .words = examples_words,
};
