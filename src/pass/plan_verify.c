// SPDX-License-Identifier: Apache-2.0
// A plan, checked by walking the schedule with a list of who lives: nothing that was computed and
// is still to be read may be overwritten. Liveness is found anew here, so that a mistake of the
// planner's is not repeated.
#include "op/op.h"
#include "pass/pass.h"

#include <stdlib.h>

struct place {
    int64_t offset, end;
    int id;       // of the value
    bool scratch; // its step's scratch instead
    bool kept;    // a gradient's place, to the end
};

struct walk {
    const struct plan *plan;
    int *last_read;     // [values]
    struct place *live; // what holds data before the step
    int count;
};

static int64_t bytes_of(const struct value *v)
{
    return shape_count(v->shape) * (int64_t)dtype_bytes(v->dtype);
}

static enum status verify_place(const struct walk *w, const struct value *v, int64_t offset,
                                int64_t bytes)
{
    if (offset < 0 || offset % 64 != 0 || offset > (int64_t)w->plan->bytes - bytes)
        FAIL(STATUS_SHAPE, "value %d (%s) is alive, but lies at %lld of %zu bytes", v->id, v->name,
             (long long)offset, w->plan->bytes);
    return STATUS_OK;
}

// Whether step `y` may write over x: x is its input, dies here, lies exactly there, and the
// operation works element by element.
static bool may_overwrite(const struct walk *w, const struct value *y, int id)
{
    const struct value *x = w->plan->graph->values[id];
    if (!y->op || w->last_read[id] != y->id || x->storage != STORAGE_ARENA ||
        bytes_of(x) != bytes_of(y) || w->plan->offset[id] != w->plan->offset[y->id])
        return false;
    for (int i = 0; i < y->inputs; i++)
        if (y->input[i] == x && !(y->op->in_place >> i & 1)) return false;
    return true;
}

static enum status add_place(struct walk *w, const struct value *y, const struct value *v,
                             int64_t offset, int64_t bytes, bool scratch)
{
    TRY(verify_place(w, v, offset, bytes));
    for (int i = 0; i < w->count; i++) {
        const struct place *other = &w->live[i];
        if (other->end <= offset || offset + bytes <= other->offset) continue;
        if (!scratch && !other->scratch && v == y && may_overwrite(w, y, other->id)) continue;
        FAIL(STATUS_SHAPE, "%s%d (%s) overlaps %s%d in memory",
             scratch ? "scratch of value " : "value ", v->id, v->name,
             other->scratch ? "scratch of value " : "value ", other->id);
    }
    w->live[w->count++] = (struct place){offset, offset + bytes, v->id, scratch, false};
    return STATUS_OK;
}

// From now on a gradient that is handed out holds its parameter's place, up to the next one's.
static enum status keep_gradient(struct walk *w, const struct value *y, const struct value *v)
{
    const struct graph *g = w->plan->graph;
    int64_t from = -1, end = (int64_t)w->plan->block, unit = sizeof(real);
    if (!end || !v || v->yield < 0) return STATUS_OK;
    for (int id = 0; id < g->count; id++)
        if (g->values[id]->parameter == v->yield) from = g->values[id]->offset * unit;
    for (int id = 0; id < g->count && from >= 0; id++) {
        int64_t next = g->values[id]->offset * unit;
        if (g->values[id]->storage == STORAGE_PARAMETER && next > from && next < end) end = next;
    }
    if (from < 0) return STATUS_OK;
    TRY(add_place(w, y, v, from, end - from, false));
    w->live[w->count - 1].kept = true;
    return STATUS_OK;
}

static enum status verify_step(struct walk *w, const struct value *y)
{
    const struct plan *plan = w->plan;
    for (int i = 0; i < y->inputs; i++)
        if (y->input[i] && !plan->alive[y->input[i]->id])
            FAIL(STATUS_SHAPE, "value %d (%s) reads value %d, which is never computed", y->id,
                 y->name, y->input[i]->id);
    TRY(add_place(w, y, y, plan->offset[y->id], bytes_of(y), false));
    for (int i = 0; i < MAX_AUX; i++)
        if (y->aux[i])
            TRY(add_place(w, y, y->aux[i], plan->offset[y->aux[i]->id], bytes_of(y->aux[i]),
                          false));
    if (plan->scratch_bytes[y->id])
        TRY(add_place(w, y, y, plan->scratch[y->id], (int64_t)plan->scratch_bytes[y->id], true));
    // Those that nobody reads any more leave.
    int kept = 0;
    for (int i = 0; i < w->count; i++)
        if (w->live[i].kept || (!w->live[i].scratch && w->last_read[w->live[i].id] > y->id))
            w->live[kept++] = w->live[i];
    w->count = kept;
    TRY(keep_gradient(w, y, y));
    for (int i = 0; i < MAX_AUX; i++) TRY(keep_gradient(w, y, y->aux[i]));
    return STATUS_OK;
}

static void find_last_reads(struct walk *w)
{
    const struct graph *g = w->plan->graph;
    for (int id = 0; id < g->count; id++) {
        const struct value *v = g->values[id];
        if (!w->plan->alive[id]) continue;
        for (int i = 0; i < v->inputs; i++)
            if (v->input[i]) w->last_read[v->input[i]->id] = id;
        if (v->storage == STORAGE_INPUT) w->last_read[id] = g->count;
    }
}

static enum status walk_schedule(struct walk *w)
{
    const struct graph *g = w->plan->graph;
    for (int id = 0; id < g->count; id++) {
        const struct value *v = g->values[id];
        if (v->yield >= 0 && !w->plan->alive[id])
            FAIL(STATUS_SHAPE, "value %d is yielded, but never computed", id);
        if (v->storage == STORAGE_INPUT)
            TRY(add_place(w, v, v, w->plan->offset[id], bytes_of(v), false));
    }
    for (int id = 0; id < g->count; id++)
        if (w->plan->alive[id] && g->values[id]->op) TRY(verify_step(w, g->values[id]));
    return STATUS_OK;
}

enum status plan_verify(const struct plan *plan)
{
    struct walk w = {.plan = plan};
    size_t n = (size_t)plan->graph->count;
    TRY(memory_allocate(n, sizeof *w.last_read, "the check of a plan", &w.last_read));
    enum status status = memory_allocate(3 * n, sizeof *w.live, "the check of a plan", &w.live);
    if (!status) find_last_reads(&w);
    if (!status) status = walk_schedule(&w);
    free(w.live);
    free(w.last_read);
    return status ? error_trace(status, __FILE__, __LINE__) : STATUS_OK;
}
