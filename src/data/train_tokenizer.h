// SPDX-License-Identifier: Apache-2.0
// Training a tokenizer on files: their text is counted by several threads, with the same result for any number of them.
#ifndef STN_DATA_TRAIN_TOKENIZER_H
#define STN_DATA_TRAIN_TOKENIZER_H

#include "data/corpus.h"
#include "text/train_tokenizer.h"

// Fails as corpus_open and tokenizer_train do.
enum status corpus_train_tokenizer(const struct corpus_source *source, int sources, int workers,
                                   const struct tokenizer_training *training,
                                   struct tokenizer **tokenizer_p) CHECK_RESULT;
#endif
