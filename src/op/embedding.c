// SPDX-License-Identifier: Apache-2.0
// Rows of a table by number, and the scatter that is its gradient.
#include "op/common.h"

#include <string.h>

static void infer(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "table", F32, 2) || !check_input(g, y, 1, "ids", I32, ANY_RANK))
        return;
    struct shape shape = y->input[1]->shape;
    char text[64];
    if (shape.rank == MAX_RANK) {
        graph_fail(g, STATUS_SHAPE,
                   "embedding: ids %s leave no room for the width: at most %d dimensions",
                   shape_print(shape, text), MAX_RANK - 1);
        return;
    }
    shape.size[shape.rank++] = y->input[0]->shape.size[1];
    y->shape = shape;
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0)) dx[0] = op_embedding_grad(g, y->input[1], dy, y->input[0]->shape.size[0]);
}

static void reference(const struct op_call *call)
{
    const real *table = call->input[0];
    const int32_t *ids = call->input[1];
    real *y = call->output[0];
    int64_t width = shape_last(call->value->shape), rows = shape_rows(call->value->shape);
    int64_t vocabulary = call->value->input[0]->shape.size[0];
    for (int64_t row = 0; row < rows; row++) {
        INVARIANT(ids[row] >= 0 && ids[row] < vocabulary, "id %d of %lld", ids[row],
                  (long long)vocabulary);
        memcpy(y + row * width, table + ids[row] * width, (size_t)width * sizeof *y);
    }
}

static struct cost cost(const struct value *y)
{
    // Only the rows that are looked up are read.
    double rows = (double)shape_rows(y->shape);
    return (struct cost){.bytes = 2 * (double)shape_count(y->shape) * sizeof(real) + 4 * rows};
}

#define CASE(n)                                                                                    \
    {.inputs = 2,                                                                                  \
     .input = {SHAPE2(n, 13), SHAPE2(2, 9)},                                                       \
     .dtype = {F32, I32},                                                                          \
     .integer_limit = (n)},                                                                        \
        {.inputs = 2,                                                                              \
         .input = {SHAPE2(11, n), SHAPE1(n)},                                                      \
         .dtype = {F32, I32},                                                                      \
         .integer_limit = 11},
static const struct op_case cases[] = {ODD_SIZES(CASE)};

const struct op embedding_op = {.name = "embedding",
                                .infer = infer,
                                .vjp = vjp,
                                .reference = reference,
                                .cost = cost,
                                CASES(cases)};

struct value *(op_embedding)(struct graph *g, struct value *table, struct value *ids)
{
    return graph_append(g, &embedding_op, (struct value *[]){table, ids}, 2, NULL, 0);
}

// ---- gradient ----
static void infer_grad(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "ids", I32, ANY_RANK) || !check_input(g, y, 1, "dy", F32, ANY_RANK))
        return;
    const struct embedding_grad_attributes *attributes = y->attributes;
    struct shape wanted = y->input[0]->shape;
    int64_t width = shape_last(y->input[1]->shape);
    if (wanted.rank == MAX_RANK || attributes->vocabulary < 1) {
        graph_fail(g, STATUS_SHAPE, "embedding_grad: ids of rank %d, a vocabulary of %lld",
                   wanted.rank, (long long)attributes->vocabulary);
        return;
    }
    wanted.size[wanted.rank++] = width;
    if (!check_shape(g, y, 1, "dy", F32, wanted)) return;
    y->shape = shape_of(2, attributes->vocabulary, width);
    if (y->input[2]) check_shape(g, y, 2, "sum", F32, y->shape);
}

// Sum over the rows with this id, upwards, of one column.
static real rows_sum(const int32_t *ids, const real *dy, int32_t id, int64_t rows, int64_t width)
{
    real sum = 0;
    for (int64_t row = 0; row < rows; row++)
        if (ids[row] == id) sum += dy[row * width];
    return sum;
}

static void reference_grad(const struct op_call *call)
{
    const int32_t *ids = call->input[0];
    const real *dy = call->input[1], *sum = call->input[2];
    real *dtable = call->output[0];
    int64_t width = shape_last(call->value->shape),
            rows = shape_count(call->value->input[0]->shape);
    int64_t vocabulary = call->value->shape.size[0];
    size_t bytes = (size_t)(vocabulary * width) * sizeof *dtable;
    if (!sum) memset(dtable, 0, bytes);
    if (sum && sum != dtable) memcpy(dtable, sum, bytes);
    for (int64_t row = 0; row < rows; row++) {
        INVARIANT(ids[row] >= 0 && ids[row] < vocabulary, "id %d of %lld", ids[row],
                  (long long)vocabulary);
        int64_t first = 0;
        while (ids[first] != ids[row]) first++;
        for (int64_t i = 0; first == row && i < width; i++)
            dtable[ids[row] * width + i] += rows_sum(ids, dy + i, ids[row], rows, width);
    }
}

static struct cost cost_grad(const struct value *y)
{
    double count = (double)shape_count(y->input[1]->shape);
    // Rows that are added to where they lie: the others are left alone.
    double bytes = y->input[2] ? 3 * count * (double)sizeof(real) : touched_bytes(y);
    return (struct cost){.flops = count, .bytes = bytes};
}

#define CASE_GRAD(n)                                                                               \
    {.inputs = 2,                                                                                  \
     .input = {SHAPE2(2, 9), SHAPE3(2, 9, 13)},                                                    \
     .dtype = {I32, F32},                                                                          \
     .integer_limit = (n),                                                                         \
     .attributes = &(const struct embedding_grad_attributes){n}},                                  \
        {.inputs = 2,                                                                              \
         .input = {SHAPE1(n), SHAPE2(n, n)},                                                       \
         .dtype = {I32, F32},                                                                      \
         .integer_limit = 11,                                                                      \
         .attributes = &(const struct embedding_grad_attributes){11}},                             \
        {.inputs = 3,                                                                              \
         .input = {SHAPE1(n), SHAPE2(n, 13), SHAPE2(7, 13)},                                       \
         .dtype = {I32, F32, F32},                                                                 \
         .integer_limit = 7,                                                                       \
         .attributes = &(const struct embedding_grad_attributes){7}},
static const struct op_case cases_grad[] = {ODD_SIZES(CASE_GRAD)};

static struct value *append_grad(struct graph *g, struct value *ids, struct value *dy,
                                 struct value *sum, int64_t vocabulary)
{
    struct embedding_grad_attributes attributes = {vocabulary};
    return graph_append(g, &embedding_grad_op, (struct value *[]){ids, dy, sum}, 3, &attributes,
                        sizeof attributes);
}

// A table that is also the output layer has a gradient before its rows are added.
static struct value *add_grad(struct graph *g, struct value *sum, const struct value *y)
{
    return append_grad(g, y->input[0], y->input[1], sum, y->shape.size[0]);
}

const struct op embedding_grad_op = {.name = "embedding_grad",
                                     .attribute_bytes = sizeof(struct embedding_grad_attributes),
                                     .infer = infer_grad,
                                     .vjp = vjp_none,
                                     .add_to = add_grad,
                                     .reference = reference_grad,
                                     .cost = cost_grad,
                                     .in_place = 1 << 2,
                                     CASES(cases_grad)};

struct value *(op_embedding_grad)(struct graph *g, struct value *ids, struct value *dy,
                                  int64_t vocabulary)
{
    return append_grad(g, ids, dy, NULL, vocabulary);
}
