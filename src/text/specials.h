// SPDX-License-Identifier: Apache-2.0
// Ids behind a tokenizer's own, for what no text holds. A model of examples has a row of its token table for each.
#ifndef STN_TEXT_SPECIALS_H
#define STN_TEXT_SPECIALS_H

#include <stdint.h>

enum special {
    SPECIAL_END,   // ends a source, begins and ends a target
    SPECIAL_MASK,  // stands for a token that is to be guessed
    SPECIAL_FIRST, // before a text whose first vector is used, and between two texts
    SPECIALS
};
// size: tokenizer_size.
static inline int32_t special_id(int32_t size, enum special special)
{
    return size + (int32_t)special;
}
#endif
