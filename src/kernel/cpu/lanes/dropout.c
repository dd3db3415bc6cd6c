// SPDX-License-Identifier: Apache-2.0
// Dropout: every element is kept or not by its own address, so nothing is stored for the backward pass.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/philox_lanes.h"

void KERNEL_NAME(dropout)(float *y, const float *x, const struct dropout *d, int64_t sequences,
                          int64_t per_sequence)
{
    if (d->rate <= 0) {
        if (y != x) memcpy(y, x, (size_t)(sequences * per_sequence) * sizeof *y);
        return;
    }
    lanes_u32 threshold = lanes_u32_set(dropout_threshold(d->rate));
    lanes scale = lanes_set(dropout_scale(d->rate));
    for (int64_t s = 0; s < sequences; s++, x += per_sequence, y += per_sequence) {
        struct philox_address at = {.seed = (uint64_t)d->random[1] << 32 | d->random[0],
                                    .stream = d->stream,
                                    .step = d->random[2],
                                    .sequence = d->random[3] + (uint32_t)s};
        for (int64_t start = 0; start < per_sequence; start += PHILOX_BLOCK) {
            lanes_u32 word[4];
            philox_block(at, (uint32_t)(start / PHILOX_BLOCK), word);
            if (per_sequence - start >= PHILOX_BLOCK) {
                for (int w = 0; w < 4; w++) {
                    int64_t i = start + LANES * w;
                    lanes_store(y + i, dropout_apply(lanes_load(x + i), word[w], threshold, scale));
                }
                continue;
            }
            for (int w = 0; start + LANES * w < per_sequence; w++) {
                int64_t i = start + LANES * w, n = lanes_left(i, per_sequence);
                lanes_store_some(
                    y + i, dropout_apply(lanes_load_some(x + i, n), word[w], threshold, scale), n);
            }
        }
    }
}
