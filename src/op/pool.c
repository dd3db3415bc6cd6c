// SPDX-License-Identifier: Apache-2.0
// A sequence as one vector (mean, largest, first, last, sum), and windows of neighbouring positions, which make a convolution a
// linear layer.
#include "op/common.h"

#include <string.h>

static const struct pool_attributes *attributes_of(const struct value *y) { return y->attributes; }

static bool check_pool(struct graph *g, const struct value *y)
{
    if (attributes_of(y)->pool < 0 || attributes_of(y)->pool >= POOL_COUNT)
        graph_fail(g, STATUS_USAGE, "%s: there is no pooling %d", y->op->name,
                   (int)attributes_of(y)->pool);
    if (g->status || !check_input(g, y, 0, "x", F32, 3)) return false;
    return !y->input[1] ||
           check_shape(g, y, 1, "lengths", I32, shape_of(1, y->input[0]->shape.size[0]));
}

static bool adds(enum pool pool) { return pool == POOL_MEAN || pool == POOL_SUM; }

static void infer(struct graph *g, struct value *y)
{
    if (!check_pool(g, y)) return;
    struct shape x = y->input[0]->shape;
    y->shape = shape_of(2, x.size[0], x.size[2]);
}

static void vjp(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0)) dx[0] = op_pool_grad(g, y->input[0], y->input[1], dy, attributes_of(y)->pool);
}

static int64_t length_of(const int32_t *lengths, int64_t b, int64_t tokens)
{
    return lengths && lengths[b] < tokens ? lengths[b] : tokens;
}

// The position that column j of a sequence takes: the first of the largest, 0, or the last.
static int64_t chosen(enum pool pool, const real *x, int64_t length, int64_t width, int64_t j)
{
    int64_t at = pool == POOL_LAST ? length - 1 : 0;
    for (int64_t t = 1; pool == POOL_MAX && t < length; t++)
        if (x[t * width + j] > x[at * width + j]) at = t;
    return at;
}

static void reference(const struct op_call *call)
{
    const struct value *v = call->value;
    struct shape shape = v->input[0]->shape;
    int64_t tokens = shape.size[1], width = shape.size[2];
    const int32_t *lengths = call->input[1];
    enum pool pool = attributes_of(v)->pool;
    real *y = call->output[0];
    for (int64_t b = 0; b < shape.size[0]; b++) {
        const real *x = (const real *)call->input[0] + b * tokens * width;
        int64_t length = length_of(lengths, b, tokens);
        for (int64_t j = 0; j < width; j++) {
            real sum = 0;
            for (int64_t t = 0; adds(pool) && t < length; t++) sum += x[t * width + j];
            if (pool == POOL_MEAN && length > 0) sum /= (real)length;
            if (!adds(pool) && length > 0) sum = x[chosen(pool, x, length, width, j) * width + j];
            y[b * width + j] = sum;
        }
    }
}

static struct cost cost(const struct value *y)
{
    return (struct cost){.flops = (double)shape_count(y->input[0]->shape),
                         .bytes = touched_bytes(y)};
}

#define CASE_OF(kind, batch, tokens, width, ...)                                                   \
    {.inputs = 2,                                                                                  \
     .input = {SHAPE3(batch, tokens, width), __VA_ARGS__},                                         \
     .dtype = {F32, I32},                                                                          \
     .integer_limit = (tokens) + 3,                                                                \
     .attributes = &(const struct pool_attributes){kind}},
#define CASE(kind)                                                                                 \
    CASE_OF(kind, 1, 1, 1, ABSENT)                                                                 \
    CASE_OF(kind, 3, 5, 17, ABSENT)                                                                \
    CASE_OF(kind, 7, 4, 33, SHAPE1(7)) CASE_OF(kind, 5, 9, 5, SHAPE1(5))
static const struct op_case cases[] = {CASE(POOL_MEAN) CASE(POOL_MAX) CASE(POOL_FIRST)
                                           CASE(POOL_LAST) CASE(POOL_SUM)};

const struct op pool_op = {.name = "pool",
                           .attribute_bytes = sizeof(struct pool_attributes),
                           .infer = infer,
                           .vjp = vjp,
                           .reference = reference,
                           .cost = cost,
                           CASES(cases)};

struct value *(op_pool)(struct graph *g, struct value *x, struct value *lengths, enum pool pool)
{
    struct pool_attributes attributes = {pool};
    return graph_append(g, &pool_op, (struct value *[]){x, lengths}, 2, &attributes,
                        sizeof attributes);
}

// ---- gradient: inputs x, lengths, dy ----
static void infer_grad(struct graph *g, struct value *dx)
{
    if (!check_pool(g, dx)) return;
    struct shape x = dx->input[0]->shape;
    if (check_shape(g, dx, 2, "dy", F32, shape_of(2, x.size[0], x.size[2]))) dx->shape = x;
}

static void reference_grad(const struct op_call *call)
{
    const struct value *v = call->value;
    int64_t tokens = v->shape.size[1], width = v->shape.size[2];
    const int32_t *lengths = call->input[1];
    const real *dy = call->input[2];
    enum pool pool = attributes_of(v)->pool;
    real *dx = call->output[0];
    memset(dx, 0, (size_t)shape_count(v->shape) * sizeof *dx);
    for (int64_t b = 0; b < v->shape.size[0]; b++, dx += tokens * width, dy += width) {
        const real *x = (const real *)call->input[0] + b * tokens * width;
        int64_t length = length_of(lengths, b, tokens);
        for (int64_t j = 0; length > 0 && j < width; j++) {
            for (int64_t t = 0; adds(pool) && t < length; t++)
                dx[t * width + j] = pool == POOL_SUM ? dy[j] : dy[j] / (real)length;
            if (!adds(pool)) dx[chosen(pool, x, length, width, j) * width + j] = dy[j];
        }
    }
}

#define CASE_GRAD_OF(kind, batch, tokens, width, ...)                                              \
    {.inputs = 3,                                                                                  \
     .input = {SHAPE3(batch, tokens, width), __VA_ARGS__, SHAPE2(batch, width)},                   \
     .dtype = {F32, I32, F32},                                                                     \
     .integer_limit = (tokens) + 3,                                                                \
     .attributes = &(const struct pool_attributes){kind}},
#define CASE_GRAD(kind) CASE_GRAD_OF(kind, 3, 5, 17, ABSENT) CASE_GRAD_OF(kind, 7, 4, 33, SHAPE1(7))
static const struct op_case cases_grad[] = {CASE_GRAD(POOL_MEAN) CASE_GRAD(POOL_MAX) CASE_GRAD(
    POOL_FIRST) CASE_GRAD(POOL_LAST) CASE_GRAD(POOL_SUM)};

const struct op pool_grad_op = {.name = "pool_grad",
                                .attribute_bytes = sizeof(struct pool_attributes),
                                .infer = infer_grad,
                                .vjp = vjp_none,
                                .reference = reference_grad,
                                .cost = cost,
                                CASES(cases_grad)};

struct value *(op_pool_grad)(struct graph *g, struct value *x, struct value *lengths,
                             struct value *dy, enum pool pool)
{
    struct pool_attributes attributes = {pool};
    return graph_append(g, &pool_grad_op, (struct value *[]){x, lengths, dy}, 3, &attributes,
                        sizeof attributes);
}

// ---- windows ----
static int64_t window_of(const struct value *y)
{
    return ((const struct window_attributes *)y->attributes)->size;
}

static void infer_window(struct graph *g, struct value *y)
{
    if (!check_input(g, y, 0, "x", F32, 3)) return;
    struct shape x = y->input[0]->shape;
    if (window_of(y) < 1 || window_of(y) > x.size[1])
        graph_fail(g, STATUS_SHAPE, "window: %lld positions of %lld", (long long)window_of(y),
                   (long long)x.size[1]);
    y->shape = shape_of(3, x.size[0], x.size[1] - window_of(y) + 1, window_of(y) * x.size[2]);
}

static void vjp_window(struct graph *g, struct value *y, struct value *dy, struct value **dx)
{
    if (wants(y, 0)) dx[0] = op_window_grad(g, dy, window_of(y));
}

static void reference_window(const struct op_call *call)
{
    struct shape y = call->value->shape, x = call->value->input[0]->shape;
    real *to = call->output[0];
    for (int64_t b = 0; b < y.size[0]; b++)
        for (int64_t t = 0; t < y.size[1]; t++, to += y.size[2])
            memcpy(to, (const real *)call->input[0] + (b * x.size[1] + t) * x.size[2],
                   (size_t)y.size[2] * sizeof *to);
}

static struct cost cost_window(const struct value *y) { return elementwise_cost(y, 1); }

#define WINDOW(n)                                                                                  \
    .attributes = &(const struct window_attributes) { n }
static const struct op_case cases_window[] = {{.inputs = 1, .input = {SHAPE3(2, 3, 1)}, WINDOW(1)},
                                              {.inputs = 1, .input = {SHAPE3(3, 7, 17)}, WINDOW(3)},
                                              {.inputs = 1, .input = {SHAPE3(1, 5, 9)}, WINDOW(5)}};

const struct op window_op = {.name = "window",
                             .attribute_bytes = sizeof(struct window_attributes),
                             .infer = infer_window,
                             .vjp = vjp_window,
                             .reference = reference_window,
                             .cost = cost_window,
                             CASES(cases_window)};

struct value *(op_window)(struct graph *g, struct value *x, int64_t size)
{
    struct window_attributes attributes = {size};
    return graph_append(g, &window_op, (struct value *[]){x}, 1, &attributes, sizeof attributes);
}

// ---- the windows' gradient: dx[t] = dy[t] + part 1 of dy[t - 1] + .., in order of the windows ----
static void infer_window_grad(struct graph *g, struct value *dx)
{
    if (!check_input(g, dx, 0, "dy", F32, 3)) return;
    struct shape dy = dx->input[0]->shape;
    if (window_of(dx) < 1 || dy.size[2] % window_of(dx))
        graph_fail(g, STATUS_SHAPE, "window_grad: rows of %lld are not %lld positions",
                   (long long)dy.size[2], (long long)window_of(dx));
    else
        dx->shape =
            shape_of(3, dy.size[0], dy.size[1] + window_of(dx) - 1, dy.size[2] / window_of(dx));
}

static void reference_window_grad(const struct op_call *call)
{
    struct shape dy = call->value->input[0]->shape, dx = call->value->shape;
    const real *from = call->input[0];
    real *to = call->output[0];
    memset(to, 0, (size_t)shape_count(dx) * sizeof *to);
    for (int64_t b = 0; b < dy.size[0]; b++)
        for (int64_t t = 0; t < dy.size[1]; t++)
            for (int64_t j = 0; j < dy.size[2]; j++)
                to[(b * dx.size[1] + t) * dx.size[2] + j] += *from++;
}

static const struct op_case cases_window_grad[] = {
    {.inputs = 1, .input = {SHAPE3(2, 3, 1)}, WINDOW(1)},
    {.inputs = 1, .input = {SHAPE3(3, 7, 51)}, WINDOW(3)},
    {.inputs = 1, .input = {SHAPE3(1, 1, 45)}, WINDOW(5)}};

const struct op window_grad_op = {.name = "window_grad",
                                  .attribute_bytes = sizeof(struct window_attributes),
                                  .infer = infer_window_grad,
                                  .vjp = vjp_none,
                                  .reference = reference_window_grad,
                                  .cost = cost_window,
                                  CASES(cases_window_grad)};

struct value *(op_window_grad)(struct graph *g, struct value *dy, int64_t size)
{
    struct window_attributes attributes = {size};
    return graph_append(g, &window_grad_op, (struct value *[]){dy}, 1, &attributes,
                        sizeof attributes);
}
