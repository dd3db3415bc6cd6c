// SPDX-License-Identifier: Apache-2.0
// What this machine can do at most, measured: multiply-adds in registers, and a triad between arrays that no cache holds.
//
// An operation's roof is the time that it would take at these rates: the longer of its arithmetic and its bytes. Both are measured
// in short runs of which the best counts, the arithmetic by processor time: neighbours on the machine slow a measurement and never
// speed it up, and a roof that reads low would make every share of it read high.
#ifndef STN_BACKEND_CPU_ROOF_H
#define STN_BACKEND_CPU_ROOF_H

#include "base/cpu.h"

#include <stddef.h>

struct roof {
    double fma;   // float32 operations a second, an fma is two
    double triad; // bytes a second: two arrays read, one written past the caches
};

// Of `threads` threads at once, for about `seconds` each. Fails: STATUS_MEMORY.
enum status roof_measure_fma(enum isa isa, int threads, double seconds,
                             double *operations_p) CHECK_RESULT;
// The same of products of bf16 tiles; 0 where there are none (AMX).
enum status roof_measure_tiles(int threads, double seconds, double *operations_p) CHECK_RESULT;
// Arrays of `bytes` in all; 0: several times the caches. Making them takes about as long as the measurement.
enum status roof_measure_triad(enum isa isa, int threads, size_t bytes, double seconds,
                               double *bytes_p) CHECK_RESULT;
#endif
