// SPDX-License-Identifier: Apache-2.0
// Rows of tables: fields between commas, tabs, or behind the first blank. Every row has as many fields as the first.
#include "base/memory.h"
#include "data/rows_internal.h"

#include <stdio.h>
#include <string.h>

enum { FIELDS_MOST = 100000 };

static enum status add_field(struct rows *rows, size_t first, size_t end, bool quoted)
{
    if (rows->fields == FIELDS_MOST)
        FAIL(STATUS_INPUT, "%s has a row of more than %d fields", lines_path(rows->lines),
             FIELDS_MOST);
    if (rows->fields == rows->room) {
        int room = rows->room ? 2 * rows->room : 16;
        TRY(memory_grow(&rows->span, (size_t)room, sizeof *rows->span, "the fields of a row"));
        rows->room = room;
    }
    rows->span[rows->fields++] = (struct span){first, end - first, quoted};
    return STATUS_OK;
}

// ---- tabs and blanks ----

static enum status split_tabs(struct rows *rows, struct line *line)
{
    size_t first = 0;
    for (size_t i = 0; i < line->bytes; i++) {
        if (line->text[i] != '\t') continue;
        TRY(add_field(rows, first, i, false));
        first = i + 1;
    }
    return add_field(rows, first, line->bytes, false);
}

static enum status split_blank(struct rows *rows, struct line *line)
{
    const char *blank = memchr(line->text, ' ', line->bytes);
    size_t end = blank ? (size_t)(blank - line->text) : line->bytes;
    TRY(add_field(rows, 0, end, false));
    return blank ? add_field(rows, end + 1, line->bytes, false) : STATUS_OK;
}

// ---- commas ----

// Where the quote stands that closes the field whose text begins at `at`, reading on over lines.
static enum status find_closing(struct rows *rows, struct line *line, size_t at, size_t *closing_p)
{
    for (size_t i = at;; i++) {
        while (i >= line->bytes) {
            bool more = false;
            TRY(lines_join(rows->lines, line, &more));
            if (more) continue;
            FAIL(STATUS_INPUT,
                 "%s line %llu: a quote is opened in this row and not closed until the file's end",
                 lines_path(rows->lines), (unsigned long long)line->number);
        }
        if (line->text[i] != '"') continue;
        bool doubled = i + 1 < line->bytes && line->text[i + 1] == '"';
        if (!doubled) {
            *closing_p = i;
            return STATUS_OK;
        }
        i++;
    }
}

static enum status split_commas(struct rows *rows, struct line *line)
{
    for (size_t at = 0;; at++) {
        size_t first = at;
        bool quoted = at < line->bytes && line->text[at] == '"';
        if (quoted) {
            TRY(find_closing(rows, line, ++first, &at));
            TRY(add_field(rows, first, at++, true));
            if (at < line->bytes && line->text[at] != ',')
                FAIL(STATUS_INPUT,
                     "%s line %llu: behind the quoted field number %d stands \"%c\" where a comma "
                     "is wanted; a quote inside a "
                     "field is written twice",
                     lines_path(rows->lines), (unsigned long long)line->number, rows->fields,
                     line->text[at]);
        } else {
            while (at < line->bytes && line->text[at] != ',') at++;
            TRY(add_field(rows, first, at, false));
        }
        if (at >= line->bytes) return STATUS_OK;
    }
}

// ---- rows ----

struct table {
    enum status (*split)(struct rows *rows, struct line *line);
    const char *between;
};
static const struct table commas = {split_commas, "between commas"},
                          tabs = {split_tabs, "between tabs"},
                          blank = {split_blank, "around the first blank"};

static const struct table *table_of(const struct rows *rows)
{
    return rows->format == &rows_csv ? &commas : rows->format == &rows_tsv ? &tabs : &blank;
}

// The next line that has fields. An empty line inside a table is a row that lost its fields; at its end it is nothing.
static enum status next_fields(struct rows *rows, struct line *line, bool *more_p)
{
    uint64_t empty = 0;
    for (;;) {
        TRY(lines_next(rows->lines, line, more_p));
        if (!*more_p) return STATUS_OK;
        if (line->bytes > 0) break;
        if (!empty) empty = line->number;
    }
    if (empty)
        FAIL(STATUS_INPUT,
             "%s line %llu is empty, and rows follow it: remove it, or give it its fields",
             lines_path(rows->lines), (unsigned long long)empty);
    rows->fields = 0;
    return table_of(rows)->split(rows, line);
}

// The text of a field, with quotes that were written twice written once.
static enum status field_text(struct rows *rows, const struct line *line, const struct span *span,
                              size_t *at_p)
{
    *at_p = rows->text_bytes;
    if (span->bytes == 0) return STATUS_OK;
    TRY(rows_text_room(rows, span->bytes));
    const char *text = line->text + span->first;
    for (size_t i = 0; i < span->bytes; i++) {
        rows->text[rows->text_bytes++] = text[i];
        if (span->quoted && text[i] == '"') i++;
    }
    return STATUS_OK;
}

static bool field_is(const struct rows *rows, const struct line *line, int field, const char *name)
{
    const struct span *span = &rows->span[field];
    const char *text = line->text + span->first, *at = name;
    for (size_t i = 0; i < span->bytes; i++, at++) {
        if (*at != text[i]) return false;
        if (span->quoted && text[i] == '"') i++;
    }
    return *at == 0;
}

static void list_fields(const struct rows *rows, const struct line *line, char *out, size_t room)
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < rows->fields && used + 8 < room; i++) {
        const struct span *span = &rows->span[i];
        int bytes = text_cut_bytes(line->text + span->first, span->bytes, 40);
        int wrote = snprintf(out + used, room - used, "%s%.*s", i ? ", " : "", bytes,
                             line->text + span->first);
        used += (size_t)wrote < room - used ? (size_t)wrote : room - used - 1;
    }
}

static enum status find_column(struct rows *rows, const struct line *line, const char *name,
                               int *place_p)
{
    char there[400];
    int place = -1;
    for (int i = 0; i < rows->fields; i++) {
        if (!field_is(rows, line, i, name)) continue;
        if (place >= 0)
            FAIL(STATUS_INPUT,
                 "%s line %llu names columns %d and %d both \"%s\"; name the one that is meant by "
                 "its "
                 "number",
                 lines_path(rows->lines), (unsigned long long)line->number, place + 1, i + 1, name);
        place = i;
    }
    if (place >= 0) {
        *place_p = place;
        return STATUS_OK;
    }
    list_fields(rows, line, there, sizeof there);
    FAIL(STATUS_INPUT,
         "%s line %llu names no column \"%s\"; it has %s (columns may be numbers, from 1)",
         lines_path(rows->lines), (unsigned long long)line->number, name, there);
}

// Whether columns that are numbers are there: the table is as wide as `line`, its first one.
static enum status check_places(struct rows *rows, const struct line *line)
{
    rows->width = rows->fields;
    for (int i = 0; i < rows->setup.columns; i++)
        if (rows->place[i] >= rows->width)
            FAIL(STATUS_INPUT, "%s line %llu has %d field%s %s; column %s is not there",
                 lines_path(rows->lines), (unsigned long long)line->number, rows->fields,
                 rows->fields == 1 ? "" : "s", table_of(rows)->between, rows->setup.column[i]);
    return STATUS_OK;
}

static enum status start_table(struct rows *rows)
{
    bool header = rows->setup.header, more = false;
    struct line line = {0};
    for (int i = 0; i < rows->setup.columns; i++) {
        rows->place[i] = column_number(rows->setup.column[i]);
        header |= rows->place[i] < 0;
    }
    TRY(lines_open(rows->setup.path, rows->setup.replace, &rows->lines));
    if (!header) return STATUS_OK;
    TRY(next_fields(rows, &line, &more));
    if (!more)
        FAIL(STATUS_INPUT, "%s is empty; its first row should name the columns", rows->setup.path);
    TRY(check_places(rows, &line));
    for (int i = 0; i < rows->setup.columns; i++)
        if (rows->place[i] < 0)
            TRY(find_column(rows, &line, rows->setup.column[i], &rows->place[i]));
    return STATUS_OK;
}

static enum status check_width(struct rows *rows, const struct line *line)
{
    if (rows->width == 0) TRY(check_places(rows, line));
    if (rows->fields == rows->width) return STATUS_OK;
    FAIL(STATUS_INPUT, "%s line %llu has %d field%s %s, the rows before it %d",
         lines_path(rows->lines), (unsigned long long)line->number, rows->fields,
         rows->fields == 1 ? "" : "s", table_of(rows)->between, rows->width);
}

static enum status next_row(struct rows *rows, struct row *row, bool *more_p)
{
    struct line line = {0};
    size_t at[ROW_FIELDS];
    TRY(next_fields(rows, &line, more_p));
    if (!*more_p) return STATUS_OK;
    TRY(check_width(rows, &line));
    rows->text_bytes = 0;
    for (int i = 0; i < rows->setup.columns; i++)
        TRY(field_text(rows, &line, &rows->span[rows->place[i]], &at[i]));
    for (int i = 0; i < rows->setup.columns; i++) {
        size_t end = i + 1 < rows->setup.columns ? at[i + 1] : rows->text_bytes;
        row->field[i] =
            (struct row_field){rows->text ? rows->text + at[i] : "", end - at[i], false};
    }
    row->path = lines_path(rows->lines);
    row->line = line.number;
    return STATUS_OK;
}

const struct rows_format rows_csv = {"csv", ".csv", start_table, next_row, NULL};
const struct rows_format rows_tsv = {"tsv", ".tsv", start_table, next_row, NULL};
const struct rows_format rows_spaced = {"spaced", NULL, start_table, next_row, NULL};
