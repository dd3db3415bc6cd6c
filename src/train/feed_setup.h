// SPDX-License-Identifier: Apache-2.0
// Reading what the run file says of rows. Private to train/.
#ifndef STN_TRAIN_FEED_SETUP_H
#define STN_TRAIN_FEED_SETUP_H

#include "text/train_tokenizer.h"
#include "train/feed_examples.h"

// Tokenizers, classes, rows of both files, and what the model takes from them: vocabulary, classes, features, kind of loss.
// Fails: STATUS_INPUT, STATUS_USAGE naming file and line, or key.
enum status setup_examples(struct trainer *trainer) CHECK_RESULT;
// How a run file wants a word or BPE tokenizer made.
struct tokenizer_training setup_training(const struct run_config *config, bool words);
// The tokenizer that a run file names, made of the texts in `rows` where it is made. key: "data.tokenizer", for messages.
enum status setup_tokenizer(const struct run_config *config, const char *key, const char *name,
                            const struct rows_setup *rows, int count,
                            struct tokenizer **tokenizer_p) CHECK_RESULT;
// Source and target of the rows of a pair's file: 0, data.train; 1, data.valid. Borrows the configuration's texts.
void setup_pairs(const struct trainer *trainer, int file, struct rows_setup *setup_p);
// What the model takes from the tokenizer; what is done to ids.
enum status setup_vocabulary(struct trainer *trainer) CHECK_RESULT;
void setup_augmentation(struct trainer *trainer);
#endif
