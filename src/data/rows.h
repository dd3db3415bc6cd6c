// SPDX-License-Identifier: Apache-2.0
// Rows of examples: the same few fields of every row, whatever the file's format.
//
//   lines    a line is a row of one field; with a pair, line n of the second file is the second field (parallel text)
//   csv      RFC 4180: commas, quotes, "" for a quote, fields that span lines
//   tsv      tabs, nothing is quoted
//   spaced   the first word, a blank, the rest
//   jsonl    an object a line; a list of strings is its lines, with spaces for lines inside
//   squad    JSON in SQuAD's layout: a row for each question, with fields id, title, context, question, answer, start
//            (answers and their places in characters, an ANSWER_END between them, since an answer may have lines)
// A column is a number from 1, or a name: of the header (csv, tsv; a header is there when a name is asked for), of a key (jsonl), of
// the list above (squad). Rows come in the file's order; a file that cannot be read to its end is an error, never a shorter file.
#ifndef STN_DATA_ROWS_H
#define STN_DATA_ROWS_H

#include "base/stop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROW_FIELDS = 256 };
#define ANSWER_END '\x1e' // ASCII's record separator

struct rows_setup {
    const char *path;
    const char *pair; // of lines: the second file; NULL: none
    const char *
        format; // NULL or "auto": by the extension (.txt lines, .csv, .tsv, .jsonl, .json squad, before .gz and .zst)
    const char *column[ROW_FIELDS];
    int columns;
    int apart; // this column, from 1, is none of the others; 0: any may be read twice
    bool
        replace; // bytes that are no UTF-8 become question marks; else they end the reading (never in .json)
    bool header; // the first row of csv and tsv is left out, also where columns are numbers
    const struct stop *stop; // (optional) once it is asked for, no row comes: STATUS_INTERRUPTED
};
struct row_field {
    const char *text; // UTF-8 without NUL, not ended by one; until the next row
    size_t bytes;
    bool list; // of .jsonl: it was a list, whose parts are its lines
};
struct row {
    struct row_field field[ROW_FIELDS]; // [columns]
    const char *path;
    uint64_t line; // where the row begins
};
struct rows;

// Borrows the setup's texts. Fails: STATUS_USAGE for an unknown format, and where `apart` is another column, too; STATUS_INPUT, also
// for a column that is not there, naming those that are.
enum status rows_open(const struct rows_setup *setup, struct rows **rows_p) CHECK_RESULT;
void rows_close(struct rows *rows);
// The format that the name of a file says, "lines" where it says none.
const char *rows_format_of(const char *path);
// *more_p false behind the last. Fails: STATUS_INPUT naming file and line: a row with more or fewer fields than the first, a quote
// that is not closed, a field that is no text, an empty line between rows of a table or in one of two files, files of
// different length.
enum status rows_next(struct rows *rows, struct row *row_p, bool *more_p) CHECK_RESULT;
// Bytes that have been replaced so far.
uint64_t rows_replaced(const struct rows *rows);
#endif
