// SPDX-License-Identifier: Apache-2.0
#include "train/feed_extract.h"

#include "base/memory.h"
#include "train/run_schema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- reading ----
static enum status read_texts(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    char place[RUN_PATH + 32];
    int64_t longest = form_longest(&feed->form, config->model.context);
    if (longest <= SENTENCE_MARKS)
        FAIL(STATUS_USAGE,
             "%smodel.context: %lld leaves no place for a sentence behind its %d marks",
             run_key_place(config, "model.context", place), (long long)config->model.context,
             SENTENCE_MARKS);
    for (int file = 0; file < (config->data.valid[0] ? 2 : 1); file++) {
        struct extracts_setup setup = {
            .tokenizer = trainer->tokenizer, .form = &feed->form, .longest = longest};
        struct extracts *extracts = &feed->extracts[file];
        setup_pairs(trainer, file, &setup.rows);
        TRY(extracts_read(&setup, extracts));
        feed->read[file] = extracts->sentences; // which owns them from now on
        extracts->sentences = (struct examples){0};
    }
    return STATUS_OK;
}

enum status extract_setup(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct rows_setup rows[2];
    bool both = !strcmp(config->data.tokenizer, "char") && config->data.valid[0];
    for (int file = 0; file < 2; file++) {
        setup_pairs(trainer, file, &rows[file]);
        rows[file].columns = 1; // summaries are not read by the model
    }
    TRY(setup_tokenizer(config, "data.tokenizer", config->data.tokenizer, rows, both ? 2 : 1,
                        &trainer->tokenizer));
    TRY(setup_vocabulary(trainer));
    setup_augmentation(trainer);
    return read_texts(trainer);
}

// ---- who is held out ----
static enum status add_row(struct share *share, int64_t *room, const struct extracts *extracts,
                           int64_t row)
{
    for (int64_t i = extracts->first[row]; i < extracts->first[row + 1]; i++)
        TRY(share_add(share, room, (int32_t)i));
    return STATUS_OK;
}

enum status extract_split(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    const struct extracts *all = &feed->extracts[0], *held = &feed->extracts[1];
    bool own_file = config->data.valid[0];
    int64_t room[2] = {0, 0}, have = 0, n = 0, count = all->count;
    feed->learned.rows = &feed->read[0];
    feed->held_out.rows = &feed->read[own_file ? 1 : 0];
    TRY(check_folds(config, count, "rows"));
    for (int64_t row = 0; row < count; row++) have += row_is_held_out(config, count, row);
    for (int64_t row = 0; row < count; row++) {
        bool is_held = row_is_held_out(config, count, row);
        if (!is_held) TRY(add_row(&feed->learned, &room[0], all, row));
        if (is_held && row_is_asked(config, n++, have))
            TRY(add_row(&feed->held_out, &room[1], all, row));
    }
    for (int64_t row = 0; own_file && row < held->count; row++)
        if (row_is_asked(config, row, held->count))
            TRY(add_row(&feed->held_out, &room[1], held, row));
    if (feed->learned.count == 0)
        FAIL(STATUS_INPUT,
             "%s: of %lld row%s all are held out (data.valid_fraction: %g), and none is left to "
             "learn from; 0 holds out none",
             config->data.train, (long long)count, count == 1 ? "" : "s",
             config->data.valid_fraction);
    return STATUS_OK;
}

// ---- held-out texts ----
// The best sentence of each row; of equally good ones the first of the text. -1: the row is not asked.
static void choose(const struct trainer *trainer, const struct extracts *extracts, int32_t *best,
                   float *score)
{
    const struct example_feed *feed = examples_of(trainer);
    const struct share *share = &feed->held_out;
    int64_t rows = share->buckets.most_rows;
    for (int64_t i = 0; i < extracts->count; i++) best[i] = -1;
    for (int64_t k = 0; k < trainer->feed.groups * rows; k++) {
        int32_t sentence = share_row(share, k / rows, k % rows);
        if (sentence < 0) continue;
        int32_t row = extracts->row[sentence];
        float own = feed->verdict[k].score;
        bool better = own > score[row] || (!(own < score[row]) && sentence < best[row]);
        if (best[row] >= 0 && !better) continue;
        best[row] = sentence;
        score[row] = own;
    }
}

enum status extract_measure(const struct trainer *trainer, struct evaluation_report *report)
{
    static const char *const tags[EXTRACT_MEASURES] = {"val/rouge1", "val/rouge2", "val/rougeL"};
    const struct example_feed *feed = examples_of(trainer);
    const struct extracts *extracts = &feed->extracts[feed->held_out.rows - feed->read];
    int64_t sum[EXTRACT_MEASURES] = {0}, rows = 0;
    int32_t *best;
    float *score;
    // A loss that is not finite chooses nothing, and that is worth 0.
    bool sound = isfinite(report->loss);
    TRY(memory_allocate((size_t)extracts->count, sizeof *best, "the texts", &best));
    enum status status =
        memory_allocate((size_t)extracts->count, sizeof *score, "the texts", &score);
    if (status) {
        free(best);
        return status;
    }
    choose(trainer, extracts, best, score);
    for (int64_t i = 0; i < extracts->count; i++) {
        rows += best[i] >= 0;
        for (int m = 0; m < EXTRACT_MEASURES && best[i] >= 0 && sound; m++)
            sum[m] += extracts->rouge[best[i]][m];
    }
    free(best);
    free(score);
    for (int m = 0; m < EXTRACT_MEASURES; m++)
        report_add(report, tags[m], share_mean(sum[m], rows));
    return STATUS_OK;
}
