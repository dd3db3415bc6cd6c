// SPDX-License-Identifier: Apache-2.0
// The memory plan. The array of values is the schedule, so a lifetime is an interval of ids: from
// the value's producer to its last reader. Values whose lifetimes do not meet may share memory, and
// an element-wise result takes over the memory of an input that dies there. What is left is packing
// intervals: the largest first, each at the lowest place where nothing that lives at the same time
// lies; several orders are tried and the best is kept.
#include "op/op.h"
#include "pass/pass.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

// A place in the arena: of a value with those that take it over in turn, or of a step's scratch.
struct item {
    int64_t bytes, offset;
    int birth, death; // ids of the steps at both ends, inclusive
    int yields;       // values in it that are handed out
    int tag;          // as in struct plan
    bool fixed;       // its place is given
};

struct planner {
    struct plan *plan;
    struct graph *g;
    int count;
    bool share;
    int64_t *place;    // [parameters + 1] of gradients in the block that begins the arena
    int parameters;    // with such a place
    int *death;        // [values] last reader
    int *item_of;      // [values] which item a value lies in, -1 for none
    int *scratch_item; // [values]
    int64_t *change;   // [values] of the bytes that live
    struct item *item;
    int items;
    int64_t unshared;    // sum over values and scratch
    struct item **order; // scratch of the packing
    struct item **placed;
};

static int64_t aligned(int64_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static int64_t value_bytes(const struct value *v)
{
    return aligned(shape_count(v->shape) * (int64_t)dtype_bytes(v->dtype));
}

// ---- which values live, and how long ----
// An auxiliary output that was asked for is written whenever its producer runs.
static void mark_alive(struct planner *p)
{
    bool *alive = p->plan->alive;
    for (int id = p->count - 1; id >= 0; id--) {
        struct value *v = p->g->values[id], *y = v->producer;
        if (v->yield >= 0 || v->storage == STORAGE_INPUT) alive[id] = true;
        if (!alive[id]) continue;
        alive[y->id] = true;
        for (int i = 0; i < v->inputs; i++)
            if (v->input[i]) alive[v->input[i]->id] = true;
    }
    for (int id = 0; id < p->count; id++)
        if (alive[p->g->values[id]->producer->id]) alive[id] = true;
}

static void find_deaths(struct planner *p)
{
    for (int id = 0; id < p->count; id++) {
        const struct value *v = p->g->values[id];
        p->death[id] = v->storage == STORAGE_INPUT ? p->count : v->producer->id;
        if (!p->plan->alive[id]) continue;
        for (int i = 0; i < v->inputs; i++)
            if (v->input[i] && p->death[v->input[i]->id] < id) p->death[v->input[i]->id] = id;
    }
}

// ---- items ----
static int add_item(struct planner *p, int64_t bytes, int birth, int death)
{
    p->item[p->items] =
        (struct item){.bytes = bytes, .offset = -1, .birth = birth, .death = death, .tag = -1};
    return p->items++;
}

// The input whose memory y may take over, or NULL: planned, dying here, of the same size, and read
// by nobody else here except element by element.
static const struct value *taken_over(const struct planner *p, const struct value *y)
{
    for (int i = 0; p->share && i < y->inputs; i++) {
        const struct value *x = y->input[i];
        bool fits = y->op->in_place >> i & 1 && x && x->storage == STORAGE_ARENA &&
                    p->death[x->id] == y->id && x->dtype == y->dtype &&
                    shape_count(x->shape) == shape_count(y->shape);
        for (int j = 0; fits && j < y->inputs; j++)
            if (y->input[j] == x && !(y->op->in_place >> j & 1)) fits = false;
        if (fits) return x;
    }
    return NULL;
}

static void make_items(struct planner *p, scratch_function scratch, void *context)
{
    for (int id = 0; id < p->count; id++) {
        const struct value *v = p->g->values[id];
        p->item_of[id] = p->scratch_item[id] = -1;
        if (!p->plan->alive[id]) continue;
        size_t bytes = v->op && scratch ? scratch(context, v) : 0;
        p->plan->scratch_bytes[id] = bytes;
        if (bytes) p->scratch_item[id] = add_item(p, aligned((int64_t)bytes), id, id);
        p->unshared += aligned((int64_t)bytes);
        if (v->storage != STORAGE_ARENA && v->storage != STORAGE_INPUT) continue;
        p->unshared += value_bytes(v);
        const struct value *x = v->op ? taken_over(p, v) : NULL;
        if (x) {
            p->item_of[id] = p->item_of[x->id];
            p->item[p->item_of[id]].death = p->death[id];
            continue;
        }
        int birth = v->storage == STORAGE_INPUT ? -1 : v->producer->id;
        p->item_of[id] = add_item(p, value_bytes(v), birth, p->death[id]);
    }
}

// What is handed out and read by nobody may lie elsewhere, and with it those whose place it has taken over; unless one
// of them is handed out too.
static void find_tags(struct planner *p)
{
    for (int id = 0; id < p->count; id++) {
        const struct value *v = p->g->values[id];
        struct item *item = p->item_of[id] < 0 ? NULL : &p->item[p->item_of[id]];
        if (!item || v->yield < 0) continue;
        item->tag = p->death[id] == v->producer->id ? v->yield : -1;
        item->yields++;
    }
}

// ---- the block of gradients ----
// Where the gradient of each parameter begins, and at last where the block ends.
static void find_places(struct planner *p)
{
    int64_t end = (int64_t)p->plan->block;
    for (int id = 0; end && id < p->count; id++) {
        const struct value *v = p->g->values[id];
        if (v->storage != STORAGE_PARAMETER) continue;
        p->place[v->parameter] = v->offset * (int64_t)sizeof(real);
        if (v->parameter >= p->parameters) p->parameters = v->parameter + 1;
    }
    p->place[p->parameters] = end;
}

// A gradient stays at its place, and what lies behind it up to the next one's stays free: from when the first value of its
// item is computed; or, where the item cannot lie there, from when the caller copies it.
static void fix_gradients(struct planner *p)
{
    for (int id = 0; id < p->count; id++) {
        const struct value *v = p->g->values[id];
        if (v->yield < 0 || v->yield >= p->parameters) continue;
        int own = p->item_of[id];
        bool movable = p->item[own].yields == 1 && p->item[own].tag == v->yield;
        if (!movable) own = add_item(p, 0, v->producer->id, 0);
        p->item[own].offset = p->place[v->yield];
        p->item[own].bytes = p->place[v->yield + 1] - p->place[v->yield];
        p->item[own].death = p->count;
        p->item[own].fixed = true;
    }
}

// ---- packing ----
static int by_bytes(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y; // a total order, so that the result does not depend on qsort
}

static int by_area(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    double area_x = (double)x->bytes * (x->death - x->birth + 1),
           area_y = (double)y->bytes * (y->death - y->birth + 1);
    return area_x != area_y ? area_x > area_y ? -1 : 1 : by_bytes(a, b);
}

static int by_length(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    int length_x = x->death - x->birth, length_y = y->death - y->birth;
    return length_x != length_y ? length_x > length_y ? -1 : 1 : by_bytes(a, b);
}

static int by_birth(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    return x->birth != y->birth ? x->birth < y->birth ? -1 : 1 : by_bytes(a, b);
}

// The lowest place that is free while `item` lives, beside the `count` items that are placed.
static int64_t lowest_place(const struct planner *p, const struct item *item, int count)
{
    int64_t at = 0;
    // placed[] is sorted by offset: `at` moves up past everything in the way.
    for (int j = 0; j < count; j++) {
        const struct item *other = p->placed[j];
        if (other->death < item->birth || other->birth > item->death) continue;
        if (other->offset >= at + item->bytes) break;
        if (other->offset + other->bytes > at) at = other->offset + other->bytes;
    }
    return at;
}

static void insert(struct planner *p, struct item *item, int count)
{
    int position = count;
    while (position > 0 && p->placed[position - 1]->offset > item->offset) position--;
    memmove(p->placed + position + 1, p->placed + position,
            (size_t)(count - position) * sizeof(struct item *));
    p->placed[position] = item;
}

// Puts every item whose place is not given at the lowest that is free while it lives. Returns the end of the highest.
static int64_t pack(struct planner *p, int (*compare)(const void *, const void *))
{
    int64_t peak = (int64_t)p->plan->block;
    int count = 0;
    for (int i = 0; i < p->items; i++) {
        p->order[i] = &p->item[i];
        if (p->item[i].fixed) insert(p, &p->item[i], count++);
    }
    qsort(p->order, (size_t)p->items, sizeof(struct item *), compare);
    for (int i = 0; i < p->items; i++) {
        struct item *item = p->order[i];
        if (item->fixed) continue;
        item->offset = lowest_place(p, item, count);
        if (item->offset + item->bytes > peak) peak = item->offset + item->bytes;
        insert(p, item, count++);
    }
    return peak;
}

// The most bytes that live at once.
static int64_t lower_bound(const struct planner *p)
{
    int64_t *change = p->change;
    memset(change, 0, (size_t)(p->count + 2) * sizeof *change);
    for (int i = 0; i < p->items; i++) {
        change[p->item[i].birth < 0 ? 0 : p->item[i].birth] += p->item[i].bytes;
        change[p->item[i].death + 1] -= p->item[i].bytes;
    }
    int64_t now = 0, most = (int64_t)p->plan->block;
    for (int id = 0; id <= p->count; id++) {
        now += change[id];
        if (now > most) most = now;
    }
    return most;
}

static int64_t pack_best(struct planner *p, int64_t bound)
{
    static int (*const orders[])(const void *, const void *) = {by_bytes, by_area, by_length,
                                                                by_birth};
    int best = 0, last = -1;
    int64_t peak = INT64_MAX;
    for (int i = 0; i < 4 && peak > bound; i++) {
        int64_t bytes = pack(p, orders[i]);
        last = i;
        if (bytes >= peak) continue;
        peak = bytes;
        best = i;
    }
    return best == last ? peak : pack(p, orders[best]);
}

static int64_t pack_apart(struct planner *p)
{
    int64_t at = 0;
    for (int i = 0; i < p->items; i++) {
        p->item[i].offset = at;
        at += p->item[i].bytes;
    }
    return at;
}

// ---- life cycle ----
static void make_plan(struct planner *p, scratch_function scratch, void *context)
{
    struct plan *plan = p->plan;
    mark_alive(p);
    find_deaths(p);
    make_items(p, scratch, context);
    find_tags(p);
    find_places(p);
    fix_gradients(p);
    int64_t bound = lower_bound(p);
    plan->bytes_unshared = (size_t)p->unshared;
    plan->bytes_bound = (size_t)bound;
    plan->bytes = (size_t)(p->share ? pack_best(p, bound) : pack_apart(p));
    for (int id = 0; id < p->count; id++) {
        const struct item *item = p->item_of[id] < 0 ? NULL : &p->item[p->item_of[id]];
        plan->offset[id] = item ? item->offset : -1;
        bool moves = item && (item->yields == 1 || p->g->values[id]->yield == item->tag);
        plan->tag[id] = moves ? item->tag : -1;
        const struct item *scratch_item =
            p->scratch_item[id] < 0 ? NULL : &p->item[p->scratch_item[id]];
        plan->scratch[id] = scratch_item ? scratch_item->offset : -1;
    }
}

// NULL, with an error recorded, when there is not enough memory.
static struct plan *plan_allocate(struct graph *g)
{
    struct plan *plan = NULL;
    size_t n = (size_t)g->count;
    if (memory_allocate(1, sizeof *plan, "a memory plan", &plan)) return NULL;
    plan->graph = g;
    if (memory_allocate(n, sizeof *plan->offset, "a memory plan", &plan->offset) ||
        memory_allocate(n, sizeof *plan->tag, "a memory plan", &plan->tag) ||
        memory_allocate(n, sizeof *plan->scratch, "a memory plan", &plan->scratch) ||
        memory_allocate(n, sizeof *plan->scratch_bytes, "a memory plan", &plan->scratch_bytes) ||
        memory_allocate(n, sizeof *plan->alive, "a memory plan", &plan->alive)) {
        plan_destroy(plan);
        return NULL;
    }
    return plan;
}

// Working memory: a value has one item, one scratch and one given place at most.
static bool planner_init(struct planner *p, struct arena *arena)
{
    size_t n = (size_t)p->count + 2;
    p->death = arena_take(arena, n * sizeof *p->death);
    p->item_of = arena_take(arena, n * sizeof *p->item_of);
    p->scratch_item = arena_take(arena, n * sizeof *p->scratch_item);
    p->change = arena_take(arena, n * sizeof *p->change);
    p->place = arena_take(arena, n * sizeof *p->place);
    p->item = arena_take(arena, 3 * n * sizeof *p->item);
    p->order = arena_take(arena, 3 * n * sizeof(struct item *));
    p->placed = arena_take(arena, 3 * n * sizeof(struct item *));
    return p->place && p->death && p->item_of && p->scratch_item && p->change && p->item &&
           p->order && p->placed;
}

static enum status create(struct graph *g, bool share, size_t block, scratch_function scratch,
                          void *context, struct plan **plan_p)
{
    TRY(graph_status(g));
    TRY(graph_verify(g));
    struct arena *arena;
    TRY(arena_create(&arena));
    struct planner p = {.g = g, .count = g->count, .share = share};
    if (planner_init(&p, arena)) p.plan = plan_allocate(g);
    if (p.plan) p.plan->block = block;
    if (p.plan) make_plan(&p, scratch, context);
    arena_destroy(arena);
    if (!p.plan) FAIL(STATUS_MEMORY, "not enough memory to plan %d values", g->count);
    *plan_p = p.plan;
    return STATUS_OK;
}

enum status plan_create(struct graph *g, scratch_function scratch, void *context,
                        struct plan **plan_p)
{
    return create(g, true, 0, scratch, context, plan_p);
}

enum status plan_create_placed(struct graph *g, size_t block, scratch_function scratch,
                               void *context, struct plan **plan_p)
{
    return create(g, true, block, scratch, context, plan_p);
}

enum status plan_create_unshared(struct graph *g, scratch_function scratch, void *context,
                                 struct plan **plan_p)
{
    return create(g, false, 0, scratch, context, plan_p);
}

void plan_destroy(struct plan *plan)
{
    if (!plan) return;
    free(plan->offset);
    free(plan->tag);
    free(plan->scratch);
    free(plan->scratch_bytes);
    free(plan->alive);
    free(plan);
}
