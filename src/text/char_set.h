// SPDX-License-Identifier: Apache-2.0
// Inside of a set of characters, for char.c.
#ifndef STN_TEXT_CHAR_SET_H
#define STN_TEXT_CHAR_SET_H

#include "text/tokenizer.h"

enum { UNICODE_CODES = 0x110000 };

struct char_set {
    uint64_t characters[UNICODE_CODES / 64]; // one bit for each code point
    bool stray[256];                         // bytes outside valid UTF-8
};
#endif
