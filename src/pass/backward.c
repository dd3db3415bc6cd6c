// SPDX-License-Identifier: Apache-2.0
// The gradient of a loss, appended to its graph by one sweep from the last value to the first.
//
// A value's gradient is the sum over its readers, added as the sweep meets them. A parameter's
// gradient is yielded where its first reader has been swept, not at the end, so that its memory can
// be used again. Inside a recompute region the sweep works on clones of the region's values,
// appended when the sweep enters the region: the originals then have no late readers and die after
// the forward pass. What another region or the rest of the graph reads of a region is kept and used
// as it is. Clones that nothing reads are dead code, which the planner drops.
// Outside of regions a value that is cheap to compute again (op->again) is not kept either, where that takes no
// part worth naming of its reader's time: gradients of the reader read a clone.
#include "op/op.h"
#include "pass/pass.h"

#include <stdio.h>
#include <string.h>

struct sweep {
    struct graph *g;
    int values;              // before the pass
    bool *on_path;           // [values] whether the loss depends on it, and it on a parameter
    struct value **gradient; // [values] sum so far
    struct value **clone;    // [values] of values in regions, once the sweep has entered them
    int parameters;
    struct value *
        *parameter_gradient; // [parameters] sum so far: several leaves may be one parameter
    int *readers;            // [parameters] still to be swept
};

static void *take(struct graph *g, int count, size_t size)
{
    void *memory = arena_take(g->arena, (size_t)count * size + 1);
    if (!memory)
        graph_fail(g, STATUS_MEMORY, "not enough memory for the backward pass over %d values",
                   g->count);
    return memory;
}

// ---- what the loss depends on ----
static void mark_path(struct sweep *s, const struct value *loss)
{
    s->on_path[loss->id] = loss->needs_gradient;
    for (int id = loss->id; id >= 0; id--) {
        const struct value *v = s->g->values[id];
        if (!s->on_path[id]) continue;
        if (v->aux_index >= 0)
            graph_fail(s->g, STATUS_UNSUPPORTED,
                       "value %d (%s): no gradient flows through auxiliary output %d of %s", id,
                       v->name, v->aux_index, v->producer->op->name);
        if (v->parameter >= s->parameters)
            graph_fail(s->g, STATUS_USAGE, "%s is parameter %d, but there are %d", v->name,
                       v->parameter, s->parameters);
        for (int i = 0; i < v->inputs && !s->g->status; i++) {
            const struct value *x = v->input[i];
            if (!x || !x->needs_gradient) continue;
            s->on_path[x->id] = true;
            if (x->parameter >= 0 && x->parameter < s->parameters) s->readers[x->parameter]++;
        }
    }
}

// ---- recompute ----
// What a clone inside `region` reads for `x`.
static struct value *mapped(struct sweep *s, struct value *x, int region)
{
    if (!x || x->region != region || x->id >= s->values) return x;
    if (x->aux_index < 0) return s->clone[x->id];
    return graph_aux(s->g, s->clone[x->producer->id], x->aux_index);
}

static struct value *append_clone(struct sweep *s, const struct value *v)
{
    struct value *input[MAX_INPUTS];
    for (int i = 0; i < v->inputs; i++) input[i] = mapped(s, v->input[i], v->region);
    struct value *clone =
        graph_append(s->g, v->op, input, v->inputs, v->attributes, v->op->attribute_bytes);
    if (s->g->status) return clone;
    clone->name = v->name;
    return graph_placed(s->g, clone, v->file, v->line);
}

// Appends the whole region, up to the last value that the loss depends on.
static void enter_region(struct sweep *s, const struct value *last)
{
    for (int id = 0; id <= last->id && !s->g->status; id++) {
        const struct value *v = s->g->values[id];
        if (v->op && v->region == last->region) s->clone[id] = append_clone(s, v);
    }
}

// ---- accumulation ----
static void add_to(struct graph *g, struct value **sum, struct value *term)
{
    if (!*sum)
        *sum = term;
    else if (term->op && term->op->add_to)
        *sum = term->op->add_to(g, *sum, term); // `term` itself is dead then
    else
        *sum = op_add(g, *sum, term);
}

// One value has one tag, and leaves are never computed: such a gradient is copied, by a
// multiplication with 1.
static void yield_gradient(struct graph *g, struct value *gradient, int parameter)
{
    if (gradient->yield >= 0 || !gradient->producer->op)
        gradient = graph_append(g, &scale_op, (struct value *[]){gradient, op_ones(g)}, 2, NULL, 0);
    graph_yield(g, gradient, parameter);
}

static void accumulate(struct sweep *s, struct value *y, int i, struct value *dx)
{
    struct value *x = y->input[i];
    if (s->g->status) return;
    INVARIANT(dx && shape_equal(dx->shape, x->shape), "the gradient of %s has no or a wrong dx[%d]",
              y->op->name, i);
    if (x->parameter < 0) {
        add_to(s->g, &s->gradient[x->id], dx);
        return;
    }
    add_to(s->g, &s->parameter_gradient[x->parameter], dx);
    if (--s->readers[x->parameter] == 0)
        yield_gradient(s->g, s->parameter_gradient[x->parameter], x->parameter);
}

// ---- what is not worth keeping ----
// Operations of a reader for each element of the value it reads: with fewer, computing that again would be felt
// (an activation takes about as long as 20; GPT-2 124M has 1,536 to 6,144, nanoGPT's character model 256 to 1,024).
static const double CHEAP_BESIDE = 1100;

static struct value *computed_again(struct sweep *s, const struct value *reader, struct value *x)
{
    if (!x || x->id >= s->values || !x->op || !x->op->again || x->region || !s->on_path[x->id] ||
        reader->op->cost(reader).flops < CHEAP_BESIDE * (double)shape_count(x->shape))
        return NULL;
    struct value **clone = &s->clone[x->id];
    if (*clone) return *clone;
    struct value *again = x->op->again(s->g, x);
    if (!again || s->g->status) return NULL;
    again->name = x->name;
    return *clone = graph_placed(s->g, again, x->file, x->line);
}

// The gradients appended from `first` on read the clones instead of v's inputs.
static void read_clones(struct sweep *s, const struct value *v, struct value *const *clone,
                        int first)
{
    for (int id = first; id < s->g->count; id++) {
        struct value *dx = s->g->values[id];
        for (int i = 0; i < dx->inputs; i++)
            for (int j = 0; j < v->inputs; j++)
                if (clone[j] && dx->input[i] == v->input[j]) dx->input[i] = clone[j];
    }
}

static void sweep_value(struct sweep *s, struct value *v)
{
    struct graph *g = s->g;
    struct value *y = v, *dx[MAX_INPUTS] = {NULL}, *again[MAX_INPUTS] = {NULL};
    snprintf(g->scope, sizeof g->scope, "%s", v->name);
    if (v->region) {
        if (!s->clone[v->id]) enter_region(s, v);
        y = s->clone[v->id];
    }
    for (int i = 0; i < v->inputs && !v->region && !g->status; i++)
        again[i] = computed_again(s, v, v->input[i]);
    int first = g->count;
    if (!g->status) v->op->vjp(g, y, s->gradient[v->id], dx);
    read_clones(s, v, again, first);
    for (int i = 0; i < v->inputs; i++)
        if (v->input[i] && v->input[i]->needs_gradient) accumulate(s, v, i, dx[i]);
}

static bool sweep_init(struct sweep *s, struct graph *g, int parameters)
{
    *s = (struct sweep){.g = g, .values = g->count, .parameters = parameters};
    s->on_path = take(g, g->count, sizeof *s->on_path);
    s->gradient = take(g, g->count, sizeof(struct value *));
    s->clone = take(g, g->count, sizeof(struct value *));
    s->parameter_gradient = take(g, parameters, sizeof(struct value *));
    s->readers = take(g, parameters, sizeof *s->readers);
    return !g->status;
}

void backward(struct graph *g, struct value *loss, int parameters)
{
    if (g->status) return;
    if (!loss->op || shape_count(loss->shape) != 1)
        graph_fail(g, STATUS_SHAPE, "the loss has to be one computed number");
    else if (!loss->needs_gradient)
        graph_fail(g, STATUS_USAGE, "the loss depends on no parameter");
    else if (g->region)
        graph_fail(g, STATUS_USAGE, "the backward pass begins inside a recompute region");
    struct sweep s;
    if (g->status || !sweep_init(&s, g, parameters)) return;
    char scope[sizeof g->scope];
    memcpy(scope, g->scope, sizeof scope);
    mark_path(&s, loss);
    s.gradient[loss->id] = op_ones(g);
    for (int id = loss->id; id >= 0 && !g->status; id--)
        if (s.on_path[id] && g->values[id]->op) sweep_value(&s, g->values[id]);
    memcpy(g->scope, scope, sizeof scope);
}
