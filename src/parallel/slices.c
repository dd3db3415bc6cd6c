// SPDX-License-Identifier: Apache-2.0
#include "parallel/slices.h"

void slice_of(int64_t elements, int workers, int rank, int64_t *first_p, int64_t *last_p)
{
    int64_t grains = (elements + SLICE_GRAIN - 1) / SLICE_GRAIN;
    int64_t share = grains / workers, larger = grains % workers;
    int64_t first = (rank * share + (rank < larger ? rank : larger)) * SLICE_GRAIN;
    int64_t last = first + (share + (rank < larger)) * SLICE_GRAIN;
    *first_p = first < elements ? first : elements;
    *last_p = last < elements ? last : elements;
}

double pairwise_sum(const double *x, int64_t n)
{
    if (n <= 0) return 0;
    if (n == 1) return x[0];
    if (n == 2) return x[0] + x[1];
    // The left part is the largest power of two below n: the same tree that the batch has.
    int64_t half = 1;
    while (half * 2 < n) half *= 2;
    return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
}
