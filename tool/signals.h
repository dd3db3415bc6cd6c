// SPDX-License-Identifier: Apache-2.0
// SIGINT, SIGTERM and SIGUSR1 (Slurm's --signal, and what mpirun passes on): the first asks the run to stop with a checkpoint, the second
// ends the program at once with 128 + its number.
#ifndef STN_TOOL_SIGNALS_H
#define STN_TOOL_SIGNALS_H

#include <stdbool.h>

// Writes to closed pipes and beyond file limits become errors instead of deadly signals.
void signals_start(void);
// From here on these call `stop` (safe in a handler), the second time they end the program.
// speaks: whether this process, of many that get the signal, says so.
void signals_catch(void (*stop)(void), bool speaks);
// The signal that was caught, 0: none.
int signals_caught(void);
// Ends the program as the signal that was caught would have; returns when there was none.
void signals_leave(void);
#endif
