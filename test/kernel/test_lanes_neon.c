// SPDX-License-Identifier: Apache-2.0
// lanes.h for NEON.
#if defined(__aarch64__)
#    define LANES_neon 1
#    include "kernel/lanes_cases.h"

int main(void) { return run_cases(ISA_NEON); }
#else
#    include <stdio.h>

int main(void)
{
    printf("1..1\nok 1 - lanes # SKIP this processor is not aarch64\n");
    return 0;
}
#endif
