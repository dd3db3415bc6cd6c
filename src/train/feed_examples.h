// SPDX-License-Identifier: Apache-2.0
// What the files of the feed of examples share: rows in memory, who is learned from, the plan of an epoch. Private to train/.
#ifndef STN_TRAIN_FEED_EXAMPLES_H
#define STN_TRAIN_FEED_EXAMPLES_H

#include "data/answers.h"
#include "data/buckets.h"
#include "data/examples.h"
#include "data/extracts.h"
#include "data/form.h"
#include "train/internal.h"

// Some of the rows, dealt out to micro-batches of like length.
struct share {
    const struct examples *rows; // borrowed
    int64_t count;
    int32_t *row, *length; // [count] of rows; one may be there several times
    int64_t once; // the first so many rows are there for the first time, the others again; 0: all
    struct buckets buckets;
    int32_t *order; // the plan of an epoch (data/buckets.h): places in `row`
    uint8_t *bucket;
    int64_t epoch; // that it is of, -1 none
};
// What a model said of a held-out example.
struct verdict {
    int32_t predicted; // class; place of an answer's first token
    float score;       // of the second of two classes, less the first's; of a regression the number
    int32_t last;      // of an answer: place of its last token
};
struct held_texts;
struct example_feed {
    struct examples read[2];     // data.train, data.valid
    struct answers answers[2];   // of the same files; their windows are `read`
    struct extracts extracts[2]; // as well; their sentences are
    struct labels labels;
    struct tokenizer *source_tokenizer; // NULL: the trainer's
    struct form form;
    struct augmentation augmentation;
    bool augments;
    struct share learned, held_out;
    float *class_weight; // [labels], NULL: 1
    // Of masked tokens: what fill_nearest() says of the held-out rows, and of the step's; and a row of tokens for it.
    double nearest[2];
    int32_t *scratch;
    struct verdict *verdict; // [groups * held_out.buckets.most_rows]
    double *choosing;        // [workers, choosing_each] scratch of theirs to choose answers in
    size_t choosing_each;
    struct held_texts *texts; // that are translated to measure (feed_translate.c); NULL: none are
};
static inline struct example_feed *examples_of(const struct trainer *trainer)
{
    return trainer->feed.own;
}
// The example in a row of micro-batch m of the plan, -1: padding.
static inline int32_t share_row(const struct share *share, int64_t m, int64_t row)
{
    int32_t place = share->order[m * share->buckets.most_rows + row];
    return place < 0 ? -1 : share->row[place];
}

// What an example's draws are numbered by in that row: copies of a row that is repeated differ from each other.
static inline int64_t share_draw(const struct share *share, int64_t m, int64_t row)
{
    int32_t place = share->order[m * share->buckets.most_rows + row];
    bool copy = place >= 0 && share->once > 0 && place >= share->once;
    return copy ? share->rows->count + place : share_row(share, m, row);
}

// feed_examples.c: whether each of train.folds parts has one of `count` rows, or articles (`what`). Fails: STATUS_INPUT.
enum status check_folds(const struct run_config *config, int64_t count,
                        const char *what) CHECK_RESULT;
// feed_examples.c: whether one of `count` rows, or articles, of data.train is held out. Adds a row of which *room fit before.
bool row_is_held_out(const struct run_config *config, int64_t count, int64_t row);
// feed_examples.c: whether the i-th of `have` that are held out is among as many as are asked for, spread evenly.
bool row_is_asked(const struct run_config *config, int64_t i, int64_t have);
enum status share_add(struct share *share, int64_t *room, int32_t row) CHECK_RESULT;
// feed_examples.c: rows of each class that are learned from, before any is repeated; the caller frees *count_p.
enum status count_classes(const struct example_feed *feed, int64_t **count_p) CHECK_RESULT;
// feed_warn.c: by the replica that speaks, of rows that were read and split.
enum status feed_warn(const struct trainer *trainer) CHECK_RESULT;
// feed_fill.c: tokens that an example takes in its bucket; fills micro-batch m of a share, returns its targets. learns: the text is
// changed as the run file asks for.
int32_t fill_length(const struct trainer *trainer, const struct examples *rows, int64_t row,
                    const int64_t longest[2]);
int64_t fill_rows(const struct trainer *trainer, const struct share *share, int64_t m, bool learns,
                  const struct batch_inputs *inputs);
// feed_fill.c: where no token of micro-batches first .. last - 1 is drawn to be masked, the least of their draws: the token that was
// nearest to it is masked then. -1: some are, or there is none that could be.
double fill_nearest(const struct trainer *trainer, const struct share *share, int64_t first,
                    int64_t last, bool learns);
// feed_measure.c: adds a measure; takes the scores of group g; what they are worth when all are known.
void report_add(struct evaluation_report *report, const char *tag, double value);
void take_scores(const struct trainer *trainer, int rank, int64_t g, const float *scores);
// Before a step is trained: whether held-out rows have what train.measure compares. Fails: STATUS_USAGE, STATUS_INPUT.
enum status measure_known(const struct trainer *trainer) CHECK_RESULT;
enum status measure_held_out(struct trainer *trainer,
                             struct evaluation_report *report) CHECK_RESULT;
#endif
