// SPDX-License-Identifier: Apache-2.0
// Columns of the last dimension: two values side by side, a cut, and a cut put back among zeros.
#include "op/common.h"

#include <string.h>

// ---- concat ----
static void infer_concat(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "a", F32, ANY_RANK) || !check_input(g, y, 1, "b", F32, ANY_RANK) ||
        !check_rows(g, y, 0, "a", 1, "b"))
        return;
    struct shape a = y->input[0]->shape;
    y->shape = shape_with_last(a, shape_last(a) + shape_last(y->input[1]->shape));
}

static void vjp_concat(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    int64_t first = shape_last(y->input[0]->shape);
    if (wants(y, 0)) dx[0] = op_slice(g, dy, 0, first);
    if (wants(y, 1)) dx[1] = op_slice(g, dy, first, shape_last(y->shape) - first);
}

static void reference_concat(const struct op_call *call)
{
    const struct value *v = call->value;
    const real *a = call->input[0], *b = call->input[1];
    int64_t n = shape_last(v->input[0]->shape), m = shape_last(v->input[1]->shape);
    real *y = call->output[0];
    for (int64_t row = 0; row < shape_rows(v->shape); row++, y += n + m) {
        memcpy(y, a + row * n, (size_t)n * sizeof *y);
        memcpy(y + n, b + row * m, (size_t)m * sizeof *y);
    }
}

static struct cost cost_copy(const struct value *y) { return elementwise_cost(y, 0); }

#define CASE_CONCAT(n)                                                                             \
    {.inputs = 2, .input = {SHAPE3(2, 3, n), SHAPE3(2, 3, 5)}},                                    \
        {.inputs = 2, .input = {SHAPE2(n, 3), SHAPE2(n, 1)}},
static const struct op_case cases_concat[] = {ODD_SIZES(CASE_CONCAT)};

const struct op concat_op = {.name = "concat",
                             .infer = infer_concat,
                             .vjp = vjp_concat,
                             .reference = reference_concat,
                             .cost = cost_copy,
                             CASES(cases_concat)};

struct value *(op_concat)(struct graph *g, struct value *a, struct value *b)
{
    return graph_append(g, &concat_op, (struct value *[]){a, b}, 2, NULL, 0);
}

// ---- slice ----
static const struct slice_attributes *attributes_of(const struct value *y) { return y->attributes; }

static void infer_slice(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK)) return;
    int64_t first = attributes_of(y)->first, count = attributes_of(y)->count,
            width = shape_last(y->input[0]->shape);
    if (first < 0 || count < 1 || first > width - count)
        graph_fail(g, STATUS_SHAPE, "slice: columns %lld to %lld are not all of %lld",
                   (long long)first, (long long)(first + count - 1), (long long)width);
    y->shape = shape_with_last(y->input[0]->shape, count);
}

static void vjp_slice(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0))
        dx[0] = op_place(g, dy, attributes_of(y)->first, shape_last(y->input[0]->shape));
}

static void reference_slice(const struct op_call *call)
{
    const struct value *v = call->value;
    int64_t width = shape_last(v->input[0]->shape), count = shape_last(v->shape);
    const real *x = (const real *)call->input[0] + attributes_of(v)->first;
    real *y = call->output[0];
    for (int64_t row = 0; row < shape_rows(v->shape); row++)
        memcpy(y + row * count, x + row * width, (size_t)count * sizeof *y);
}

#define SLICE(first, count)                                                                        \
    .attributes = &(const struct slice_attributes) { first, count }
#define CASE_SLICE(n)                                                                              \
    {.inputs = 1, .input = {SHAPE2(3, n)}, SLICE(0, n)},                                           \
        {.inputs = 1, .input = {SHAPE3(2, 2, (n) + 3)}, SLICE(2, n)},
static const struct op_case cases_slice[] = {ODD_SIZES(CASE_SLICE)};

const struct op slice_op = {.name = "slice",
                            .attribute_bytes = sizeof(struct slice_attributes),
                            .infer = infer_slice,
                            .vjp = vjp_slice,
                            .reference = reference_slice,
                            .cost = cost_copy,
                            CASES(cases_slice)};

struct value *(op_slice)(struct graph *g, struct value *x, int64_t first, int64_t count)
{
    struct slice_attributes attributes = {first, count};
    return graph_append(g, &slice_op, (struct value *[]){x}, 1, &attributes, sizeof attributes);
}

// ---- place: count is the width of the result ----
static void infer_place(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, ANY_RANK)) return;
    int64_t first = attributes_of(y)->first, width = attributes_of(y)->count,
            count = shape_last(y->input[0]->shape);
    if (first < 0 || first > width - count)
        graph_fail(g, STATUS_SHAPE, "place: columns %lld to %lld are not all of %lld",
                   (long long)first, (long long)(first + count - 1), (long long)width);
    y->shape = shape_with_last(y->input[0]->shape, width);
}

static void vjp_place(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0))
        dx[0] = op_slice(g, dy, attributes_of(y)->first, shape_last(y->input[0]->shape));
}

static void reference_place(const struct op_call *call)
{
    const struct value *v = call->value;
    int64_t width = shape_last(v->shape), count = shape_last(v->input[0]->shape);
    const real *x = call->input[0];
    real *y = call->output[0];
    memset(y, 0, (size_t)shape_count(v->shape) * sizeof *y);
    for (int64_t row = 0; row < shape_rows(v->shape); row++)
        memcpy(y + row * width + attributes_of(v)->first, x + row * count,
               (size_t)count * sizeof *y);
}

#define CASE_PLACE(n)                                                                              \
    {.inputs = 1, .input = {SHAPE2(3, n)}, SLICE(0, n)},                                           \
        {.inputs = 1, .input = {SHAPE3(2, 2, n)}, SLICE(2, (n) + 3)},
static const struct op_case cases_place[] = {ODD_SIZES(CASE_PLACE)};

const struct op place_op = {.name = "place",
                            .attribute_bytes = sizeof(struct slice_attributes),
                            .infer = infer_place,
                            .vjp = vjp_place,
                            .reference = reference_place,
                            .cost = cost_copy,
                            CASES(cases_place)};

struct value *(op_place)(struct graph *g, struct value *x, int64_t first, int64_t width)
{
    struct slice_attributes attributes = {first, width};
    return graph_append(g, &place_op, (struct value *[]){x}, 1, &attributes, sizeof attributes);
}
