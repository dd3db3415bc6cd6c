// SPDX-License-Identifier: Apache-2.0
// How fast this machine multiplies matrices: a short run of the product kernel on several threads at once; and its peak.
#ifndef STN_TOOL_SPEED_H
#define STN_TOOL_SPEED_H

#include "base/cpu.h"
#include "base/numeric.h"

#include <stdint.h>

// Operations a second of all `workers` threads together (an fma is two), for [rows, depth] x [depth, cols].
// `seconds`: about what it takes, a third of it to get going.
enum status speed_measure(enum isa isa, enum precision precision, int workers, int64_t rows,
                          int64_t cols, int64_t depth, double seconds,
                          double *flops_p) CHECK_RESULT;
// The peak of `workers` threads (no more than there are cores) for products of a precision (backend/cpu/roof.h): multiply-adds in
// registers, or bf16 tiles where there are any; a third of it for bf16x3, which computes three products for one. Takes 0.03 s.
enum status speed_peak(enum precision precision, int workers, double *flops_p) CHECK_RESULT;
#endif
