// SPDX-License-Identifier: Apache-2.0
#include "backend/profile.h"

#include <stdlib.h>
#include <string.h>

static struct profile_row *find_row(struct profile *profile, const char *op, bool backward)
{
    for (int i = 0; i < profile->rows; i++)
        if (profile->row[i].backward == backward && !strcmp(profile->row[i].op, op))
            return &profile->row[i];
    INVARIANT(profile->rows < PROFILE_ROWS, "%d kinds of operations", profile->rows);
    struct profile_row *row = &profile->row[profile->rows++];
    *row = (struct profile_row){.op = op, .backward = backward};
    return row;
}

static double larger(double a, double b) { return a > b ? a : b; }

void profile_add(struct profile *profile, const struct program *program, int loss_tag,
                 const struct roof *core)
{
    bool backward = false;
    for (int i = 0; i < program_steps(program); i++) {
        struct step_profile step = program_step_profile(program, i);
        struct profile_row *row = find_row(profile, step.op, backward);
        double arithmetic = core->fma > 0 ? step.cost.flops / core->fma : 0;
        double memory = core->triad > 0 ? step.cost.bytes / core->triad : 0;
        row->calls += step.calls;
        row->seconds += step.seconds;
        row->cost.flops += step.work * step.cost.flops;
        row->cost.bytes += step.work * step.cost.bytes;
        row->roof_seconds += step.work * larger(arithmetic, memory);
        backward = backward || step.tag == loss_tag;
    }
    profile->yield_seconds += program_yield_seconds(program);
}

static int longer_first(const void *a, const void *b)
{
    const struct profile_row *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

void profile_sort(struct profile *profile)
{
    qsort(profile->row, (size_t)profile->rows, sizeof *profile->row, longer_first);
}
