// SPDX-License-Identifier: Apache-2.0
// What every pass relies on, checked: a pass that breaks the graph is found before a program runs
// wrong.
#include "graph/graph.h"
#include "graph/operation.h"

#include <stdlib.h>

static enum status verify_leaf(const struct value *v)
{
    if (v->inputs || v->attributes)
        FAIL(STATUS_SHAPE, "value %d (%s): a leaf has inputs", v->id, v->name);
    if (v->storage == STORAGE_ARENA)
        FAIL(STATUS_SHAPE, "value %d (%s): a leaf lies in the arena, so nobody writes it", v->id,
             v->name);
    if ((v->storage == STORAGE_PARAMETER) != (v->parameter >= 0) || v->offset < 0)
        FAIL(STATUS_SHAPE, "value %d (%s): parameter %d at offset %lld", v->id, v->name,
             v->parameter, (long long)v->offset);
    return STATUS_OK;
}

static enum status verify_aux(const struct graph *g, const struct value *v)
{
    const struct value *y = v->producer;
    if (!y || y->id < 0 || y->id >= v->id || g->values[y->id] != y || !y->op)
        FAIL(STATUS_SHAPE, "value %d (%s): its producer does not come before it", v->id, v->name);
    if (v->aux_index >= y->op->aux_count || y->aux[v->aux_index] != v)
        FAIL(STATUS_SHAPE, "value %d (%s): value %d does not know it as auxiliary output %d", v->id,
             v->name, y->id, v->aux_index);
    if (v->op || v->inputs || v->storage != STORAGE_ARENA)
        FAIL(STATUS_SHAPE, "value %d (%s): an auxiliary output has an op or a place of its own",
             v->id, v->name);
    return STATUS_OK;
}

static enum status verify_op(const struct graph *g, const struct value *v)
{
    if (v->storage != STORAGE_ARENA || v->inputs < 0 || v->inputs > MAX_INPUTS)
        FAIL(STATUS_SHAPE, "value %d (%s): storage %d, %d inputs", v->id, v->op->name,
             (int)v->storage, v->inputs);
    bool needs_gradient = false;
    for (int i = 0; i < v->inputs; i++) {
        const struct value *x = v->input[i];
        if (!x) continue;
        if (x->id < 0 || x->id >= v->id || g->values[x->id] != x)
            FAIL(STATUS_SHAPE, "value %d (%s): input %d does not come before it", v->id,
                 v->op->name, i);
        needs_gradient |= x->needs_gradient;
    }
    if (v->needs_gradient != needs_gradient)
        FAIL(STATUS_SHAPE, "value %d (%s): needs_gradient does not follow from its inputs", v->id,
             v->op->name);
    for (int i = 0; i < MAX_AUX; i++)
        if (v->aux[i] && (v->aux[i]->producer != v || v->aux[i]->aux_index != i))
            FAIL(STATUS_SHAPE, "value %d (%s): auxiliary output %d has another producer", v->id,
                 v->op->name, i);
    return STATUS_OK;
}

static enum status verify_value(const struct graph *g, int id)
{
    const struct value *v = g->values[id];
    if (v->id != id) FAIL(STATUS_SHAPE, "value %d has the number %d", id, v->id);
    bool sound =
        v->shape.rank >= 0 && v->shape.rank <= MAX_RANK && v->dtype >= F32 && v->dtype <= U32;
    for (int i = 0; sound && i < v->shape.rank; i++) sound = v->shape.size[i] > 0;
    if (!sound) FAIL(STATUS_SHAPE, "value %d (%s): its shape or dtype is not set", id, v->name);
    if (v->aux_index >= 0) return verify_aux(g, v);
    if (v->producer != v)
        FAIL(STATUS_SHAPE, "value %d (%s): another value produces it", id, v->name);
    return v->op ? verify_op(g, v) : verify_leaf(v);
}

static int compare_ints(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static enum status verify_yields(const struct graph *g)
{
    int *tag, tags = 0;
    TRY(memory_allocate((size_t)g->count, sizeof *tag, "tags of a graph", &tag));
    for (int i = 0; i < g->count; i++)
        if (g->values[i]->yield >= 0) tag[tags++] = g->values[i]->yield;
    qsort(tag, (size_t)tags, sizeof *tag, compare_ints);
    int twice = -1;
    for (int i = 1; i < tags; i++)
        if (tag[i] == tag[i - 1]) twice = tag[i];
    free(tag);
    if (twice >= 0) FAIL(STATUS_SHAPE, "two values are yielded with tag %d", twice);
    return STATUS_OK;
}

enum status graph_verify(const struct graph *g)
{
    for (int i = 0; i < g->count; i++) TRY(verify_value(g, i));
    if (g->region) FAIL(STATUS_SHAPE, "recompute region %d is still open", g->region);
    return verify_yields(g);
}
