// SPDX-License-Identifier: Apache-2.0
// The kernels of the batch tree, the exchange and the initial weights, by instruction set.
#ifndef STN_PARALLEL_UPDATE_KERNELS_H
#define STN_PARALLEL_UPDATE_KERNELS_H

#include "base/cpu.h"

#include <stdint.h>

struct update_kernels {
    void (*tree_sum)(float *y, const float *const *array, const int16_t *op, int operations,
                     int64_t n);
    void (*square_sums)(double *partial, const float *g, const float *more, double scale,
                        int64_t n);
    void (*round_bf16)(uint16_t *y, const float *x, int64_t n);
    void (*widen_bf16)(float *y, const uint16_t *x, int64_t n);
    float (*max_magnitude)(const float *g, int64_t n);
    void (*normal)(float *w, uint64_t seed, uint32_t stream, int64_t first, int64_t n,
                   double deviation);
};
const struct update_kernels *update_kernels_of(enum isa isa);
#endif
