// SPDX-License-Identifier: Apache-2.0
// silu(a) b and its gradient, element by element.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"

void KERNEL_NAME(swiglu)(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes gate = lanes_activation(lanes_load_some(a + i, some), ACTIVATION_SILU);
        lanes_store_some(y + i, lanes_mul(gate, lanes_load_some(b + i, some)), some);
    }
}

void KERNEL_NAME(swiglu_grad)(float *da, float *db, const float *a, const float *b, const float *dy,
                              int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes x = lanes_load_some(a + i, some), d = lanes_load_some(dy + i, some);
        lanes up = lanes_mul(d, lanes_load_some(b + i, some));
        if (db) lanes_store_some(db + i, lanes_mul(d, lanes_activation(x, ACTIVATION_SILU)), some);
        lanes_store_some(da + i, lanes_mul(up, lanes_activation_slope(x, ACTIVATION_SILU)), some);
    }
}
