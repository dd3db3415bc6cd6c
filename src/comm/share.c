// SPDX-License-Identifier: Apache-2.0
// What all workers do together, from rounds of messages only: ceil(log2 P) rounds for any number P of workers.
//
// Bruck's way to gather: after the round with distance d worker r holds the regions r, r + 1, … r + 2d - 1 (counted round the ring).
// It sends what it has to r - d and receives as much from r + d; the last round only what is missing. Such a run of regions is one
// piece of `data`, or two where it passes the end.
// Source: Bruck, Ho, Kipnis, Upfal, Weathersby 1997, IEEE TPDS 8(11), section 5; Hensgen, Finkel, Manber 1988 for the barrier.
#include "comm/share.h"

#include <string.h>

// What is shared: regions that `offset` borders, or of `bytes` bytes each when it is NULL.
struct regions {
    char *data;
    const size_t *offset;
    size_t bytes;
};

static size_t begin(const struct regions *regions, int r)
{
    return regions->offset ? regions->offset[r] : (size_t)r * regions->bytes;
}

// Adds the transfers of the regions [first, first + count) round the ring to those that transfer[0] says the peer and direction of;
// returns how many.
static int add_run(const struct regions *regions, int size, struct transfer *transfer, int first,
                   int count)
{
    int last = first + count, added = 0;
    int border[2][2] = {{first, last < size ? last : size}, {0, last - size}};
    for (int i = 0; i < 2 && border[i][1] > border[i][0]; i++) {
        size_t from = begin(regions, border[i][0]), to = begin(regions, border[i][1]);
        transfer[added] = transfer[0];
        transfer[added].data = regions->data ? regions->data + from : NULL;
        transfer[added++].bytes = to - from;
    }
    return added;
}

static enum status share(struct comm *comm, const struct regions *regions)
{
    int size = comm->size, rank = comm->rank;
    for (int distance = 1; distance < size; distance *= 2) {
        struct transfer transfer[4];
        int count = distance < size - distance ? distance : size - distance;
        int before = (rank + size - distance) % size, after = (rank + distance) % size;
        transfer[0] = (struct transfer){.peer = before, .sends = true};
        int n = add_run(regions, size, transfer, rank, count);
        transfer[n] = (struct transfer){.peer = after, .sends = false};
        n += add_run(regions, size, transfer + n, after, count);
        TRY(comm_round(comm, transfer, n));
    }
    return STATUS_OK;
}

enum status comm_share(struct comm *comm, void *data, const size_t *offset)
{
    return share(comm, &(struct regions){.data = data, .offset = offset});
}

enum status gather_by_rounds(struct comm *comm, const void *mine, size_t bytes, void *all)
{
    if (bytes) memmove((char *)all + (size_t)comm->rank * bytes, mine, bytes);
    return share(comm, &(struct regions){.data = all, .bytes = bytes});
}

enum status barrier_by_rounds(struct comm *comm)
{
    int size = comm->size, rank = comm->rank;
    for (int distance = 1; distance < size; distance *= 2) {
        struct transfer transfer[2] = {
            {.peer = (rank + distance) % size, .sends = true},
            {.peer = (rank + size - distance) % size, .sends = false},
        };
        TRY(comm_round(comm, transfer, 2));
    }
    return STATUS_OK;
}
