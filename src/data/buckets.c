// SPDX-License-Identifier: Apache-2.0
#include "data/buckets.h"

#include "base/philox.h"
#include "data/sampler.h"

#include <stdlib.h>
#include <string.h>

enum { POOL = 64 };
// Epochs of shuffles that are not the examples' own: permutation_at is keyed by seed and epoch.
static const uint64_t POOL_SEED = UINT64_C(0x9E3779B97F4A7C15);

// ---- edges ----

// Taking away the edge that costs least, until few enough are left: an edge less means that its examples grow to the next one.
int buckets_edges(const int64_t *count, int32_t longest, int32_t multiple, int most,
                  int32_t edge[BUCKETS_MOST])
{
    INVARIANT(most >= 1 && most <= BUCKETS_MOST && multiple >= 1 && longest >= 1,
              "%d edges up to %d", most, longest);
    int32_t candidates = (longest + multiple - 1) / multiple;
    int64_t *here = calloc((size_t)candidates, sizeof *here);
    int32_t *length = calloc((size_t)candidates, sizeof *length);
    int edges = 0;
    // Without memory for the search one edge serves all.
    if (here && length) {
        for (int32_t i = 0; i < candidates; i++) {
            for (int32_t l = i * multiple + 1; l <= (i + 1) * multiple && l <= longest; l++)
                here[edges] += count[l];
            if (here[edges] == 0 && i + 1 < candidates) continue;
            length[edges++] = (i + 1) * multiple;
        }
        while (edges > most) {
            int cheapest = 0;
            for (int i = 1; i + 1 < edges; i++)
                if ((length[i + 1] - length[i]) * here[i] <
                    (length[cheapest + 1] - length[cheapest]) * here[cheapest])
                    cheapest = i;
            here[cheapest + 1] += here[cheapest];
            size_t behind = (size_t)(edges - cheapest - 1);
            memmove(here + cheapest, here + cheapest + 1, behind * sizeof *here);
            memmove(length + cheapest, length + cheapest + 1, behind * sizeof *length);
            edges--;
        }
        memcpy(edge, length, (size_t)edges * sizeof *edge);
    } else {
        edge[edges++] = candidates * multiple;
    }
    free(length);
    free(here);
    return edges;
}

// ---- the plan ----

void buckets_init(struct buckets *buckets)
{
    INVARIANT(buckets->rows > 0 && buckets->step > 0 && buckets->examples > 0 && buckets->edges > 0,
              "%lld examples in micro-batches of %lld", (long long)buckets->examples,
              (long long)buckets->rows);
    if (buckets->pool <= 0) buckets->pool = POOL;
    int64_t needed = (buckets->examples + buckets->rows - 1) / buckets->rows;
    buckets->micro_batches = (needed + buckets->step - 1) / buckets->step * buckets->step;
}

// Length and then place in the shuffled order decide, in one number each.
static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static uint8_t bucket_of(const struct buckets *buckets, int32_t length)
{
    int i = 0;
    while (i + 1 < buckets->edges && buckets->edge[i] < length) i++;
    return (uint8_t)i;
}

// Micro-batches [from, from + count) of the epoch: their examples sorted by length, and then the micro-batches shuffled.
static void plan_pool(const struct buckets *buckets, uint32_t epoch, int64_t from, int64_t count,
                      int32_t *order, uint8_t *bucket, int64_t *work)
{
    int64_t rows = buckets->rows, first = from * rows, n = count * rows;
    if (first + n > buckets->examples)
        n = buckets->examples > first ? buckets->examples - first : 0;
    int64_t *key = work, *example = work + buckets->pool * rows;
    for (int64_t i = 0; i < n; i++) {
        example[i] = permutation_at(buckets->seed, epoch, buckets->examples, first + i);
        key[i] = (int64_t)buckets->length[example[i]] << 32 | i;
    }
    qsort(key, (size_t)n, sizeof *key, compare);
    for (int64_t m = 0; m < count; m++) {
        // The shuffle of micro-batches is keyed by the pool too.
        int64_t to =
            from + permutation_at(buckets->seed ^ POOL_SEED ^ (uint64_t)from, epoch, count, m);
        int32_t longest = 1;
        for (int64_t row = 0; row < rows; row++) {
            int64_t i = m * rows + row;
            int32_t chosen = i < n ? (int32_t)example[key[i] & 0xffffffff] : -1;
            order[to * rows + row] = chosen;
            if (chosen >= 0 && buckets->length[chosen] > longest) longest = buckets->length[chosen];
        }
        bucket[to] = bucket_of(buckets, longest);
    }
}

void buckets_epoch(const struct buckets *buckets, uint32_t epoch, int32_t *order, uint8_t *bucket,
                   int64_t *work)
{
    for (int64_t from = 0; from < buckets->micro_batches; from += buckets->pool) {
        int64_t left = buckets->micro_batches - from;
        plan_pool(buckets, epoch, from, left < buckets->pool ? left : buckets->pool, order, bucket,
                  work);
    }
}

double buckets_waste(const struct buckets *buckets, const int32_t *order, const uint8_t *bucket)
{
    double places = 0, used = 0;
    for (int64_t m = 0; m < buckets->micro_batches; m++) {
        places += (double)buckets->rows * buckets->edge[bucket[m]];
        for (int64_t row = 0; row < buckets->rows; row++) {
            int32_t example = order[m * buckets->rows + row];
            if (example >= 0) used += buckets->length[example];
        }
    }
    return places > 0 ? 1 - used / places : 0;
}
