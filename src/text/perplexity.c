// SPDX-License-Identifier: Apache-2.0
#include "text/perplexity.h"

#include <math.h>

static const double UNIT = 0x1p24;

enum status perplexity_add(struct perplexity_counts *counts, double loss, int64_t tokens,
                           int64_t bytes)
{
    if (!isfinite(loss)) FAIL(STATUS_DIVERGED, "a loss of %g cannot be averaged", loss);
    counts->tokens += tokens;
    counts->bytes += bytes;
    counts->loss += (int64_t)floor(loss * UNIT + 0.5);
    return STATUS_OK;
}

double perplexity_score(const struct perplexity_counts *counts)
{
    return counts->tokens ? exp((double)counts->loss / UNIT / (double)counts->tokens) : (double)NAN;
}

double perplexity_bits_per_byte(const struct perplexity_counts *counts)
{
    static const double ln_2 = 0.69314718055994530942;
    return counts->bytes ? (double)counts->loss / UNIT / ln_2 / (double)counts->bytes : (double)NAN;
}
