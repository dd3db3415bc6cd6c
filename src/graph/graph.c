// SPDX-License-Identifier: Apache-2.0
// Appending values. A value enters the array whole or not at all: after the first error nothing is
// appended, and builders get the placeholder, whose sizes are all 1 so that arithmetic on them
// cannot trap.
#include "graph/graph.h"

#include "graph/operation.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of a value, and of a graph: so that no sum of bytes overflows an int64_t.
static const int64_t MOST_BYTES = (int64_t)1 << 45;
enum { MOST_VALUES = 1 << 17 };

// ---- life cycle ----
enum status graph_create(struct graph **graph_p)
{
    struct arena *arena;
    TRY(arena_create(&arena));
    struct graph *g = arena_take(arena, sizeof *g);
    struct value *placeholder = arena_take(arena, sizeof *placeholder);
    if (!g || !placeholder) {
        arena_destroy(arena);
        FAIL(STATUS_MEMORY, "not enough memory for a graph");
    }
    *placeholder = (struct value){.id = -1,
                                  .producer = placeholder,
                                  .aux_index = -1,
                                  .shape = {1, {1, 1, 1, 1}},
                                  .parameter = -1,
                                  .yield = -1,
                                  .name = "placeholder"};
    g->arena = arena;
    g->placeholder = placeholder;
    *graph_p = g;
    return STATUS_OK;
}

void graph_destroy(struct graph *g)
{
    if (!g) return;
    free(g->values);
    arena_destroy(g->arena);
}

enum status graph_status(struct graph *g)
{
    if (g->status) FAIL(g->status, "%s", g->message);
    return STATUS_OK;
}

// ---- errors and places ----
void graph_fail(struct graph *g, enum status code, const char *format, ...)
{
    if (g->status) return;
    g->status = code;
    int used = g->scope[0] ? snprintf(g->message, sizeof g->message, "%s: ", g->scope) : 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(g->message + used, sizeof g->message - (size_t)used, format, arguments);
    va_end(arguments);
}

struct value *graph_placed(struct graph *g, struct value *value, const char *file, int line)
{
    if (g->status && !g->placed) {
        size_t used = strlen(g->message);
        snprintf(g->message + used, sizeof g->message - used, " (%s:%d)", file, line);
        g->placed = true;
    }
    if (value && !value->file && value != g->placeholder) {
        value->file = file;
        value->line = line;
    }
    return value;
}

// ---- appending ----
static bool shape_is_sound(struct graph *g, const char *name, struct shape shape)
{
    int64_t bytes = sizeof(double);
    bool sound = shape.rank >= 0 && shape.rank <= MAX_RANK;
    for (int i = 0; sound && i < shape.rank; i++)
        sound = shape.size[i] > 0 && !__builtin_mul_overflow(bytes, shape.size[i], &bytes) &&
                bytes <= MOST_BYTES;
    char text[64];
    if (!sound)
        graph_fail(g, STATUS_SHAPE,
                   "%s: shape %s: sizes must be at least 1 and hold at most 2^45 bytes", name,
                   shape_print(shape, text));
    return sound;
}

// A copy of the scope for a new value; neighbours share one.
static const char *scope_name(struct graph *g)
{
    if (g->count && strcmp(g->values[g->count - 1]->name, g->scope) == 0)
        return g->values[g->count - 1]->name;
    return arena_print(g->arena, "%s", g->scope);
}

static struct value *value_create(struct graph *g)
{
    if (g->status) return NULL;
    struct value *v = arena_take(g->arena, sizeof *v);
    if (v) v->name = scope_name(g);
    if (!v || !v->name) {
        graph_fail(g, STATUS_MEMORY, "not enough memory for value %d of a graph", g->count);
        return NULL;
    }
    v->producer = v;
    v->aux_index = -1;
    v->parameter = -1;
    v->yield = -1;
    return v;
}

// Puts a finished value into the array, unless an error came up meanwhile.
static struct value *value_append(struct graph *g, struct value *v, const char *what)
{
    if (!g->status && g->count == MOST_VALUES)
        graph_fail(g, STATUS_UNSUPPORTED, "a graph holds at most %d values", MOST_VALUES);
    if (g->status || !shape_is_sound(g, what, v->shape)) return g->placeholder;
    if (g->count == g->capacity) {
        int capacity = g->capacity ? 2 * g->capacity : 64;
        if (memory_grow(&g->values, (size_t)capacity, sizeof(struct value *),
                        "values of a graph")) {
            graph_fail(g, STATUS_MEMORY, "%s", error_message());
            return g->placeholder;
        }
        g->capacity = capacity;
    }
    v->id = g->count;
    g->values[g->count++] = v;
    return v;
}

static struct value *leaf(struct graph *g, const char *name, struct value settings)
{
    struct value *v = value_create(g);
    if (!v) return g->placeholder;
    v->name = arena_print(g->arena, "%s", name);
    if (!v->name) graph_fail(g, STATUS_MEMORY, "not enough memory for the name %s", name);
    v->dtype = settings.dtype;
    v->shape = settings.shape;
    v->storage = settings.storage;
    v->offset = settings.offset;
    v->parameter = settings.parameter;
    v->needs_gradient = settings.storage == STORAGE_PARAMETER;
    return value_append(g, v, name);
}

struct value *(graph_input)(struct graph *g, const char *name, enum dtype dtype, struct shape shape)
{
    return leaf(
        g, name,
        (struct value){.dtype = dtype, .shape = shape, .storage = STORAGE_INPUT, .parameter = -1});
}

struct value *(graph_state)(struct graph *g, const char *name, enum dtype dtype, struct shape shape)
{
    return leaf(
        g, name,
        (struct value){.dtype = dtype, .shape = shape, .storage = STORAGE_STATE, .parameter = -1});
}

struct value *(graph_parameter)(struct graph *g, const char *name, struct shape shape,
                                int64_t offset, int index)
{
    if (offset < 0 || index < 0)
        graph_fail(g, STATUS_USAGE, "parameter %s: offset %lld and index %d must not be negative",
                   name, (long long)offset, index);
    return leaf(g, name,
                (struct value){.dtype = F32,
                               .shape = shape,
                               .storage = STORAGE_PARAMETER,
                               .offset = offset,
                               .parameter = index});
}

static void check_input(struct graph *g, const struct op *op, int i, const struct value *x)
{
    if (!x) return;
    if (x->id < 0 || x->id >= g->count || g->values[x->id] != x)
        graph_fail(g, STATUS_USAGE, "%s: input %d belongs to another graph", op->name, i);
    else if (op->writes >> i & 1 && x->storage != STORAGE_STATE)
        graph_fail(g, STATUS_USAGE, "%s: input %d (%s) is written and must be a state", op->name, i,
                   x->name);
}

struct value *graph_append(struct graph *g, const struct op *op, struct value *const *input,
                           int inputs, const void *attributes, size_t attribute_bytes)
{
    INVARIANT(inputs <= MAX_INPUTS && attribute_bytes == op->attribute_bytes, "%s", op->name);
    struct value *v = value_create(g);
    if (!v) return g->placeholder;
    v->op = op;
    v->inputs = inputs;
    v->region = g->region;
    for (int i = 0; i < inputs; i++) {
        check_input(g, op, i, input[i]);
        v->input[i] = input[i];
        v->needs_gradient |= input[i] && input[i]->needs_gradient;
    }
    if (attribute_bytes) {
        void *copy = arena_take(g->arena, attribute_bytes);
        if (copy)
            memcpy(copy, attributes, attribute_bytes);
        else
            graph_fail(g, STATUS_MEMORY, "not enough memory for attributes of %s", op->name);
        v->attributes = copy;
    }
    if (!g->status) op->infer(g, v);
    return value_append(g, v, op->name);
}

struct value *graph_aux(struct graph *g, struct value *y, int index)
{
    if (g->status) return g->placeholder;
    if (!y->op || index < 0 || index >= y->op->aux_count) {
        graph_fail(g, STATUS_USAGE, "%s has no auxiliary output %d", y->op ? y->op->name : y->name,
                   index);
        return g->placeholder;
    }
    if (y->aux[index]) return y->aux[index];
    struct value *v = value_create(g);
    if (!v) return g->placeholder;
    v->name = y->name;
    v->file = y->file;
    v->line = y->line;
    v->producer = y;
    v->aux_index = index;
    v->region = y->region;
    v->needs_gradient = y->needs_gradient;
    y->op->infer_aux(g, y, v);
    v = value_append(g, v, y->op->name);
    if (!g->status) y->aux[index] = v;
    return v;
}

// ---- scopes, regions, yields ----
void scope_push(struct graph *g, const char *format, ...)
{
    INVARIANT(g->scopes < MAX_SCOPES, "scope %s: more than %d scopes", g->scope, MAX_SCOPES);
    size_t used = strlen(g->scope);
    g->scope_end[g->scopes++] = (int)used;
    if (used && used + 1 < sizeof g->scope) {
        g->scope[used++] = '.';
        g->scope[used] = 0;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(g->scope + used, sizeof g->scope - used, format, arguments);
    va_end(arguments);
}

void scope_pop(struct graph *g)
{
    INVARIANT(g->scopes > 0, "no scope is open");
    g->scope[g->scope_end[--g->scopes]] = 0;
}

void region_begin(struct graph *g)
{
    if (g->region) graph_fail(g, STATUS_USAGE, "recompute regions do not nest");
    g->region = ++g->regions;
}

void region_end(struct graph *g)
{
    if (!g->region) graph_fail(g, STATUS_USAGE, "no recompute region is open");
    g->region = 0;
}

void graph_yield(struct graph *g, struct value *value, int tag)
{
    if (g->status) return;
    if (tag < 0)
        graph_fail(g, STATUS_USAGE, "tag %d of a yielded value must not be negative", tag);
    else if (!value->producer->op)
        graph_fail(g, STATUS_USAGE, "%s is a leaf: it is never computed, so it cannot be yielded",
                   value->name);
    else if (value->yield >= 0 && value->yield != tag)
        graph_fail(g, STATUS_USAGE, "value %d is yielded with tag %d already, not %d", value->id,
                   value->yield, tag);
    else
        value->yield = tag;
}
