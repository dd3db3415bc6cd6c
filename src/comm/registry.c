// SPDX-License-Identifier: Apache-2.0
// The transports that this build has, and the calls that go through their tables.
#include "comm/comm.h"
#include "comm/share.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

extern const struct comm_ops self_comm, threads_comm, mpi_comm, simulated_comm;

const struct comm_ops *const comm_registry[] = {&self_comm, &threads_comm, &mpi_comm,
                                                &simulated_comm, NULL};

// The row called `name`, or NULL; then `known` lists the names.
static const struct comm_ops *find(const char *name, char *known, size_t bytes)
{
    size_t used = 0;
    known[0] = 0;
    for (int i = 0; comm_registry[i]; i++) {
        const char *found = comm_registry[i]->name;
        if (strcmp(found, name) == 0) return comm_registry[i];
        if (used < bytes)
            used += (size_t)snprintf(known + used, bytes - used, "%s%s", i ? ", " : "", found);
    }
    return NULL;
}

enum status comm_create(const char *name, int workers, struct comm **comm_p)
{
    char known[256];
    if (workers < 1) FAIL(STATUS_USAGE, "%d workers: there must be at least one", workers);
    if (!name || !name[0]) name = workers == 1 ? "self" : "threads";
    const struct comm_ops *ops = find(name, known, sizeof known);
    if (!ops)
        FAIL(STATUS_USAGE, "there is no transport called \"%s\"; this build has %s", name, known);
    TRY(ops->create(workers, comm_p));
    return STATUS_OK;
}

void comm_destroy(struct comm **comm, int workers)
{
    if (!comm || workers < 1 || !comm[0]) return;
    comm[0]->ops->destroy(comm, workers);
}

enum status comm_barrier(struct comm *comm)
{
    return comm->ops->barrier ? comm->ops->barrier(comm) : barrier_by_rounds(comm);
}

enum status comm_gather(struct comm *comm, const void *mine, size_t bytes, void *all)
{
    if (!comm->ops->gather) return gather_by_rounds(comm, mine, bytes, all);
    return comm->ops->gather(comm, mine, bytes, all);
}

enum status comm_round(struct comm *comm, struct transfer *transfer, int count)
{
    for (int i = 0; i < count; i++)
        INVARIANT(transfer[i].peer >= 0 && transfer[i].peer < comm->size &&
                      transfer[i].peer != comm->rank,
                  "worker %d of %d %s worker %d", comm->rank, comm->size,
                  transfer[i].sends ? "sends to" : "receives from", transfer[i].peer);
    return comm->ops->round(comm, transfer, count);
}

enum status comm_poll(struct comm *comm, int *peer_p) { return comm->ops->poll(comm, peer_p); }

enum status comm_send(struct comm *comm, const void *data, size_t bytes, int peer)
{
    // A transport only reads what a sender gives.
    struct transfer transfer = {.peer = peer, .sends = true, .data = (void *)data, .bytes = bytes};
    return comm_round(comm, &transfer, 1);
}

enum status comm_receive(struct comm *comm, void *data, size_t bytes, int peer)
{
    struct transfer transfer = {.peer = peer, .sends = false, .data = data, .bytes = bytes};
    return comm_round(comm, &transfer, 1);
}

enum status comm_all_reduce(struct comm *comm, float *data, int64_t n)
{
    if (comm->size == 1) return STATUS_OK;
    if (!comm->ops->all_reduce)
        FAIL(STATUS_UNSUPPORTED, "the transport \"%s\" has no all-reduce of its own",
             comm->ops->name);
    return comm->ops->all_reduce(comm, data, n);
}

void comm_abandon(struct comm *comm) { comm->ops->abandon(comm); }

bool comm_is_lost(const struct comm *comm) { return comm->ops->is_lost(comm); }

const char *comm_host(const struct comm *comm, int rank)
{
    return comm->ops->host ? comm->ops->host(comm, rank) : "this host";
}

double comm_seconds(struct comm *comm)
{
    if (comm->ops->seconds) return comm->ops->seconds(comm);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void comm_set_timeout(struct comm *comm, double seconds)
{
    if (comm->ops->set_timeout) comm->ops->set_timeout(comm, seconds);
}
