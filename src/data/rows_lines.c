// SPDX-License-Identifier: Apache-2.0
// Rows that are lines: of one file, or of two whose lines belong together.
#include "data/rows_internal.h"

static enum status start_lines(struct rows *rows)
{
    int most = rows->setup.pair ? 2 : 1;
    for (int i = 0; i < rows->setup.columns; i++) {
        rows->place[i] = column_number(rows->setup.column[i]);
        if (rows->place[i] < 0 || rows->place[i] >= most)
            FAIL(STATUS_INPUT, "%s has no column \"%s\": it is plain lines, with column 1%s",
                 rows->setup.path, rows->setup.column[i],
                 rows->setup.pair ? " and, from the second file, 2" : "");
    }
    TRY(lines_open(rows->setup.path, rows->setup.replace, &rows->lines));
    if (rows->setup.pair) TRY(lines_open(rows->setup.pair, rows->setup.replace, &rows->pair));
    return STATUS_OK;
}

static enum status next_pair(struct rows *rows, struct line line[2], bool *more_p)
{
    bool more = false;
    TRY(lines_next(rows->lines, &line[0], more_p));
    if (!rows->pair) return STATUS_OK;
    TRY(lines_next(rows->pair, &line[1], &more));
    if (more == *more_p) return STATUS_OK;
    const struct line *last = more ? &line[1] : &line[0];
    FAIL(STATUS_INPUT,
         "%s has %llu lines and %s has more: their lines must belong together, one to one",
         lines_path(more ? rows->lines : rows->pair), (unsigned long long)last->number - 1,
         lines_path(more ? rows->pair : rows->lines));
}

// As in a table, an empty line is a text that was lost, and at the end of both files it is nothing.
static enum status next_full_pair(struct rows *rows, struct line line[2], bool *more_p)
{
    uint64_t empty = 0;
    for (;;) {
        TRY(next_pair(rows, line, more_p));
        if (!*more_p || !rows->pair) return STATUS_OK;
        if (line[0].bytes || line[1].bytes) break;
        if (!empty) empty = line[0].number;
    }
    if (!empty && line[0].bytes && line[1].bytes) return STATUS_OK;
    FAIL(STATUS_INPUT,
         "%s line %llu is empty, and the lines of two files belong together: take it out of both, "
         "or give it its text",
         lines_path(!empty && line[0].bytes ? rows->pair : rows->lines),
         (unsigned long long)(empty ? empty : line[0].number));
}

static enum status next_line(struct rows *rows, struct row *row, bool *more_p)
{
    struct line line[2] = {{0}};
    TRY(next_full_pair(rows, line, more_p));
    if (!*more_p) return STATUS_OK;
    for (int i = 0; i < rows->setup.columns; i++) {
        const struct line *from = &line[rows->place[i]];
        row->field[i] = (struct row_field){from->text, from->bytes, false};
    }
    row->path = lines_path(rows->lines);
    row->line = line[0].number;
    return STATUS_OK;
}

const struct rows_format rows_lines = {"lines", ".txt", start_lines, next_line, NULL};
