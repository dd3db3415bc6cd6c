// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm, forward and backward, against the formulas in double, and the same bits on every
// instruction set.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const layer_norms[ISA_COUNT])(float *, const float *, const float *, const float *,
                                            int64_t, int64_t, float) = KERNEL_ROW(layer_norm);
static void (*const rms_norms[ISA_COUNT])(float *, const float *, const float *, int64_t, int64_t,
                                          float) = KERNEL_ROW(rms_norm);
static void (*const layer_grads[ISA_COUNT])(const struct norm_grad *, void *,
                                            const struct part *) = KERNEL_ROW(layer_norm_grad);
static void (*const rms_grads[ISA_COUNT])(const struct norm_grad *, void *,
                                          const struct part *) = KERNEL_ROW(rms_norm_grad);

static const int64_t widths[] = {1, 7, 16, 17, 31, 33, 65, 768};
enum { WIDTHS = sizeof widths / sizeof widths[0], ROWS = 5 };
static const float epsilon = 1e-5f;

struct operands {
    int64_t width;
    bool centered; // layer norm, else RMS norm
    float *x, *gain, *bias, *dy;
};

struct results {
    float *y, *dx, *dgain, *dbias;
};

static struct results define(const struct operands *o)
{
    int64_t width = o->width;
    struct results r = {floats(ROWS * width), floats(ROWS * width), floats(width), floats(width)};
    double *dgain = calloc((size_t)width, sizeof *dgain),
           *dbias = calloc((size_t)width, sizeof *dbias);
    assert_true(dgain && dbias);
    for (int64_t i = 0; i < ROWS; i++) {
        const float *x = o->x + i * width, *dy = o->dy + i * width;
        double mean = 0, square = 0, mean_g = 0, mean_gn = 0, n = (double)width;
        for (int64_t j = 0; o->centered && j < width; j++) mean += (double)x[j] / n;
        for (int64_t j = 0; j < width; j++)
            square += ((double)x[j] - mean) * ((double)x[j] - mean) / n;
        double scale = 1 / sqrt(square + (double)epsilon);
        for (int64_t j = 0; j < width; j++) {
            double normal = ((double)x[j] - mean) * scale, g = (double)dy[j] * (double)o->gain[j];
            r.y[i * width + j] =
                (float)(normal * (double)o->gain[j] + (o->bias ? (double)o->bias[j] : 0));
            mean_g += o->centered ? g / n : 0;
            mean_gn += g * normal / n;
            dgain[j] += (double)dy[j] * normal;
            dbias[j] += (double)dy[j];
        }
        for (int64_t j = 0; j < width; j++) {
            double normal = ((double)x[j] - mean) * scale, g = (double)dy[j] * (double)o->gain[j];
            r.dx[i * width + j] = (float)(scale * (g - mean_g - normal * mean_gn));
        }
    }
    for (int64_t j = 0; j < width; j++) r.dgain[j] = (float)dgain[j], r.dbias[j] = (float)dbias[j];
    free(dgain);
    free(dbias);
    return r;
}

static struct results compute(const struct operands *o, enum isa isa)
{
    int64_t width = o->width;
    struct results r = {floats(ROWS * width), floats(ROWS * width), floats(width), floats(width)};
    struct norm_grad n = {.dx = r.dx,
                          .dgain = r.dgain,
                          .dbias = o->centered ? r.dbias : NULL,
                          .x = o->x,
                          .gain = o->gain,
                          .dy = o->dy,
                          .rows = ROWS,
                          .width = width,
                          .epsilon = epsilon};
    if (o->centered) {
        layer_norms[isa](r.y, o->x, o->gain, o->bias, ROWS, width, epsilon);
        layer_grads[isa](&n, NULL, &part_whole);
    } else {
        rms_norms[isa](r.y, o->x, o->gain, ROWS, width, epsilon);
        rms_grads[isa](&n, NULL, &part_whole);
        memset(r.dbias, 0, (size_t)width * sizeof *r.dbias);
    }
    return r;
}

static void compare(const struct operands *o)
{
    int64_t width = o->width;
    struct results want = define(o), first = compute(o, ISA_GENERIC);
    for (int64_t i = 0; i < ROWS * width; i++) {
        assert_near((double)first.y[i], (double)want.y[i], 3e-6, "y", i);
        // At width 1 (and x far from the mean of few) scale is large and dx a difference of equal numbers.
        assert_near((double)first.dx[i], (double)want.dx[i], width < 2 ? 1e-3 : 1e-5, "dx", i);
    }
    for (int64_t j = 0; j < width; j++) {
        assert_near((double)first.dgain[j], (double)want.dgain[j], 1e-5, "dgain", j);
        if (o->centered)
            assert_near((double)first.dbias[j], (double)want.dbias[j], 1e-5, "dbias", j);
    }
    for (enum isa isa = ISA_GENERIC + 1; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !layer_norms[isa]) continue;
        struct results r = compute(o, isa);
        assert_same_bits(first.y, r.y, (size_t)(ROWS * width) * sizeof(float), "y", isa);
        assert_same_bits(first.dx, r.dx, (size_t)(ROWS * width) * sizeof(float), "dx", isa);
        assert_same_bits(first.dgain, r.dgain, (size_t)width * sizeof(float), "dgain", isa);
        assert_same_bits(first.dbias, r.dbias, (size_t)width * sizeof(float), "dbias", isa);
    }
    buffers_check_and_free();
}

static struct operands make(int64_t width, bool centered)
{
    struct operands o = {width,
                         centered,
                         random_floats(ROWS * width, 1, 2),
                         random_floats(width, 2, 1),
                         random_floats(width, 3, 1),
                         random_floats(ROWS * width, 4, 1)};
    return o;
}

static void layer_norm_is_its_formula(void **state)
{
    (void)state;
    for (int i = 0; i < WIDTHS; i++) {
        struct operands o = make(widths[i], true);
        compare(&o);
        o = make(widths[i], true);
        o.bias = NULL;
        compare(&o);
    }
}

static void rms_norm_is_its_formula(void **state)
{
    (void)state;
    for (int i = 0; i < WIDTHS; i++) {
        struct operands o = make(widths[i], false);
        o.bias = NULL;
        compare(&o);
    }
}

// Mean 1,000 and deviation 0.6: a variance from sums of squares would have lost every digit.
static void survives_a_large_mean(void **state)
{
    (void)state;
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !layer_norms[isa]) continue;
        enum { N = 100 };
        float *x = random_floats(N, 9, 1), *gain = floats(N), *y = floats(N);
        double mean = 0, square = 0;
        for (int i = 0; i < N; i++) gain[i] = 1, x[i] += 1000, mean += (double)x[i] / N;
        for (int i = 0; i < N; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean) / N;
        layer_norms[isa](y, x, gain, NULL, 1, N, epsilon);
        for (int i = 0; i < N; i++)
            assert_near((double)y[i], ((double)x[i] - mean) / sqrt(square + (double)epsilon), 2e-4,
                        "y", i);
        buffers_check_and_free();
    }
}

static void gradients_of_gain_and_bias_are_optional(void **state)
{
    (void)state;
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !layer_norms[isa]) continue;
        struct operands o = make(33, true);
        struct results r = compute(&o, isa);
        float *dx = floats(ROWS * 33);
        const struct norm_grad n = {.dx = dx,
                                    .x = o.x,
                                    .gain = o.gain,
                                    .dy = o.dy,
                                    .rows = ROWS,
                                    .width = 33,
                                    .epsilon = epsilon};
        layer_grads[isa](&n, NULL, &part_whole);
        assert_memory_equal(dx, r.dx, ROWS * 33 * sizeof *dx);
        o.centered = false;
        r = compute(&o, isa);
        rms_grads[isa](&n, NULL, &part_whole);
        assert_memory_equal(dx, r.dx, ROWS * 33 * sizeof *dx);
        buffers_check_and_free();
    }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm_is_its_formula),
        cmocka_unit_test(rms_norm_is_its_formula),
        cmocka_unit_test(survives_a_large_mean),
        cmocka_unit_test(gradients_of_gain_and_bias_are_optional),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
