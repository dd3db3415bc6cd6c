// SPDX-License-Identifier: Apache-2.0
// Perplexity: e to the mean loss of a token. The sum is in fixed point (2^-24), so that it is the same in any order.
#ifndef STN_TEXT_PERPLEXITY_H
#define STN_TEXT_PERPLEXITY_H

#include "base/status.h"

#include <stdint.h>

struct perplexity_counts {
    int64_t tokens, bytes, loss; // bytes: of the text that the tokens stand for
};
// Adds the summed loss (natural logarithm) of `tokens` tokens. Fails: STATUS_DIVERGED for a loss that is not finite.
enum status perplexity_add(struct perplexity_counts *counts, double loss, int64_t tokens,
                           int64_t bytes) CHECK_RESULT;
double perplexity_score(const struct perplexity_counts *counts); // NaN of nothing
double perplexity_bits_per_byte(const struct perplexity_counts *counts);
#endif
