// SPDX-License-Identifier: Apache-2.0
// One worker alone: nobody to wait for. The smallest transport, to copy from when one is added.
#include "base/memory.h"
#include "comm/comm.h"

#include <stdlib.h>

extern const struct comm_ops self_comm;

// `state` is the flag that abandon sets.
struct alone {
    struct comm comm;
    bool abandoned;
};

static enum status create_self(int workers, struct comm **comm_p)
{
    if (workers != 1)
        FAIL(STATUS_USAGE, "the transport \"self\" has 1 worker, not %d; use \"threads\"", workers);
    struct alone *alone = NULL;
    TRY(memory_allocate(1, sizeof *alone, "a communicator", &alone));
    alone->comm = (struct comm){.ops = &self_comm, .rank = 0, .size = 1, .state = alone};
    comm_p[0] = &alone->comm;
    return STATUS_OK;
}

static void destroy_self(struct comm **comm, int workers)
{
    for (int i = 0; i < workers; i++) {
        free(comm[i]->state);
        comm[i] = NULL;
    }
}

static enum status barrier_self(struct comm *comm)
{
    const struct alone *alone = comm->state;
    if (alone->abandoned) FAIL(STATUS_PEER, "worker 0 has given up");
    return STATUS_OK;
}

// comm_round has refused every peer before it comes here: there are no transfers.
static enum status round_self(struct comm *comm, struct transfer *transfer, int count)
{
    (void)transfer, (void)count;
    return barrier_self(comm);
}

static enum status poll_self(struct comm *comm, int *peer_p)
{
    TRY(barrier_self(comm));
    *peer_p = -1;
    return STATUS_OK;
}

static void abandon_self(struct comm *comm)
{
    struct alone *alone = comm->state;
    alone->abandoned = true;
}

static bool is_lost_self(const struct comm *comm)
{
    const struct alone *alone = comm->state;
    return alone->abandoned;
}

const struct comm_ops self_comm = {
    .name = "self",
    .shares_memory = true,
    .create = create_self,
    .destroy = destroy_self,
    .round = round_self,
    .poll = poll_self,
    .abandon = abandon_self,
    .is_lost = is_lost_self,
    .barrier = barrier_self,
};
