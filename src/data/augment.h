// SPDX-License-Identifier: Apache-2.0
// What is done to a text while it is learned from, other things in every epoch: tokens are left out, change places, are masked or
// become unknown. A function of (seed, epoch, example), not of who computes it.
#ifndef STN_DATA_AUGMENT_H
#define STN_DATA_AUGMENT_H

#include <stdint.h>

struct augmentation {
    double drop, swap, mask, unknown; // rates, 0 to 1
    int32_t mask_id, unknown_id;
    uint64_t seed;
};
// In place; returns how many ids are left, at least 1 of 1. `text`: the first or second of an example.
int64_t augment(const struct augmentation *augmentation, uint32_t epoch, uint32_t example, int text,
                int32_t *ids, int64_t n);
#endif
