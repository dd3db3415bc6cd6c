// SPDX-License-Identifier: Apache-2.0
// How long each worker of the crew computes in a step, over the last ones, so that a slow one shows.
#include "train/internal.h"

bool times_init(struct trainer *trainer)
{
    size_t all = (size_t)trainer->crew.all;
    trainer->recent_seconds = arena_take(trainer->tables, all * RECENT_STEPS * sizeof(double));
    return trainer->recent_seconds != NULL;
}

void times_note(struct trainer *trainer)
{
    int64_t slot = trainer->recent_count++ % RECENT_STEPS;
    for (int r = 0; r < trainer->crew.all; r++)
        trainer->recent_seconds[(int64_t)r * RECENT_STEPS + slot] = trainer->compute_seconds[r];
}

struct worker_time trainer_worker_time(const struct trainer *trainer, int worker)
{
    double sorted[RECENT_STEPS];
    const double *seconds = trainer->recent_seconds + (int64_t)worker * RECENT_STEPS;
    int count = trainer->recent_count < RECENT_STEPS ? (int)trainer->recent_count : RECENT_STEPS;
    if (count == 0) return (struct worker_time){0};
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at > 0 && sorted[at - 1] > seconds[i]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = seconds[i];
    }
    return (struct worker_time){.median = sorted[count / 2], .p95 = sorted[count * 95 / 100]};
}
