// SPDX-License-Identifier: Apache-2.0
// Fetching ahead: what the next panel reads comes nearer a few cache lines at a time, between sums.
#ifndef STN_KERNEL_CPU_LANES_FETCH_H
#define STN_KERNEL_CPU_LANES_FETCH_H

#include "kernel/cpu/lanes/lanes.h"

enum { CACHE_LINE = 16 }; // floats

// Brings what is needed next nearer while sums run: `count` runs of `lines` cache lines.
struct fetch {
    const float *run;
    int64_t stride, count, lines, line;
};
LANES_INLINE void fetch_some(struct fetch *f, int64_t lines)
{
    for (; lines > 0 && f->count > 0; lines--) {
        __builtin_prefetch(f->run + f->line * CACHE_LINE, 0, 2);
        if (++f->line < f->lines) continue;
        f->line = 0;
        f->run += f->stride;
        f->count--;
    }
}
#endif
