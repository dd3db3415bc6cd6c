// SPDX-License-Identifier: Apache-2.0
// lanes.h in portable vectors.
#define LANES_generic 1
#include "kernel/lanes_cases.h"

int main(void) { return run_cases(ISA_GENERIC); }
