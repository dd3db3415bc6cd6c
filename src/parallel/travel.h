// SPDX-License-Identifier: Apache-2.0
// Ways for slices to travel between replicas: gradients to the owners of slices, new weights from them to everybody.
//
// A replica is one copy of the weights with its workers; replica r of a net computes the leaves [border[r], border[r + 1]) and holds
// the nodes of that run. The block is cut into buckets, and every bucket into slices, one for each owner. travel_create ->
// travel_route -> for each bucket: travel_reduce (the owned part of the sum lies at its owner) -> travel_spread (everybody has all).
// A way is one file that fills struct travel_ops (travel_ops.h) and one row in travel.c. What each moves and takes: doc/exchange.md.
// The sums are taken in the calling thread, which has flushed denormals to zero as every thread that computes. Nothing is
// allocated after travel_create.
#ifndef STN_PARALLEL_TRAVEL_H
#define STN_PARALLEL_TRAVEL_H

#include "base/cpu.h"
#include "comm/comm.h"

// What a way keeps of the promise of same bits: for any number of workers; repeated on the same workers; neither.
enum exactness { EXACTNESS_EXACT, EXACTNESS_SAME_WORKERS, EXACTNESS_APPROXIMATE };
const char *exactness_name(enum exactness exactness); // "same-workers"

// How gradients travel: as they are, or rounded once to bf16 (nearest even) when they are sent. Sums and weights are float32 always.
enum wire { WIRE_FLOAT32, WIRE_BF16 };
const char *wire_name(enum wire wire); // "bf16"

struct travel_setup {
    struct comm *net; // borrowed; rank = replica
    int64_t elements; // of the block
    int leaves;       // of the batch tree
    enum isa isa;
    int64_t bucket; // elements of a bucket, a multiple of SLICE_GRAIN; 0: all in one
    int servers; // `server`: replicas 0 .. servers-1 own every slice, 0: one does; the other ways: all own, this is ignored
    enum wire wire;
    int64_t
        piece; // most elements of a message that is summed on arrival; 0: chosen by what caches hold
};
struct travel;

// The ways, from 0 on: "direct", "tree", …; NULL behind the last.
const char *travel_way(int index);
// "direct, tree, ring, server, native": for messages. A static text.
const char *travel_names(void);
// Fails: STATUS_USAGE listing the ways; or where the way cannot have this wire, or the servers are not 1 .. replicas.
enum status travel_check(const char *name, const struct travel_setup *setup,
                         int replicas) CHECK_RESULT;
// How exact that way is with this wire; the name has been checked.
enum exactness travel_exactness_of(const char *name, enum wire wire);
// Not collective, but all replicas make the same. Fails: as travel_check; STATUS_MEMORY.
enum status travel_create(const char *name, const struct travel_setup *setup,
                          struct travel **travel_p) CHECK_RESULT;
void travel_destroy(struct travel *travel);
// Bytes that travel_create takes; setup->net is not read.
size_t travel_bytes(const char *name, const struct travel_setup *setup, int replicas);
// What of them replica `rank` touches while the replicas' leaves are border[0 .. replicas]: staging memory is there for any borders.
size_t travel_touched_bytes(const char *name, const struct travel_setup *setup, int replicas,
                            int rank, const int *border);

// ---- what lies where; any thread, at any time ----
enum exactness travel_exactness(const struct travel *travel);
int travel_buckets(const struct travel *travel);
// Elements of a bucket.
void travel_bucket(const struct travel *travel, int bucket, int64_t *first_p, int64_t *last_p);
// The part of it that replica `rank` owns: whole grains, possibly none. The owners' parts cover the bucket.
void travel_owned(const struct travel *travel, int bucket, int rank, int64_t *first_p,
                  int64_t *last_p);

// ---- a step; each function is collective, and its first failure is the last call: STATUS_PEER ----
// The leaves of the replicas: border[0 .. replicas], the same everywhere; runs may be empty. Not collective; no bucket is under way.
void travel_route(struct travel *travel, const int *border);
// Sums a bucket over all replicas; buckets in the same order everywhere.
//
//   node    node[i]: where node i of run_nodes(own run) lies, a buffer of the whole block; what it holds of the bucket is spent
//   target  a buffer of the whole block, its owned part of the bucket gets the sum, the rest of the bucket is spent; may be node[0]
//
// Where all replicas together have one node and this one has it, nothing moves but node[0] to `target`.
enum status travel_reduce(struct travel *travel, int bucket, float *const *node,
                          float *target) CHECK_RESULT;
// The owned parts of the bucket of `data` go to everybody.
enum status travel_spread(struct travel *travel, int bucket, float *data) CHECK_RESULT;

// ---- exchange: auto ----
struct travel_choice {
    const char *name; // of the quickest
    struct {
        const char *name;
        double seconds; // of a bucket there and back, at the slowest replica
    } tried[4];
    int count;
};
// Tries every exact way (of those whose owners are all replicas) over a bucket of the real size: one round to warm up, then the best of
// three by comm_seconds. Collective; everybody gets the same choice. A way that is not exact is never chosen: it would change
// what is computed. Takes, and gives back, a bucket and the largest of travel_bytes. Fails: STATUS_MEMORY, STATUS_PEER.
enum status travel_choose(const struct travel_setup *setup, const int *border,
                          struct travel_choice *choice_p) CHECK_RESULT;

// What this replica has moved since travel_create: bytes and messages.
struct travel_traffic {
    double sent, received;
    int64_t messages; // sent and received
};
struct travel_traffic travel_traffic(const struct travel *travel);
#endif
