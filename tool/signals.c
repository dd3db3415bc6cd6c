// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include "clock.h"
#include "output.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

// One wish to stop may arrive twice: a launcher signals every process of its job, and one of them passes it on; timeout(1) signals its
// child and then the group that it is in. Seconds in which the second is taken for the first: by another sender, by the same one.
#define OTHER_SENDER 1.0
#define SAME_SENDER  0.005

static void (*stop_function)(void);
static volatile sig_atomic_t caught;
static volatile double first_time;
static volatile pid_t first_sender;
static bool silent;

static bool is_echo(const siginfo_t *info)
{
    double since = clock_seconds() - first_time;
    return since < (info->si_pid == first_sender ? SAME_SENDER : OTHER_SENDER);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    static const char text[] = "\nstentor: stopping, with a checkpoint of what is trained; once "
                               "more stops at once\n";
    (void)context;
    if (caught && is_echo(info)) return;
    if (caught) _exit(128 + number);
    first_time = clock_seconds();
    first_sender = info->si_pid;
    caught = number;
    stop_function();
    if (!silent && write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
}

int signals_caught(void) { return caught; }

enum status signals_end(enum status status)
{
    TRY(status);
    TRY(output_finish());
    if (!caught) return STATUS_OK;
    signal(caught, SIG_DFL);
    raise(caught);
    return STATUS_OK;
}

void signals_start(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

void signals_catch(void (*stop)(void), bool speaks)
{
    static const int number[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO};
    stop_function = stop;
    silent = !speaks;
    sigemptyset(&action.sa_mask);
    // One at a time: the handler compares with what it wrote down before.
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        sigaddset(&action.sa_mask, number[i]);
    // Also where they were ignored when we were started: a shell's background job may be asked to stop, too.
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) sigaction(number[i], &action, NULL);
    sigprocmask(SIG_UNBLOCK, &action.sa_mask, NULL);
}
