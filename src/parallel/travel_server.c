// SPDX-License-Identifier: Apache-2.0
// Parameter servers: the exchange `direct` where few replicas own every slice, so what a server sums is exact, too.
//
// Replicas 0 .. servers-1 are the servers; they may compute leaves themselves, or have empty runs. A server moves (N - 1) S / servers
// each way while a worker moves S: with few servers their links are what a step waits for (doc/exchange.md).
#include "parallel/travel_ops.h"

extern const struct travel_ops server_travel;

static int owners_server(const struct travel_setup *setup, int replicas)
{
    (void)replicas;
    return setup->servers ? setup->servers : 1;
}

static size_t touched_server(const struct travel_setup *setup, int replicas, int rank,
                             const int *border)
{
    return touched_by_owner(setup, owners_server(setup, replicas), replicas, rank, border);
}

const struct travel_ops server_travel = {
    .name = "server",
    .exactness = EXACTNESS_EXACT,
    .rounds = true,
    .staging_bytes = staging_direct,
    .transfers = transfers_direct,
    .touched = touched_server,
    .owners = owners_server,
    .reduce = reduce_direct,
    .spread = spread_direct,
};
