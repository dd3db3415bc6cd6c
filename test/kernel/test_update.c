// SPDX-License-Identifier: Apache-2.0
// The owner's kernels: sums along the batch tree in its order, norms, and the optimizers against double formulas.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const tree_sums[ISA_COUNT])(float *, const float *const *, const int16_t *, int,
                                          int64_t) = KERNEL_ROW(tree_sum);
static void (*const squares[ISA_COUNT])(double *, const float *, const float *, double,
                                        int64_t) = KERNEL_ROW(square_sums);
static float (*const magnitudes[ISA_COUNT])(const float *, int64_t) = KERNEL_ROW(max_magnitude);
static void (*const sgd[ISA_COUNT])(float *, float *, const float *, const struct update *,
                                    int64_t) = KERNEL_ROW(update_sgd);
static void (*const rmsprop[ISA_COUNT])(float *, float *, float *, const float *,
                                        const struct update *,
                                        int64_t) = KERNEL_ROW(update_rmsprop);
static void (*const adam[ISA_COUNT])(float *, float *, float *, const float *,
                                     const struct update *, int64_t) = KERNEL_ROW(update_adam);

static const int64_t lengths[] = {1, 7, 16, 17, 31, 33, 65, 255, 256, 257, 1023, 1024, 1025, 2500};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

// ---- sums ----
static void tree_sum_adds_in_the_order_of_its_program(void **state)
{
    (void)state;
    static const int16_t program[] = {0, 1, -1, 2, 3, -1, -1, 4, -1}; // ((0 + 1) + (2 + 3)) + 4
    enum { ARRAYS = 5, OPERATIONS = sizeof program / sizeof program[0] };
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !tree_sums[isa]) continue;
        for (int l = 0; l < LENGTHS; l++) {
            int64_t n = lengths[l];
            const float *x[ARRAYS];
            for (int a = 0; a < ARRAYS; a++)
                x[a] = random_floats(n, 20 + (uint32_t)a, a % 2 ? 1 : 1000);
            float *y = floats(n), *want = floats(n);
            for (int64_t i = 0; i < n; i++) {
                float left = x[0][i] + x[1][i], right = x[2][i] + x[3][i], both = left + right;
                want[i] = both + x[4][i];
            }
            tree_sums[isa](y, x, program, OPERATIONS, n);
            assert_memory_equal(y, want, (size_t)n * sizeof *y);
            for (int a = 0; a < ARRAYS; a++) { // the result over each of the arrays in turn
                float *copy = floats(n);
                memcpy(copy, x[a], (size_t)n * sizeof *copy);
                const float *others[ARRAYS];
                memcpy(others, x, sizeof others);
                others[a] = copy;
                tree_sums[isa](copy, others, program, OPERATIONS, n);
                assert_memory_equal(copy, want, (size_t)n * sizeof *copy);
            }
            tree_sums[isa](y, x + 2, (const int16_t[]){0}, 1, n); // one array: a copy
            assert_memory_equal(y, x[2], (size_t)n * sizeof *y);
            buffers_check_and_free();
        }
    }
}

static void tree_sum_reaches_its_full_depth(void **state)
{
    (void)state;
    enum { ARRAYS = 32, N = 300 };
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !tree_sums[isa]) continue;
        const float *x[ARRAYS];
        int16_t program[2 * ARRAYS - 1];
        float *y = floats(N), *want = floats(N);
        for (int a = 0; a < ARRAYS; a++) {
            x[a] = random_floats(N, (uint32_t)a, 1);
            program[a] = (int16_t)a; // all pushed, then all added, from the top
            if (a) program[ARRAYS + a - 1] = -1;
        }
        for (int i = 0; i < N; i++) {
            want[i] = x[ARRAYS - 1][i];
            for (int a = ARRAYS - 2; a >= 0; a--) want[i] = x[a][i] + want[i];
        }
        tree_sums[isa](y, x, program, 2 * ARRAYS - 1, N);
        assert_memory_equal(y, want, N * sizeof *y);
        buffers_check_and_free();
    }
}

static void square_sums_follow_their_definition(void **state)
{
    (void)state;
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !squares[isa]) continue;
        for (int l = 0; l < LENGTHS; l++) {
            int64_t n = lengths[l], partials = (n + 1023) / 1024;
            float *g = random_floats(n, 3, 10);
            double *got = buffer_bytes((size_t)partials * sizeof *got, true);
            squares[isa](got, g, NULL, 0.3, n);
            for (int64_t p = 0; p < partials; p++) {
                double lane[16] = {0};
                for (int64_t i = 1024 * p; i < n && i < 1024 * (p + 1); i++) {
                    double x = (double)g[i] * 0.3;
                    lane[i % 16] += x * x;
                }
                for (int half = 8; half; half /= 2)
                    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
                assert_true(got[p] == lane[0]);
            }
            buffers_check_and_free();
        }
    }
}

static void max_magnitude_finds_the_largest_and_shows_a_nan(void **state)
{
    (void)state;
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !magnitudes[isa]) continue;
        for (int l = 0; l < LENGTHS; l++) {
            int64_t n = lengths[l];
            float *g = random_floats(n, 3, 10);
            for (int64_t at = 0; at < n; at += 1 + n / 5) {
                float before = g[at];
                g[at] = -12.5f;
                assert_true(magnitudes[isa](g, n) == 12.5f);
                g[at] = -INFINITY;
                assert_true(isinf(magnitudes[isa](g, n)));
                g[(at + 1) % n] = NAN;
                assert_true(isnan(magnitudes[isa](g, n)));
                g[(at + 1) % n] = 0;
                g[at] = before;
            }
            memset(g, 0, (size_t)n * sizeof *g);
            assert_true(magnitudes[isa](g, n) == 0);
            buffers_check_and_free();
        }
    }
}

// ---- optimizers ----
enum kind { SGD, SGD_MOMENTUM, RMSPROP, RMSPROP_MOMENTUM, ADAM, KINDS };

// One step of one element in double, as the papers write it.
static void plain_step(enum kind kind, double *w, double *a, double *b, double g,
                       const struct update *u)
{
    double rate = (double)u->learning_rate;
    g *= (double)u->gradient_scale;
    if (u->clip_value > 0) g = fmax(-(double)u->clip_value, fmin((double)u->clip_value, g));
    g += (double)u->l2 * *w + (double)u->l1 * ((*w > 0) - (*w < 0));
    *w -= rate * (double)u->decay * *w;
    double step = g;
    if (kind == SGD_MOMENTUM) {
        *a = (double)u->momentum * *a + g;
        step = u->nesterov ? g + (double)u->momentum * *a : *a;
    } else if (kind == RMSPROP || kind == RMSPROP_MOMENTUM) {
        *a = (double)u->beta2 * *a + (double)u->rest2 * g * g;
        step = g / (sqrt(*a) + (double)u->epsilon);
        if (kind == RMSPROP_MOMENTUM) step = *b = (double)u->momentum * *b + step;
    } else if (kind == ADAM) {
        *a += (double)u->rest1 * (g - *a);
        *b = (double)u->beta2 * *b + (double)u->rest2 * g * g;
        step = *a / (double)u->correction1 /
               (sqrt(*b) / sqrt((double)u->correction2) + (double)u->epsilon);
    }
    *w -= rate * step;
}

static void kernel_step(enum kind kind, enum isa isa, float *w, float *a, float *b, const float *g,
                        const struct update *u, int64_t n)
{
    switch (kind) {
    case SGD:
        sgd[isa](w, NULL, g, u, n);
        break;
    case SGD_MOMENTUM:
        sgd[isa](w, a, g, u, n);
        break;
    case RMSPROP:
        rmsprop[isa](w, a, NULL, g, u, n);
        break;
    case RMSPROP_MOMENTUM:
        rmsprop[isa](w, a, b, g, u, n);
        break;
    default:
        adam[isa](w, a, b, g, u, n);
        break;
    }
}

// The sum of two arrays, never written, has the squares and gives the step of the sum that is written.
static void two_arrays_count_as_their_sum(void **state)
{
    (void)state;
    struct update u = {.gradient_scale = 0.25f,
                       .clip_value = 0.4f,
                       .learning_rate = 0.01f,
                       .l1 = 0.02f,
                       .l2 = 0.03f,
                       .decay = 0.1f,
                       .momentum = 0.9f,
                       .beta2 = 0.99f,
                       .rest1 = 0.1f,
                       .rest2 = 0.01f,
                       .epsilon = 1e-8f,
                       .correction1 = 0.271f,
                       .correction2 = 0.029701f};
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !squares[isa]) continue;
        for (int l = 0; l < LENGTHS; l++) {
            int64_t n = lengths[l], partials = (n + 1023) / 1024;
            float *g = random_floats(n, 3, 10), *more = random_floats(n, 4, 0.1), *sum = floats(n);
            for (int64_t i = 0; i < n; i++) sum[i] = g[i] + more[i];
            double *got = buffer_bytes((size_t)partials * sizeof *got, true);
            double *want = buffer_bytes((size_t)partials * sizeof *want, true);
            squares[isa](got, g, more, 0.3, n);
            squares[isa](want, sum, NULL, 0.3, n);
            assert_memory_equal(got, want, (size_t)partials * sizeof *got);
            for (enum kind kind = 0; kind < KINDS; kind++) {
                float *x[2][3];
                for (int i = 0; i < 2; i++) {
                    for (int j = 0; j < 3; j++) x[i][j] = random_floats(n, 40 + (uint32_t)j, 1);
                    for (int64_t k = 0; k < n; k++) x[i][1][k] = fabsf(x[i][1][k]);
                    for (int64_t k = 0; k < n; k++) x[i][2][k] = fabsf(x[i][2][k]);
                    u.more = i ? NULL : more;
                    kernel_step(kind, isa, x[i][0], x[i][1], x[i][2], i ? sum : g, &u, n);
                }
                for (int j = 0; j < 3; j++)
                    assert_same_bits(x[1][j], x[0][j], (size_t)n * 4, "two arrays", isa);
            }
            buffers_check_and_free();
        }
    }
}

static void run_updates(enum kind kind, const struct update *u, int64_t n)
{
    float *first[3] = {NULL};
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !sgd[isa]) continue;
        float *w = random_floats(n, 40, 1), *g = random_floats(n, 41, 3),
              *a = random_floats(n, 42, 0.1);
        float *b = random_floats(n, 43, 0.1);
        w[0] = 0; // l1 leaves a zero weight alone
        for (int64_t i = 0; i < n; i++) a[i] = fabsf(a[i]), b[i] = fabsf(b[i]);
        double *want = malloc((size_t)n * sizeof *want);
        for (int64_t i = 0; i < n; i++) {
            double x = (double)w[i], p = (double)a[i], q = (double)b[i];
            plain_step(kind, &x, &p, &q, (double)g[i], u);
            want[i] = x;
        }
        kernel_step(kind, isa, w, a, b, g, u, n);
        for (int64_t i = 0; i < n; i++) assert_near((double)w[i], want[i], 4e-7, "w", i);
        free(want);
        // cut anywhere: the same bits
        float *w2 = random_floats(n, 40, 1), *a2 = random_floats(n, 42, 0.1),
              *b2 = random_floats(n, 43, 0.1);
        w2[0] = 0;
        for (int64_t i = 0; i < n; i++) a2[i] = fabsf(a2[i]), b2[i] = fabsf(b2[i]);
        int64_t cut = n / 3;
        kernel_step(kind, isa, w2, a2, b2, g, u, cut);
        kernel_step(kind, isa, w2 + cut, a2 + cut, b2 + cut, g + cut, u, n - cut);
        assert_same_bits(w, w2, (size_t)n * 4, "w, cut", isa);
        assert_same_bits(a, a2, (size_t)n * 4, "first state, cut", isa);
        assert_same_bits(b, b2, (size_t)n * 4, "second state, cut", isa);
        if (!first[0]) first[0] = w, first[1] = a, first[2] = b;
        assert_same_bits(first[0], w, (size_t)n * 4, "w", isa);
        assert_same_bits(first[1], a, (size_t)n * 4, "first state", isa);
        assert_same_bits(first[2], b, (size_t)n * 4, "second state", isa);
    }
    buffers_check_and_free();
}

static void updates_follow_their_formulas(void **state)
{
    (void)state;
    const struct update plain = {.gradient_scale = 0.25f,
                                 .learning_rate = 0.01f,
                                 .momentum = 0.9f,
                                 .beta1 = 0.9f,
                                 .beta2 = 0.99f,
                                 .rest1 = 0.1f,
                                 .rest2 = 0.01f,
                                 .epsilon = 1e-8f,
                                 .correction1 = 0.271f,
                                 .correction2 = 0.029701f};
    struct update all = plain;
    all.clip_value = 0.4f, all.l1 = 0.02f, all.l2 = 0.03f, all.decay = 0.1f, all.nesterov = true;
    for (enum kind kind = 0; kind < KINDS; kind++)
        for (int l = 0; l < LENGTHS; l++) {
            run_updates(kind, &plain, lengths[l]);
            run_updates(kind, &all, lengths[l]);
        }
}

static void a_nan_gradient_is_not_hidden_by_clipping(void **state)
{
    (void)state;
    const struct update u = {.gradient_scale = 1, .learning_rate = 1, .clip_value = 1};
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !sgd[isa]) continue;
        float w[3] = {0, 0, 0}, g[3] = {NAN, 5, -INFINITY};
        sgd[isa](w, NULL, g, &u, 3);
        assert_true(isnan(w[0]) && w[1] == -1 && w[2] == 1);
    }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_sum_adds_in_the_order_of_its_program),
        cmocka_unit_test(tree_sum_reaches_its_full_depth),
        cmocka_unit_test(square_sums_follow_their_definition),
        cmocka_unit_test(two_arrays_count_as_their_sum),
        cmocka_unit_test(max_magnitude_finds_the_largest_and_shows_a_nan),
        cmocka_unit_test(updates_follow_their_formulas),
        cmocka_unit_test(a_nan_gradient_is_not_hidden_by_clipping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
