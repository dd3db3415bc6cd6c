// SPDX-License-Identifier: Apache-2.0
#include "data/buckets.h"

#include "base/memory.h"
#include "data/sampler.h"

#include <stdlib.h>
#include <string.h>

// Shuffles that are not one bucket's: permutation_at is keyed by seed and epoch.
static const uint64_t BUCKET_SEED = UINT64_C(0x9E3779B97F4A7C15), ALL = UINT64_C(1) << 32;

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

static int bucket_of(const struct buckets *buckets, int32_t length)
{
    int i = 0;
    while (i + 1 < buckets->edges && buckets->edge[i] < length) i++;
    return i;
}

static void deal_out(struct buckets *buckets)
{
    int64_t next[BUCKETS_MOST] = {0};
    for (int64_t i = 0; i < buckets->examples; i++) next[bucket_of(buckets, buckets->length[i])]++;
    for (int b = 0; b < buckets->edges; b++) {
        buckets->first[b + 1] = buckets->first[b] + next[b];
        next[b] = buckets->first[b];
    }
    for (int64_t i = 0; i < buckets->examples; i++)
        buckets->member[next[bucket_of(buckets, buckets->length[i])]++] = (int32_t)i;
}

enum status buckets_create(struct buckets *buckets)
{
    INVARIANT(buckets->step > 0 && buckets->examples > 0 && buckets->edges > 0, "%lld examples",
              (long long)buckets->examples);
    TRY(memory_allocate((size_t)buckets->examples, sizeof *buckets->member, "the buckets",
                        &buckets->member));
    deal_out(buckets);
    buckets->micro_batches = buckets->most_rows = 0;
    for (int b = 0; b < buckets->edges; b++) {
        int64_t rows = buckets->rows[b], count = buckets->first[b + 1] - buckets->first[b];
        buckets->batches[b] = (count + rows - 1) / rows;
        buckets->micro_batches += buckets->batches[b];
        if (rows > buckets->most_rows) buckets->most_rows = rows;
    }
    // What makes the last step whole is as short as can be.
    int64_t over = buckets->micro_batches % buckets->step;
    if (over) {
        buckets->batches[0] += buckets->step - over;
        buckets->micro_batches += buckets->step - over;
    }
    return STATUS_OK;
}

void buckets_release(struct buckets *buckets)
{
    free(buckets->member);
    buckets->member = NULL;
}

// Place i of n in a shuffle of its own for each `which`.
static int64_t place(const struct buckets *buckets, uint64_t which, uint32_t epoch, int64_t n,
                     int64_t i)
{
    uint64_t seed = buckets->seed ^ BUCKET_SEED * (which + 1);
    return buckets->in_order ? i : permutation_at(seed, epoch, n, i);
}

void buckets_epoch(const struct buckets *buckets, uint32_t epoch, int32_t *order, uint8_t *bucket)
{
    int64_t k = 0;
    for (int b = 0; b < buckets->edges; b++) {
        int64_t count = buckets->first[b + 1] - buckets->first[b], i = 0;
        const int32_t *member = buckets->member + buckets->first[b];
        for (int64_t batch = 0; batch < buckets->batches[b]; batch++) {
            int64_t m = place(buckets, ALL, epoch, buckets->micro_batches, k++);
            bucket[m] = (uint8_t)b;
            for (int64_t row = 0; row < buckets->most_rows; row++) {
                bool there = row < buckets->rows[b] && i < count;
                order[m * buckets->most_rows + row] =
                    there ? member[place(buckets, (uint64_t)b, epoch, count, i++)] : -1;
            }
        }
    }
}

double buckets_waste(const struct buckets *buckets)
{
    double places = 0, used = 0;
    for (int b = 0; b < buckets->edges; b++)
        places += (double)buckets->batches[b] * (double)buckets->rows[b] * buckets->edge[b];
    for (int64_t i = 0; i < buckets->examples; i++) used += buckets->length[i];
    return places > 0 ? 1 - used / places : 0;
}
