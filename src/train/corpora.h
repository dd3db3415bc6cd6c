// SPDX-License-Identifier: Apache-2.0
// The run's text: tokenizer, corpora, and the two samplers. Private to train/.
#ifndef STN_TRAIN_CORPORA_H
#define STN_TRAIN_CORPORA_H

#include "train/internal.h"

// Opens what data.* names and sets the vocabulary. What was opened before a failure stays in the trainer, for trainer_destroy.
enum status corpora_open(struct trainer *trainer) CHECK_RESULT;
void corpora_close(struct trainer *trainer);
#endif
