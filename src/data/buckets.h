// SPDX-License-Identifier: Apache-2.0
// Which examples stand in which micro-batch of an epoch, so that those of like length stand together and little is padding.
//
// An epoch shuffles the examples (permutation_at), takes them in pools of many micro-batches, sorts a pool by length, cuts it into
// micro-batches of `rows` examples, and shuffles those. A micro-batch takes the shortest length of `edge` that holds its longest
// example. All of it is a function of (lengths, seed, epoch): any worker finds any micro-batch, and a resumed run skips nothing. The
// epoch's last micro-batch, and as many as make the last step whole, are padded with example -1, whose weight is 0: every example
// is used once an epoch.
#ifndef STN_DATA_BUCKETS_H
#define STN_DATA_BUCKETS_H

#include "base/status.h"

#include <stdint.h>

enum { BUCKETS_MOST = 32 };

struct buckets {
    int64_t examples, rows;
    int64_t pool;          // micro-batches that are sorted together
    int64_t step;          // micro-batches of a step
    int64_t micro_batches; // of an epoch, a multiple of step
    uint64_t seed;
    const int32_t *length; // [examples], borrowed; 1 .. edge[edges - 1]
    int edges;
    int32_t edge[BUCKETS_MOST]; // rising
};

// Lengths that rows are padded to: at most `most` of them, chosen so that padding examples one by one would waste least; the last is
// the longest example's, rounded up to `multiple`. counts: by length. Returns how many.
int buckets_edges(const int64_t *count, int32_t longest, int32_t multiple, int most,
                  int32_t edge[BUCKETS_MOST]);
// Fills micro_batches; pool 0: 64 micro-batches.
void buckets_init(struct buckets *buckets);
// The epoch's plan: order[m * rows + i] is example i of micro-batch m, or -1; bucket[m] its edge's number. work: [2 * pool * rows].
void buckets_epoch(const struct buckets *buckets, uint32_t epoch, int32_t *order, uint8_t *bucket,
                   int64_t *work);
// Places that hold no token, as a part of all places of the plan: what padding costs.
double buckets_waste(const struct buckets *buckets, const int32_t *order, const uint8_t *bucket);
#endif
