// SPDX-License-Identifier: Apache-2.0
// What the feed of examples does otherwise for summaries that are chosen: rows are sentences, and those of a text stay together.
// Private to train/.
#ifndef STN_TRAIN_FEED_EXTRACT_H
#define STN_TRAIN_FEED_EXTRACT_H

#include "train/feed_setup.h"

// Tokenizer, sentences of both files, and what the model takes from them. Fails as setup_examples.
enum status extract_setup(struct trainer *trainer) CHECK_RESULT;
// Which sentences are learned from, and which are held out: those of whole texts.
enum status extract_split(struct trainer *trainer) CHECK_RESULT;
// ROUGE of the best sentence of every held-out text, when all verdicts are known.
enum status extract_measure(const struct trainer *trainer,
                            struct evaluation_report *report) CHECK_RESULT;
#endif
