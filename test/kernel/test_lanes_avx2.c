// SPDX-License-Identifier: Apache-2.0
// lanes.h for AVX2.
#include "base/cpu.h"

#if defined(__x86_64__)
// Everything in this file may use these instructions; main() asks first whether the processor has them.
#    if defined(__clang__)
#        pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#    else
#        pragma GCC target("avx2,fma")
#    endif
#    define LANES_avx2 1
#    include "kernel/lanes_cases.h"

int main(void) { return run_cases(ISA_AVX2); }
#    if defined(__clang__)
#        pragma clang attribute pop
#    endif
#else
#    include <stdio.h>

int main(void)
{
    printf("1..1\nok 1 - lanes # SKIP this processor is not x86-64\n");
    return 0;
}
#endif
