// SPDX-License-Identifier: Apache-2.0
// Learning merges. Private to text/.
#ifndef STN_TEXT_BPE_TRAIN_H
#define STN_TEXT_BPE_TRAIN_H

#include "base/stop.h"
#include "text/bpe.h"

// Adds to bpe->pieces (which has the bytes by now) and bpe->merges until there are `vocabulary` pieces, or no pair occurs
// `least` times. The most frequent pair goes first, of equal ones the one with the smaller left, then right, id; occurrences that
// overlap are counted as Hugging Face's trainer counts them, so that the merges are the same. stop: NULL, or asked before each merge.
enum status bpe_learn(struct bpe *bpe, const struct piece_table *counts, int32_t vocabulary,
                      int64_t least, const struct stop *stop) CHECK_RESULT;
#endif
