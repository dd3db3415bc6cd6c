// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/launch.h"

#include <string.h>

// Copies `count` columns of `rows` rows.
static void copy_columns(float *to, int64_t to_row, const float *from, int64_t from_row,
                         int64_t count, struct range rows)
{
    for (int64_t row = rows.first; row < rows.last; row++)
        memcpy(to + row * to_row, from + row * from_row, (size_t)count * sizeof *to);
}

static struct range rows_of(const struct step *step, const struct part *part)
{
    return part_range(part, shape_rows(step->call.value->shape), 1);
}

void launch_concat(const struct step *step, const struct part *part)
{
    const struct value *v = step->call.value;
    int64_t n = shape_last(v->input[0]->shape), m = shape_last(v->input[1]->shape);
    float *y = step->call.output[0];
    struct range rows = rows_of(step, part);
    copy_columns(y, n + m, step->call.input[0], n, n, rows);
    copy_columns(y + n, n + m, step->call.input[1], m, m, rows);
}

void launch_slice(const struct step *step, const struct part *part)
{
    const struct value *v = step->call.value;
    const struct slice_attributes *attributes = v->attributes;
    const float *x = step->call.input[0];
    copy_columns(step->call.output[0], attributes->count, x + attributes->first,
                 shape_last(v->input[0]->shape), attributes->count, rows_of(step, part));
}

void launch_place(const struct step *step, const struct part *part)
{
    const struct value *v = step->call.value;
    const struct slice_attributes *attributes = v->attributes;
    float *y = step->call.output[0];
    int64_t width = attributes->count, count = shape_last(v->input[0]->shape);
    struct range rows = rows_of(step, part);
    if (rows.first < rows.last)
        memset(y + rows.first * width, 0, (size_t)((rows.last - rows.first) * width) * sizeof *y);
    copy_columns(y + attributes->first, width, step->call.input[0], count, count, rows);
}

void launch_reshape(const struct step *step, const struct part *part)
{
    float *y = step->call.output[0];
    const float *x = step->call.input[0];
    struct range r = part_range(part, shape_count(step->call.value->shape), COLUMN_UNIT);
    if (y != x) memcpy(y + r.first, x + r.first, (size_t)(r.last - r.first) * sizeof *y);
}
