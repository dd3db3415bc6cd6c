// SPDX-License-Identifier: Apache-2.0
// How the texts of an example become what a model reads: marks, n-grams. Training and inference use the same.
#ifndef STN_DATA_FORM_H
#define STN_DATA_FORM_H

#include "data/augment.h"
#include "text/specials.h"

#include <stdbool.h>

struct form {
    int32_t size;  // ids of the tokenizer
    bool first;    // SPECIAL_FIRST stands before the text
    int64_t order; // words of the longest n-grams that are tokens, too; below 2: none
    bool once;     // of tokens that are there several times one stays, in the order of ids
    int32_t
        hash; // n-grams are so many ids behind the special ones. Source: Joulin et al. 2016, arXiv:1607.01759
    bool
        sentence; // a text begins with the marks of a sentence, whose ids come before those of n-grams
};
// Where a sentence stands in its text, and how long it is: from the start, from the end, the tenth of the text, ids.
enum { SENTENCE_MARKS = 4, SENTENCE_PLACES = 10, SENTENCE_LENGTHS = 24 };
enum { SENTENCE_MARK_IDS = 3 * SENTENCE_PLACES + SENTENCE_LENGTHS };
// The marks of sentence `number`, from 0, of `count`, which has `length` ids without them.
void form_sentence(const struct form *form, int64_t number, int64_t count, int64_t length,
                   int32_t marks[SENTENCE_MARKS]);
// Tokens of a text of n ids, and of a second one of `second` ids behind a mark (-1: there is none). At least 1.
int64_t form_length(const struct form *form, int64_t n, int64_t second);
// The longest text that makes at most `context` tokens; below 1 when none does.
int64_t form_longest(const struct form *form, int64_t context);
// The longest two texts, of the same length, that do; -1 when not even empty ones do.
int64_t form_longest_pair(const struct form *form, int64_t context);
struct form_text {
    const int32_t *ids;
    int64_t count; // -1: there is none
};
// What is done to the texts first; NULL: nothing.
struct form_change {
    const struct augmentation *augmentation;
    uint32_t epoch, example;
};
// Writes form_length tokens, or fewer where a change or `once` leaves some out, and returns how many. A text without ids is SPECIAL_END.
int64_t form_write(const struct form *form, const struct form_text text[2],
                   const struct form_change *change, int32_t *tokens);
// Rows of the token table.
int64_t form_vocabulary(const struct form *form);
#endif
