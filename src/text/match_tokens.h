// SPDX-License-Identifier: Apache-2.0
// Which ids of two tokenizers stand for the same text.
#ifndef STN_TEXT_MATCH_TOKENS_H
#define STN_TEXT_MATCH_TOKENS_H

#include "text/tokenizer.h"

// there[id], for each id of `here`: the lowest id of `other` that stands for the same bytes, or else the lowest that has them in small
// letters (a model of lower-cased words takes paris from Paris), or else with the space in front, or without it; the unknown word's for the
// unknown word, and behind them the same special's (text/specials.h); -1 where there is none. A word has a space in front, as it has in
// byte-level BPE.
// there: room for tokenizer_size(here) + SPECIALS. Fails: STATUS_MEMORY.
enum status match_tokens(const struct tokenizer *here, const struct tokenizer *other,
                         int32_t *there) CHECK_RESULT;
#endif
