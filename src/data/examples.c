// SPDX-License-Identifier: Apache-2.0
#include "data/examples.h"

#include "base/memory.h"
#include "base/number.h"
#include "text/sentences.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define DIGITS "0123456789"

struct reading {
    const struct examples_setup *setup;
    struct examples examples;
    int64_t used, ids_room, rows_room; // ids so far
    int32_t *ids;                      // of the text under way
    size_t room;
};

// ---- texts ----

static enum status keep_ids(struct reading *reading, const int32_t *ids, int64_t count)
{
    struct examples *e = &reading->examples;
    int64_t wanted = reading->used + count;
    // Where all texts are empty, too: who adds to a place needs one.
    if (!e->ids || wanted > reading->ids_room) {
        int64_t room = 2 * reading->ids_room > wanted ? 2 * reading->ids_room : wanted + 4096;
        TRY(memory_grow(&e->ids, (size_t)room, sizeof *e->ids, "the examples"));
        reading->ids_room = room;
    }
    if (count > 0) memcpy(e->ids + reading->used, ids, (size_t)count * sizeof *ids);
    reading->used = wanted;
    return STATUS_OK;
}

static enum status read_text(struct reading *reading, const struct row *row, int text)
{
    const struct row_field *field = &row->field[text];
    int32_t longest = reading->setup->longest[text];
    struct text read = {field->text, field->bytes};
    char source[320];
    size_t count = 0, at = 0;
    if (field->list && reading->setup->first[text]) (void)sentence_next_line(read, &at, &read);
    size_t wanted = tokenizer_room(reading->setup->tokenizer[text], read.bytes) + 1;
    if (wanted > reading->room) {
        TRY(memory_grow(&reading->ids, 2 * wanted, sizeof *reading->ids, "a text's tokens"));
        reading->room = 2 * wanted;
    }
    snprintf(source, sizeof source, "%.*s line %llu", CUT(row->path, 280),
             (unsigned long long)row->line);
    TRY(tokenizer_encode(reading->setup->tokenizer[text], (const uint8_t *)read.at, read.bytes,
                         source, 0, reading->ids, &count));
    if (longest > 0 && count > (size_t)longest && !reading->setup->pieces) {
        reading->examples.cut++;
        count = (size_t)longest;
    }
    return keep_ids(reading, reading->ids, (int64_t)count);
}

// ---- targets ----

static enum status unknown_class(const struct labels *labels, const struct row *row,
                                 const struct row_field *field)
{
    char there[300] = "";
    size_t used = 0;
    for (int32_t i = 0; i < labels->count && used + 60 < sizeof there; i++)
        used += (size_t)snprintf(there + used, sizeof there - used, "%s%.*s", i ? ", " : "",
                                 CUT(labels->name[i], 50));
    FAIL(STATUS_INPUT, "%s line %llu: there is no class \"%.*s\"; the training data have %s%s",
         row->path, (unsigned long long)row->line, text_cut_bytes(field->text, field->bytes, 60),
         field->text, there, used + 60 < sizeof there ? "" : ", …");
}

// A first row of names where numbers are wanted is a header, where columns are numbers, too.
static enum status no_number(const struct rows_setup *rows, const struct row *row, int place,
                             const char *text)
{
    const char *column = rows->column[place];
    bool names = row->line == 1 && !rows->header && *text && column[strspn(column, DIGITS)] == 0;
    FAIL(STATUS_INPUT, "%s line %llu: \"%s\" is no number, in column %s%s", row->path,
         (unsigned long long)row->line, text, column,
         names ? "; data.header: true leaves out a first row of names" : "");
}

static enum status read_number(const struct reading *reading, const struct row *row, int place,
                               float *number_p)
{
    const struct row_field *field = &row->field[place];
    struct text bare = text_bare((struct text){field->text, field->bytes});
    char text[64];
    double number = 0;
    snprintf(text, sizeof text, "%.*s", text_cut_bytes(bare.at, bare.bytes, 63), bare.at);
    if (bare.bytes >= sizeof text || !number_parse(text, &number))
        return no_number(&reading->setup->rows, row, place, text);
    if (!isfinite((float)number))
        FAIL(STATUS_INPUT, "%s line %llu: %s is out of range; a float32 holds up to 3.4e38",
             row->path, (unsigned long long)row->line, text);
    *number_p = (float)number;
    return STATUS_OK;
}

static enum status read_target(struct reading *reading, const struct row *row)
{
    const struct examples_setup *setup = reading->setup;
    struct examples *e = &reading->examples;
    int place = setup->texts + setup->features;
    const struct row_field *field = &row->field[place];
    if (setup->target == TARGET_CLASS) {
        int32_t label = labels_find(setup->labels, field->text, field->bytes);
        if (label < 0) return unknown_class(setup->labels, row, field);
        e->label[e->count] = label;
    }
    if (setup->target == TARGET_NUMBER) TRY(read_number(reading, row, place, &e->number[e->count]));
    return STATUS_OK;
}

static enum status read_features(struct reading *reading, const struct row *row)
{
    struct examples *e = &reading->examples;
    for (int i = 0; i < e->features; i++)
        TRY(read_number(reading, row, e->texts + i, &e->feature[e->count * e->features + i]));
    return STATUS_OK;
}

// ---- rows ----

static enum status grow_rows(struct reading *reading)
{
    struct examples *e = &reading->examples;
    if (e->count < reading->rows_room) return STATUS_OK;
    size_t room = reading->rows_room ? 2 * (size_t)reading->rows_room : 1024;
    TRY(memory_grow(&e->place, room * (size_t)e->texts + 1, sizeof *e->place, "the examples"));
    if (reading->setup->target == TARGET_CLASS)
        TRY(memory_grow(&e->label, room, sizeof *e->label, "the examples"));
    if (reading->setup->target == TARGET_NUMBER)
        TRY(memory_grow(&e->number, room, sizeof *e->number, "the examples"));
    if (e->features)
        TRY(memory_grow(&e->feature, room * (size_t)e->features, sizeof *e->feature,
                        "the examples"));
    if (reading->setup->pieces)
        TRY(memory_grow(&e->whole_of, room, sizeof *e->whole_of, "the examples"));
    if (e->count == 0) e->place[0] = 0;
    reading->rows_room = (int64_t)room;
    return STATUS_OK;
}

static enum status add_row(struct reading *reading, const char *path)
{
    struct examples *e = &reading->examples;
    if (e->count == INT32_MAX) FAIL(STATUS_INPUT, "%s has more than %d rows", path, INT32_MAX);
    return grow_rows(reading);
}

// The text that was just read as examples of like length, as few as are short enough.
static enum status add_pieces(struct reading *reading, const char *path)
{
    struct examples *e = &reading->examples;
    int64_t start = e->place[e->count], n = reading->used - start;
    int64_t longest = reading->setup->longest[0], pieces = n ? (n + longest - 1) / longest : 1;
    for (int64_t i = 1; i <= pieces; i++) {
        TRY(add_row(reading, path));
        e->whole_of[e->count] = (int32_t)e->whole;
        e->place[++e->count] = start + i * n / pieces;
    }
    e->whole++;
    return STATUS_OK;
}

static enum status read_rows(struct reading *reading, struct rows *rows)
{
    struct examples *e = &reading->examples;
    struct row row;
    bool more;
    for (;;) {
        TRY(rows_next(rows, &row, &more));
        if (!more) break;
        TRY(add_row(reading, row.path));
        for (int text = 0; text < e->texts; text++) {
            TRY(read_text(reading, &row, text));
            e->place[e->count * e->texts + text + 1] = reading->used;
        }
        if (reading->setup->pieces) {
            TRY(add_pieces(reading, row.path));
            continue;
        }
        TRY(read_features(reading, &row));
        TRY(read_target(reading, &row));
        e->count++;
    }
    if (e->count == 0) FAIL(STATUS_INPUT, "%s has no rows", reading->setup->rows.path);
    return STATUS_OK;
}

static uint64_t hash_of(const struct examples *e)
{
    size_t rows = (size_t)e->count;
    const struct {
        const void *data;
        size_t bytes;
    } part[] = {
        {e->place, (rows * (size_t)e->texts + 1) * sizeof *e->place},
        {e->ids, (size_t)e->place[e->count * e->texts] * sizeof *e->ids},
        {e->label, e->label ? rows * sizeof *e->label : 0},
        {e->number, e->number ? rows * sizeof *e->number : 0},
        {e->feature, rows * (size_t)e->features * sizeof *e->feature},
    };
    uint64_t hash = (uint64_t)e->texts;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        hash = XXH3_64bits_withSeed(part[i].bytes ? part[i].data : "", part[i].bytes, hash);
    return hash;
}

enum status examples_read(const struct examples_setup *setup, struct examples *examples_p)
{
    struct reading reading = {.setup = setup,
                              .examples = {.texts = setup->texts, .features = setup->features}};
    struct rows *rows;
    int columns = setup->texts + setup->features + (setup->target != TARGET_NONE);
    INVARIANT(!setup->pieces || (columns == 1 && setup->texts == 1 && setup->longest[0] > 0),
              "pieces of %d columns", columns);
    INVARIANT(setup->rows.columns == columns && setup->texts >= 0 && setup->texts <= 2,
              "%d columns for %d texts, %d features and their target", setup->rows.columns,
              setup->texts, setup->features);
    TRY(rows_open(&setup->rows, &rows));
    enum status status = read_rows(&reading, rows);
    rows_close(rows);
    free(reading.ids);
    if (status) {
        examples_release(&reading.examples);
        return status;
    }
    if (reading.examples.whole == reading.examples.count) {
        free(reading.examples.whole_of);
        reading.examples.whole_of = NULL;
        reading.examples.whole = 0;
    }
    reading.examples.hash = hash_of(&reading.examples);
    *examples_p = reading.examples;
    return STATUS_OK;
}

void examples_release(struct examples *examples)
{
    free(examples->place);
    free(examples->ids);
    free(examples->label);
    free(examples->number);
    free(examples->feature);
    free(examples->whole_of);
    *examples = (struct examples){0};
}
