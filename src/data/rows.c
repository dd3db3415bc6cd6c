// SPDX-License-Identifier: Apache-2.0
#include "data/rows.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/rows_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct rows_format *const formats[] = {
    &rows_lines, &rows_csv, &rows_tsv, &rows_spaced, &rows_jsonl, &rows_squad, NULL};

int column_number(const char *column)
{
    if (column[0] < '1' || column[0] > '9') return -1;
    int number = 0;
    for (const char *c = column; *c; c++) {
        if (*c < '0' || *c > '9' || number > 10000) return -1;
        number = 10 * number + *c - '0';
    }
    return number - 1;
}

// The extension in front of .gz and .zst, in any case.
static bool has_ending(const char *path, const char *ending)
{
    size_t bytes = strlen(path), n = strlen(ending);
    const char *packings[] = {".gz", ".zst"};
    for (int i = 0; i < 2; i++) {
        size_t p = strlen(packings[i]);
        if (bytes > p && strcasecmp(path + bytes - p, packings[i]) == 0) {
            bytes -= p;
            break;
        }
    }
    return bytes > n && strncasecmp(path + bytes - n, ending, n) == 0;
}

static enum status find_format(const struct rows_setup *setup, const struct rows_format **format_p)
{
    const char *name = setup->format && strcmp(setup->format, "auto") != 0 ? setup->format : NULL;
    for (int i = 0; formats[i]; i++) {
        const char *ending = formats[i]->ending;
        if (name ? strcmp(formats[i]->name, name) != 0
                 : !ending || !has_ending(setup->path, ending))
            continue;
        *format_p = formats[i];
        return STATUS_OK;
    }
    if (name)
        FAIL(STATUS_USAGE,
             "there is no format \"%s\"; there are auto, lines, csv, tsv, spaced, jsonl and squad",
             name);
    *format_p = &rows_lines;
    return STATUS_OK;
}

const char *rows_format_of(const char *path)
{
    for (int i = 0; formats[i]; i++)
        if (formats[i]->ending && has_ending(path, formats[i]->ending)) return formats[i]->name;
    return rows_lines.name;
}

// Two files of plain lines; one whose name says that it holds rows would be learned from as it is, with its braces and quotes.
static enum status check_pair(const struct rows_setup *setup, const struct rows_format *format)
{
    if (format != &rows_lines)
        FAIL(STATUS_USAGE,
             "%s is read as %s, whose rows have both columns; a second file such as %s belongs to "
             "plain lines (format: lines)",
             setup->path, format->name, setup->pair);
    const char *second = rows_format_of(setup->pair);
    bool named = setup->format && strcmp(setup->format, rows_lines.name) == 0;
    if (!named && strcmp(second, rows_lines.name) != 0)
        FAIL(STATUS_USAGE,
             "%s is %s by its name, and a second file has plain lines; name the columns of one "
             "file that has both, or format: lines if it has lines all the same",
             setup->pair, second);
    return STATUS_OK;
}

// What is learned says nothing where it is read beside it, whether the columns are named or numbered.
static enum status check_apart(const struct rows *rows)
{
    const char *const *column = rows->setup.column;
    int apart = rows->setup.apart - 1;
    for (int i = 0; apart >= 0 && apart < rows->setup.columns && i < rows->setup.columns; i++) {
        bool named = strcmp(column[i], column[apart]) == 0;
        bool placed = rows->format != &rows_jsonl && rows->place[i] == rows->place[apart];
        if (i != apart && (named || placed))
            FAIL(STATUS_USAGE,
                 "%s: column %s is what is learned (data.target), and is among what it is learned "
                 "from, as column %s; name another",
                 rows->setup.path, column[apart], column[i]);
    }
    return STATUS_OK;
}

enum status rows_open(const struct rows_setup *setup, struct rows **rows_p)
{
    struct rows *rows = NULL;
    const struct rows_format *format = NULL;
    INVARIANT(setup->columns > 0 && setup->columns <= ROW_FIELDS, "%d columns", setup->columns);
    if (directory_exists(setup->path))
        FAIL(STATUS_INPUT, "%s is a folder; one file is wanted", setup->path);
    TRY(find_format(setup, &format));
    if (setup->pair) TRY(check_pair(setup, format));
    if (setup->header && (format == &rows_lines || format == &rows_jsonl || format == &rows_squad))
        FAIL(STATUS_USAGE,
             "data.header: %s is read as %s, which has no header to leave out; csv and tsv have",
             setup->path, format->name);
    TRY(memory_allocate(1, sizeof *rows, "a reader of rows", &rows));
    rows->setup = *setup;
    rows->format = format;
    enum status status = format->start(rows);
    if (!status) status = check_apart(rows);
    if (status) {
        rows_close(rows);
        return status;
    }
    *rows_p = rows;
    return STATUS_OK;
}

void rows_close(struct rows *rows)
{
    if (!rows) return;
    if (rows->format->stop) rows->format->stop(rows);
    lines_close(rows->lines);
    lines_close(rows->pair);
    free(rows->span);
    free(rows->text);
    free(rows);
}

enum status rows_text_room(struct rows *rows, size_t bytes)
{
    size_t wanted = rows->text_bytes + bytes;
    if (wanted <= rows->text_room) return STATUS_OK;
    if (wanted < 2 * rows->text_room) wanted = 2 * rows->text_room;
    TRY(memory_grow(&rows->text, wanted, 1, "the fields of a row"));
    rows->text_room = wanted;
    return STATUS_OK;
}

enum status rows_next(struct rows *rows, struct row *row_p, bool *more_p)
{
    TRY(stop_check(rows->setup.stop, "the rows were read"));
    return rows->format->next(rows, row_p, more_p);
}

uint64_t rows_replaced(const struct rows *rows)
{
    return (rows->lines ? lines_replaced(rows->lines) : 0) +
           (rows->pair ? lines_replaced(rows->pair) : 0);
}
