// SPDX-License-Identifier: Apache-2.0
// Standard output carries results. Every write is checked: a full disk is an error, a reader who left ends the program quietly.
#ifndef STN_TOOL_OUTPUT_H
#define STN_TOOL_OUTPUT_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum status output_print(const char *format, ...)
    __attribute__((format(printf, 1, 2))) CHECK_RESULT;
// Writes and flushes; so does the next, a newline behind it, so that what is said then stands behind the line. Fail: STATUS_DISK.
enum status output_write(const void *data, size_t bytes) CHECK_RESULT;
enum status output_line(const void *data, size_t bytes) CHECK_RESULT;
// Of a line: it is flushed at the line's end.
enum status output_part(const void *data, size_t bytes) CHECK_RESULT;
// A line of measures: beside a command's own lines to standard error; where only measures are wanted (stentor eval), they are the result.
enum status output_measure(const char *format, ...)
    __attribute__((format(printf, 1, 2))) CHECK_RESULT;
// From here on no lines are wanted; whether they are.
void output_measures_only(void);
bool output_has_lines(void);
// One object as a line (indented when standard output is a terminal); takes over `object`.
enum status output_json(json_t *object) CHECK_RESULT;
// A number, null where it is not finite (no held-out text, say).
json_t *output_json_number(double value);
// A text that may hold bytes that are not UTF-8: they become U+FFFD. NULL when there is no memory.
json_t *output_json_text(const char *text, size_t bytes);
enum status output_finish(void) CHECK_RESULT;
// Whether the reader of standard output has left (EPIPE): nothing more needs to be said.
bool output_reader_left(void);
// A text from a foreign file for a terminal: control characters become '?', what is too long is cut. Returns clean.
const char *output_clean(const char *text, char clean[256]);
// "1.5 MB", "12.0 GB"; powers of 1,000. Returns text.
const char *output_bytes(double bytes, char text[32]);
// "807,040"
const char *output_count(double count, char text[32]);
#endif
