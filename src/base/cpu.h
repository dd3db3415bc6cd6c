// SPDX-License-Identifier: Apache-2.0
// What processor this is: instruction sets, name, cores; and the floating-point mode that every computing thread sets.
#ifndef STN_BASE_CPU_H
#define STN_BASE_CPU_H

#include "base/status.h"

// Later is better on the machines that have it.
enum isa { ISA_GENERIC, ISA_NEON, ISA_AVX2, ISA_AVX512, ISA_AMX, ISA_COUNT };

const char *isa_name(enum isa isa);
// Whether this processor and this build can run `isa`.
int isa_available(enum isa isa);
// Whose kernels over 16 lanes `isa` runs: its own; AVX-512's beside those for AMX's tiles.
enum isa isa_lanes(enum isa isa);
// The instruction set to use: the best available, or what STENTOR_ISA names.
// Fails: STATUS_USAGE when STENTOR_ISA names none or one that this machine lacks (the message lists those it has).
enum status isa_choose(enum isa *isa_p) CHECK_RESULT;

// "AMD EPYC …", or the architecture's name. Static storage.
const char *cpu_name(void);
// Cores that this process may run on (affinity and cgroup quota counted), at least 1.
int cpu_cores(void);
// Denormals count as zero, in operands and results: part of the defined arithmetic, so every thread that computes calls it.
void cpu_flush_to_zero(void);
#endif
