// SPDX-License-Identifier: Apache-2.0
// Where in a text its tokens stand: what an answer, which is a piece of the text, is found by.
#ifndef STN_TEXT_OFFSETS_H
#define STN_TEXT_OFFSETS_H

#include "text/tokenizer.h"

struct offset {
    uint32_t from, to; // bytes of the text
};
// Of the ids [count] that tokenizer_encode or tokenizer_encode_known made of the text. Tokens follow one another; what the tokenizer
// lacks and spaces that a word tokenizer leaves out are in none. bytes: at most UINT32_MAX. Fails: STATUS_UNSUPPORTED for a tokenizer
// that changes bytes (Unicode's form C); STATUS_MEMORY.
enum status tokenizer_offsets(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                              const int32_t *ids, size_t count,
                              struct offset *offsets) CHECK_RESULT;
#endif
