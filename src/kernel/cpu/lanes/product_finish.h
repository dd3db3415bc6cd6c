// SPDX-License-Identifier: Apache-2.0
// What products do with their finished sums: bias, the value before the activation, the activation, a residual.
#ifndef STN_KERNEL_CPU_LANES_PRODUCT_FINISH_H
#define STN_KERNEL_CPU_LANES_PRODUCT_FINISH_H

#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"

// Rows [row, row + rows) and columns [col, col + cols) of C hold sums.
static inline void product_finish(const struct product *p, int64_t row, int64_t rows, int64_t col,
                                  int64_t cols)
{
    for (int64_t i = row; i < row + rows; i++) {
        for (int64_t j = col; j < col + cols; j += LANES) {
            int64_t n = lanes_left(j, col + cols), at = i * p->c_row + j;
            lanes x = lanes_load_some(p->c + at, n);
            if (p->bias) x = lanes_add(x, lanes_load_some(p->bias + j, n));
            if (p->before) lanes_store_some(p->before + at, x, n);
            x = lanes_activation(x, p->activation);
            if (p->residual) x = lanes_add(lanes_load_some(p->residual + at, n), x);
            lanes_store_some(p->c + at, x, n);
        }
    }
}

static inline bool product_has_finish(const struct product *p)
{
    return p->bias || p->before || p->residual || p->activation != ACTIVATION_NONE;
}

// The product when depth is 0.
static inline void product_without_terms(const struct product *p)
{
    for (int64_t i = 0; i < p->rows && !p->accumulate; i++)
        memset(p->c + i * p->c_row, 0, (size_t)p->cols * sizeof *p->c);
    if (product_has_finish(p)) product_finish(p, 0, p->rows, 0, p->cols);
}
#endif
