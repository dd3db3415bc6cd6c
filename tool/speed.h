// SPDX-License-Identifier: Apache-2.0
// How fast this machine multiplies matrices: a short run of the product kernel on several threads at once.
#ifndef STN_TOOL_SPEED_H
#define STN_TOOL_SPEED_H

#include "base/cpu.h"

#include <stdint.h>

// Operations a second of all `workers` threads together (an fma is two), for [rows, depth] x [depth, cols]. Takes about 0.15 s.
enum status speed_measure(enum isa isa, int workers, int64_t rows, int64_t cols, int64_t depth,
                          double *flops_p) CHECK_RESULT;
#endif
