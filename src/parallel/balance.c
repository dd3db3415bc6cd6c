// SPDX-License-Identifier: Apache-2.0
#include "parallel/balance.h"

#include "parallel/batch_tree.h"

#include <math.h>
#include <string.h>

// A step's weight in the means, once there are 1 / NEW steps; before, all steps weigh the same.
static const double NEW = 0.1;
// Borders move when the slowest worker's time shrinks by more than this part of it and the uncertainty of it; and one that costs no
// more than this part is taken when it leaves fewer sums behind.
static const double WORTH = 0.05, CERTAIN = 2.5;
enum { LEAST_STEPS = 3 };

void speed_note(struct speed *speed, int leaves, double seconds)
{
    if (leaves <= 0) return;
    double each = seconds / leaves, share = 1.0 / (double)++speed->steps;
    if (share < NEW) share = NEW;
    // Welford's and its exponential form.
    double off = each - speed->seconds;
    speed->seconds += share * off;
    speed->variance = (1 - share) * (speed->variance + share * off * off);
}

// The relative error that the mean of a worker's seconds may well have.
static double uncertainty(const struct speed *speed)
{
    double share = 1.0 / (double)speed->steps, least = NEW / (2 - NEW);
    return sqrt(speed->variance * (share > least ? share : least)) / speed->seconds;
}

// What the planner goes by: false while too little is known.
static bool find_seconds(const struct balance *balance, double *unsure_p)
{
    double sum = 0, known = 0, unsure = 0;
    for (int r = 0; r < balance->workers; r++) {
        const struct speed *speed = &balance->speed[r];
        balance->seconds[r] = speed->seconds;
        if (!(speed->seconds > 0)) continue;
        if (speed->steps < LEAST_STEPS) return false;
        sum += speed->seconds;
        known++;
        unsure = fmax(unsure, uncertainty(speed));
    }
    for (int r = 0; r < balance->workers && known > 0; r++)
        if (!(balance->seconds[r] > 0)) balance->seconds[r] = sum / known;
    *unsure_p = unsure;
    return known > 0;
}

bool balance_move(const struct balance *balance, int *border)
{
    int workers = balance->workers, *next = balance->next;
    size_t bytes = (size_t)(workers + 1) * sizeof *next;
    double unsure;
    if (!find_seconds(balance, &unsure)) return false;
    borders_measured(balance->leaves, workers, balance->seconds, next);
    borders_align(workers, balance->seconds, WORTH, next);
    double now = borders_seconds(workers, balance->seconds, border);
    double then = borders_seconds(workers, balance->seconds, next);
    if (then > (1 - WORTH - CERTAIN * unsure) * now || memcmp(next, border, bytes) == 0)
        return false;
    memcpy(border, next, bytes);
    return true;
}
