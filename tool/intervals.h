// SPDX-License-Identifier: Apache-2.0
// Confidence intervals beside measures: keeps what each example counted, for text/bootstrap.h to draw from.
#ifndef STN_TOOL_INTERVALS_H
#define STN_TOOL_INTERVALS_H

#include "text/bootstrap.h"
#include "text/buffer.h"

#define INTERVALS_OPTION                                                                           \
    {                                                                                              \
        "intervals", NULL, "measures: 95 % confidence intervals, of 1,000 draws of the lines"      \
    }

// {0} keeps nothing: `wanted` is set by who reads the options.
struct intervals {
    bool wanted;
    int64_t examples;
    struct buffer rows; // structs of int64_t, one behind another
};
void intervals_release(struct intervals *intervals);
// counts: a struct of `bytes` bytes of int64_t, of one example; every example's has as many.
enum status intervals_keep(struct intervals *intervals, const void *counts,
                           size_t bytes) CHECK_RESULT;
// " (95 %: 33.12 to 34.80)" with `decimals`, or "" where none are wanted or nothing was kept; and both in *interval_p, which may be NULL.
enum { INTERVAL_TEXT = 80 };
enum status intervals_say(const struct intervals *intervals, bootstrap_score score,
                          const void *context, int decimals, char text[INTERVAL_TEXT],
                          struct interval *interval_p) CHECK_RESULT;
#endif
