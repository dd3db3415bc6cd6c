// SPDX-License-Identifier: Apache-2.0
// Seconds on a clock that is never set: for how long something takes.
#ifndef STN_TOOL_CLOCK_H
#define STN_TOOL_CLOCK_H

#include <time.h>

static inline double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif
