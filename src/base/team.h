// SPDX-License-Identifier: Apache-2.0
// A team: a fixed number of threads that carry out one function together, each its own part of it.
//
// The thread that calls team_run is part 0; the others wait for it. Work is cut by what it writes (part_range), never by what it
// sums, so the number of threads changes no bit. Between phases the parts meet. Threads that wait spin for some microseconds, then
// let others run, then sleep; nothing is allocated and no lock is taken while all are awake.
#ifndef STN_BASE_TEAM_H
#define STN_BASE_TEAM_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct team;

// One thread's share of what a team does.
struct part {
    int index, count;  // index of count; 0 of 1 is the whole
    struct team *team; // NULL when count is 1
};
extern const struct part part_whole;

struct range {
    int64_t first, last; // [first, last), empty where there are fewer units than parts
};
// This part of `count` items, cut at multiples of `unit`. The ranges of all parts cover [0, count) in order.
struct range part_range(const struct part *part, int64_t count, int64_t unit);

// Returns when all parts have called it; what any wrote before is visible to all after.
void part_meet_others(const struct part *part);
static inline void part_meet(const struct part *part)
{
    if (part->count > 1) part_meet_others(part);
}

struct team_options {
    int threads;  // the caller's counted, at least 1
    bool crowded; // there are more computing threads than cores: those that wait sleep at once
    const int *
        cores; // [threads] that the threads 1, 2, … are tied to (base/affinity.h), or NULL. The caller ties itself.
};
// Starts threads - 1 threads, with the floating-point mode of computing threads. Fails: STATUS_MEMORY.
enum status team_create(const struct team_options *options, struct team **team_p) CHECK_RESULT;
// Ends and joins them. NULL is fine.
void team_destroy(struct team *team);
int team_threads(const struct team *team); // 1 for NULL
typedef void (*team_function)(void *context, const struct part *part);
// Carries out function(context, part) for every part; returns when all have. NULL: on this thread, as the whole. Called by one
// thread at a time, and not from inside a function of the same team.
void team_run(struct team *team, team_function function, void *context);
#endif
