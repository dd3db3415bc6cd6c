// SPDX-License-Identifier: Apache-2.0
// Texts that are built: a buffer that grows, and the few things that measures and tokenizers do to a text before they cut it.
#ifndef STN_TEXT_BUFFER_H
#define STN_TEXT_BUFFER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A text that somebody else owns; any bytes.
struct text {
    const char *at;
    size_t bytes;
};
struct text text_of(const char *string); // of a string that ends in a NUL
struct text text_bare(struct text text); // without the spaces and tabs at its ends

// Starts as {0}; released by buffer_release. Adding keeps what is there; buffer_clear empties it and keeps the memory.
struct buffer {
    char *at;
    size_t bytes, room;
};
void buffer_release(struct buffer *buffer);
static inline void buffer_clear(struct buffer *buffer) { buffer->bytes = 0; }
static inline struct text buffer_text(const struct buffer *buffer)
{
    return (struct text){buffer->at, buffer->bytes};
}
// Makes room for `more` bytes behind what is there; then `at` is not NULL, also of empty texts. Fails: STATUS_MEMORY, as all below.
enum status buffer_reserve(struct buffer *buffer, size_t more) CHECK_RESULT;
enum status buffer_add(struct buffer *buffer, struct text text) CHECK_RESULT;
// Appends the text in small letters, as Python's str.lower: U+0130 becomes two, a sigma that ends a word the final one.
enum status buffer_add_lower(struct buffer *buffer, struct text text) CHECK_RESULT;
// The same of each character alone, as Hugging Face's Lowercase: a sigma at a word's end is as another. What tokenizers read.
enum status buffer_add_lower_alone(struct buffer *buffer, struct text text) CHECK_RESULT;
// Appends the text with each `from` (at least one byte) replaced by `to`, from the left, none overlapping.
enum status buffer_add_replaced(struct buffer *buffer, struct text text, const char *from,
                                const char *to) CHECK_RESULT;
// Without the spaces of both ends, or of the end only.
struct text text_strip(struct text text);
struct text text_strip_end(struct text text);
#endif
