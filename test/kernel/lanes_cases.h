// SPDX-License-Identifier: Apache-2.0
// Every operation of lanes.h against its scalar meaning, on ordinary numbers and on all kinds of special
// ones. A file per instruction set includes this, after telling the compiler which instructions it may use
// and defining LANES_<isa>.
#ifndef STN_TEST_KERNEL_LANES_CASES_H
#define STN_TEST_KERNEL_LANES_CASES_H

#include "base/cpu.h"
#include "base/philox.h"
#include "kernel/cpu/lanes/lanes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { COUNT = 64 * LANES };

static float word_float(uint32_t word)
{
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}
static uint32_t float_word(float x)
{
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    return word;
}

// Special values against each other first, then random bits (denormals made zero), then numbers of modest size.
static void fill(float *a, float *b, float *c)
{
    static const float special[] = {0.0f,   -0.0f,    1,         -1,         0.5f,     -0.5f,
                                    1.5f,   2.5f,     -2.5f,     8388607.5f, -8388609, 1e30f,
                                    -1e30f, INFINITY, -INFINITY, NAN};
    struct philox_address at = {.seed = 3, .stream = philox_stream(PHILOX_TEST, 1)};
    for (uint32_t i = 0; i < COUNT; i++) {
        float *const to[3] = {&a[i], &b[i], &c[i]};
        for (uint32_t j = 0; j < 3; j++) {
            uint32_t word = philox_bits(at, 3 * i + j);
            if ((word & 0x7f800000) == 0) word &= 0x80000000;
            *to[j] = i < 256   ? special[(i >> 4 * j) % 16]
                     : i < 640 ? word_float(word)
                               : (float)(int32_t)word * 0x1p-24f;
        }
        if (i < 256) c[i] = special[(i * 7 + i / 16) % 16];
    }
}

static void check_float(const char *what, lanes got, const float want[LANES], const float *a,
                        const float *b)
{
    float x[LANES];
    lanes_store(x, got);
    for (int i = 0; i < LANES; i++) {
        if (isnan(x[i]) && isnan(want[i])) continue;
        if (float_word(x[i]) == float_word(want[i])) continue;
        fail_msg("%s(%a, %a) is %a, should be %a", what, (double)a[i], (double)b[i], (double)x[i],
                 (double)want[i]);
    }
}
static void check_word(const char *what, lanes_u32 got, const uint32_t want[LANES])
{
    uint32_t x[LANES];
    lanes_u32_store(x, got);
    for (int i = 0; i < LANES; i++)
        if (x[i] != want[i])
            fail_msg("%s: lane %d is %08x, should be %08x", what, i, x[i], want[i]);
}

// Checks `vector`, made of lanes x, y, z, lane by lane against `scalar`, made of floats u, v, w.
#define CHECK(what, vector, scalar)                                                                \
    do {                                                                                           \
        float want[LANES];                                                                         \
        for (int l = 0; l < LANES; l++) {                                                          \
            float u = a[i + l], v = b[i + l], w = c[i + l];                                        \
            (void)u, (void)v, (void)w;                                                             \
            want[l] = scalar;                                                                      \
        }                                                                                          \
        check_float(what, vector, want, a + i, b + i);                                             \
    } while (0)

static lanes as_float(lanes_mask m) { return lanes_select(m, lanes_set(1), lanes_zero()); }

static float a[COUNT], b[COUNT], c[COUNT];

static void numbers_and_masks(void **state)
{
    (void)state;
    fill(a, b, c);
    for (int i = 0; i < COUNT; i += LANES) {
        lanes x = lanes_load(a + i), y = lanes_load(b + i), z = lanes_load(c + i);
        CHECK("add", lanes_add(x, y), u + v);
        CHECK("sub", lanes_sub(x, y), u - v);
        CHECK("mul", lanes_mul(x, y), u * v);
        CHECK("div", lanes_div(x, y), u / v);
        CHECK("fma", lanes_fma(x, y, z), fmaf(u, v, w));
        CHECK("fnma", lanes_fnma(x, y, z), fmaf(-u, v, w));
        CHECK("sqrt", lanes_sqrt(x), sqrtf(u));
        CHECK("max", lanes_max(x, y), u > v ? u : v);
        CHECK("min", lanes_min(x, y), u < v ? u : v);
        CHECK("abs", lanes_abs(x), fabsf(u));
        CHECK("neg", lanes_neg(x), -u);
        CHECK("copy_sign", lanes_copy_sign(x, y), copysignf(u, v));
        CHECK("round", lanes_round(x), rintf(u));
        CHECK("floor", lanes_floor(x), floorf(u));
        CHECK("less", as_float(lanes_less(x, y)), u < v);
        CHECK("less_equal", as_float(lanes_less_equal(x, y)), u <= v);
        CHECK("equal", as_float(lanes_equal(x, y)), u == v);
        CHECK("greater", as_float(lanes_greater(x, y)), u > v);
        CHECK("is_nan", as_float(lanes_is_nan(x)), u != u);
        CHECK("select", lanes_select(lanes_less(x, y), z, x), u < v ? w : u);
        CHECK("and", as_float(lanes_mask_and(lanes_less(x, y), lanes_less(y, z))), u < v && v < w);
        CHECK("or", as_float(lanes_mask_or(lanes_less(x, y), lanes_less(y, z))), u < v || v < w);
        CHECK("not", as_float(lanes_mask_not(lanes_less(x, y))), u < v ? 0.0f : 1.0f);
        CHECK("set", lanes_set(a[i]), a[i]);
        CHECK("from_bits", lanes_from_bits(lanes_bits(x)), u);
        for (int n = 0; n <= LANES; n++) {
            float guarded[LANES + 1];
            for (int l = 0; l <= LANES; l++) guarded[l] = 7;
            CHECK("load_some", lanes_load_some(a + i, n), l < n ? u : 0);
            CHECK("keep", lanes_keep(x, y, n), l < n ? u : v);
            lanes_store_some(guarded, x, n);
            for (int l = 0; l <= LANES; l++)
                assert_int_equal(float_word(guarded[l]), float_word(l < n ? a[i + l] : 7));
            assert_int_equal(lanes_any(lanes_first(n)), n > 0);
        }
    }
}

static float power_scaled(float x, int n) { return (float)ldexp((double)x, n); }

static void integers_and_powers(void **state)
{
    (void)state;
    fill(a, b, c);
    for (int i = 640; i < COUNT; i += LANES) {
        uint32_t p[LANES], q[LANES], words[LANES];
        memcpy(p, a + i, sizeof p);
        memcpy(q, b + i, sizeof q);
        q[3] = p[3], q[5] = 0xffffffff, p[6] = 0x80000000;
        lanes_u32 x = lanes_u32_load(p), y = lanes_u32_load(q);
#define CHECK_WORD(what, vector, scalar)                                                           \
    do {                                                                                           \
        for (int l = 0; l < LANES; l++) words[l] = scalar;                                         \
        check_word(what, vector, words);                                                           \
    } while (0)
        CHECK_WORD("add", lanes_u32_add(x, y), p[l] + q[l]);
        CHECK_WORD("sub", lanes_u32_sub(x, y), p[l] - q[l]);
        CHECK_WORD("and", lanes_u32_and(x, y), p[l] & q[l]);
        CHECK_WORD("or", lanes_u32_or(x, y), p[l] | q[l]);
        CHECK_WORD("xor", lanes_u32_xor(x, y), p[l] ^ q[l]);
        CHECK_WORD("mul_low", lanes_u32_mul_low(x, y), p[l] * q[l]);
        CHECK_WORD("mul_high", lanes_u32_mul_high(x, y), (uint32_t)((uint64_t)p[l] * q[l] >> 32));
        CHECK_WORD("set", lanes_u32_set(p[0]), p[0]);
        CHECK_WORD("iota", lanes_u32_iota(), (uint32_t)l);
        CHECK_WORD("select", lanes_u32_select(lanes_u32_less(x, y), x, y),
                   p[l] < q[l] ? p[l] : q[l]);
        CHECK_WORD("equal", lanes_u32_select(lanes_u32_equal(x, y), x, lanes_u32_set(1)),
                   p[l] == q[l] ? p[l] : 1);
        for (int count = 0; count < 32; count++) {
            CHECK_WORD("left", lanes_u32_left(x, count), p[l] << count);
            CHECK_WORD("right", lanes_u32_right(x, count), p[l] >> count);
            CHECK_WORD("right_signed", lanes_u32_right_signed(x, count),
                       (uint32_t)((int32_t)p[l] >> count));
        }
        lanes f = lanes_load(a + i);
        CHECK_WORD("to_int", lanes_to_int(lanes_mul(f, lanes_set(1e6f))),
                   (uint32_t)(int32_t)rintf(a[i + l] * 1e6f));
        CHECK("from_int", lanes_from_int(x), (float)(int32_t)p[l]);
        for (int n = -252; n <= 252; n += 9)
            CHECK("scale_power2", lanes_scale_power2(f, lanes_set((float)n)),
                  fabsf(power_scaled(u, n)) < 0x1p-126f ? copysignf(0, u) : power_scaled(u, n));
    }
}

static void sums_are_trees(void **state)
{
    (void)state;
    fill(a, b, c);
    for (int i = 0; i < COUNT; i += LANES) {
        float sum[LANES], most[LANES];
        memcpy(sum, a + i, sizeof sum);
        memcpy(most, a + i, sizeof most);
        for (int step = 8; step; step /= 2) {
            for (int l = 0; l < step; l++) {
                sum[l] += sum[l + step];
                most[l] = most[l] > most[l + step] ? most[l] : most[l + step];
            }
        }
        lanes x = lanes_load(a + i);
        CHECK("sum", lanes_set(lanes_sum(x)), sum[0]);
        CHECK("max_all", lanes_set(lanes_max_all(x)), most[0]);
    }
}

// Sums that seem to lie in the middle between two floats when they are rounded to double first.
static void fma_rounds_once(void **state)
{
    (void)state;
    struct philox_address at = {.seed = 5, .stream = philox_stream(PHILOX_TEST, 2)};
    for (uint32_t i = 0; i < 4096; i += LANES) {
        float x[LANES], y[LANES], z[LANES], want[LANES];
        for (uint32_t l = 0; l < LANES; l++) {
            uint32_t bits = philox_bits(at, i + l);
            // z + x y with x y = half a unit of z, plus or minus a little that a double just loses.
            z[l] = 1 + (float)(bits & 0xff) * 0x1p-23f;
            x[l] = (1 + (float)(bits >> 8 & 3) * 0x1p-23f) * 0x1p-12f;
            y[l] =
                (1 - (float)(bits >> 10 & 3) * 0x1p-24f) * (bits >> 12 & 1 ? 0x1p-12f : -0x1p-12f);
            if (bits >> 13 & 1) z[l] *= 0x1p30f, x[l] *= 0x1p30f;
            want[l] = fmaf(x[l], y[l], z[l]);
        }
        check_float("fma", lanes_fma(lanes_load(x), lanes_load(y), lanes_load(z)), want, x, y);
    }
}

static int run_cases(enum isa isa)
{
    if (!isa_available(isa)) {
        printf("1..1\nok 1 - lanes # SKIP this processor has no %s\n", isa_name(isa));
        return 0;
    }
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_masks),
        cmocka_unit_test(integers_and_powers),
        cmocka_unit_test(sums_are_trees),
        cmocka_unit_test(fma_rounds_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
