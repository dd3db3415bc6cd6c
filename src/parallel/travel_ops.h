// SPDX-License-Identifier: Apache-2.0
// What a way for slices to travel fills, and what all of them share. For travel*.c only.
#ifndef STN_PARALLEL_TRAVEL_OPS_H
#define STN_PARALLEL_TRAVEL_OPS_H

#include "base/memory.h"
#include "parallel/batch_tree.h"
#include "parallel/travel.h"
#include "parallel/update_kernels.h"

struct span {
    int64_t first, last; // elements [first, last); empty where first >= last
};

struct travel_ops {
    const char *name;
    enum exactness exactness;
    bool rounds;    // gradients may travel as bf16: each is rounded once
    bool by_itself; // exchange auto may choose it
    // Bytes of staging memory, and the most transfers of a round.
    size_t (*staging_bytes)(const struct travel_setup *setup, int replicas);
    int (*transfers)(const struct travel_setup *setup, int replicas);
    // (optional) Bytes of staging memory that a replica touches; NULL: all.
    size_t (*touched)(const struct travel_setup *setup, int replicas, int rank, const int *border);
    // (optional) How many replicas own slices; NULL: all.
    int (*owners)(const struct travel_setup *setup, int replicas);
    // (optional) The slice, of `owners`, that a replica owns, -1: none; NULL: its rank's.
    int (*slice)(const struct travel *travel, int rank);
    // Called with more than one replica only; `bucket` has elements.
    enum status (*reduce)(struct travel *travel, struct span bucket, float *const *node,
                          float *target);
    enum status (*spread)(struct travel *travel, struct span bucket, float *data);
};

struct travel {
    const struct travel_ops *ops;
    struct travel_setup setup;
    struct comm *net;
    int rank, size, owners;
    int64_t bucket; // elements
    const struct update_kernels *kernels;
    struct block staging;
    struct transfer *transfer;
    int *border;         // [size + 1]
    int *nodes_before;   // [size + 1] nodes of the replicas before each, in order of leaves
    struct node *node;   // [leaves] all replicas' nodes
    const float **array; // [leaves + 1] what a program reads
    int16_t *program;    // [2 * leaves + 2]
    int operations;      // of the program that sums all nodes
    struct travel_traffic traffic;
};

// What staging memory takes for all received pieces of a round: small enough that they are summed out of a cache, large enough that
// neither a message's start nor waiting for each other counts. From 0.5 to 4 MB are alike on a quiet machine (2 processes, Open MPI
// 4.1 and MPICH 4.0, blocks of 1 to 100 MB), less costs rounds, and on a busy machine every round may wait for a core.
enum { TRAVEL_STAGING = 2 << 20 };

static inline int64_t span_length(struct span span)
{
    return span.last > span.first ? span.last - span.first : 0;
}
// Part number `piece` of the span, cut every `elements`.
struct span span_piece(struct span span, int64_t elements, int64_t piece);
// The slices [first, last) of the bucket.
struct span travel_slices(const struct travel *travel, struct span bucket, int first, int last);
// Elements of a bucket, and of the longest of `slices` slices of it.
int64_t travel_bucket_elements(const struct travel_setup *setup);
int64_t travel_longest(const struct travel_setup *setup, int slices);
// Bytes for up to `pieces` pieces of `longest` elements: all of them, at most TRAVEL_STAGING, at least a grain of each.
size_t travel_staging(int64_t pieces, int64_t longest, size_t element_bytes);
// What a replica owns of the bucket.
struct span travel_own(const struct travel *travel, struct span bucket, int rank);
int travel_nodes(const struct travel *travel, int rank);

// Adds a transfer to the round under way (count so far: *count_p) and to the traffic, unless it is empty.
void travel_send(struct travel *travel, int *count_p, int peer, const void *data, size_t bytes);
void travel_receive(struct travel *travel, int *count_p, int peer, void *data, size_t bytes);
static inline enum status travel_round(struct travel *travel, int count)
{
    return count ? comm_round(travel->net, travel->transfer, count) : STATUS_OK;
}

// Whether exchange auto may choose that way.
bool travel_by_itself(const char *name, enum wire wire);

// ---- shared between ways ----
size_t staging_direct(const struct travel_setup *setup, int replicas);
int transfers_direct(const struct travel_setup *setup, int replicas);
size_t touched_by_owner(const struct travel_setup *setup, int owners, int replicas, int rank,
                        const int *border);
enum status reduce_direct(struct travel *travel, struct span bucket, float *const *node,
                          float *target);
enum status spread_direct(struct travel *travel, struct span bucket, float *data);
size_t staging_ring(const struct travel_setup *setup, int replicas);
enum status reduce_ring(struct travel *travel, struct span bucket, float *const *node,
                        float *target);
enum status spread_ring(struct travel *travel, struct span bucket, float *data);
// The replica's own nodes summed one after the other into y[0 .. n) for the elements from `first`; 0 where it has none.
void travel_sum_own(struct travel *travel, float *const *node, int64_t first, int64_t n, float *y);
#endif
