// SPDX-License-Identifier: Apache-2.0
// Dropout: every element is kept or not by its own address, so nothing is stored for the backward pass.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/philox_lanes.h"

LANES_INLINE void drop(float *y, const float *x, const lanes_u32 word[4], int64_t count,
                       lanes_u32 threshold, lanes scale)
{
    for (int w = 0; LANES * w < count; w++) {
        int64_t i = LANES * w, n = lanes_left(i, count);
        lanes_store_some(y + i, dropout_apply(lanes_load_some(x + i, n), word[w], threshold, scale),
                         n);
    }
}

void KERNEL_NAME(dropout)(float *y, const float *x, const struct dropout *d, int64_t per_sequence,
                          int64_t first, int64_t last)
{
    lanes_u32 threshold = lanes_u32_set(dropout_threshold(d->rate));
    lanes scale = lanes_set(dropout_scale(d->rate));
    int64_t blocks = (per_sequence + PHILOX_BLOCK - 1) / PHILOX_BLOCK;
    for (int64_t i = first; i < last; i++) {
        int64_t sequence = i / blocks, block = i % blocks, start = block * PHILOX_BLOCK;
        int64_t at = sequence * per_sequence + start, left = per_sequence - start;
        if (d->rate <= 0) {
            size_t bytes = (size_t)(left < PHILOX_BLOCK ? left : PHILOX_BLOCK) * sizeof *y;
            if (y != x) memcpy(y + at, x + at, bytes);
            continue;
        }
        struct philox_address address = {.seed = (uint64_t)d->random[1] << 32 | d->random[0],
                                         .stream = d->stream,
                                         .step = d->random[2],
                                         .sequence = d->random[3] + (uint32_t)sequence};
        lanes_u32 word[4];
        philox_block(address, (uint32_t)block, word);
        if (left >= PHILOX_BLOCK)
            drop(y + at, x + at, word, PHILOX_BLOCK, threshold, scale);
        else
            drop(y + at, x + at, word, left, threshold, scale);
    }
}
