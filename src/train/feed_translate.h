// SPDX-License-Identifier: Apache-2.0
// What the feed of examples does besides for translations that are measured by what is written. Private to train/.
#ifndef STN_TRAIN_FEED_TRANSLATE_H
#define STN_TRAIN_FEED_TRANSLATE_H

#include "infer/search.h"
#include "train/feed_setup.h"

// Where train.measure is BLEU, chrF or ROUGE: the held-out texts as they stand in their file. Fails: STATUS_INPUT, STATUS_MEMORY.
enum status translate_open(struct trainer *trainer) CHECK_RESULT;
size_t translate_text_bytes(const struct example_feed *feed);
void translate_close(struct example_feed *feed);
// How held-out texts are written.
struct search_options translate_options(const struct run_config *config);
// When the graphs are there: what evaluations take. Fails: STATUS_UNSUPPORTED, STATUS_MEMORY.
enum status translate_plan(struct trainer *trainer) CHECK_RESULT;
// Decodes what is held out, and adds what that is worth. Collective.
enum status translate_measure(struct trainer *trainer,
                              struct evaluation_report *report) CHECK_RESULT;
#endif
