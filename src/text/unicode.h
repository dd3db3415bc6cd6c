// SPDX-License-Identifier: Apache-2.0
// Characters and what they are: spaces, words, small letters, as Python's str methods see them (Unicode's tables: utf8proc).
#ifndef STN_TEXT_UNICODE_H
#define STN_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A byte outside valid UTF-8 reads as a character of its own: UNICODE_STRAY + the byte.
enum { UNICODE_STRAY = 0x110000 };

// Length of the character at `text` (at least one byte is there), its code in *code_p; a stray byte has length 1.
int unicode_read(const uint8_t *text, size_t bytes, uint32_t *code_p);
// Writes what unicode_read reads, stray bytes too; returns the length.
int unicode_write(uint32_t code, uint8_t out[4]);
bool unicode_is_space(uint32_t code); // str.isspace
bool unicode_is_word(uint32_t code);  // \w: letters, numbers, underscore
bool unicode_is_cased(uint32_t code);
// Between a cased letter and the end of its word these count for nothing (Unicode 3.13, Case_Ignorable).
bool unicode_is_case_ignorable(uint32_t code);
// The small letter, one for one. (Two are not: U+0130 and the final sigma; buffer_add_lower knows.)
uint32_t unicode_lower(uint32_t code);
// Characters between which no spaces are written: Chinese ones (as the splitter's `words` takes them apart), and marks of their width.
bool unicode_is_ideograph(uint32_t code);
bool unicode_is_wide_mark(uint32_t code);
// Adds up Chinese characters (U+4E00 to U+9FA5) and Latin letters.
struct letters {
    int64_t chinese, latin;
};
void unicode_count_letters(const uint8_t *text, size_t bytes, struct letters *letters);
// Whether there are more of the first than of the second: measures of such references go by characters.
bool unicode_letters_are_chinese(const struct letters *letters);
bool unicode_is_chinese(const uint8_t *text, size_t bytes);
#endif
