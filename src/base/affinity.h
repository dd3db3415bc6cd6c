// SPDX-License-Identifier: Apache-2.0
// Which cores this process may run on, and tying a thread to one of them. Linux; elsewhere nothing is listed and nothing tied.
#ifndef STN_BASE_AFFINITY_H
#define STN_BASE_AFFINITY_H

#include <stdbool.h>

// Up to `most` cores that the process may use (what a launcher has bound it to), in the order in which to take them: one of each
// physical core first, then the second hyperthreads. Returns how many.
int affinity_cores(int most, int *core_p);
// Whether somebody, a launcher or the user, has bound the process to some of the machine's cores.
bool affinity_is_narrowed(void);
// Ties the calling thread to `core`. False when the system refuses, which changes nothing but speed.
bool affinity_tie(int core);
#endif
