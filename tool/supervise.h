// SPDX-License-Identifier: Apache-2.0
// stentor train --restarts: the training runs as a child of this process, which passes signals on to it and starts it again when
// something from outside ended it. To whoever looks it is one program: one terminal, one exit code.
//
// What is mended: death by a signal, a lost worker (exit code 5). What is not: wrong usage, bad input, a run that diverged (it is
// deterministic, and would diverge again), no memory or disk. Restarts count in a row: a new checkpoint between two failures
// gives the count back, so that only a run which gets nowhere comes to its end.
#ifndef STN_TOOL_SUPERVISE_H
#define STN_TOOL_SUPERVISE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct supervision {
    int64_t restarts; // in a row without a new checkpoint
    const char *out;  // NULL: what runs keeps no checkpoints
    bool resume;      // as the command says; a second start always goes on from what there is
    bool
        launcher; // the child will be mpirun: it gets SIGUSR1 for every signal that asks to stop, which it hands to all ranks
};
// Returns in the child alone, which shall do the work: *resume_p: whether it goes on from a checkpoint, *start_p: 0 for the first
// one, counted. The process that called it stays the supervisor, and ends with the exit code of the last child.
// Fails: STATUS_MEMORY where there is no process to be had.
enum status supervise(const struct supervision *supervision, bool *resume_p,
                      int *start_p) CHECK_RESULT;
#endif
