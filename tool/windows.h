// SPDX-License-Identifier: Apache-2.0
// Rows of a file, or lines as they come, worked on in windows: of each, what is done is written in the order of the input, whatever
// stops the rest.
//
// A command opens its input, says by a table what it does with a window, and runs: windows_open, windows_run, windows_release.
#ifndef STN_TOOL_WINDOWS_H
#define STN_TOOL_WINDOWS_H

#include "data/rows.h"
#include "options.h"
#include "text/buffer.h"

struct omission {
    int64_t count;
    uint64_t line; // the first
};
// {0} is nothing, and may be released.
struct windows {
    const char *name;         // of the file, or "standard input"
    struct rows *rows;        // of a file; else
    struct line_input *input; // lines, each its own only field
    int fields;
    // A window.
    struct buffer bytes;
    struct window_field *field; // [room, fields]
    uint64_t *lines;            // [room] where rows begin
    int64_t room, count;        // rows
    size_t most_bytes;
    // Of all.
    int64_t written;
    bool complete;                      // neither a failure nor a signal ended it
    struct omission shortened, unknown; // rows that were read in part, characters
    enum status status;                 // what ends it, after the rows before have been written
    char message[1024];
};

// What became of a row.
struct outcome {
    bool done;       // false: stopped before
    int64_t left;    // tokens behind the model's context, which were not read
    int64_t unknown; // characters that the tokenizer lacks, left out
};
// "warning: 3 texts are long, the first in FILE line 5; they were cut": said at the end.
struct omission_words {
    const char *one, *several; // "text is long", "texts are long"; NULL: `write` says it
    const char *then;          // "; they were cut", or ""
};
struct window_work {
    const char *rows; // "rows", as messages call them
    struct omission_words shortened, unknown;
    // Row i is one of the window; a failure ends all before it.
    enum status (*take)(void *job, int64_t i);
    // All `count` of them; on failure those that are done are written.
    enum status (*run)(void *job, int64_t count);
    struct outcome (*outcome)(const void *job, int64_t i);
    enum status (*write)(void *job, int64_t i);
    void (*release)(void *job, int64_t i); // (optional) what `run` made of row i
    void (*stop)(void *job);               // from a signal handler
};

// The input's path: argument `at` of the options; NULL: standard input.
const char *windows_path(const struct options *options, int at);
// Opens `setup->path`, NULL for standard input: rows of the setup's columns, read as --format, --header and --replace say; without
// columns lines. A window ends with `room` rows, with `bytes`, or where no line comes just now. Fails: STATUS_INPUT, STATUS_MEMORY.
enum status windows_open(const struct options *options, struct rows_setup *setup, int64_t room,
                         size_t bytes, struct windows *windows_p) CHECK_RESULT;
void windows_release(struct windows *windows);
// A field of row i of the window, never NULL; until the next window.
struct text windows_text(const struct windows *windows, int64_t i, int field);
bool windows_is_list(const struct windows *windows, int64_t i, int field);
// Everything, to the end, a failure or a signal, of which it is said how far it came.
enum status windows_run(struct windows *windows, const struct window_work *work,
                        void *job) CHECK_RESULT;
#endif
