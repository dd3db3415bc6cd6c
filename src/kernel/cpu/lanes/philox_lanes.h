// SPDX-License-Identifier: Apache-2.0
// base/philox.h over 16 lanes: one call makes the bits of one block of 64 elements, and the masks
// of dropout from them.
#ifndef STN_KERNEL_CPU_LANES_PHILOX_LANES_H
#define STN_KERNEL_CPU_LANES_PHILOX_LANES_H

#include "base/philox.h"
#include "kernel/cpu/lanes/lanes.h"

// word[w] lane l = philox_bits(at, 64 * block + 16 * w + l)
LANES_INLINE void philox_block(struct philox_address at, uint32_t block, lanes_u32 word[4])
{
    lanes_u32 c0 = lanes_u32_add(lanes_u32_set(block * 16), lanes_u32_iota());
    lanes_u32 c1 = lanes_u32_set(at.stream), c2 = lanes_u32_set(at.sequence),
              c3 = lanes_u32_set(at.step);
    lanes_u32 multiplier0 = lanes_u32_set(0xD2511F53u), multiplier1 = lanes_u32_set(0xCD9E8D57u);
    uint32_t key0 = (uint32_t)at.seed, key1 = (uint32_t)(at.seed >> 32);
    for (int round = 0; round < 10; round++) {
        lanes_u32 high0 = lanes_u32_mul_high(c0, multiplier0),
                  low0 = lanes_u32_mul_low(c0, multiplier0);
        lanes_u32 high1 = lanes_u32_mul_high(c2, multiplier1),
                  low1 = lanes_u32_mul_low(c2, multiplier1);
        c0 = lanes_u32_xor(lanes_u32_xor(high1, c1), lanes_u32_set(key0));
        c1 = low1;
        c2 = lanes_u32_xor(lanes_u32_xor(high0, c3), lanes_u32_set(key1));
        c3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

// What dropout multiplies a kept element by: 1 / (1 - rate), rounded once.
LANES_INLINE float dropout_scale(double rate) { return (float)(1 / (1 - rate)); }

// x scaled where the bits say keep, 0 elsewhere.
LANES_INLINE lanes dropout_apply(lanes x, lanes_u32 bits, lanes_u32 threshold, lanes scale)
{
    return lanes_select(lanes_u32_less(bits, threshold), lanes_zero(), lanes_mul(x, scale));
}
#endif
