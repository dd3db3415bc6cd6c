// SPDX-License-Identifier: Apache-2.0
// A text file line by line, unpacked on the way, each line checked: UTF-8, no NUL, not longer than LINES_LIMIT.
//
// A line has no newline at its end, nor a carriage return before it; a byte order mark at the file's start is left out. A last line
// without a newline is a line.
#ifndef STN_DATA_LINES_H
#define STN_DATA_LINES_H

#include "data/reader.h"

enum { LINES_LIMIT = 16 << 20 };

struct line {
    const char *text; // not ended by NUL; until the next call
    size_t bytes;
    uint64_t number; // from 1; of its first line where several were joined
};
struct lines;

// One file, .gz and .zst too. replace: a byte that is no UTF-8 becomes a question mark and is counted, where it else ends the
// reading. Fails: STATUS_INPUT.
enum status lines_open(const char *path, bool replace, struct lines **lines_p) CHECK_RESULT;
void lines_close(struct lines *lines);
// *more_p is false, and *line_p untouched, behind the last. Fails: STATUS_INPUT naming file and line.
enum status lines_next(struct lines *lines, struct line *line_p, bool *more_p) CHECK_RESULT;
// The line before and the one after it as one, with the newline between them: for a field in quotes that spans lines. At the file's
// end *more_p is false and the line stays.
enum status lines_join(struct lines *lines, struct line *line_p, bool *more_p) CHECK_RESULT;
uint64_t lines_replaced(const struct lines *lines); // bytes so far
const char *lines_path(const struct lines *lines);
// What is to be done about bytes that are no UTF-8, by how their line begins; first: it is the file's first.
const char *lines_advice(const char *text, size_t bytes, bool first);
bool line_is_blank(const char *text, size_t bytes); // of nothing but spaces, tabs and returns
#endif
