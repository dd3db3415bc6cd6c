// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"
#include "base/number.h"
#include "data/examples.h"

#include <stdlib.h>
#include <string.h>

// Where `name` is in byte order, or where it would have to stand; names lie in this order while they are collected.
static int32_t place_of(const struct labels *labels, const char *name, size_t bytes, bool *found_p)
{
    int32_t low = 0, high = labels->count;
    *found_p = false;
    while (low < high && !*found_p) {
        int32_t middle = low + (high - low) / 2;
        const char *other = labels->name[labels->order ? labels->order[middle] : middle];
        int order = strncmp(other, name, bytes);
        if (order == 0 && other[bytes]) order = 1;
        *found_p = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

// labels.txt has a line for each class, and so has what a classifier prints.
static enum status check_name(const struct row *row)
{
    const struct row_field *field = &row->field[0];
    unsigned long long line = row->line;
    if (field->bytes == 0) FAIL(STATUS_INPUT, "%s line %llu: the label is empty", row->path, line);
    if (field->bytes > LABEL_BYTES)
        FAIL(STATUS_INPUT,
             "%s line %llu: the label \"%.*s...\" has %zu bytes, more than %d; is this the column "
             "of labels?",
             row->path, line, text_cut_bytes(field->text, field->bytes, 40), field->text,
             field->bytes, LABEL_BYTES);
    if (field->list && memchr(field->text, '\n', field->bytes))
        FAIL(STATUS_INPUT, "%s line %llu: the label is a list; a row is of one class, a text",
             row->path, line);
    if (memchr(field->text, '\n', field->bytes) || memchr(field->text, '\r', field->bytes))
        FAIL(STATUS_INPUT,
             "%s line %llu: the label has a line break in it; the name of a class is one line",
             row->path, line);
    return STATUS_OK;
}

static enum status insert(struct labels *labels, int32_t *room, const struct row *row)
{
    const struct row_field *field = &row->field[0];
    bool found;
    TRY(check_name(row));
    int32_t at = place_of(labels, field->text, field->bytes, &found);
    if (found) return STATUS_OK;
    if (labels->count == LABELS_MOST)
        FAIL(STATUS_INPUT,
             "%s line %llu: more than %d different labels; is this the column of labels?",
             row->path, (unsigned long long)row->line, LABELS_MOST);
    if (labels->count == *room) {
        int32_t wanted = *room ? 2 * *room : 64;
        TRY(memory_grow(&labels->name, (size_t)wanted, sizeof *labels->name, "the labels"));
        *room = wanted;
    }
    char *name = NULL;
    TRY(memory_allocate(field->bytes + 1, 1, "the labels", &name));
    memcpy(name, field->text, field->bytes);
    memmove(labels->name + at + 1, labels->name + at,
            (size_t)(labels->count - at) * sizeof *labels->name);
    labels->name[at] = name;
    labels->count++;
    return STATUS_OK;
}

struct numbered {
    int64_t number;
    int32_t place; // in byte order
};

static int compare_numbers(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return x->place < y->place ? -1 : 1; // 1 and 01
}

// From the order of bytes to that of numbers, where all names are numbers.
static enum status sort_numbers(struct labels *labels)
{
    size_t count = (size_t)labels->count;
    struct numbered *numbered;
    char **name = NULL;
    bool numbers = true;
    TRY(memory_allocate(count, sizeof *numbered, "the labels", &numbered));
    for (int32_t i = 0; numbers && i < labels->count; i++) {
        numbered[i].place = i;
        numbers = number_parse_integer(labels->name[i], &numbered[i].number);
    }
    enum status status =
        numbers ? memory_allocate(count, sizeof *name, "the labels", &name) : STATUS_OK;
    if (!status && numbers)
        status = memory_allocate(count, sizeof *labels->order, "the labels", &labels->order);
    if (!status && numbers) {
        qsort(numbered, count, sizeof *numbered, compare_numbers);
        for (int32_t i = 0; i < labels->count; i++) {
            name[i] = labels->name[numbered[i].place];
            labels->order[numbered[i].place] = i;
        }
        free(labels->name);
        labels->name = name;
        name = NULL;
    }
    free(name);
    free(numbered);
    return status;
}

static enum status collect(struct rows *rows, struct labels *labels)
{
    struct row row;
    bool more;
    int32_t room = 0;
    for (;;) {
        TRY(rows_next(rows, &row, &more));
        if (!more) return STATUS_OK;
        TRY(insert(labels, &room, &row));
    }
}

enum status labels_collect(const struct rows_setup *setup, struct labels *labels_p)
{
    struct labels labels = {0};
    struct rows *rows;
    TRY(rows_open(setup, &rows));
    enum status status = collect(rows, &labels);
    rows_close(rows);
    if (!status && labels.count == 0)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__, "%s has no rows", setup->path);
    if (!status) status = sort_numbers(&labels);
    if (status) {
        labels_release(&labels);
        return status;
    }
    *labels_p = labels;
    return STATUS_OK;
}

void labels_release(struct labels *labels)
{
    for (int32_t i = 0; i < labels->count; i++) free(labels->name[i]);
    free(labels->name);
    free(labels->order);
    *labels = (struct labels){0};
}

int32_t labels_find(const struct labels *labels, const char *name, size_t bytes)
{
    bool found;
    int32_t at = place_of(labels, name, bytes, &found);
    if (!found) return -1;
    return labels->order ? labels->order[at] : at;
}
