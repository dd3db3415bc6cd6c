// SPDX-License-Identifier: Apache-2.0
// Fully connected: each replica sends every owner its nodes of the owner's slice; the owner sums all of them up the tree.
//
// Every node of every replica reaches the owner as it is, so the sum is the one of a single process, bit for bit. A round moves one
// piece of each node; it is summed while it lies in a cache. New weights go straight to where they are used.
#include "kernel/cpu/kernels.h"
#include "parallel/slices.h"
#include "parallel/travel_ops.h"

#include <stddef.h>

extern const struct travel_ops direct_travel;

// Elements of bf16 that are widened at a time, for all nodes.
enum { WIDENED = SLICE_GRAIN };

static size_t wire_bytes(const struct travel_setup *setup)
{
    return setup->wire == WIRE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

static size_t widened_bytes(const struct travel_setup *setup)
{
    return setup->wire == WIRE_BF16 ? (size_t)setup->leaves * WIDENED * sizeof(float) : 0;
}

static int owners_most(const struct travel_setup *setup, int replicas)
{
    // Of `server` and of `direct`: `servers` is ignored by the latter, so the longer slices count.
    return setup->servers > 0 && setup->servers < replicas ? setup->servers : replicas;
}

size_t staging_direct(const struct travel_setup *setup, int replicas)
{
    // What is received: at most all nodes; what is rounded to be sent as bf16: the own ones, for each owner.
    int64_t pieces = setup->leaves;
    if (setup->wire == WIRE_BF16) pieces += (int64_t)run_nodes_most(setup->leaves) * replicas;
    return travel_staging(pieces, travel_longest(setup, owners_most(setup, replicas)),
                          wire_bytes(setup)) +
           widened_bytes(setup);
}

int transfers_direct(const struct travel_setup *setup, int replicas)
{
    // Sends: own nodes to each owner. Receives: the nodes of all others.
    int most = run_nodes_most(setup->leaves);
    return (most > 1 ? most : 1) * replicas + (setup->leaves > replicas ? setup->leaves : replicas);
}

// What others have of the owned slice, piece by piece.
size_t touched_by_owner(const struct travel_setup *setup, int owners, int replicas, int rank,
                        const int *border)
{
    struct node node[MAX_NODES];
    int received = 0;
    if (setup->wire == WIRE_BF16) return SIZE_MAX;
    if (rank >= owners) return 0;
    for (int r = 0; r < replicas; r++)
        if (r != rank) received += run_nodes(border[r], border[r + 1], node);
    return checked_multiply((size_t)received,
                            (size_t)travel_longest(setup, owners) * sizeof(float));
}

static size_t touched_direct(const struct travel_setup *setup, int replicas, int rank,
                             const int *border)
{
    return touched_by_owner(setup, replicas, replicas, rank, border);
}

// Elements of a piece: the same everywhere, since all know all borders.
static int64_t piece_elements(const struct travel *travel)
{
    int all = travel->nodes_before[travel->size], received = 1, sent = 0;
    for (int r = 0; r < travel->size; r++) {
        int own = travel_nodes(travel, r);
        if (all - own > received) received = all - own;
        if (own > sent) sent = own;
    }
    // What is sent as bf16 is rounded in staging memory.
    int slots = travel->setup.wire == WIRE_BF16 ? received + sent * travel->owners : received;
    size_t room = travel->staging.bytes - widened_bytes(&travel->setup);
    int64_t piece = (int64_t)(room / ((size_t)slots * wire_bytes(&travel->setup))) / 16 * 16;
    INVARIANT(piece > 0, "no room for %d pieces in %zu bytes", slots, room);
    int64_t wanted = travel->setup.piece;
    return wanted > 0 && wanted < piece ? wanted : piece;
}

// The slot-th piece of staging memory.
static void *slot_of(const struct travel *travel, int slot, int64_t piece)
{
    return (char *)travel->staging.data + widened_bytes(&travel->setup) +
           (size_t)slot * (size_t)piece * wire_bytes(&travel->setup);
}

struct piece {
    int64_t elements; // of a whole piece
    int64_t number;
    struct span own; // elements of this replica's slice that arrive
};

static void post_sends(struct travel *travel, struct span bucket, const struct piece *piece,
                       float *const *node, int *slots_p, int *count_p)
{
    int own = travel_nodes(travel, travel->rank);
    for (int i = 1; i < travel->size && own; i++) {
        int peer = (travel->rank + i) % travel->size;
        struct span part =
            span_piece(travel_own(travel, bucket, peer), piece->elements, piece->number);
        int64_t n = span_length(part);
        for (int j = 0; j < own && n; j++) {
            const void *data = node[j] + part.first;
            if (travel->setup.wire == WIRE_BF16) {
                uint16_t *rounded = slot_of(travel, (*slots_p)++, piece->elements);
                travel->kernels->round_bf16(rounded, node[j] + part.first, n);
                data = rounded;
            }
            travel_send(travel, count_p, peer, data, (size_t)n * wire_bytes(&travel->setup));
        }
    }
}

// Node j of the others lies in slot j, in order of leaves.
static void post_receives(struct travel *travel, const struct piece *piece, int *slots_p,
                          int *count_p)
{
    int own = travel_nodes(travel, travel->rank);
    size_t bytes = (size_t)span_length(piece->own) * wire_bytes(&travel->setup);
    for (int i = 1; i < travel->size; i++) {
        int peer = (travel->rank - i + travel->size) % travel->size;
        int slot = travel->nodes_before[peer] - (peer > travel->rank ? own : 0);
        for (int j = 0; j < travel_nodes(travel, peer); j++)
            travel_receive(travel, count_p, peer, slot_of(travel, slot + j, piece->elements),
                           bytes);
    }
    *slots_p = travel->nodes_before[travel->size] - own;
}

// Sums n elements from the at-th of the piece on.
static void sum_part(struct travel *travel, const struct piece *piece, int64_t at, int64_t n,
                     float *const *node, float *target)
{
    int mine = travel->nodes_before[travel->rank], own = travel_nodes(travel, travel->rank);
    for (int i = 0; i < travel->nodes_before[travel->size]; i++) {
        bool here = i >= mine && i < mine + own;
        if (here) {
            travel->array[i] = node[i - mine] + piece->own.first + at;
            continue;
        }
        const void *received = slot_of(travel, i < mine ? i : i - own, piece->elements);
        if (travel->setup.wire == WIRE_BF16) {
            float *widened = (float *)travel->staging.data + (int64_t)i * WIDENED;
            travel->kernels->widen_bf16(widened, (const uint16_t *)received + at, n);
            travel->array[i] = widened;
        } else {
            travel->array[i] = (const float *)received + at;
        }
    }
    travel->kernels->tree_sum(target + piece->own.first + at, travel->array, travel->program,
                              travel->operations, n);
}

static void sum_piece(struct travel *travel, const struct piece *piece, float *const *node,
                      float *target)
{
    int64_t n = span_length(piece->own);
    int64_t step = travel->setup.wire == WIRE_BF16 ? WIDENED : n;
    for (int64_t at = 0; at < n; at += step)
        sum_part(travel, piece, at, n - at < step ? n - at : step, node, target);
}

enum status reduce_direct(struct travel *travel, struct span bucket, float *const *node,
                          float *target)
{
    struct piece piece = {.elements = piece_elements(travel)};
    // The first slices are the longest.
    int64_t longest = span_length(travel_slices(travel, bucket, 0, 1));
    struct span own = travel_own(travel, bucket, travel->rank);
    for (; piece.number * piece.elements < longest; piece.number++) {
        int count = 0, slots = 0;
        piece.own = span_piece(own, piece.elements, piece.number);
        post_receives(travel, &piece, &slots, &count);
        post_sends(travel, bucket, &piece, node, &slots, &count);
        TRY(travel_round(travel, count));
        sum_piece(travel, &piece, node, target);
    }
    return STATUS_OK;
}

enum status spread_direct(struct travel *travel, struct span bucket, float *data)
{
    struct span own = travel_own(travel, bucket, travel->rank);
    int count = 0;
    for (int i = 1; i < travel->size; i++) {
        int from = (travel->rank - i + travel->size) % travel->size;
        int to = (travel->rank + i) % travel->size;
        struct span theirs = travel_own(travel, bucket, from);
        travel_receive(travel, &count, from, data + theirs.first,
                       (size_t)span_length(theirs) * sizeof *data);
        travel_send(travel, &count, to, data + own.first, (size_t)span_length(own) * sizeof *data);
    }
    return travel_round(travel, count);
}

const struct travel_ops direct_travel = {
    .name = "direct",
    .exactness = EXACTNESS_EXACT,
    .by_itself = true,
    .rounds = true,
    .staging_bytes = staging_direct,
    .transfers = transfers_direct,
    .touched = touched_direct,
    .reduce = reduce_direct,
    .spread = spread_direct,
};
