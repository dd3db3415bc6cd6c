// SPDX-License-Identifier: Apache-2.0
// Sums, scaling and activations of flat arrays, the dot product, and the sum of a matrix's rows.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"

enum { ROWS_AT_ONCE = 8 }; // rows added while a group of column sums is in a register

void KERNEL_NAME(add)(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes sum = lanes_add(lanes_load_some(a + i, some), lanes_load_some(b + i, some));
        lanes_store_some(y + i, sum, some);
    }
}

void KERNEL_NAME(scale)(float *y, const float *x, float s, int64_t n)
{
    lanes factor = lanes_set(s);
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes_store_some(y + i, lanes_mul(lanes_load_some(x + i, some), factor), some);
    }
}

float KERNEL_NAME(dot)(const float *a, const float *b, int64_t n)
{
    lanes sum = lanes_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes next = lanes_fma(lanes_load_some(a + i, some), lanes_load_some(b + i, some), sum);
        sum = lanes_keep(next, sum, some);
    }
    return lanes_sum(sum);
}

// Inlined once per activation, so that the choice is made outside the loop.
LANES_INLINE void activate(float *y, const float *x, int64_t n, const enum activation activation)
{
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes_store_some(y + i, lanes_activation(lanes_load_some(x + i, some), activation), some);
    }
}

void KERNEL_NAME(activation)(float *y, const float *x, int64_t n, enum activation activation)
{
    switch (activation) {
    case ACTIVATION_GELU_TANH:
        activate(y, x, n, ACTIVATION_GELU_TANH);
        break;
    case ACTIVATION_GELU:
        activate(y, x, n, ACTIVATION_GELU);
        break;
    case ACTIVATION_RELU:
        activate(y, x, n, ACTIVATION_RELU);
        break;
    case ACTIVATION_SILU:
        activate(y, x, n, ACTIVATION_SILU);
        break;
    case ACTIVATION_SIGMOID:
        activate(y, x, n, ACTIVATION_SIGMOID);
        break;
    case ACTIVATION_TANH:
        activate(y, x, n, ACTIVATION_TANH);
        break;
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        activate(y, x, n, ACTIVATION_NONE);
        break;
    }
}

LANES_INLINE void descend(float *dx, const float *x, const float *dy, int64_t n,
                          const enum activation activation)
{
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = lanes_left(i, n);
        lanes slope = lanes_activation_slope(lanes_load_some(x + i, some), activation);
        lanes_store_some(dx + i, lanes_mul(lanes_load_some(dy + i, some), slope), some);
    }
}

void KERNEL_NAME(activation_grad)(float *dx, const float *x, const float *dy, int64_t n,
                                  enum activation activation)
{
    switch (activation) {
    case ACTIVATION_GELU_TANH:
        descend(dx, x, dy, n, ACTIVATION_GELU_TANH);
        break;
    case ACTIVATION_GELU:
        descend(dx, x, dy, n, ACTIVATION_GELU);
        break;
    case ACTIVATION_RELU:
        descend(dx, x, dy, n, ACTIVATION_RELU);
        break;
    case ACTIVATION_SILU:
        descend(dx, x, dy, n, ACTIVATION_SILU);
        break;
    case ACTIVATION_SIGMOID:
        descend(dx, x, dy, n, ACTIVATION_SIGMOID);
        break;
    case ACTIVATION_TANH:
        descend(dx, x, dy, n, ACTIVATION_TANH);
        break;
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        descend(dx, x, dy, n, ACTIVATION_NONE);
        break;
    }
}

void KERNEL_NAME(column_sum)(float *y, const float *x, int64_t x_row, int64_t rows, int64_t cols)
{
    memset(y, 0, (size_t)cols * sizeof *y);
    for (int64_t row = 0; row < rows; row += ROWS_AT_ONCE) {
        int64_t last = row + ROWS_AT_ONCE < rows ? row + ROWS_AT_ONCE : rows;
        for (int64_t j = 0; j < cols; j += LANES) {
            int64_t some = lanes_left(j, cols);
            lanes sum = lanes_load_some(y + j, some);
            for (int64_t i = row; i < last; i++)
                sum = lanes_add(sum, lanes_load_some(x + i * x_row + j, some));
            lanes_store_some(y + j, sum, some);
        }
    }
}
