// SPDX-License-Identifier: Apache-2.0
#include "intervals.h"

#include <stdio.h>

void intervals_release(struct intervals *intervals)
{
    buffer_release(&intervals->rows);
    *intervals = (struct intervals){0};
}

enum status intervals_keep(struct intervals *intervals, const void *counts, size_t bytes)
{
    if (!intervals->wanted) return STATUS_OK;
    TRY(buffer_add(&intervals->rows, (struct text){counts, bytes}));
    intervals->examples++;
    return STATUS_OK;
}

enum status intervals_say(const struct intervals *intervals, bootstrap_score score,
                          const void *context, int decimals, char text[INTERVAL_TEXT],
                          struct interval *interval_p)
{
    struct interval interval = {0};
    text[0] = 0;
    if (intervals->examples) {
        const struct bootstrap_options usual = {0};
        TRY(bootstrap(intervals->rows.at, intervals->examples,
                      intervals->rows.bytes / (size_t)intervals->examples, score, context, &usual,
                      &interval));
        snprintf(text, INTERVAL_TEXT, " (95 %%: %.*f to %.*f)", decimals, interval.low, decimals,
                 interval.high);
    }
    if (interval_p) *interval_p = interval;
    return STATUS_OK;
}
