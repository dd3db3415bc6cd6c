// SPDX-License-Identifier: Apache-2.0
// Flat kernels and embeddings against plain definitions, at odd sizes, on unaligned pointers between guard
// bytes, in place where that is allowed, and with the same bits on every instruction set.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const adds[ISA_COUNT])(float *, const float *, const float *,
                                     int64_t) = KERNEL_ROW(add);
static void (*const scales[ISA_COUNT])(float *, const float *, float, int64_t) = KERNEL_ROW(scale);
static float (*const dots[ISA_COUNT])(const float *, const float *, int64_t) = KERNEL_ROW(dot);
static void (*const activations[ISA_COUNT])(float *, const float *, int64_t,
                                            enum activation) = KERNEL_ROW(activation);
static void (*const activation_grads[ISA_COUNT])(float *, const float *, const float *, int64_t,
                                                 enum activation) = KERNEL_ROW(activation_grad);
static void (*const column_sums[ISA_COUNT])(float *, const float *, int64_t, int64_t,
                                            int64_t) = KERNEL_ROW(column_sum);
static void (*const embeddings[ISA_COUNT])(float *, const float *, const int32_t *, int64_t,
                                           int64_t) = KERNEL_ROW(embedding);
static void (*const embedding_grads[ISA_COUNT])(const struct embedding_grad *, int64_t, int64_t,
                                                void *) = KERNEL_ROW(embedding_grad);

static const int64_t lengths[] = {1, 7, 15, 16, 17, 31, 33, 65, 1003};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };
#define EACH_ISA(isa)                                                                              \
    for (enum isa isa = 0; isa < ISA_COUNT; isa++)                                                 \
        if (isa_available(isa) && adds[isa])

static void adds_and_scales(void **state)
{
    (void)state;
    for (int l = 0; l < LENGTHS; l++) {
        int64_t n = lengths[l];
        EACH_ISA(isa)
        {
            float *a = random_floats(n, 1, 3), *b = random_floats(n, 2, 3), *y = floats(n);
            adds[isa](y, a, b, n);
            for (int64_t i = 0; i < n; i++) assert_true(y[i] == a[i] + b[i]);
            scales[isa](y, a, 0.3f, n);
            for (int64_t i = 0; i < n; i++) assert_true(y[i] == a[i] * 0.3f);
            adds[isa](b, y, b, n);
            adds[isa](y, y, b, n);
            scales[isa](a, a, -2, n);
            for (int64_t i = 0; i < n; i++) assert_true(a[i] * -0.5f * 0.3f + b[i] == y[i]);
            buffers_check_and_free();
        }
    }
}

// The definition of a lane reduction: element i in lane i % 16, then the tree.
static float defined_dot(const float *a, const float *b, int64_t n)
{
    float lane[16] = {0};
    for (int64_t i = 0; i < n; i++) lane[i % 16] = fmaf(a[i], b[i], lane[i % 16]);
    for (int step = 8; step; step /= 2)
        for (int l = 0; l < step; l++) lane[l] += lane[l + step];
    return lane[0];
}

static void dot_is_a_lane_reduction(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 70; n++) {
        EACH_ISA(isa)
        {
            float *a = random_floats(n, 1, 3), *b = random_floats(n, 2, 3);
            float got = dots[isa](a, b, n), want = defined_dot(a, b, n);
            assert_memory_equal(&got, &want, sizeof got);
            double sum = 0;
            for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
            assert_near((double)got, sum, 1e-5, "dot", n);
            buffers_check_and_free();
        }
    }
}

static const double root_2_over_pi = 0.79788456080286535588, root_half = 0.70710678118654752440;

static double define_activation(double x, enum activation activation)
{
    switch (activation) {
    case ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(root_2_over_pi * (x + 0.044715 * x * x * x)));
    case ACTIVATION_GELU:
        return 0.5 * x * (1 + erf(x * root_half));
    case ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case ACTIVATION_TANH:
        return tanh(x);
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return x;
}

static double define_slope(double x, enum activation activation)
{
    double t, s;
    switch (activation) {
    case ACTIVATION_GELU_TANH:
        t = tanh(root_2_over_pi * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root_2_over_pi * (1 + 3 * 0.044715 * x * x);
    case ACTIVATION_GELU:
        return 0.5 * (1 + erf(x * root_half)) +
               x * 0.5 * root_2_over_pi * root_half * 2 * exp(-0.5 * x * x) * root_half;
    case ACTIVATION_RELU:
        return x > 0;
    case ACTIVATION_SILU:
        s = 1 / (1 + exp(-x));
        return s + x * s * (1 - s);
    case ACTIVATION_SIGMOID:
        s = 1 / (1 + exp(-x));
        return s * (1 - s);
    case ACTIVATION_TANH:
        return 1 - tanh(x) * tanh(x);
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return 1;
}

static void activations_and_slopes(void **state)
{
    (void)state;
    for (int l = 0; l < LENGTHS; l++) {
        for (enum activation f = ACTIVATION_NONE; f < ACTIVATION_COUNT; f++) {
            int64_t n = lengths[l];
            float *x = random_floats(n, 3, 9), *dy = random_floats(n, 4, 1);
            float *y0 = floats(n), *dx0 = floats(n);
            activation_generic(y0, x, n, f);
            activation_grad_generic(dx0, x, dy, n, f);
            for (int64_t i = 0; i < n; i++) {
                assert_near((double)y0[i], define_activation((double)x[i], f), 5e-7, "activation",
                            i);
                assert_near((double)dx0[i], (double)dy[i] * define_slope((double)x[i], f), 1e-6,
                            "slope", i);
            }
            EACH_ISA(isa)
            {
                float *y = floats(n), *dx = floats(n), *copy = random_floats(n, 3, 9),
                      *copy_dy = random_floats(n, 4, 1);
                activations[isa](y, x, n, f);
                activation_grads[isa](dx, x, dy, n, f);
                activations[isa](copy, copy, n, f);
                activation_grads[isa](copy_dy, x, copy_dy, n, f);
                assert_same_bits(y0, y, (size_t)n * sizeof *y, "activation", isa);
                assert_same_bits(dx0, dx, (size_t)n * sizeof *y, "slope", isa);
                assert_same_bits(y0, copy, (size_t)n * sizeof *y, "activation in place", isa);
                assert_same_bits(dx0, copy_dy, (size_t)n * sizeof *y, "slope in place", isa);
            }
            buffers_check_and_free();
        }
    }
}

static void activations_at_the_ends(void **state)
{
    (void)state;
    EACH_ISA(isa)
    {
        for (enum activation f = ACTIVATION_GELU_TANH; f <= ACTIVATION_SILU; f++) {
            float x[] = {1e30f, -1e30f, 200, -200, INFINITY, -INFINITY, 0, NAN},
                  ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
            float y[8], dx[8];
            activations[isa](y, x, 8, f);
            activation_grads[isa](dx, x, ones, 8, f);
            assert_true(y[0] == 1e30f && y[1] == 0 && y[2] == 200 && y[3] == 0 &&
                        y[4] == INFINITY && y[6] == 0);
            assert_true(isnan(y[7]));
            assert_true(dx[0] == 1 && dx[1] == 0 && dx[2] == 1 && dx[3] == 0 && dx[4] == 1 &&
                        dx[5] == 0);
            assert_true(f == ACTIVATION_RELU || isnan(dx[7]));
        }
    }
}

static void column_sums_add_in_order(void **state)
{
    (void)state;
    for (int l = 0; l < LENGTHS; l++) {
        for (int64_t rows = 0; rows < 20; rows += rows < 10 ? 1 : 9) {
            int64_t cols = lengths[l];
            float *x = random_floats(rows * cols, 5, 1);
            EACH_ISA(isa)
            {
                float *y = floats(cols);
                column_sums[isa](y, x, cols, rows, cols);
                for (int64_t j = 0; j < cols; j++) {
                    float sum = 0;
                    for (int64_t i = 0; i < rows; i++) sum += x[i * cols + j];
                    assert_true(y[j] == sum);
                }
            }
            buffers_check_and_free();
        }
    }
}

static void embeds_and_scatters(void **state)
{
    (void)state;
    enum { VOCABULARY = 11, ROWS = 29 };
    for (int l = 0; l < LENGTHS; l++) {
        int64_t width = lengths[l];
        float *table = random_floats(VOCABULARY * width, 6, 1),
              *dy = random_floats(ROWS * width, 7, 1);
        int32_t *ids = integers(ROWS);
        for (int i = 0; i < ROWS; i++) ids[i] = i * i % VOCABULARY;
        EACH_ISA(isa)
        {
            float *y = floats(ROWS * width), *dtable = floats(VOCABULARY * width);
            float *onto = random_floats(VOCABULARY * width, 8, 1);
            int32_t *scratch = integers(ROWS + VOCABULARY);
            struct embedding_grad grad = {dtable, NULL, ids, dy, ROWS, width, VOCABULARY};
            embeddings[isa](y, table, ids, ROWS, width);
            // Two parts of the columns.
            embedding_grads[isa](&grad, width / 2, width, scratch);
            embedding_grads[isa](&grad, 0, width / 2, scratch);
            grad.sum = grad.dtable = onto;
            float *before = random_floats(VOCABULARY * width, 8, 1);
            embedding_grads[isa](&grad, 0, width / 2, scratch);
            embedding_grads[isa](&grad, width / 2, width, scratch);
            for (int i = 0; i < ROWS; i++)
                assert_memory_equal(y + i * width, table + ids[i] * width,
                                    (size_t)width * sizeof *y);
            for (int64_t v = 0; v < VOCABULARY; v++) {
                for (int64_t j = 0; j < width; j++) {
                    float sum = 0;
                    for (int i = 0; i < ROWS; i++)
                        if (ids[i] == v) sum += dy[i * width + j];
                    assert_true(dtable[v * width + j] == sum);
                    assert_true(onto[v * width + j] == before[v * width + j] + sum);
                }
            }
        }
        buffers_check_and_free();
    }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_and_scales),          cmocka_unit_test(dot_is_a_lane_reduction),
        cmocka_unit_test(activations_and_slopes),   cmocka_unit_test(activations_at_the_ends),
        cmocka_unit_test(column_sums_add_in_order), cmocka_unit_test(embeds_and_scatters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
