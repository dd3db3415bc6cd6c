// SPDX-License-Identifier: Apache-2.0
// Slows processes down: stops and continues them in turn, so that they run for a share of the time, until they are gone or this is ended.
//   half_speed SHARE PERIOD_MS PID…
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile sig_atomic_t ended;
static void on_signal(int number) { ended = number; }

static void pause_for(double seconds)
{
    nanosleep(
        &(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)},
        NULL);
}

static int tell(int count, char **process, int number)
{
    int left = 0;
    for (int i = 0; i < count; i++) left += kill((pid_t)strtol(process[i], NULL, 10), number) == 0;
    return left;
}

int main(int argc, char **argv)
{
    if (argc < 4) return fprintf(stderr, "usage: half_speed SHARE PERIOD_MS PID...\n"), 2;
    double share = strtod(argv[1], NULL), period = strtod(argv[2], NULL) / 1000;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    while (!ended && tell(argc - 3, argv + 3, SIGSTOP)) {
        pause_for(period * (1 - share));
        tell(argc - 3, argv + 3, SIGCONT);
        pause_for(period * share);
    }
    tell(argc - 3, argv + 3, SIGCONT);
    return 0;
}
