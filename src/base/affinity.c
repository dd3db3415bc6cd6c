// SPDX-License-Identifier: Apache-2.0
#include "base/affinity.h"

#if defined(__linux__)
#    include <sched.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <unistd.h>

// How many hyperthreads of the same physical core stand before `core` in what is allowed. The system writes "0,64" or "0-1".
static int siblings_before(const cpu_set_t *allowed, int core)
{
    char path[96], text[256] = "", *at = text;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
             core);
    FILE *file = fopen(path, "r");
    if (file && !fgets(text, sizeof text, file)) text[0] = 0;
    if (file) fclose(file);
    int before = 0;
    while (*at >= '0' && *at <= '9') {
        long first = strtol(at, &at, 10), last = first;
        if (*at == '-') last = strtol(at + 1, &at, 10);
        for (long c = first; c <= last && c < core; c++)
            before += c < CPU_SETSIZE && CPU_ISSET((int)c, allowed);
        if (*at == ',') at++;
    }
    return before;
}

int affinity_cores(int most, int *core_p)
{
    cpu_set_t allowed;
    int count = 0, left = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
    left = CPU_COUNT(&allowed);
    for (int rank = 0; left > 0 && count < most && rank < CPU_SETSIZE; rank++)
        for (int core = 0; core < CPU_SETSIZE && count < most; core++) {
            if (!CPU_ISSET(core, &allowed) || siblings_before(&allowed, core) != rank) continue;
            core_p[count++] = core;
            left--;
        }
    return count;
}

bool affinity_is_narrowed(void)
{
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) == 0 &&
           CPU_COUNT(&allowed) < sysconf(_SC_NPROCESSORS_ONLN);
}

bool affinity_tie(int core)
{
    cpu_set_t one;
    if (core < 0 || core >= CPU_SETSIZE) return false;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}
#else
int affinity_cores(int most, int *core_p)
{
    (void)most;
    (void)core_p;
    return 0;
}

bool affinity_is_narrowed(void) { return false; }

bool affinity_tie(int core)
{
    (void)core;
    return false;
}
#endif
