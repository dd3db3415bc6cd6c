// SPDX-License-Identifier: Apache-2.0
// Which machine this is.
#ifndef STN_BASE_MACHINE_H
#define STN_BASE_MACHINE_H

#include <stdint.h>

// The same in all processes of a machine (of a container that has a name of its own), another one elsewhere, also on a machine that has
// the same name.
uint64_t machine_hash(void);
#endif
