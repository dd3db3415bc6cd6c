// SPDX-License-Identifier: Apache-2.0
// Which tokens are in which sequence of which step: a pure function, so that any worker finds any sample in O(1) and a
// resumed run skips nothing.
//
// An epoch cuts ids [first, last) into windows of `context` inputs and the `context` targets one further; windows start
// at a shift drawn from (seed, epoch), for which some ids are left over, other ones in each epoch. Sample number n
// (counted over the whole run) is window permutation(seed, epoch, n % windows) of epoch n / windows.
// The permutation is a Feistel network over Philox with cycle walking.
#ifndef STN_DATA_SAMPLER_H
#define STN_DATA_SAMPLER_H

#include "data/corpus.h"

struct sampler {
    const struct corpus *corpus;
    int64_t first, last; // range of ids
    int64_t context;
    uint64_t seed;
    int64_t windows; // per epoch; 0: for evaluations alone
};
// Fails: STATUS_INPUT when the range holds fewer than context + 1 ids (the message says how many there are, and what to
// set).
enum status sampler_init(struct sampler *sampler, const struct corpus *corpus, int64_t first,
                         int64_t last, int64_t context, uint64_t seed) CHECK_RESULT;
// For evaluations alone, of a range that may be shorter than a window: its only one is padded then.
// Fails: STATUS_INPUT when the range holds fewer than 2 ids.
enum status sampler_init_evaluation(struct sampler *sampler, const struct corpus *corpus,
                                    int64_t first, int64_t last, int64_t context) CHECK_RESULT;
// Fills tokens and targets [context] of sample n.
void sampler_training(const struct sampler *sampler, int64_t n, int32_t *tokens, int32_t *targets);
int64_t sampler_epoch(const struct sampler *sampler, int64_t n);

// Evaluation: windows in order, without overlap, the last one padded with token 0 and target -1: every id but the first
// is a target once.
int64_t sampler_evaluation_windows(const struct sampler *sampler);
void sampler_evaluation(const struct sampler *sampler, int64_t window, int32_t *tokens,
                        int32_t *targets);
// i-th element of a permutation of 0..n-1 keyed by (seed, epoch); n >= 1.
int64_t permutation_at(uint64_t seed, uint32_t epoch, int64_t n, int64_t i);
#endif
