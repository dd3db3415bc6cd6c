// SPDX-License-Identifier: Apache-2.0
// What happens to gradients between the workers' partial sums and the new weights: summed up the tree, measured, used.
//
// In a replica alone, every owner sums its slice up the tree, measures it and updates it where it lies. A step: all workers have
// folded their gradients, barrier, exchange_reduce, barrier, exchange_measure, exchange_update, barrier. One node's gradient is used
// where it lies, two are added where they are used, and the sum of more replaces the first node's buffer. Nothing is copied.
// With several replicas (parallel/travel.h) each owns a part of every bucket of the block, and its threads share that part:
//   barrier, exchange_merge (the workers' nodes into the replica's), barrier, exchange_travel for every bucket, exchange_reduce,
//   barrier, exchange_share, exchange_measure, exchange_update, barrier, exchange_spread.
// The caller keeps the barriers, and so knows what waiting costs. Nothing is allocated after exchange_create.
#ifndef STN_PARALLEL_EXCHANGE_H
#define STN_PARALLEL_EXCHANGE_H

#include "comm/comm.h"
#include "optim/optim.h"
#include "parallel/gradients.h"
#include "parallel/travel.h"

// A parameter's elements in the block: [first, last). Only those that learn count in the gradient's size and keep optimizer state.
enum segment_kind {
    SEGMENT_LEARNS,
    SEGMENT_FROZEN,   // stays as it is, to the bit
    SEGMENT_STATISTIC // what is summed is a way to go (op_drift): w -= optimizer_step.statistic_rate * sum, and no optimizer
};
struct segment {
    int64_t first, last;
    bool decay;  // weight decay, L1 and L2 apply
    double rate; // factor of the learning rate
    enum segment_kind kind;
};

// What an owner has just written anew: elements [from, to) of the piece [first, last) of the block that it goes over upwards.
struct weights_written {
    int64_t first, last, from, to;
};

struct exchange_setup {
    int64_t elements; // of the blocks, padding included
    int workers, leaves;
    int owners; // of slices: the workers' threads, worker after worker; 0: the workers
    enum isa isa;
    struct optimizer_config optimizer;
    float *weights, *state[2]; // borrowed; state NULL where the optimizer keeps none
    // Borrowed, in order; what lies between them is padding and stays 0. Rates may change between steps, kinds may not.
    const struct segment *segment;
    int segments;
    // (optional) Called by each owner in exchange_update for every few thousand weights, while they are in the first-level cache.
    void (*written)(void *context, const struct weights_written *written);
    void *context;
    bool sums; // exchange_sum is used: the sum is written also where it need not be
    // Several replicas; travel NULL: this one is alone.
    struct travel *travel; // borrowed
    struct comm *net;      // borrowed; rank = replica
    const int *base;       // borrowed; replica r has the workers base[r] .. base[r + 1] - 1 of all
};
struct exchange;

enum status exchange_create(const struct exchange_setup *setup,
                            struct exchange **exchange_p) CHECK_RESULT;
void exchange_destroy(struct exchange *exchange);
// Bytes that exchange_create takes, but for 4 an element of statistics and 32 a segment that does not learn; replicas and buckets: 1
// for a replica alone.
size_t exchange_bytes(int64_t elements, int owners, int leaves, int replicas, int buckets);

// Where this replica's workers' nodes lie: worker r of all has the run [border[r], border[r + 1]); gradients[i] holds the sums of this
// replica's worker i. Called while no worker is in the exchange.
void exchange_route(struct exchange *exchange, const int *border,
                    const struct gradients *const *gradients);

// ---- several replicas ----
// Sums elements [first, last) of the workers' nodes into the replica's own, by thread `owner`; any parts, in any order.
void exchange_merge(struct exchange *exchange, int owner, int64_t first, int64_t last);
// Sums a bucket over all replicas; afterwards this one holds the part that it owns. Collective between replicas, by one thread of each.
enum status exchange_travel(struct exchange *exchange, int bucket) CHECK_RESULT;
// Makes what the owners have measured known to all replicas. Collective between replicas.
enum status exchange_share(struct exchange *exchange) CHECK_RESULT;
// Hands the new weights to all replicas. Collective between replicas.
enum status exchange_spread(struct exchange *exchange) CHECK_RESULT;
// Elements of the blocks that this replica owns.
int64_t exchange_owned(const struct exchange *exchange);

// ---- the slice of `owner` ----
// Sums it up the tree (a replica alone), and takes the squares (of the gradient times scale) and the largest magnitude on the way.
void exchange_reduce(struct exchange *exchange, int owner, double scale);
// Where the sum lies after exchange_reduce by all owners, if setup->sums.
const float *exchange_sum(const struct exchange *exchange);
// Bytes that all owners together read and write in one exchange_reduce and one exchange_update, between them and memory.
struct exchange_traffic {
    double reduce, update;
};
struct exchange_traffic exchange_traffic(const struct exchange *exchange);
// After a barrier: the same numbers for every worker. Not finite when an element is not.
struct gradient_size {
    double norm,
        largest; // of the gradient times scale; largest is 0 unless clip_infinity asks for it
};
struct gradient_size exchange_measure(const struct exchange *exchange, double scale);
// Updates weights and state of the slice. step->decay is set here.
void exchange_update(struct exchange *exchange, int owner, const struct optimizer_step *step);
#endif
