// SPDX-License-Identifier: Apache-2.0
// Parameter servers that answer pushes in the order they come, with a bound on staleness.
//
// Servers (replicas 0 .. servers-1) own slices of the weights; workers (the other replicas, or all) each have a clock, which counts
// their pushes. A worker that wants to compute at clock t gets weights as soon as the slowest worker's clock is at least t - S: fast
// workers run ahead, at most S clocks. With S > 0 a server applies each push when it comes, so results depend on timing
// (approximate); with S = 0 it sums the pushes of a clock up the batch tree and applies them once, which is the synchronous step, bit
// for bit. Each step of a worker is one round: its gradient goes to all servers and new weights come from all.
// A server's thread calls asynchronous_serve until all workers have finished; it alone uses the net. A worker on a server's replica
// runs in another thread and goes through a mailbox. Two servers whose replicas compute meet when the lower of them asks, so that
// nobody waits in a circle.
// Source: Ho et al. 2013, "More effective distributed ML via a stale synchronous parallel parameter server".
#ifndef STN_PARALLEL_ASYNCHRONOUS_H
#define STN_PARALLEL_ASYNCHRONOUS_H

#include "base/cpu.h"
#include "comm/comm.h"

// What a server applies to its slice.
struct push {
    int64_t first, last;   // elements
    const float *gradient; // [last - first], not divided by tokens
    float *weights;        // [last - first], in and out
    double tokens;         // of the gradient
    int64_t clock;
    int worker; // replica that pushed; -1: all of them (S = 0)
};

struct asynchronous_setup {
    struct comm *net; // borrowed; rank = replica
    int64_t elements;
    int leaves;
    const int *
        border; // [replicas + 1], copied: leaves of each replica; servers that do not compute have none
    enum isa isa;
    int servers;
    bool servers_compute; // replicas below `servers` are workers, too
    int staleness;        // S
    const float *weights; // initial, of the whole block: a server copies its slice
    // Called by the serving thread, for one push after the other.
    void (*update)(void *context, const struct push *push);
    void *context;
};
struct asynchronous;

// Fails: STATUS_USAGE where the numbers do not fit; STATUS_MEMORY.
enum status asynchronous_create(const struct asynchronous_setup *setup,
                                struct asynchronous **asynchronous_p) CHECK_RESULT;
void asynchronous_destroy(struct asynchronous *asynchronous);
// Bytes that asynchronous_create takes at a server (the most) of `replicas`; setup->net, border and weights are not read.
size_t asynchronous_bytes(const struct asynchronous_setup *setup, int replicas);
bool asynchronous_is_server(const struct asynchronous *asynchronous);
bool asynchronous_is_worker(const struct asynchronous *asynchronous);
// A server's slice.
void asynchronous_owned(const struct asynchronous *asynchronous, int server, int64_t *first_p,
                        int64_t *last_p);

// A server's loop; returns when every worker has its last weights. Fails: STATUS_PEER.
enum status asynchronous_serve(struct asynchronous *asynchronous) CHECK_RESULT;
// A worker's step: pushes the nodes of its run (node[i] of the whole block; NULL before the first step) with their tokens, and waits for
// the weights of the next clock, written to `weights` (whole block). Fails: STATUS_PEER.
enum status asynchronous_step(struct asynchronous *asynchronous, const float *const *node,
                              double tokens, float *weights) CHECK_RESULT;
// The last step: waits until all workers have pushed their last, so that everybody ends with the same weights.
enum status asynchronous_finish(struct asynchronous *asynchronous, const float *const *node,
                                double tokens, float *weights) CHECK_RESULT;
// The most that a worker was ahead of the slowest when this server gave it weights, in clocks.
int64_t asynchronous_ahead(const struct asynchronous *asynchronous);
#endif
