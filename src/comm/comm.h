// SPDX-License-Identifier: Apache-2.0
// Who the workers are and how they meet. A transport is one file that fills struct comm_ops and one row in registry.c
// (doc/adding-a-transport.md).
//
// Here: `self` (one worker) and `threads` (workers of one process). What a transport must have is small: a round of messages and a
// way to give up. Barrier, gather, share are built on rounds (share.c) where a transport has no better way of its own.
// Every function is collective unless it says otherwise: all workers call it, in the same order. A communicator is used by one
// thread at a time. After a failure it is good for comm_abandon and comm_destroy only.
#ifndef STN_COMM_COMM_H
#define STN_COMM_COMM_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct comm;

// One message of a round, to or from worker `peer`, which is another than the caller.
struct transfer {
    int peer;
    bool sends;
    void *data;   // of a sender: only read
    size_t bytes; // any number, also beyond 2^31; 0 is fine
    struct {      // the transport's own
        struct transfer *next;
        intptr_t note;
    } use;
};

struct comm_ops {
    const char *name;
    bool shares_memory; // the workers are threads of one process: a pointer means the same to all
    // Makes the communicators of the `workers` workers that live in this process, comm_p[0 .. workers-1].
    enum status (*create)(int workers, struct comm **comm_p);
    void (*destroy)(struct comm **comm, int workers);
    // See comm_round and comm_poll. Neither allocates.
    enum status (*round)(struct comm *comm, struct transfer *transfer, int count);
    enum status (*poll)(struct comm *comm, int *peer_p);
    // Not collective: this worker gives up; everybody else's pending and later calls fail with STATUS_PEER.
    void (*abandon)(struct comm *comm);
    // See comm_is_lost.
    bool (*is_lost)(const struct comm *comm);
    // Optional: NULL is built on rounds.
    enum status (*barrier)(struct comm *comm);
    enum status (*gather)(struct comm *comm, const void *mine, size_t bytes, void *all);
    // Optional: the library's own sum over all workers, in place.
    enum status (*all_reduce)(struct comm *comm, float *data, int64_t n);
    // Optional: the host of worker `rank`, borrowed; the clock of the workers (NULL: this machine's); how long a silent worker
    // counts as alive.
    const char *(*host)(const struct comm *comm, int rank);
    double (*seconds)(struct comm *comm);
    void (*set_timeout)(struct comm *comm, double seconds);
};
struct comm {
    const struct comm_ops *ops;
    int rank, size;
    void *state; // the transport's own
};
extern const struct comm_ops *const comm_registry[]; // ends with NULL
// "self" for one worker, "threads" for more, or by name. Fails: STATUS_USAGE listing the names.
enum status comm_create(const char *name, int workers, struct comm **comm_p) CHECK_RESULT;
void comm_destroy(struct comm **comm, int workers);

// ---- messages: not collective ----
// Carries out all transfers together; returns when every one of this worker's own is done. Messages between two workers arrive in
// the order in which they were sent (in the array's order within a round); the sizes of the two sides must agree. Two workers that
// send to each other in one round never block each other.
// Fails: STATUS_PEER naming the worker that has given up, is gone or silent, or sent another size.
enum status comm_round(struct comm *comm, struct transfer *transfer, int count) CHECK_RESULT;
// A worker whose message waits here to be received, -1: none now. Does not block. Fails: as comm_round.
enum status comm_poll(struct comm *comm, int *peer_p) CHECK_RESULT;
// Rounds of one transfer.
enum status comm_send(struct comm *comm, const void *data, size_t bytes, int peer) CHECK_RESULT;
enum status comm_receive(struct comm *comm, void *data, size_t bytes, int peer) CHECK_RESULT;
void comm_abandon(struct comm *comm);

// ---- all together ----
// Returns when all have called it. What was written before is visible after. Fails: STATUS_PEER after comm_abandon().
enum status comm_barrier(struct comm *comm) CHECK_RESULT;
// all[r * bytes ..] = what worker r gave. Where memory is shared it includes a barrier before and after.
enum status comm_gather(struct comm *comm, const void *mine, size_t bytes, void *all) CHECK_RESULT;
// data[offset[r] .. offset[r + 1]) is worker r's region; afterwards everybody has all regions. `offset` [size + 1] in bytes is
// rising and the same everywhere. ceil(log2 size) rounds; each worker receives every foreign byte once.
enum status comm_share(struct comm *comm, void *data, const size_t *offset) CHECK_RESULT;
// data[0..n) = the sum over all workers, in the order that the library chooses: the same bits at every worker, and again with the
// same workers, but not with others. Fails: STATUS_UNSUPPORTED when the transport has no such sum.
enum status comm_all_reduce(struct comm *comm, float *data, int64_t n) CHECK_RESULT;

// ---- asking: not collective ----
// Where worker `rank` is, for messages; borrowed.
const char *comm_host(const struct comm *comm, int rank);
// Whether a worker is known to be lost, or to have given up, so that the next call will fail. By any thread, at any time: who computes for
// minutes between two calls asks now and then.
bool comm_is_lost(const struct comm *comm);
// The clock of the workers: virtual where time is.
double comm_seconds(struct comm *comm);
// A worker that has been silent for so long counts as dead (default 10 s). Does nothing where workers cannot die alone.
void comm_set_timeout(struct comm *comm, double seconds);
#endif
