// SPDX-License-Identifier: Apache-2.0
// Cutting text into the pieces that a tokenizer looks at one by one: a fixed list of regular expressions, through PCRE2.
//
// A piece depends on nothing before it and on little behind it, so that a text may be cut where splitter_cut says. Bytes
// outside UTF-8 are pieces of their own.
#ifndef STN_TEXT_SPLITTER_H
#define STN_TEXT_SPLITTER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum split_pattern {
    SPLIT_GPT2,   // GPT-2's; every byte is in a piece, as in the next two
    SPLIT_LLAMA3, // Llama 3's: numbers by three digits
    SPLIT_QWEN2,  // Qwen 2's: numbers by one
    SPLIT_SPACES, // newlines, and what stands between spaces; spaces are left out
    SPLIT_WORDS,  // newlines, words, runs of marks, and each Chinese character; spaces are left out
    SPLIT_PATTERNS
};
const char *split_name(enum split_pattern pattern);  // "gpt2"
const char *split_regex(enum split_pattern pattern); // as tokenizer.json has it
bool split_find_name(const char *name, enum split_pattern *pattern_p);
bool split_find_regex(const char *regex, enum split_pattern *pattern_p);

struct splitter; // for any number of threads
enum status splitter_create(enum split_pattern pattern, struct splitter **splitter_p) CHECK_RESULT;
void splitter_destroy(struct splitter *splitter);
typedef enum status (*split_piece)(void *context, const uint8_t *piece, size_t bytes);
// Calls piece(context, …) for each, in order; ends with its first failure. Fails also: STATUS_MEMORY.
enum status splitter_run(const struct splitter *splitter, const uint8_t *text, size_t bytes,
                         split_piece piece, void *context) CHECK_RESULT;
// The largest place in (0, bytes] where what comes before and behind has the whole's pieces, whatever follows `bytes`. Where
// there is none (256 KiB of digits, say), a place between two characters.
size_t splitter_cut(const struct splitter *splitter, const uint8_t *text, size_t bytes);
#endif
