// SPDX-License-Identifier: Apache-2.0
// What the formats of rows share.
#ifndef STN_DATA_ROWS_INTERNAL_H
#define STN_DATA_ROWS_INTERNAL_H

#include "data/lines.h"
#include "data/rows.h"

struct rows_format {
    const char *name, *ending;
    // Opens what it needs, and finds the columns. What it opened is closed by stop, also when it fails.
    enum status (*start)(struct rows *rows);
    enum status (*next)(struct rows *rows, struct row *row, bool *more_p);
    void (*stop)(struct rows *rows);
};
extern const struct rows_format rows_lines, rows_csv, rows_tsv, rows_spaced, rows_jsonl, rows_squad;

// A field of a line.
struct span {
    size_t first, bytes;
    bool quoted; // with quotes inside, written twice
};

struct rows {
    const struct rows_format *format;
    struct rows_setup setup;
    struct lines *lines, *pair;
    int place[ROW_FIELDS]; // of each column among the file's fields, from 0
    int width;             // fields of a row, 0: no row was seen
    struct span *
        span; // [fields] of a table's row; offsets, since a line that is joined with the next one may move
    int fields, room;
    char *text; // what had to be written anew: fields with doubled quotes, strings of JSON
    size_t text_bytes, text_room;
    void *own; // the format's
};

// Makes room for `bytes` more behind rows->text_bytes; what was there may move.
enum status rows_text_room(struct rows *rows, size_t bytes) CHECK_RESULT;
// The column as a number from 0; -1 when it is a name.
int column_number(const char *column);
#endif
