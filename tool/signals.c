// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static void (*stop_function)(void);
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    static const char text[] = "\nstentor: stopping after this step, with a checkpoint; once more "
                               "stops at once\n";
    if (caught) _exit(128 + number);
    caught = 1;
    stop_function();
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
}

void signals_start(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

void signals_catch(void (*stop)(void))
{
    stop_function = stop;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    static const int number[] = {SIGINT, SIGTERM};
    // Also where they were ignored when we were started: a shell's background job may be asked to stop, too.
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) sigaction(number[i], &action, NULL);
}
