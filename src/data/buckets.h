// SPDX-License-Identifier: Apache-2.0
// Which examples stand in which micro-batch of an epoch, so that those of like length stand together and little is padding.
//
// Every example belongs to the bucket of the shortest edge that holds it; a bucket's micro-batches have as many rows as the caller
// gives it, so that long ones may have fewer. An epoch shuffles each bucket, cuts it into micro-batches, and shuffles those of all. The
// last micro-batch of a bucket, and as many as make the last step whole, are filled up with example -1, whose weight is 0: every example
// is used once an epoch, and all epochs have as many micro-batches of each bucket. The plan is a function of (lengths, seed, epoch): any
// worker finds any micro-batch, and a resumed run skips nothing.
#ifndef STN_DATA_BUCKETS_H
#define STN_DATA_BUCKETS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { BUCKETS_MOST = 32 };

struct buckets {
    int64_t examples;
    const int32_t *length; // [examples], borrowed; 1 .. edge[edges - 1]
    int64_t step;          // micro-batches of a step
    uint64_t seed;
    bool in_order; // no shuffles: for evaluation
    int edges;
    int32_t edge[BUCKETS_MOST]; // rising
    int64_t rows[BUCKETS_MOST]; // of a micro-batch of each
    // Set by buckets_create.
    int64_t most_rows, micro_batches; // micro_batches of an epoch: a multiple of step
    int64_t batches[BUCKETS_MOST];    // of them of each bucket
    int64_t first[BUCKETS_MOST + 1];  // member[first[b] .. first[b + 1]) are bucket b's
    int32_t *member;                  // [examples], owned
};

// Lengths that rows are padded to: at most `most` of them, chosen so that padding examples one by one would waste least; the last is
// the longest example's, rounded up to `multiple`. counts: by length. Returns how many.
int buckets_edges(const int64_t *count, int32_t longest, int32_t multiple, int most,
                  int32_t edge[BUCKETS_MOST]);
// Deals the examples out. Fails: STATUS_MEMORY.
enum status buckets_create(struct buckets *buckets) CHECK_RESULT;
void buckets_release(struct buckets *buckets);
// The epoch's plan: order[m * most_rows + i] is example i of micro-batch m, or -1; bucket[m] its edge's number.
void buckets_epoch(const struct buckets *buckets, uint32_t epoch, int32_t *order, uint8_t *bucket);
// Places that hold no token, as a part of all places of an epoch: what padding costs.
double buckets_waste(const struct buckets *buckets);
#endif
