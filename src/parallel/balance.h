// SPDX-License-Identifier: Apache-2.0
// Borders that follow the measured speed of workers, and not its noise.
//
// A worker's seconds for a leaf are smoothed over some ten steps, and how much they vary is known with them. Borders move when that
// shortens the slowest worker's time by more than chance could: on a busy machine single steps take twice as long without meaning
// anything, and borders that follow them only make the next step longer.
#ifndef STN_PARALLEL_BALANCE_H
#define STN_PARALLEL_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

// How long a worker takes for a leaf.
struct speed {
    double seconds; // smoothed; 0: not measured yet
    double variance;
    int64_t steps; // that were measured
};
// What a worker of `leaves` leaves took for them in one step; nothing is learnt where it had none.
void speed_note(struct speed *speed, int leaves, double seconds);

struct balance {
    int leaves, workers;
    const struct speed *speed; // [workers]
    double *seconds;           // [workers] scratch
    int *next;                 // [workers + 1] scratch
};
// Moves border [workers + 1] where that is worth it: true when it has. Workers that have not been measured are taken to be as fast as
// the others. Deterministic: the same numbers give the same borders everywhere.
bool balance_move(const struct balance *balance, int *border);

#endif
