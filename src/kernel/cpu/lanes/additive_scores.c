// SPDX-License-Identifier: Apache-2.0
// Additive scores of queries and keys: a lane reduction of v tanh(q + k) for each pair; backward, pairs add in order, keys inside queries.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"

void KERNEL_NAME(additive_scores)(const struct additive_scores *a, int64_t from, int64_t to)
{
    for (int64_t row = from; row < to; row++) {
        const float *q = a->q + row * a->width,
                    *keys = a->k + row / a->queries * a->keys * a->width;
        for (int64_t s = 0; s < a->keys; s++) {
            const float *k = keys + s * a->width;
            lanes sum = lanes_zero();
            for (int64_t j = 0; j < a->width; j += LANES) {
                int64_t some = lanes_left(j, a->width);
                lanes t = lanes_tanh(
                    lanes_add(lanes_load_some(q + j, some), lanes_load_some(k + j, some)));
                sum = lanes_keep(lanes_fma(lanes_load_some(a->v + j, some), t, sum), sum, some);
            }
            a->y[row * a->keys + s] = lanes_sum(sum);
        }
    }
}

LANES_INLINE void add_some(float *to, lanes x, int64_t some)
{
    lanes_store_some(to, lanes_add(lanes_load_some(to, some), x), some);
}

static void clear_columns(float *x, int64_t rows, int64_t width, int64_t first, int64_t last)
{
    for (int64_t i = 0; x && i < rows; i++)
        memset(x + i * width + first, 0, (size_t)(last - first) * sizeof *x);
}

// Columns [first, last) of all gradients.
void KERNEL_NAME(additive_scores_grad)(const struct additive_scores *a, int64_t first, int64_t last)
{
    if (first >= last) return;
    clear_columns(a->dq, a->batch * a->queries, a->width, first, last);
    clear_columns(a->dk, a->batch * a->keys, a->width, first, last);
    clear_columns(a->dv, 1, a->width, first, last);
    for (int64_t row = 0; row < a->batch * a->queries; row++)
        for (int64_t s = 0; s < a->keys; s++) {
            int64_t left = row * a->width, right = (row / a->queries * a->keys + s) * a->width;
            lanes dy = lanes_set(a->dy[row * a->keys + s]);
            for (int64_t j = first; j < last; j += LANES) {
                int64_t some = lanes_left(j, last);
                lanes sum = lanes_add(lanes_load_some(a->q + left + j, some),
                                      lanes_load_some(a->k + right + j, some));
                lanes t = lanes_tanh(sum), v = lanes_load_some(a->v + j, some);
                lanes slope = lanes_mul(lanes_mul(dy, v), lanes_fnma(t, t, lanes_set(1)));
                add_some(a->dq + left + j, slope, some);
                if (a->dk) add_some(a->dk + right + j, slope, some);
                if (a->dv) add_some(a->dv + j, lanes_mul(dy, t), some);
            }
        }
}
