// SPDX-License-Identifier: Apache-2.0
// Clocks for how long something takes: seconds of one that is never set, and of a thread's processor time.
#ifndef STN_TOOL_CLOCK_H
#define STN_TOOL_CLOCK_H

#include <time.h>

static inline double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
// Seconds of processor time that this thread has had.
static inline double clock_thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif
