// SPDX-License-Identifier: Apache-2.0
// SIGINT, SIGTERM and SIGUSR1 (Slurm's --signal, and what mpirun passes on): the first asks the run to stop with a checkpoint, the second
// ends the program at once with 128 + its number.
#ifndef STN_TOOL_SIGNALS_H
#define STN_TOOL_SIGNALS_H

#include "base/status.h"

#include <stdbool.h>

// Writes to closed pipes and beyond file limits become errors instead of deadly signals.
void signals_start(void);
// From here on these call `stop` (safe in a handler), the second time they end the program.
// speaks: whether this process, of many that get the signal, says so.
void signals_catch(void (*stop)(void), bool speaks);
// The signal that was caught, 0: none.
int signals_caught(void);
// What a command ends with: its status; where that is good, results are flushed, and a signal that was caught ends the program now.
enum status signals_end(enum status status) CHECK_RESULT;
#endif
