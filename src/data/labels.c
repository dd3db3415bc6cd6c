// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"
#include "base/number.h"
#include "data/examples.h"

#include <stdlib.h>
#include <string.h>

// Where `name` is, or where it would have to stand; names are in byte order while they are collected.
static int32_t place_of(char *const *names, int32_t count, const char *name, size_t bytes,
                        bool *found_p)
{
    int32_t low = 0, high = count;
    *found_p = false;
    while (low < high && !*found_p) {
        int32_t middle = low + (high - low) / 2;
        int order = strncmp(names[middle], name, bytes);
        if (order == 0 && names[middle][bytes]) order = 1;
        *found_p = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

static enum status insert(struct labels *labels, int32_t *room, const struct row *row)
{
    const struct row_field *field = &row->field[0];
    bool found;
    if (field->bytes == 0)
        FAIL(STATUS_INPUT, "%s line %llu: the label is empty", row->path,
             (unsigned long long)row->line);
    int32_t at = place_of(labels->name, labels->count, field->text, field->bytes, &found);
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

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = 0, y = 0;
    number_parse_integer(*(char *const *)a, &x);
    number_parse_integer(*(char *const *)b, &y);
    return (x > y) - (x < y);
}

static void sort_numbers(struct labels *labels)
{
    int64_t number;
    if (labels->count < 2) return;
    for (int32_t i = 0; i < labels->count; i++)
        if (!number_parse_integer(labels->name[i], &number)) return;
    qsort(labels->name, (size_t)labels->count, sizeof *labels->name, compare_numbers);
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
    if (status) {
        labels_release(&labels);
        return status;
    }
    sort_numbers(&labels);
    *labels_p = labels;
    return STATUS_OK;
}

void labels_release(struct labels *labels)
{
    for (int32_t i = 0; i < labels->count; i++) free(labels->name[i]);
    free(labels->name);
    *labels = (struct labels){0};
}

int32_t labels_find(const struct labels *labels, const char *name, size_t bytes)
{
    // In either order; classes are few, and this is not in a step.
    for (int32_t i = 0; i < labels->count; i++)
        if (strncmp(labels->name[i], name, bytes) == 0 && !labels->name[i][bytes]) return i;
    return -1;
}
