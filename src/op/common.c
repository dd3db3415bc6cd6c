// SPDX-License-Identifier: Apache-2.0
#include "op/common.h"

#include <stdio.h>

static const char *describe(const struct value *x, char text[96])
{
    char shape[64];
    snprintf(text, 96, "%s %s", dtype_name(x->dtype), shape_print(x->shape, shape));
    return text;
}

bool check_input(struct graph *g, const struct value *y, int i, const char *name, enum dtype dtype,
                 int rank)
{
    const struct value *x = i < y->inputs ? y->input[i] : NULL;
    char text[96];
    if (!x)
        graph_fail(g, STATUS_SHAPE, "%s: %s is missing", y->op->name, name);
    else if (x->dtype != dtype)
        graph_fail(g, STATUS_SHAPE, "%s: %s is %s, but has to be %s", y->op->name, name,
                   describe(x, text), dtype_name(dtype));
    else if (rank == ANY_RANK ? x->shape.rank < 1 : x->shape.rank != rank)
        graph_fail(g, STATUS_SHAPE, "%s: %s is %s, but has to have %s%d dimension%s", y->op->name,
                   name, describe(x, text), rank == ANY_RANK ? "at least " : "",
                   rank == ANY_RANK ? 1 : rank, rank == 1 || rank == ANY_RANK ? "" : "s");
    return !g->status;
}

bool check_shape(struct graph *g, const struct value *y, int i, const char *name, enum dtype dtype,
                 struct shape shape)
{
    if (!check_input(g, y, i, name, dtype, shape.rank)) return false;
    char found[96], wanted[64];
    if (!shape_equal(y->input[i]->shape, shape))
        graph_fail(g, STATUS_SHAPE, "%s: %s is %s, but %s fits the other inputs", y->op->name, name,
                   describe(y->input[i], found), shape_print(shape, wanted));
    return !g->status;
}

bool check_rows(struct graph *g, const struct value *y, int i, const char *name, int j,
                const char *other)
{
    struct shape a = y->input[i]->shape, b = y->input[j]->shape;
    char text_a[64], text_b[64];
    if (a.rank != b.rank || !shape_equal(shape_with_last(a, 1), shape_with_last(b, 1)))
        graph_fail(g, STATUS_SHAPE, "%s: %s %s and %s %s may differ in the last dimension only",
                   y->op->name, name, shape_print(a, text_a), other, shape_print(b, text_b));
    return !g->status;
}

bool check_heads(struct graph *g, const struct value *y, int heads, int kv_heads)
{
    if (!check_input(g, y, 0, "qkv", F32, 3)) return false;
    struct shape qkv = y->input[0]->shape;
    char text[64];
    if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0)
        graph_fail(g, STATUS_SHAPE,
                   "%s: %d heads of queries over %d of keys and values; the latter have to divide "
                   "the former",
                   y->op->name, heads, kv_heads);
    else if (qkv.size[2] % (heads + 2 * (int64_t)kv_heads) != 0)
        graph_fail(g, STATUS_SHAPE,
                   "%s: the last dimension of qkv %s cannot be cut into %d + 2 * %d heads",
                   y->op->name, shape_print(qkv, text), heads, kv_heads);
    return !g->status;
}

bool check_rate(struct graph *g, const struct value *y, double rate)
{
    if (!(rate >= 0 && rate < 1))
        graph_fail(g, STATUS_USAGE, "%s: a dropout rate of %g; it has to be at least 0 and below 1",
                   y->op->name, rate);
    return !g->status;
}

struct shape shape_with_last(struct shape shape, int64_t last)
{
    shape.size[shape.rank - 1] = last;
    return shape;
}

struct value *again_whole(struct graph *g, struct value *y)
{
    return graph_append(g, y->op, y->input, y->inputs, y->attributes, y->op->attribute_bytes);
}

static double value_bytes(const struct value *x)
{
    return x ? (double)shape_count(x->shape) * (double)dtype_bytes(x->dtype) : 0;
}

double touched_bytes(const struct value *y)
{
    double bytes = value_bytes(y);
    for (int i = 0; i < y->inputs; i++) bytes += value_bytes(y->input[i]);
    for (int i = 0; i < MAX_AUX; i++) bytes += value_bytes(y->aux[i]);
    return bytes;
}

struct cost elementwise_cost(const struct value *y, double flops_each)
{
    return (struct cost){.flops = flops_each * (double)shape_count(y->shape),
                         .bytes = touched_bytes(y)};
}
