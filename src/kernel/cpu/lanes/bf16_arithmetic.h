// SPDX-License-Identifier: Apache-2.0
// How the products of bf16 or bf16x3 are computed, for kernels that are made of them.
#ifndef STN_KERNEL_CPU_LANES_BF16_ARITHMETIC_H
#define STN_KERNEL_CPU_LANES_BF16_ARITHMETIC_H

#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/lanes.h"

struct arithmetic {
    void (*product)(const struct product *p, void *scratch);
    size_t (*scratch_bytes)(int64_t rows, int64_t cols, int64_t depth);
    size_t (*packed_bytes)(int64_t cols, int64_t depth);
    void (*pack)(void *packed, const struct product *p, int64_t first_col, int64_t cols);
};
// `name`: product_bf16 or product_bf16x3
#define ARITHMETIC(name, isa)                                                                      \
    {                                                                                              \
        LANES_PASTE(name, isa), LANES_PASTE(name##_scratch_bytes, isa),                            \
            LANES_PASTE(name##_packed_bytes, isa), LANES_PASTE(name##_pack, isa)                   \
    }

static inline size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }
static inline size_t larger(size_t a, size_t b) { return a > b ? a : b; }
#endif
