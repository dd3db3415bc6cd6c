// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm, row by row; the backward kernels compute mean and scale again instead of keeping them.
//
// With n = (x - mean) r and g = dy gain: dx = r (g - mean(g) - n mean(g n)); RMS norm is the same without the
// means of x and g. Sources: Ba et al. 2016, arXiv:1607.06450; Zhang and Sennrich 2019, arXiv:1910.07467.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/lanes.h"

#include <math.h>

static float row_mean(const float *x, int64_t width)
{
    lanes sum = lanes_zero();
    for (int64_t j = 0; j < width; j += LANES) {
        int64_t some = lanes_left(j, width);
        sum = lanes_keep(lanes_add(sum, lanes_load_some(x + j, some)), sum, some);
    }
    return lanes_sum(sum) / (float)width;
}

// 1 / sqrt(mean((x - mean)^2) + epsilon)
static float row_scale(const float *x, int64_t width, float mean, float epsilon)
{
    lanes sum = lanes_zero(), center = lanes_set(mean);
    for (int64_t j = 0; j < width; j += LANES) {
        int64_t some = lanes_left(j, width);
        lanes d = lanes_sub(lanes_load_some(x + j, some), center);
        sum = lanes_keep(lanes_fma(d, d, sum), sum, some);
    }
    return 1 / sqrtf(lanes_sum(sum) / (float)width + epsilon);
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

void KERNEL_NAME(layer_norm)(float *y, const float *x, const float *gain, const float *bias,
                             int64_t rows, int64_t width, float epsilon)
{
    for (int64_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        float mean = row_mean(row, width);
        row_norm(y + i * width, row, gain, bias, width, mean, row_scale(row, width, mean, epsilon));
    }
}

void KERNEL_NAME(rms_norm)(float *y, const float *x, const float *gain, int64_t rows, int64_t width,
                           float epsilon)
{
    for (int64_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        row_norm(y + i * width, row, gain, NULL, width, 0, row_scale(row, width, 0, epsilon));
    }
}

struct norm_grad {
    float *dx;
    float *dgain, *dbias; // NULL or sums so far
    const float *x, *gain, *dy;
    int64_t width;
    float mean, scale;
    bool centered; // layer norm
};

static void row_grad(const struct norm_grad *r)
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

void KERNEL_NAME(layer_norm_grad)(float *dx, float *dgain, float *dbias, const float *x,
                                  const float *gain, const float *dy, int64_t rows, int64_t width,
                                  float epsilon)
{
    if (dgain) memset(dgain, 0, (size_t)width * sizeof *dgain);
    if (dbias) memset(dbias, 0, (size_t)width * sizeof *dbias);
    for (int64_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        float mean = row_mean(row, width), scale = row_scale(row, width, mean, epsilon);
        row_grad(&(struct norm_grad){dx + i * width, dgain, dbias, row, gain, dy + i * width, width,
                                     mean, scale, true});
    }
}

void KERNEL_NAME(rms_norm_grad)(float *dx, float *dgain, const float *x, const float *gain,
                                const float *dy, int64_t rows, int64_t width, float epsilon)
{
    if (dgain) memset(dgain, 0, (size_t)width * sizeof *dgain);
    for (int64_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        float scale = row_scale(row, width, 0, epsilon);
        row_grad(&(struct norm_grad){dx + i * width, dgain, NULL, row, gain, dy + i * width, width,
                                     0, scale, false});
    }
}
