// SPDX-License-Identifier: Apache-2.0
// Recursive halving and doubling along the batch tree: pairs of neighbours meet first, then pairs of pairs.
//
// What a replica holds covers a contiguous run of leaves at all times: a list of nodes, which fold as siblings meet
// (merge_program). A meeting halves the elements that a replica goes on with and doubles the leaves that they cover, so after
// log2 N meetings it holds the root of its slice: the same bits as `direct`. Where N is no power of two, the first replicas fold
// in pairs before, and the odd ones of them own nothing. Weights go back the same way. Nodes that find no sibling travel on beside
// each other, so runs that are not aligned to the tree move more than aligned ones.
// Source: Rabenseifner 2004, "Optimization of collective reduction operations"; the order of the pairs is ours.
#include "parallel/slices.h"
#include "parallel/travel_ops.h"

extern const struct travel_ops tree_travel;

// Replicas that meet: the largest power of two, 2^levels, of them ("cores"); the first `folded` cores have a second replica.
struct shape {
    int levels, cores, folded;
};

static struct shape shape_of(int replicas)
{
    struct shape shape = {.cores = 1};
    while (2 * shape.cores <= replicas) {
        shape.cores *= 2;
        shape.levels++;
    }
    shape.folded = replicas - shape.cores;
    return shape;
}

// The first replica of a core; core `cores` is the end.
static int replica_of(struct shape shape, int core)
{
    return core < shape.folded ? 2 * core : core + shape.folded;
}

// -1 where the replica is the second of its core.
static int core_of(struct shape shape, int replica)
{
    if (replica >= 2 * shape.folded) return replica - shape.folded;
    return replica % 2 == 0 ? replica / 2 : -1;
}

static int owners_tree(const struct travel_setup *setup, int replicas)
{
    (void)setup;
    return shape_of(replicas).cores;
}

// Halving by the lowest bit of the core first leaves slices in the order of reversed bits.
static int slice_tree(const struct travel *travel, int rank)
{
    struct shape shape = shape_of(travel->size);
    int core = core_of(shape, rank), slice = 0;
    if (core < 0) return -1;
    for (int bit = 0; bit < shape.levels; bit++)
        slice |= (core >> bit & 1) << (shape.levels - 1 - bit);
    return slice;
}

// Slices [*first_p, *last_p) that a core goes on with after `level` meetings.
static void slices_after(const struct travel *travel, int core, int level, int *first_p,
                         int *last_p)
{
    struct shape shape = shape_of(travel->size);
    int slice = slice_tree(travel, replica_of(shape, core)), rest = shape.levels - level;
    INVARIANT(slice >= 0, "core %d of %d has no slice", core, shape.cores);
    *first_p = slice >> rest << rest;
    *last_p = *first_p + (1 << rest);
}

static struct span span_after(const struct travel *travel, struct span bucket, int core, int level)
{
    int first, last;
    slices_after(travel, core, level, &first, &last);
    return travel_slices(travel, bucket, first, last);
}

// ---- staging: slots for nodes that came and wait for a sibling, and pieces of those that are summed at once ----
// Elements that a waiting node can have: half a bucket, or all of it where replicas fold first.
static int64_t slot_elements(const struct travel_setup *setup, int replicas)
{
    int64_t bucket = travel_bucket_elements(setup), cores = shape_of(replicas).cores;
    if (shape_of(replicas).folded) return bucket;
    int64_t half = travel_longest(setup, (int)cores) * (cores / 2);
    return half < bucket ? half : bucket;
}

// Those that wait, and those that arrive while these are still read. Aligned runs touch none of them.
static int slots_most(const struct travel_setup *setup)
{
    return 2 * run_nodes_most(setup->leaves);
}

static size_t pieces_bytes(const struct travel_setup *setup, int replicas)
{
    return travel_staging(run_nodes_most(setup->leaves), slot_elements(setup, replicas),
                          sizeof(float));
}

static size_t staging_tree(const struct travel_setup *setup, int replicas)
{
    return pieces_bytes(setup, replicas) +
           checked_multiply((size_t)slots_most(setup),
                            (size_t)slot_elements(setup, replicas) * sizeof(float));
}

static int transfers_tree(const struct travel_setup *setup, int replicas)
{
    (void)replicas;
    return 2 * run_nodes_most(setup->leaves);
}

// ---- what a replica holds ----
// A node's elements: element e lies at data[e - base].
struct held {
    float *data;
    int64_t base;
    int slot; // -1: one of the caller's buffers
};
struct state {
    struct travel *travel;
    int first, last; // leaves
    struct node node[MAX_NODES];
    struct held held[MAX_NODES];
    int count;
    uint64_t used; // slots, by bits
    // Nothing is moved: it is only seen how much memory that would take, in bytes of slots and of pieces. Meetings with one piece use
    // the same place, others may not.
    bool dry;
    size_t slots[64], one_piece, pieces;
};

static float *at(struct held held, int64_t element) { return held.data + (element - held.base); }

static struct held take_slot(struct state *state, struct span span)
{
    const struct travel_setup *setup = &state->travel->setup;
    int slot = 0;
    while (state->used >> slot & 1) slot++;
    INVARIANT(slot < slots_most(setup), "%d slots for nodes that wait", slots_most(setup));
    state->used |= (uint64_t)1 << slot;
    size_t bytes = (size_t)span_length(span) * sizeof(float);
    if (state->slots[slot] < bytes) state->slots[slot] = bytes;
    if (state->dry) return (struct held){NULL, span.first, slot};
    float *slots =
        (float *)((char *)state->travel->staging.data + pieces_bytes(setup, state->travel->size));
    return (struct held){slots + slot * slot_elements(setup, state->travel->size), span.first,
                         slot};
}

static void leave_slot(struct state *state, struct held held)
{
    if (held.slot >= 0) state->used &= ~((uint64_t)1 << held.slot);
}

// ---- a meeting with one other replica ----
struct meeting {
    int peer;
    bool peer_left;          // the peer's leaves come first
    int first, last;         // leaves of what the peer holds
    struct span keep, leave; // elements that this replica goes on with; that the peer does
    float *target;           // where the root goes after the last meeting; NULL before
    // The nodes of both, in order of leaves, and what becomes of them.
    struct node node[2 * MAX_NODES];
    int count, theirs, theirs_from; // nodes theirs_from .. theirs_from + theirs - 1 come
    struct held held[2 * MAX_NODES];
    bool waits[2 * MAX_NODES]; // a node that came and stays as it is, in a slot
    int16_t program[4 * MAX_NODES];
    int start[MAX_NODES + 1], made; // programs of the nodes that are made
    struct node made_node[MAX_NODES];
    struct held made_held[MAX_NODES];
};

static bool is_theirs(const struct meeting *meeting, int i)
{
    return i >= meeting->theirs_from && i < meeting->theirs_from + meeting->theirs;
}

// Both lists in order of leaves, and the programs that fold them: into the root at the last meeting, else into a run's nodes.
static void plan(struct meeting *meeting, const struct state *state)
{
    struct node came[MAX_NODES];
    int theirs = run_nodes(meeting->first, meeting->last, came);
    int own_from = meeting->peer_left ? theirs : 0;
    meeting->theirs = theirs;
    meeting->theirs_from = meeting->peer_left ? 0 : state->count;
    meeting->count = state->count + theirs;
    for (int i = 0; i < state->count; i++) {
        meeting->node[own_from + i] = state->node[i];
        meeting->held[own_from + i] = state->held[i];
    }
    for (int i = 0; i < theirs; i++) meeting->node[meeting->theirs_from + i] = came[i];
    if (meeting->target) {
        meeting->made = 1;
        meeting->start[0] = 0;
        meeting->start[1] = tree_program(meeting->node, meeting->count, state->travel->setup.leaves,
                                         meeting->program);
        return;
    }
    int first = meeting->peer_left ? meeting->first : state->first;
    int last = meeting->peer_left ? state->last : meeting->last;
    meeting->made =
        merge_program(meeting->node, meeting->count, first, last, meeting->program, meeting->start);
    run_nodes(first, last, meeting->made_node);
}

// Decides where each made node lies: in the first of this replica's own that it is made of, in a slot where it came as it is.
static void place(struct meeting *meeting, struct state *state)
{
    for (int j = 0; j < meeting->made; j++) {
        int from = meeting->start[j], operations = meeting->start[j + 1] - from;
        if (meeting->target) {
            meeting->made_held[j] = (struct held){meeting->target, 0, -1};
            continue;
        }
        int home = -1;
        for (int k = from; k < from + operations; k++)
            if (meeting->program[k] >= 0 && !is_theirs(meeting, meeting->program[k]) && home < 0)
                home = meeting->program[k];
        if (home < 0) {
            INVARIANT(operations == 1, "%d operations on what one replica has sent", operations);
            home = meeting->program[from];
            meeting->waits[home] = true;
            meeting->held[home] = take_slot(state, meeting->keep);
        }
        meeting->made_held[j] = meeting->held[home];
    }
}

static int64_t piece_elements(const struct travel *travel, int nodes)
{
    size_t room = pieces_bytes(&travel->setup, travel->size) / sizeof(float) /
                  (size_t)(nodes > 1 ? nodes : 1);
    int64_t piece = (int64_t)room / 16 * 16, wanted = travel->setup.piece;
    return wanted > 0 && wanted < piece ? wanted : piece;
}

static void fold_piece(const struct meeting *meeting, struct travel *travel, struct span part)
{
    for (int j = 0; j < meeting->made; j++) {
        int from = meeting->start[j], operations = meeting->start[j + 1] - from;
        // A node that stays as it is lies where it should, unless it is the root.
        if (operations == 1 && !meeting->target) continue;
        float *y = at(meeting->made_held[j], part.first);
        if (operations == 1 && y == travel->array[meeting->program[from]]) continue;
        travel->kernels->tree_sum(y, travel->array, meeting->program + from, operations,
                                  span_length(part));
    }
}

// Counts the bytes of the pieces of nodes that do not wait.
static void count_pieces(const struct meeting *meeting, struct state *state)
{
    size_t each = (size_t)span_length(meeting->keep) * sizeof(float), pieces = 0;
    for (int i = 0; i < meeting->theirs; i++) pieces += !meeting->waits[meeting->theirs_from + i];
    if (pieces == 1 && each > state->one_piece) state->one_piece = each;
    if (pieces > 1) state->pieces += checked_multiply(pieces, each);
}

// Sends what the peer goes on with, receives the peer's part of what this replica goes on with, and folds it piece by piece.
static enum status carry_out(const struct meeting *meeting, struct travel *travel)
{
    int own = meeting->count - meeting->theirs;
    int64_t elements = piece_elements(travel, own > meeting->theirs ? own : meeting->theirs);
    int64_t keep = span_length(meeting->keep), leave = span_length(meeting->leave);
    for (int64_t k = 0; k * elements < (keep > leave ? keep : leave); k++) {
        struct span in = span_piece(meeting->keep, elements, k);
        struct span out = span_piece(meeting->leave, elements, k);
        size_t in_bytes = (size_t)span_length(in) * sizeof(float);
        size_t out_bytes = (size_t)span_length(out) * sizeof(float);
        int count = 0;
        float *staging = travel->staging.data;
        for (int i = 0; i < meeting->count; i++) {
            if (!is_theirs(meeting, i)) {
                if (out_bytes)
                    travel_send(travel, &count, meeting->peer, at(meeting->held[i], out.first),
                                out_bytes);
                if (in_bytes) travel->array[i] = at(meeting->held[i], in.first);
                continue;
            }
            float *here = staging;
            if (meeting->waits[i])
                here = at(meeting->held[i], in.first);
            else
                staging += elements;
            travel->array[i] = here;
            travel_receive(travel, &count, meeting->peer, here, in_bytes);
        }
        TRY(travel_round(travel, count));
        if (in_bytes) fold_piece(meeting, travel, in);
    }
    return STATUS_OK;
}

static enum status meet(struct meeting *meeting, struct state *state)
{
    plan(meeting, state);
    if (span_length(meeting->keep) || meeting->target) place(meeting, state);
    if (state->dry)
        count_pieces(meeting, state);
    else
        TRY(carry_out(meeting, state->travel));
    // Slots of nodes that were folded into others are free again.
    for (int i = 0; i < meeting->count; i++) {
        bool lives = meeting->waits[i];
        for (int j = 0; j < meeting->made; j++)
            lives = lives || meeting->made_held[j].slot == meeting->held[i].slot;
        if (!is_theirs(meeting, i) && !lives) leave_slot(state, meeting->held[i]);
    }
    if (meeting->first < state->first) state->first = meeting->first;
    if (meeting->last > state->last) state->last = meeting->last;
    state->count = meeting->made;
    for (int j = 0; j < meeting->made; j++) {
        state->node[j] = meeting->made_node[j];
        state->held[j] = meeting->made_held[j];
    }
    return STATUS_OK;
}

// All meetings of a bucket. node: NULL in a dry run.
static enum status meet_all(struct state *state, struct span bucket, float *const *node,
                            float *target)
{
    const struct travel *travel = state->travel;
    struct shape shape = shape_of(travel->size);
    const int *border = travel->border;
    int rank = travel->rank, core = core_of(shape, rank);
    const struct span nothing = {bucket.first, bucket.first};
    state->first = border[rank];
    state->last = border[rank + 1];
    state->count = run_nodes(state->first, state->last, state->node);
    for (int i = 0; i < state->count; i++)
        state->held[i] = (struct held){node ? node[i] : NULL, 0, -1};
    if (rank < 2 * shape.folded) {
        int peer = rank ^ 1;
        struct meeting fold = {.peer = peer,
                               .peer_left = peer < rank,
                               .first = border[peer],
                               .last = border[peer + 1]};
        fold.keep = core < 0 ? nothing : bucket;
        fold.leave = core < 0 ? bucket : nothing;
        TRY(meet(&fold, state));
        if (core < 0) return STATUS_OK;
    }
    for (int level = 0; level < shape.levels; level++) {
        int other = core ^ 1 << level, group = other >> level << level;
        struct meeting meeting = {
            .peer = replica_of(shape, other),
            .peer_left = other < core,
            .first = border[replica_of(shape, group)],
            .last = border[replica_of(shape, group + (1 << level))],
            .keep = span_after(travel, bucket, core, level + 1),
            .leave = span_after(travel, bucket, other, level + 1),
        };
        if (level + 1 == shape.levels) meeting.target = target;
        TRY(meet(&meeting, state));
    }
    return STATUS_OK;
}

static enum status reduce_tree(struct travel *travel, struct span bucket, float *const *node,
                               float *target)
{
    struct state state = {.travel = travel};
    return meet_all(&state, bucket, node, target);
}

// The meetings of the longest bucket, without messages.
static size_t touched_tree(const struct travel_setup *setup, int replicas, int rank,
                           const int *border)
{
    struct travel travel = {.ops = &tree_travel,
                            .setup = *setup,
                            .rank = rank,
                            .size = replicas,
                            .owners = shape_of(replicas).cores,
                            .border = (int *)border}; // only read
    struct state state = {.travel = &travel, .dry = true};
    float target;
    enum status status =
        meet_all(&state, (struct span){0, travel_bucket_elements(setup)}, NULL, &target);
    INVARIANT(!status, "a dry run fails: %s", error_message());
    size_t room = pieces_bytes(setup, replicas), bytes = state.one_piece + state.pieces;
    if (bytes > room) bytes = room;
    for (int i = 0; i < slots_most(setup); i++) bytes += state.slots[i];
    return bytes;
}

static enum status spread_tree(struct travel *travel, struct span bucket, float *data)
{
    struct shape shape = shape_of(travel->size);
    int rank = travel->rank, core = core_of(shape, rank), count = 0;
    for (int level = shape.levels - 1; level >= 0 && core >= 0; level--) {
        int other = core ^ 1 << level, peer = replica_of(shape, other);
        struct span own = span_after(travel, bucket, core, level + 1);
        struct span theirs = span_after(travel, bucket, other, level + 1);
        count = 0;
        travel_receive(travel, &count, peer, data + theirs.first,
                       (size_t)span_length(theirs) * sizeof *data);
        travel_send(travel, &count, peer, data + own.first,
                    (size_t)span_length(own) * sizeof *data);
        TRY(travel_round(travel, count));
    }
    if (rank >= 2 * shape.folded) return STATUS_OK;
    size_t bytes = (size_t)span_length(bucket) * sizeof *data;
    count = 0;
    if (core >= 0)
        travel_send(travel, &count, rank ^ 1, data + bucket.first, bytes);
    else
        travel_receive(travel, &count, rank ^ 1, data + bucket.first, bytes);
    return travel_round(travel, count);
}

const struct travel_ops tree_travel = {
    .name = "tree",
    .exactness = EXACTNESS_EXACT,
    .by_itself = true,
    .staging_bytes = staging_tree,
    .transfers = transfers_tree,
    .touched = touched_tree,
    .owners = owners_tree,
    .slice = slice_tree,
    .reduce = reduce_tree,
    .spread = spread_tree,
};
