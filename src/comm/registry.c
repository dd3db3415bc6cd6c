// SPDX-License-Identifier: Apache-2.0
// The transports that this build has, and the calls that go through their tables.
#include "comm/comm.h"

#include <stdio.h>
#include <string.h>

extern const struct comm_ops self_comm, threads_comm;

const struct comm_ops *const comm_registry[] = {&self_comm, &threads_comm, NULL};

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

enum status comm_barrier(struct comm *comm) { return comm->ops->barrier(comm); }

enum status comm_gather(struct comm *comm, const void *mine, size_t bytes, void *all)
{
    return comm->ops->gather(comm, mine, bytes, all);
}

enum status comm_send(struct comm *comm, const void *data, size_t bytes, int peer)
{
    INVARIANT(peer >= 0 && peer < comm->size && peer != comm->rank,
              "worker %d of %d sends to worker %d", comm->rank, comm->size, peer);
    return comm->ops->send(comm, data, bytes, peer);
}

enum status comm_receive(struct comm *comm, void *data, size_t bytes, int peer)
{
    INVARIANT(peer >= 0 && peer < comm->size && peer != comm->rank,
              "worker %d of %d receives from worker %d", comm->rank, comm->size, peer);
    return comm->ops->receive(comm, data, bytes, peer);
}

void comm_abandon(struct comm *comm) { comm->ops->abandon(comm); }
