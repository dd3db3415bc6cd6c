// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm, row by row; the backward kernels compute mean and scale again instead of keeping them.
//
// With n = (x - mean) r and g = dy gain: dx = r (g - mean(g) - n mean(g n)); RMS norm is the same without the
// means of x and g. Sources: Ba et al. 2016, arXiv:1607.06450; Zhang and Sennrich 2019, arXiv:1910.07467.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/lanes.h"

#include <math.h>

enum { ROWS_AT_ONCE = 4 }; // whose sums run side by side: one row's wait for each other

// Means (0 without centering) and 1 / sqrt(mean((x - mean)^2) + epsilon) of `rows` rows.
LANES_INLINE void some_moments(const int rows, const float *x, int64_t width, float epsilon,
                               bool centered, float *mean, float *scale)
{
    lanes sum[ROWS_AT_ONCE], center[ROWS_AT_ONCE];
    for (int r = 0; r < rows; r++) sum[r] = lanes_zero();
    for (int64_t j = 0; centered && j < width; j += LANES) {
        int64_t some = lanes_left(j, width);
        for (int r = 0; r < rows; r++) {
            lanes next = lanes_add(sum[r], lanes_load_some(x + r * width + j, some));
            sum[r] = lanes_keep(next, sum[r], some);
        }
    }
    for (int r = 0; r < rows; r++) {
        mean[r] = centered ? lanes_sum(sum[r]) / (float)width : 0;
        center[r] = lanes_set(mean[r]);
        sum[r] = lanes_zero();
    }
    for (int64_t j = 0; j < width; j += LANES) {
        int64_t some = lanes_left(j, width);
        for (int r = 0; r < rows; r++) {
            lanes d = lanes_sub(lanes_load_some(x + r * width + j, some), center[r]);
            sum[r] = lanes_keep(lanes_fma(d, d, sum[r]), sum[r], some);
        }
    }
    for (int r = 0; r < rows; r++) scale[r] = 1 / sqrtf(lanes_sum(sum[r]) / (float)width + epsilon);
}

// The same for up to ROWS_AT_ONCE of the rows that are left; returns how many.
static int64_t moments(int64_t left, const float *x, int64_t width, float epsilon, bool centered,
                       float mean[ROWS_AT_ONCE], float scale[ROWS_AT_ONCE])
{
    if (left >= ROWS_AT_ONCE) {
        some_moments(ROWS_AT_ONCE, x, width, epsilon, centered, mean, scale);
        return ROWS_AT_ONCE;
    }
    some_moments(1, x, width, epsilon, centered, mean, scale);
    return 1;
}

static void row_norm(float *y, const float *x, const float *gain, const float *bias, int64_t width,
                     float mean, float scale)
{
    lanes center = lanes_set(mean), r = lanes_set(scale);
    for (int64_t j = 0; j < width; j += LANES) {
        int64_t some = lanes_left(j, width);
        lanes n = lanes_mul(lanes_sub(lanes_load_some(x + j, some), center), r);
        lanes g = lanes_load_some(gain + j, some);
        lanes value = bias ? lanes_fma(n, g, lanes_load_some(bias + j, some)) : lanes_mul(n, g);
        lanes_store_some(y + j, value, some);
    }
}

static void norm(float *y, const float *x, const float *gain, const float *bias, int64_t rows,
                 int64_t width, float epsilon, bool centered)
{
    float mean[ROWS_AT_ONCE], scale[ROWS_AT_ONCE];
    for (int64_t i = 0, count; i < rows; i += count) {
        count = moments(rows - i, x + i * width, width, epsilon, centered, mean, scale);
        for (int64_t r = 0; r < count; r++)
            row_norm(y + (i + r) * width, x + (i + r) * width, gain, bias, width, mean[r],
                     scale[r]);
    }
}

void KERNEL_NAME(layer_norm)(float *y, const float *x, const float *gain, const float *bias,
                             int64_t rows, int64_t width, float epsilon)
{
    norm(y, x, gain, bias, rows, width, epsilon, true);
}

void KERNEL_NAME(rms_norm)(float *y, const float *x, const float *gain, int64_t rows, int64_t width,
                           float epsilon)
{
    norm(y, x, gain, NULL, rows, width, epsilon, false);
}

// One row of a gradient; dgain and dbias: NULL, or the sums so far.
struct row_grad {
    float *dx, *dgain, *dbias;
    const float *x, *gain, *dy;
    int64_t width;
    float mean, scale;
    bool centered; // layer norm
};

static void row_grad(const struct row_grad *r)
{
    lanes center = lanes_set(r->mean), scale = lanes_set(r->scale);
    lanes sum_g = lanes_zero(), sum_gn = lanes_zero();
    for (int64_t j = 0; j < r->width; j += LANES) {
        int64_t some = lanes_left(j, r->width);
        lanes n = lanes_mul(lanes_sub(lanes_load_some(r->x + j, some), center), scale);
        lanes dy = lanes_load_some(r->dy + j, some);
        lanes g = lanes_mul(dy, lanes_load_some(r->gain + j, some));
        sum_g = lanes_keep(lanes_add(sum_g, g), sum_g, some);
        sum_gn = lanes_keep(lanes_fma(g, n, sum_gn), sum_gn, some);
        if (r->dgain)
            lanes_store_some(r->dgain + j, lanes_fma(dy, n, lanes_load_some(r->dgain + j, some)),
                             some);
        if (r->dbias)
            lanes_store_some(r->dbias + j, lanes_add(lanes_load_some(r->dbias + j, some), dy),
                             some);
    }
    lanes mean_g = lanes_set(r->centered ? lanes_sum(sum_g) / (float)r->width : 0);
    lanes mean_gn = lanes_set(lanes_sum(sum_gn) / (float)r->width);
    for (int64_t j = 0; j < r->width; j += LANES) {
        int64_t some = lanes_left(j, r->width);
        lanes n = lanes_mul(lanes_sub(lanes_load_some(r->x + j, some), center), scale);
        lanes g = lanes_mul(lanes_load_some(r->dy + j, some), lanes_load_some(r->gain + j, some));
        lanes dx = lanes_mul(scale, lanes_fnma(n, mean_gn, lanes_sub(g, mean_g)));
        lanes_store_some(r->dx + j, dx, some);
    }
}

// Columns [first, last) of the gradients of gain and bias, by the rows' means and scales: the same chains as in row_grad.
static void column_grads(const struct norm_grad *n, const float *statistics, int64_t first,
                         int64_t last)
{
    size_t bytes = (size_t)(last - first) * sizeof(float);
    if (n->dgain) memset(n->dgain + first, 0, bytes);
    if (n->dbias) memset(n->dbias + first, 0, bytes);
    for (int64_t i = 0; i < n->rows; i++) {
        const float *x = n->x + i * n->width, *dy = n->dy + i * n->width;
        lanes center = lanes_set(statistics[2 * i]), scale = lanes_set(statistics[2 * i + 1]);
        for (int64_t j = first; j < last; j += LANES) {
            int64_t some = lanes_left(j, last);
            lanes slope = lanes_load_some(dy + j, some);
            if (n->dgain) {
                lanes normal = lanes_mul(lanes_sub(lanes_load_some(x + j, some), center), scale);
                lanes sum = lanes_load_some(n->dgain + j, some);
                lanes_store_some(n->dgain + j, lanes_fma(slope, normal, sum), some);
            }
            if (n->dbias) {
                lanes sum = lanes_load_some(n->dbias + j, some);
                lanes_store_some(n->dbias + j, lanes_add(sum, slope), some);
            }
        }
    }
}

// One thread computes all at once. Several compute dx by rows, keep means and scales, meet, and add up by columns.
static void norm_grad(const struct norm_grad *n, float *statistics, const struct part *part,
                      bool centered)
{
    bool alone = part->count == 1;
    struct range rows = part_range(part, n->rows, 1);
    if (alone && n->dgain) memset(n->dgain, 0, (size_t)n->width * sizeof *n->dgain);
    if (alone && n->dbias) memset(n->dbias, 0, (size_t)n->width * sizeof *n->dbias);
    for (int64_t i = rows.first, count; i < rows.last; i += count) {
        float mean[ROWS_AT_ONCE], scale[ROWS_AT_ONCE];
        count = moments(rows.last - i, n->x + i * n->width, n->width, n->epsilon, centered, mean,
                        scale);
        for (int64_t r = 0; r < count; r++) {
            int64_t at = (i + r) * n->width;
            row_grad(&(struct row_grad){n->dx + at, alone ? n->dgain : NULL,
                                        alone ? n->dbias : NULL, n->x + at, n->gain, n->dy + at,
                                        n->width, mean[r], scale[r], centered});
            if (alone) continue;
            statistics[2 * (i + r)] = mean[r];
            statistics[2 * (i + r) + 1] = scale[r];
        }
    }
    if (alone || (!n->dgain && !n->dbias)) return;
    part_meet(part);
    struct range columns = part_range(part, n->width, 2 * LANES);
    column_grads(n, statistics, columns.first, columns.last);
}

// Means and scales of all rows; one part alone keeps none.
size_t KERNEL_NAME(norm_grad_scratch_bytes)(int64_t rows, int parts)
{
    return parts > 1 ? (size_t)rows * 2 * sizeof(float) : 0;
}

void KERNEL_NAME(layer_norm_grad)(const struct norm_grad *n, void *scratch, const struct part *part)
{
    norm_grad(n, scratch, part, true);
}

void KERNEL_NAME(rms_norm_grad)(const struct norm_grad *n, void *scratch, const struct part *part)
{
    norm_grad(n, scratch, part, false);
}
