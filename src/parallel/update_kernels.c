// SPDX-License-Identifier: Apache-2.0
#include "parallel/update_kernels.h"

#include "base/status.h"
#include "kernel/cpu/kernels.h"

#define ROW(isa)                                                                                   \
    {                                                                                              \
        tree_sum_##isa, square_sums_##isa, round_bf16_##isa, widen_bf16_##isa,                     \
            max_magnitude_##isa, normal_##isa                                                      \
    }

static const struct update_kernels table[ISA_COUNT] = {
    [ISA_GENERIC] = ROW(generic),
#if defined(__x86_64__)
    [ISA_AVX2] = ROW(avx2),
    [ISA_AVX512] = ROW(avx512),
#elif defined(__aarch64__)
    [ISA_NEON] = ROW(neon),
#endif
};

const struct update_kernels *update_kernels_of(enum isa isa)
{
    isa = isa_lanes(isa);
    INVARIANT(table[isa].tree_sum, "no kernels for %s in this build", isa_name(isa));
    return &table[isa];
}
