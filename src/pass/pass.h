// SPDX-License-Identifier: Apache-2.0
// Passes: graph -> graph (backward, with recompute), graph -> memory plan.
#ifndef STN_PASS_PASS_H
#define STN_PASS_PASS_H

#include "graph/graph.h"

// Appends the gradient of `loss` (shape [1]) with respect to every parameter it depends on and
// yields each with tag = parameter index, as soon as it is complete. Values of a recompute region
// are appended again before their gradients' readers, so that the first ones die after the forward
// pass. parameters: how many the registry has.
// Errors stick in the graph.
void backward(struct graph *g, struct value *loss, int parameters);

// Where everything lies while the program runs: byte offsets into one arena per worker.
struct plan {
    struct graph *graph; // borrowed
    int64_t *offset;     // [values] of ARENA and INPUT values; -1 for all others and for dead ones
    // [values] The tag of what is handed out and read by no step, and of values whose place it has taken over: they
    // may lie together outside the arena. Else -1.
    int *tag;
    int64_t *scratch;      // [values] byte offset of a step's scratch, -1 when it needs none
    size_t *scratch_bytes; // [values] what the step asked for
    bool *alive;           // [values] something yielded depends on it, or it is an INPUT
    size_t block;          // of gradients, that begins the arena; 0: none
    size_t bytes;          // of the arena: the peak
    size_t bytes_unshared; // what it would be if no two values shared memory
    size_t bytes_bound;    // what no plan can go below: the most that lives at once
};
// Asked once for each live value whose op runs, in schedule order.
typedef size_t (*scratch_function)(void *context, const struct value *value);
// scratch may be NULL (none needed). The graph must not grow while the plan is in use.
// Deterministic; overlapping lifetimes never overlap in memory (plan_verify). Fails: the graph's
// first error; STATUS_MEMORY.
enum status plan_create(struct graph *g, scratch_function scratch, void *context,
                        struct plan **plan_p) CHECK_RESULT;
// The same with a block of gradients that begins the arena: `block` bytes, laid out as the weights. Each gradient (yielded with a
// parameter's index as tag) stays at its parameter's place to the end of the program, and so does what lies between them; until it is
// computed, others lie there. One that shares its memory or is read again lies elsewhere, and its place is free for a copy of the
// caller's as soon as it is yielded.
enum status plan_create_placed(struct graph *g, size_t block, scratch_function scratch,
                               void *context, struct plan **plan_p) CHECK_RESULT;
// The same as plan_create without sharing memory: for tests, and for finding out whether the planner is to blame.
enum status plan_create_unshared(struct graph *g, scratch_function scratch, void *context,
                                 struct plan **plan_p) CHECK_RESULT;
void plan_destroy(struct plan *plan);
// Checks that no two values that live at the same time overlap; walks the schedule, independent of
// how the plan was made.
// Fails: STATUS_SHAPE naming both.
enum status plan_verify(const struct plan *plan) CHECK_RESULT;
#endif
