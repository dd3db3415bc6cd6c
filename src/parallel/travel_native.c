// SPDX-License-Identifier: Apache-2.0
// The library's own all-reduce of each replica's sum, as fast as the library is; a ring where the transport has none.
//
// Its order of summation is the library's: bits repeat on the same replicas. Everybody gets the whole sum and uses the part it owns,
// so that optimizer state is sharded as ever and new weights are spread as by `direct`.
#include "parallel/travel_ops.h"

#include <string.h>

extern const struct travel_ops native_travel;

static int transfers_native(const struct travel_setup *setup, int replicas)
{
    (void)setup;
    return 2 * replicas;
}

static enum status reduce_native(struct travel *travel, struct span bucket, float *const *node,
                                 float *target)
{
    if (!travel->net->ops->all_reduce) return reduce_ring(travel, bucket, node, target);
    int64_t n = span_length(bucket);
    travel_sum_own(travel, node, bucket.first, n, target + bucket.first);
    // What the library moves it does not say: counted is what the best of its ways must move.
    double bytes = 2.0 * (travel->size - 1) / travel->size * (double)n * (double)sizeof(float);
    travel->traffic.sent += bytes;
    travel->traffic.received += bytes;
    return comm_all_reduce(travel->net, target + bucket.first, n);
}

const struct travel_ops native_travel = {
    .name = "native",
    .exactness = EXACTNESS_SAME_WORKERS,
    .staging_bytes = staging_ring,
    .transfers = transfers_native,
    .reduce = reduce_native,
    .spread = spread_direct,
};
