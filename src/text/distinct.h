// SPDX-License-Identifier: Apache-2.0
// Distinct-n: how many of the n-grams in all texts differ, by how many there are. Source: Li et al. 2016.
#ifndef STN_TEXT_DISTINCT_H
#define STN_TEXT_DISTINCT_H

#include "text/buffer.h"

// Keeps a hash of 64 bits of each n-gram that was seen: two of a thousand million meet by chance in one of 40 runs.
struct distinct {
    int n;
    bool characters; // n-grams of characters that are no spaces, instead of words between spaces
    int64_t total, kinds;
    uint64_t *set; // [room], 0: free
    size_t room;   // a power of two, or 0
};
void distinct_init(struct distinct *distinct, int n, bool characters);
void distinct_release(struct distinct *distinct);
enum status distinct_add(struct distinct *distinct, struct text text) CHECK_RESULT;
enum status distinct_merge(struct distinct *into, const struct distinct *from) CHECK_RESULT;
double distinct_score(const struct distinct *distinct); // 0 of nothing
#endif
