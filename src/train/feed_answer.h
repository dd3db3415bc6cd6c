// SPDX-License-Identifier: Apache-2.0
// What the feed of examples does otherwise for answers: rows are windows of questions, and articles do not mix. Private to train/.
#ifndef STN_TRAIN_FEED_ANSWER_H
#define STN_TRAIN_FEED_ANSWER_H

#include "train/feed_setup.h"

// Tokenizer, questions of both files, and what the model takes from them. Fails as setup_examples.
enum status answer_setup(struct trainer *trainer) CHECK_RESULT;
// Which windows are learned from, and which are held out: whole articles, where data.valid names no file.
enum status answer_split(struct trainer *trainer) CHECK_RESULT;
// Labels, mask and weight of a row whose tokens are there. Returns how many targets that is.
int64_t answer_fill(const struct trainer *trainer, const struct examples *rows, int32_t example,
                    int64_t row, int64_t tokens, const struct batch_inputs *in);
// What answer_take needs, when the shapes are known.
enum status answer_plan(struct trainer *trainer) CHECK_RESULT;
// The best span of each window of group g, by the worker of this rank.
void answer_take(const struct trainer *trainer, int rank, int64_t g, const float *scores);
// Exact match and F1 of the held-out questions, when all verdicts are known.
enum status answer_measure(const struct trainer *trainer,
                           struct evaluation_report *report) CHECK_RESULT;
#endif
