// SPDX-License-Identifier: Apache-2.0
// Where a run's micro-batches come from: one file (feed_<kind>.c) and one row in feed.c for a kind of data. Private to train/.
//
// A micro-batch has one of a few shapes, and every worker has programs for each. What stands in which micro-batch is a function of the
// data, the seed and how far the run is: any worker fills any of them with the same numbers.
#ifndef STN_TRAIN_FEED_H
#define STN_TRAIN_FEED_H

#include "store/model_directory.h"
#include "train/trainer.h"

enum { FEED_SHAPES = 17 }; // data.buckets, and one for held-out rows that are longer

// Where a program reads; NULL what its graph has not.
struct batch_inputs {
    int32_t *tokens, *positions, *targets; // [batch, tokens]
    int32_t *lengths;                      // [batch]
    int32_t *source, *source_positions;    // [batch, source tokens]
    int32_t *source_lengths, *labels;      // [batch]
    float *features, *goals, *weights;     // [batch, features], [batch, classes], [batch]
    float *state;                          // [batch, carried]
    int32_t *ends;                         // [batch]
    float *mask;                           // [batch, tokens]
    int32_t *matches;                      // [batch, tokens]
    uint32_t *random;                      // [4]
};

struct feed;
struct feed_kind {
    // Opens the data: the trainer's tokenizer, what the model's settings take from it (the vocabulary), and the feed's own fields. What
    // was opened before a failure is closed by `close`.
    enum status (*open)(struct trainer *trainer);
    void (*close)(struct trainer *trainer);
    // (optional) before the leaves of a step, by the thread that gives commands while workers wait.
    void (*begin)(struct trainer *trainer);
    // (optional) the shape of micro-batch m of the step, and of group g of the evaluation; NULL: there is one.
    int (*shape)(const struct trainer *trainer, int64_t m);
    int (*group_shape)(const struct trainer *trainer, int64_t g);
    // Fill the inputs, all but `random`. Return how many targets there are.
    int64_t (*fill)(const struct trainer *trainer, int64_t m, const struct batch_inputs *inputs);
    int64_t (*fill_group)(const struct trainer *trainer, int64_t g,
                          const struct batch_inputs *inputs);
    // How often all data had been drawn before sample n.
    int64_t (*epoch)(const struct trainer *trainer, int64_t n);
    // (optional) takes the scores of group g [rows of its shape, classes]; by any worker of the replica, who gives its rank.
    void (*take)(const struct trainer *trainer, int rank, int64_t g, const float *scores);
    // (optional) adds what the last evaluation is worth besides its loss. Collective.
    enum status (*measure)(struct trainer *trainer, struct evaluation_report *report);
    // (optional) when the graphs are there: what `measure` takes besides.
    enum status (*plan)(struct trainer *trainer);
    // (optional) what belongs into a model directory beside the tokenizer.
    void (*words)(const struct trainer *trainer, struct model_words *words);
    // For messages: which sample of the data row `row` of micro-batch m is; -1: padding.
    int64_t (*sample)(const struct trainer *trainer, int64_t m, int64_t row);
};
struct feed {
    const struct feed_kind *kind;
    int shapes;
    struct model_sizes shape[FEED_SHAPES];
    double share[FEED_SHAPES]; // of the micro-batches
    int64_t rows;              // most of a micro-batch
    int64_t groups;            // micro-batches of the held-out data; 0: there is none
    int64_t chain; // of them, one behind the other, that one worker computes in order; 0: 1
    uint64_t hash; // of everything that is learned from
    uint64_t held_out_hash; // of what is not, where it has files of its own
    size_t bytes;           // of the data in memory, mapped or read
    size_t decoding;        // most bytes that `measure` takes, by all threads
    struct text_report report;
    void *own; // the kind's
};
// The kind of a task. The task was checked.
const struct feed_kind *feed_find(const char *task);
// The one shape that stands for all of a run whose data are not looked at.
struct model_sizes feed_typical(const struct run_config *config);
// Rows of a micro-batch of these sizes; of batch_tokens at most `all`: no micro-batch has more.
int64_t feed_rows(const struct run_config *config, const struct model_sizes *sizes, int64_t all);
// The part of a model's places whose targets count, where all hold a token.
double feed_counted(const struct run_config *config);
// 0, 1, … in every row.
void feed_positions(int32_t *positions, int64_t rows, int64_t tokens);
#endif
