// SPDX-License-Identifier: Apache-2.0
// A JSON reader for headers of strangers: it walks the text once and builds nothing, so memory stays what the text takes.
//
// The caller asks for what must come next; anything else is an error with source and byte offset. Strings are unescaped where
// they stand (they never grow) and end in NUL, so they live as long as the text.
#ifndef STN_STORE_SCAN_H
#define STN_STORE_SCAN_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan {
    char *start, *at, *end; // of the text
    const char *source;     // named in messages
    bool first;             // no member or element of the innermost open list was read yet
};
void scan_start(struct scan *scan, char *text, size_t bytes, const char *source);
// '{' or '['.
enum status scan_open(struct scan *scan, char bracket) CHECK_RESULT;
// Whether another member or element follows; steps over the comma before it, or over the closing `bracket`.
enum status scan_more(struct scan *scan, char bracket, bool *more_p) CHECK_RESULT;
// A string: valid UTF-8 and valid escapes, no NUL, at most `most` bytes. Lives in the text.
enum status scan_string(struct scan *scan, size_t most, char **string_p) CHECK_RESULT;
// A string with the colon behind it.
enum status scan_key(struct scan *scan, size_t most, char **key_p) CHECK_RESULT;
// A whole number from 0 to 2^64 - 1, digits only.
enum status scan_unsigned(struct scan *scan, uint64_t *number_p) CHECK_RESULT;
// Any value, not looked at, at most `depth` levels of brackets deep.
enum status scan_skip(struct scan *scan, int depth) CHECK_RESULT;
// Nothing but white space follows.
enum status scan_finish(struct scan *scan) CHECK_RESULT;
// Text from outside for a message: cut to what fits, control characters replaced. Returns out.
const char *shown(const char *text, char *out, size_t out_bytes);
enum { SHOWN = 80 };
#endif
