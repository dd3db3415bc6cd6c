// SPDX-License-Identifier: Apache-2.0
// stable_math against the C library's long double functions, and its bits against hashes that every
// machine must give.
#include "base/philox.h"
#include "base/stable_math.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static double uniform(uint64_t i)
{
    struct philox_address at = {.seed = 7, .stream = philox_stream(PHILOX_TEST, 1)};
    return philox_uniform(at, i);
}

// Distance in units of the last place of the true value.
static double ulps(double got, long double want)
{
    double near = (double)want;
    if (isinf(near) || isnan(near)) return got == near || (isnan(got) && isnan(near)) ? 0 : 1e30;
    double unit = nextafter(fabs(near), INFINITY) - fabs(near);
    return (double)(fabsl((long double)got - want) / (long double)unit);
}

static uint64_t add_to_hash(uint64_t hash, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 8; i++) hash = (hash ^ (bits >> 8 * i & 255)) * 0x100000001b3u; // FNV-1a
    return hash;
}

// Compares at `count` points of [low, high]: below 4 units in the last place, and these bits on every machine.
static void sweep(const char *name, double (*f)(double), long double (*true_f)(long double),
                  double low, double high, int count, uint64_t want)
{
    double worst = 0, where = 0;
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < count; i++) {
        double x = low + (high - low) * uniform((uint64_t)i), y = f(x),
               error = ulps(y, true_f((long double)x));
        hash = add_to_hash(hash, y);
        if (error > worst) worst = error, where = x;
    }
    print_message("# %s on [%g, %g]: worst %.2f ulp at %.17g\n", name, low, high, worst, where);
    assert_true(worst < 4);
    assert_int_equal(hash, want);
}

static void exp_agrees(void **state)
{
    (void)state;
    sweep("exp", stable_exp, expl, -1, 1, 200000, 0x3c20b71a18029328);
    sweep("exp", stable_exp, expl, -708, 709.7, 200000, 0xca793d37b3eef8d6);
    sweep("exp", stable_exp, expl, -745, -708, 20000, 0xe994577b15e595fb); // denormal results
}

static void exp_at_its_ends(void **state)
{
    (void)state;
    assert_true(stable_exp(0) == 1 && stable_exp(-0.0) == 1);
    assert_true(stable_exp(-746) == 0 && stable_exp(-INFINITY) == 0);
    assert_true(isinf(stable_exp(709.79)) && isinf(stable_exp(INFINITY)));
    assert_true(isfinite(stable_exp(709.78)));
    assert_true(isnan(stable_exp(NAN)));
}

static void log_agrees(void **state)
{
    (void)state;
    sweep("log", stable_log, logl, 0, 1, 200000, 0xde9ab01ab3e2e0d7);
    sweep("log", stable_log, logl, 0.6, 1.6, 200000, 0x4180685b98504ba7);
    sweep("log", stable_log, logl, 1, 1e300, 200000, 0x0a113109fc5a70f5);
}

static void log_at_its_ends(void **state)
{
    (void)state;
    assert_true(stable_log(1) == 0);
    assert_true(isinf(stable_log(0)) && stable_log(0) < 0);
    assert_true(isinf(stable_log(INFINITY)));
    assert_true(isnan(stable_log(-1)) && isnan(stable_log(NAN)));
    assert_true(ulps(stable_log(0x1p-1060), logl(0x1p-1060L)) < 4);
    assert_true(ulps(stable_log(nextafter(1, 2)), logl((long double)nextafter(1, 2))) < 4);
    assert_true(ulps(stable_log(nextafter(1, 0)), logl((long double)nextafter(1, 0))) < 4);
}

static void sine_and_cosine_agree(void **state)
{
    (void)state;
    sweep("sin", stable_sin, sinl, -7, 7, 200000, 0x458492bed257cea1);
    sweep("cos", stable_cos, cosl, -7, 7, 200000, 0x84f3e06cb7d8cf4e);
    sweep("sin", stable_sin, sinl, -1e5, 1e5, 200000, 0xc676fb587b50ce09);
    sweep("cos", stable_cos, cosl, -1e5, 1e5, 200000, 0x540c5cc5f16fe08b);
}

// The doubles next to multiples of pi/2, where nearly all digits cancel.
static void sine_and_cosine_agree_near_their_zeros(void **state)
{
    (void)state;
    double worst = 0;
    for (int n = 1; n < 60000; n++) {
        double x = (double)(n * 1.57079632679489661923132169163975144L);
        double error = n & 1 ? ulps(stable_cos(x), cosl((long double)x))
                             : ulps(stable_sin(x), sinl((long double)x));
        if (error > worst) worst = error;
    }
    print_message("# near zeros: worst %.2f ulp\n", worst);
    assert_true(worst < 4);
    assert_true(isnan(stable_sin(INFINITY)) && isnan(stable_cos(NAN)));
}

static void power_agrees(void **state)
{
    (void)state;
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < 20000; i++) {
        double x = 0.5 + 0.6 * uniform((uint64_t)i);
        long n = i % 401 - 200;
        double y = stable_power(x, n);
        long double want = powl((long double)x, (long double)n);
        assert_true(ulps(y, want) <
                    4 + 2 * fabs((double)n)); // each squaring doubles the error so far
        hash = add_to_hash(hash, y);
    }
    assert_int_equal(hash, 0x97f3d4ca8eabd81c);
    assert_true(stable_power(0.9, 0) == 1 && stable_power(0.9, 1) == 0.9 &&
                stable_power(2, -3) == 0.125);
    assert_true(stable_power(-2, 3) == -8);
    assert_true(stable_power(0.999, 1000000000) == 0);
}

static void normal_deviates_have_their_moments(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    double sum = 0, square = 0, fourth = 0;
    int beyond_two = 0;
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < COUNT; i++) {
        double z = stable_normal(uniform(2 * (uint64_t)i), uniform(2 * (uint64_t)i + 1));
        assert_true(isfinite(z));
        sum += z, square += z * z, fourth += z * z * z * z;
        beyond_two += fabs(z) > 2;
        hash = add_to_hash(hash, z);
    }
    assert_true(fabs(sum / COUNT) < 0.01);
    assert_true(fabs(square / COUNT - 1) < 0.015);
    assert_true(fabs(fourth / COUNT - 3) < 0.12);
    assert_true(fabs((double)beyond_two / COUNT - 0.0455) < 0.002);
    assert_int_equal(hash, 0x3b9cdbe03b7464cd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_agrees),
        cmocka_unit_test(exp_at_its_ends),
        cmocka_unit_test(log_agrees),
        cmocka_unit_test(log_at_its_ends),
        cmocka_unit_test(sine_and_cosine_agree),
        cmocka_unit_test(sine_and_cosine_agree_near_their_zeros),
        cmocka_unit_test(power_agrees),
        cmocka_unit_test(normal_deviates_have_their_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
