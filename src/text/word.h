// SPDX-License-Identifier: Apache-2.0
// The inside of the word tokenizer, for word.c and train_tokenizer.c.
#ifndef STN_TEXT_WORD_H
#define STN_TEXT_WORD_H

#include "text/internal.h"
#include "text/piece_table.h"
#include "text/splitter.h"

struct word {
    enum split_pattern pattern; // SPLIT_SPACES or SPLIT_WORDS
    bool lower_case;
    struct piece_table words; // by id
    int32_t unknown;          // id of <unk>
    struct splitter *splitter;
    struct piece_table
        shown; // by id, appended: a word and, but behind newlines and Chinese characters, a space
};
#define WORD_UNKNOWN "<unk>"
// A tokenizer of what *word holds up to `unknown`; takes it over, also on failure.
enum status word_finish(struct word *word, struct tokenizer **tokenizer_p) CHECK_RESULT;
void word_release(struct word *word);
#endif
