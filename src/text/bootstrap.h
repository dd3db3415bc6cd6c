// SPDX-License-Identifier: Apache-2.0
// Confidence intervals by bootstrap: examples are drawn anew with replacement, and the measure is taken of each draw.
// Philox keyed by draw and place says which, so that the interval is the same for any number of threads. Source: Koehn 2004.
#ifndef STN_TEXT_BOOTSTRAP_H
#define STN_TEXT_BOOTSTRAP_H

#include "base/team.h"

#include <stddef.h>

// Zero is the default: 1,000 draws, 95 %, seed 0, the calling thread.
struct bootstrap_options {
    int draws;
    double confidence;
    uint64_t seed;
    struct team *team;
};
struct interval {
    double mean, low, high; // of the draws' scores
};
// A measure of summed counts (bleu_score of a struct bleu_counts, say).
typedef double (*bootstrap_score)(const void *context, const void *counts);
// rows  [examples] structs of `row_bytes` bytes of int64_t: each example's own counts, in the order of the input.
// Collective: no. Fails: STATUS_USAGE without examples; STATUS_MEMORY.
enum status bootstrap(const void *rows, int64_t examples, size_t row_bytes, bootstrap_score score,
                      const void *context, const struct bootstrap_options *options,
                      struct interval *interval_p) CHECK_RESULT;
#endif
