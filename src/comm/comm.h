// SPDX-License-Identifier: Apache-2.0
// Who the workers are and how they meet. A transport is one file that fills struct comm_ops and one row in registry.c
// (doc/adding-a-transport.md).
//
// Here: `self` (one worker) and `threads` (workers of one process, which read each other's memory in place).
// Every function of an op table is collective unless it says otherwise: all workers call it, in the same order.
#ifndef STN_COMM_COMM_H
#define STN_COMM_COMM_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct comm;

struct comm_ops {
    const char *name;
    bool shares_memory; // pointers passed through comm_gather are valid at every worker
    // Makes the communicators of `workers` workers that live in this process, comm_p[0 .. workers-1].
    enum status (*create)(int workers, struct comm **comm_p);
    void (*destroy)(struct comm **comm, int workers);
    // Returns when all have called it. What was written before is visible after. Fails: STATUS_PEER after comm_abandon().
    enum status (*barrier)(struct comm *comm);
    // all[r * bytes ..] = what worker r gave. Includes a barrier before and after.
    enum status (*gather)(struct comm *comm, const void *mine, size_t bytes, void *all);
    // Sends / receives between two workers; blocks. Not collective.
    enum status (*send)(struct comm *comm, const void *data, size_t bytes, int peer);
    enum status (*receive)(struct comm *comm, void *data, size_t bytes, int peer);
    // Not collective: this worker gives up; everybody else's pending and later calls fail with STATUS_PEER.
    void (*abandon)(struct comm *comm);
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
enum status comm_barrier(struct comm *comm) CHECK_RESULT;
enum status comm_gather(struct comm *comm, const void *mine, size_t bytes, void *all) CHECK_RESULT;
enum status comm_send(struct comm *comm, const void *data, size_t bytes, int peer) CHECK_RESULT;
enum status comm_receive(struct comm *comm, void *data, size_t bytes, int peer) CHECK_RESULT;
void comm_abandon(struct comm *comm);
#endif
