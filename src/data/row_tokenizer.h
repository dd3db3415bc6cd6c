// SPDX-License-Identifier: Apache-2.0
// Tokenizers made of the texts in some columns of rows.
#ifndef STN_DATA_ROW_TOKENIZER_H
#define STN_DATA_ROW_TOKENIZER_H

#include "data/rows.h"
#include "text/train_tokenizer.h"

// setups: files, each with its own columns, all of which are texts. training: words or BPE; NULL: a char tokenizer.
// Fails as rows_next and tokenizer_train do.
enum status rows_train_tokenizer(const struct rows_setup *setups, int count,
                                 const struct tokenizer_training *training,
                                 struct tokenizer **tokenizer_p) CHECK_RESULT;
#endif
