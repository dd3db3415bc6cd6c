// SPDX-License-Identifier: Apache-2.0
// Modules: parameters by name, and the operations that use them. Nothing here computes; all of it appends to a graph.
#include "nn/nn.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PARAMETER_ALIGNMENT = 16 };

void prefix_push(struct builder *b, const char *format, ...)
{
    char part[sizeof b->prefix];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(part, sizeof part, format, arguments);
    va_end(arguments);
    scope_push(b->g, "%s", part);

    size_t used = strlen(b->prefix), room = sizeof b->prefix - used;
    int deepest = (int)(sizeof b->end / sizeof *b->end);
    int length = snprintf(b->prefix + used, room, "%s.", part);
    INVARIANT(b->depth < deepest && length < (int)room, "the prefix %s is too long", b->prefix);
    b->end[b->depth++] = (int)used;
}

void prefix_pop(struct builder *b)
{
    INVARIANT(b->depth > 0, "prefix_pop without prefix_push");
    b->prefix[b->end[--b->depth]] = 0;
    scope_pop(b->g);
}

// ---- parameters ----

// The elements of `shape`, or -1 when a size is not positive or the product overflows.
static int64_t checked_count(struct shape shape)
{
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++)
        if (shape.size[i] < 1 || __builtin_mul_overflow(count, shape.size[i], &count)) return -1;
    return count;
}

static enum status declare(struct parameters *parameters, const char *name, struct shape shape,
                           enum init init, double deviation)
{
    char text[64];
    int64_t count = checked_count(shape), padded, elements;
    if (count < 0 ||
        __builtin_add_overflow(count, PARAMETER_ALIGNMENT - count % PARAMETER_ALIGNMENT, &padded) ||
        __builtin_add_overflow(parameters->elements, padded, &elements))
        FAIL(STATUS_SHAPE, "parameter %s cannot have the shape %s", name, shape_print(shape, text));
    if (parameters->count == parameters->capacity) {
        int capacity = parameters->capacity ? 2 * parameters->capacity : 32;
        TRY(memory_grow(&parameters->list, (size_t)capacity, sizeof *parameters->list,
                        "the parameter registry"));
        parameters->capacity = capacity;
    }
    struct parameter *new = &parameters->list[parameters->count];
    *new = (struct parameter){
        .shape = shape,
        .offset = parameters->elements,
        .count = count,
        .init = init,
        .deviation = deviation,
        .decay = shape.rank >= 2,
    };
    TRY(memory_copy_string(name, &new->name));
    parameters->elements +=
        (count + PARAMETER_ALIGNMENT - 1) / PARAMETER_ALIGNMENT * PARAMETER_ALIGNMENT;
    parameters->count++;
    return STATUS_OK;
}

// The value that this graph already has for a parameter, or NULL.
static struct value *value_of_parameter(const struct graph *g, int index)
{
    for (int i = 0; i < g->count; i++)
        if (g->values[i]->storage == STORAGE_PARAMETER && g->values[i]->parameter == index)
            return g->values[i];
    return NULL;
}

struct value *nn_parameter(struct builder *b, const char *name, struct shape shape, enum init init,
                           double deviation)
{
    char full[sizeof b->prefix + 64], declared[64], asked[64];
    int length = snprintf(full, sizeof full, "%s%s", b->prefix, name);
    INVARIANT(length < (int)sizeof full, "the name %s is too long", full);

    struct parameters *parameters = b->parameters;
    int index = parameters_find(parameters, full);
    if (index < 0 && parameters->closed) {
        graph_fail(b->g, STATUS_SHAPE, "the model has no parameter %s", full);
    } else if (index < 0) {
        enum status status = declare(parameters, full, shape, init, deviation);
        if (status)
            graph_fail(b->g, status, "%s", error_message());
        else
            index = parameters->count - 1;
    } else if (!shape_equal(parameters->list[index].shape, shape)) {
        graph_fail(b->g, STATUS_SHAPE, "parameter %s is %s, but %s is asked for", full,
                   shape_print(parameters->list[index].shape, declared), shape_print(shape, asked));
    }
    if (index < 0) return graph_parameter(b->g, "missing", shape_of(1, INT64_C(1)), 0, 0);
    struct value *shared = value_of_parameter(b->g, index);
    if (shared) return shared;
    const struct parameter *p = &parameters->list[index];
    struct value *value = graph_parameter(b->g, p->name, shape, p->offset, index);
    if (p->frozen) value->needs_gradient = false;
    return value;
}

// "name.part" below the prefix.
static struct value *part_of(struct builder *b, const char *name, const char *part,
                             struct shape shape, enum init init, double deviation)
{
    char full[96];
    int length = snprintf(full, sizeof full, "%s.%s", name, part);
    INVARIANT(length < (int)sizeof full, "the name %s is too long", full);
    return nn_parameter(b, full, shape, init, deviation);
}

// ---- modules ----

struct linear {
    const char *name;
    int64_t out;
    bool bias;
    enum activation activation; // without a residual
    enum layout layout;
    double deviation;
};

static struct value *linear(struct builder *b, struct value *x, struct value *residual,
                            const struct linear *l)
{
    int64_t in = shape_last(x->shape);
    struct shape shape =
        l->layout == LAYOUT_IN_OUT ? shape_of(2, in, l->out) : shape_of(2, l->out, in);
    scope_push(b->g, "%s", l->name);
    struct value *w = part_of(b, l->name, "weight", shape, INIT_NORMAL, l->deviation);
    struct value *add =
        l->bias ? part_of(b, l->name, "bias", shape_of(1, l->out), INIT_ZERO, 0) : NULL;
    struct value *y = residual ? op_linear_add(b->g, x, w, add, residual, l->layout)
                               : op_linear(b->g, x, w, add, l->activation, l->layout);
    scope_pop(b->g);
    return y;
}

struct value *nn_linear(struct builder *b, struct value *x, const char *name, int64_t out,
                        bool bias, enum activation activation, enum layout layout, double deviation)
{
    return linear(b, x, NULL, &(struct linear){name, out, bias, activation, layout, deviation});
}

struct value *nn_linear_add(struct builder *b, struct value *x, struct value *residual,
                            const char *name, int64_t out, bool bias, enum layout layout,
                            double deviation)
{
    return linear(b, x, residual,
                  &(struct linear){name, out, bias, ACTIVATION_NONE, layout, deviation});
}

struct value *nn_layer_norm(struct builder *b, struct value *x, const char *name, bool bias,
                            double epsilon)
{
    struct shape shape = shape_of(1, shape_last(x->shape));
    scope_push(b->g, "%s", name);
    struct value *gain = part_of(b, name, "weight", shape, INIT_ONE, 0);
    struct value *add = bias ? part_of(b, name, "bias", shape, INIT_ZERO, 0) : NULL;
    struct value *y = op_layer_norm(b->g, x, gain, add, epsilon);
    scope_pop(b->g);
    return y;
}

struct value *nn_rms_norm(struct builder *b, struct value *x, const char *name, double epsilon)
{
    scope_push(b->g, "%s", name);
    struct value *gain = part_of(b, name, "weight", shape_of(1, shape_last(x->shape)), INIT_ONE, 0);
    struct value *y = op_rms_norm(b->g, x, gain, epsilon);
    scope_pop(b->g);
    return y;
}

struct value *nn_gated_mlp(struct builder *b, struct value *x, const char *name, int64_t hidden,
                           bool bias, double deviation, double down_deviation)
{
    enum layout layout = LAYOUT_OUT_IN;
    int64_t width = shape_last(x->shape);
    prefix_push(b, "%s", name);
    struct value *gate =
        nn_linear(b, x, "gate_proj", hidden, bias, ACTIVATION_NONE, layout, deviation);
    struct value *up = nn_linear(b, x, "up_proj", hidden, bias, ACTIVATION_NONE, layout, deviation);
    struct value *y = nn_linear(b, op_swiglu(b->g, gate, up), "down_proj", width, bias,
                                ACTIVATION_NONE, layout, down_deviation);
    prefix_pop(b);
    return y;
}

struct value *nn_attention(struct builder *b, struct value *x, const struct attention_module *a)
{
    int64_t width = shape_last(x->shape);
    uint32_t operation = nn_operation(b, (uint32_t)a->heads); // one for each head
    struct attention_attributes attributes = {.heads = a->heads,
                                              .kv_heads = a->kv_heads ? a->kv_heads : a->heads,
                                              .bidirectional = a->bidirectional,
                                              .rate = a->dropout,
                                              .operation = operation};
    int64_t size = a->head_size ? a->head_size : width / (a->heads > 0 ? a->heads : 1);
    int64_t out = (attributes.heads + 2 * (int64_t)attributes.kv_heads) * size;
    struct value *qkv =
        nn_linear(b, x, a->qkv, out, a->bias, ACTIVATION_NONE, a->layout, a->deviation);
    struct value *y;
    if (a->origins)
        y = op_attention_beams(b->g, ((struct value *[]){qkv, a->cache, a->position, a->origins}),
                               a->heads, attributes.kv_heads);
    else if (a->cache)
        y = op_attention_cached(b->g, qkv, a->cache, a->position, a->heads, attributes.kv_heads);
    else
        y = op_attention(b->g, qkv, b->random, a->lengths, &attributes);
    return nn_linear_add(b, y, a->residual, a->out, width, a->bias, a->layout, a->out_deviation);
}

// "weight_ih_l0" below the layer's name, from N(0, deviation), or zeros for a bias.
static struct value *recurrent_part(struct builder *b, const struct recurrent_module *r,
                                    const char *part, struct shape shape)
{
    char full[48];
    snprintf(full, sizeof full, "%s_l%d%s", part, r->layer, r->reverse ? "_reverse" : "");
    return part_of(b, r->name, full, shape, shape.rank == 2 ? INIT_NORMAL : INIT_ZERO,
                   1 / sqrt(3 * (double)r->hidden));
}

// Source of the dropped weights: Merity et al. 2017, arXiv:1708.02182, section 2.
struct value *nn_recurrent(struct builder *b, struct value *x, const struct recurrent_module *r)
{
    int64_t gates = cell_gates(r->cell) * r->hidden;
    struct shape add = shape_of(1, gates);
    const struct recurrent_attributes attributes = {r->cell, r->reverse};
    const struct dropout_attributes drop = {r->weight_drop, nn_operation(b, 1), DROPOUT_STEP};
    scope_push(b->g, "%s.%d", r->name, r->layer);
    struct value *w_x = recurrent_part(b, r, "weight_ih", shape_of(2, gates, shape_last(x->shape)));
    struct value *w_h = recurrent_part(b, r, "weight_hh", shape_of(2, gates, r->hidden));
    struct value *bias_x = r->bias ? recurrent_part(b, r, "bias_ih", add) : NULL;
    struct value *bias_h = r->bias ? recurrent_part(b, r, "bias_hh", add) : NULL;
    w_h = op_dropout_shared(b->g, w_h, b->random, &drop);
    struct value *z = op_linear(b->g, x, w_x, bias_x, ACTIVATION_NONE, LAYOUT_OUT_IN);
    struct value *y =
        r->state
            ? op_recurrent_cached(
                  b->g, ((struct value *[]){z, w_h, bias_h, r->state, r->position, r->lengths}),
                  r->cell)
            : op_recurrent(b->g, ((struct value *[]){z, w_h, bias_h, r->h0, r->c0, r->lengths}),
                           &attributes);
    if (r->last_h) *r->last_h = graph_aux(b->g, y, 1);
    if (r->last_c && r->cell == CELL_LSTM) *r->last_c = graph_aux(b->g, y, 2);
    scope_pop(b->g);
    return y;
}

struct value *nn_cross_keys(struct builder *b, const struct cross_module *c)
{
    int64_t width = shape_last(c->memory->shape);
    prefix_push(b, "%s", c->name);
    struct value *kv = nn_linear(b, c->memory, "kv", 2 * width, c->bias, ACTIVATION_NONE,
                                 LAYOUT_OUT_IN, c->deviation);
    prefix_pop(b);
    return kv;
}

struct value *nn_cross_attention(struct builder *b, struct value *x, const struct cross_module *c)
{
    int64_t width = shape_last(x->shape);
    enum activation none = ACTIVATION_NONE;
    const struct cross_attention_attributes attributes = {c->heads, 0};
    prefix_push(b, "%s", c->name);
    struct value *q = nn_linear(b, x, "q", width, c->bias, none, LAYOUT_OUT_IN, c->deviation);
    struct value *kv = c->kv ? c->kv
                             : nn_linear(b, c->memory, "kv", 2 * width, c->bias, none,
                                         LAYOUT_OUT_IN, c->deviation);
    struct value *y = op_cross_attention(b->g, q, kv, c->lengths, &attributes);
    y = nn_linear_add(b, y, c->residual, "out", width, c->bias, LAYOUT_OUT_IN, c->out_deviation);
    prefix_pop(b);
    return y;
}

static struct value *running_part(struct builder *b, const char *name, const char *part,
                                  struct shape shape, enum init init)
{
    struct value *running = part_of(b, name, part, shape, init, 0);
    if (!b->parameters->closed && !b->g->status)
        b->parameters->list[running->parameter].running = true;
    return running;
}

struct value *nn_batch_norm(struct builder *b, struct value *x, const char *name, double epsilon)
{
    struct shape shape = shape_of(1, shape_last(x->shape));
    scope_push(b->g, "%s", name);
    struct value *gain = part_of(b, name, "weight", shape, INIT_ONE, 0);
    struct value *add = part_of(b, name, "bias", shape, INIT_ZERO, 0);
    struct value *mean = running_part(b, name, "running_mean", shape, INIT_ZERO);
    struct value *variance = running_part(b, name, "running_var", shape, INIT_ONE);
    struct value *const input[5] = {x, gain, add, mean, variance};
    struct value *y = b->training ? op_batch_norm(b->g, input, epsilon)
                                  : op_batch_norm_running(b->g, input, epsilon);
    scope_pop(b->g);
    return y;
}

struct value *nn_embedding_table(struct builder *b, const char *name, int64_t rows, int64_t width,
                                 double deviation)
{
    return part_of(b, name, "weight", shape_of(2, rows, width), INIT_NORMAL, deviation);
}

uint32_t nn_operation(struct builder *b, uint32_t count)
{
    uint32_t first = b->operations;
    b->operations += count;
    return first;
}

bool nn_drops(const struct builder *b, double rate) { return b->random && rate > 0; }

struct value *nn_dropout(struct builder *b, struct value *x, double rate)
{
    return op_dropout(b->g, x, b->random, rate, nn_operation(b, 1));
}

struct value *nn_variational_dropout(struct builder *b, struct value *x, double rate)
{
    const struct dropout_attributes attributes = {rate, nn_operation(b, 1), DROPOUT_POSITIONS};
    return op_dropout_shared(b->g, x, b->random, &attributes);
}
