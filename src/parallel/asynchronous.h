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
// nobody waits in a circle. When all are done, servers let each other and the workers go: from then on the net is free for others, and
// asynchronous_restart begins anew. Whoever wants everybody to stop tells server 0, which names a clock that nobody has begun.
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
    double factor;         // by which the worker wants it to count (S > 0)
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
    int nodes; // the most of any replica's run; 0: as many as so many leaves may have
    int servers;
    bool servers_compute; // replicas below `servers` are workers, too
    int staleness;        // S
    const float *weights; // initial, of the whole block: a server copies its slice
    // Called by the serving thread, for one push after the other.
    void (*update)(void *context, const struct push *push);
    void *context;
    bool (*stops)(void *context); // whether this replica wants all to stop; any thread; NULL: never
};
struct asynchronous;

// Fails: STATUS_USAGE where the numbers do not fit; STATUS_MEMORY.
enum status asynchronous_create(const struct asynchronous_setup *setup,
                                struct asynchronous **asynchronous_p) CHECK_RESULT;
void asynchronous_destroy(struct asynchronous *asynchronous);
// Bytes that asynchronous_create takes at replica `rank` of `replicas`; setup->net, border and weights are not read.
size_t asynchronous_bytes(const struct asynchronous_setup *setup, int replicas, int rank);
bool asynchronous_is_server(const struct asynchronous *asynchronous);
bool asynchronous_is_worker(const struct asynchronous *asynchronous);
// A server's slice.
void asynchronous_owned(const struct asynchronous *asynchronous, int server, int64_t *first_p,
                        int64_t *last_p);

// Begins again at clock 0 with these weights, the same everywhere, after all have finished.
void asynchronous_restart(struct asynchronous *asynchronous, const float *weights);

// What all workers together pushed at one clock.
struct tally {
    double loss, tokens; // summed
    bool ended;          // all workers have pushed their last before
};
// A server's loop; returns when every worker has its last weights. Fails: STATUS_PEER.
enum status asynchronous_serve(struct asynchronous *asynchronous) CHECK_RESULT;
// The same of a server that does not compute, but returns when all have pushed `clock` and somebody goes on or ends. Clock by clock;
// then asynchronous_serve.
enum status asynchronous_serve_clock(struct asynchronous *asynchronous, int64_t clock,
                                     struct tally *tally_p) CHECK_RESULT;
// Makes a server's loop in another thread fail soon.
void asynchronous_end(struct asynchronous *asynchronous);

// What a worker pushes: the nodes of its run.
struct pushed {
    const float *const *node; // node[i] of the whole block
    double tokens, loss;      // loss: summed over them
    double factor;
};
// A worker's step: pushes (NULL: nothing) and waits for the weights of the next clock, written to `weights` (whole block). Fails:
// STATUS_PEER.
enum status asynchronous_step(struct asynchronous *asynchronous, const struct pushed *pushed,
                              float *weights) CHECK_RESULT;
// The last step: waits until all workers have pushed their last, so that everybody ends with the same weights.
enum status asynchronous_finish(struct asynchronous *asynchronous, const struct pushed *pushed,
                                float *weights) CHECK_RESULT;

// ---- asking ----
// A server's slice as it is; while nobody serves.
const float *asynchronous_weights(const struct asynchronous *asynchronous);
// The clock at which all are to finish, as known after the last step; -1: none. The same everywhere before anybody reaches it.
int64_t asynchronous_until(const struct asynchronous *asynchronous);
// The most that a worker was ahead of the slowest when this server gave it weights, in clocks.
int64_t asynchronous_ahead(const struct asynchronous *asynchronous);
// Bytes that this replica has moved since asynchronous_create; any thread.
void asynchronous_traffic(const struct asynchronous *asynchronous, double *sent_p,
                          double *received_p);
#endif
