// SPDX-License-Identifier: Apache-2.0
// The kernels product_bf16 and product_bf16x3 by their names, on top of run() and scratch_bytes() of the file that
// includes this at its end. Packed B is laid out the same for every instruction set.
#ifndef STN_KERNEL_CPU_LANES_PRODUCT_BF16_KERNELS_H
#define STN_KERNEL_CPU_LANES_PRODUCT_BF16_KERNELS_H

void KERNEL_NAME(product_bf16)(const struct product *p, void *scratch) { run(p, scratch, false); }
void KERNEL_NAME(product_bf16x3)(const struct product *p, void *scratch) { run(p, scratch, true); }

size_t KERNEL_NAME(product_bf16_scratch_bytes)(int64_t rows, int64_t cols, int64_t depth)
{
    (void)cols, (void)depth;
    return scratch_bytes(rows);
}
size_t KERNEL_NAME(product_bf16x3_scratch_bytes)(int64_t rows, int64_t cols, int64_t depth)
{
    (void)cols, (void)depth;
    return scratch_bytes(rows);
}

size_t KERNEL_NAME(product_bf16_packed_bytes)(int64_t cols, int64_t depth)
{
    return panels_bytes(cols, depth, false);
}
size_t KERNEL_NAME(product_bf16x3_packed_bytes)(int64_t cols, int64_t depth)
{
    return panels_bytes(cols, depth, true);
}

void KERNEL_NAME(product_bf16_pack)(void *packed, const struct product *p, int64_t first_col,
                                    int64_t cols)
{
    panels_pack(packed, p, first_col, cols, false);
}
void KERNEL_NAME(product_bf16x3_pack)(void *packed, const struct product *p, int64_t first_col,
                                      int64_t cols)
{
    panels_pack(packed, p, first_col, cols, true);
}

void KERNEL_NAME(product_bf16_pack_range)(void *packed, const struct product *p, int64_t first,
                                          int64_t last)
{
    range_pack(packed, p, first, last, false);
}
void KERNEL_NAME(product_bf16x3_pack_range)(void *packed, const struct product *p, int64_t first,
                                            int64_t last)
{
    range_pack(packed, p, first, last, true);
}
#endif
