// SPDX-License-Identifier: Apache-2.0
// exp, log, tanh, erf, sigmoid: their largest error against doubles over a stride of all floats (printed),
// their ends, and the same bits on every instruction set.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const functions[ISA_COUNT])(float *, const float *, int64_t,
                                          enum lanes_function) = KERNEL_ROW(function_values);

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static const struct function {
    const char *name;
    enum lanes_function function;
    double (*exact)(double x);
    double most_error; // in units of the last place of the exact result
} table[] = {
    {"exp", FUNCTION_EXP, exp, 1.0},
    {"log", FUNCTION_LOG, log, 1.0},
    {"tanh", FUNCTION_TANH, tanh, 2.5},
    {"erf", FUNCTION_ERF, erf, 1.5},
    {"sigmoid", FUNCTION_SIGMOID, sigmoid, 2.5},
};
enum { FUNCTIONS = sizeof table / sizeof table[0], GROUP = 1024, STRIDE = 331 };

// Error of `got` in units of the last place at `want`; 0 for equal infinities and for results that count as zero.
static double error_of(float got, double want)
{
    if (isnan(want)) return isnan(got) ? 0 : HUGE_VAL;
    if (fabs(want) < 0x1p-126) return fabs((double)got) <= 0x1p-126 ? 0 : HUGE_VAL;
    if (isinf(want) || fabs(want) >= 0x1.ffffffp127)
        return (double)got == (double)(float)want ? 0 : HUGE_VAL;
    int exponent;
    frexp(want, &exponent);
    return fabs((double)got - want) / ldexp(1, exponent - 24);
}

static double largest_error(const struct function *f, float *at_p)
{
    static float x[GROUP], y[GROUP];
    double largest = 0;
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += (uint64_t)GROUP * STRIDE) {
        for (uint32_t i = 0; i < GROUP; i++) {
            uint32_t word = (uint32_t)(bits + (uint64_t)i * STRIDE);
            if ((word & 0x7f800000) == 0) word &= 0x80000000; // denormals count as zero
            memcpy(&x[i], &word, sizeof word);
        }
        functions[ISA_GENERIC](y, x, GROUP, f->function);
        for (int i = 0; i < GROUP; i++) {
            double error = error_of(y[i], f->exact((double)x[i]));
            if (!(error > largest)) continue;
            largest = error;
            *at_p = x[i];
        }
    }
    return largest;
}

static void errors_are_small(void **state)
{
    (void)state;
    for (int i = 0; i < FUNCTIONS; i++) {
        float at = 0;
        double largest = largest_error(&table[i], &at);
        print_message("# %s: largest error %.3f units of the last place, at %a\n", table[i].name,
                      largest, (double)at);
        if (!(largest <= table[i].most_error))
            fail_msg("%s is wrong by %.3f units of the last place at %a", table[i].name, largest,
                     (double)at);
    }
}

static float value(enum isa isa, enum lanes_function f, float x)
{
    float y;
    functions[isa](&y, &x, 1, f);
    return y;
}

static void ends_are_right(void **state)
{
    (void)state;
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !functions[isa]) continue;
        for (enum lanes_function f = FUNCTION_EXP; f <= FUNCTION_SIGMOID; f++)
            assert_true(isnan(value(isa, f, NAN)));
        assert_true(value(isa, FUNCTION_EXP, 0) == 1 && value(isa, FUNCTION_EXP, -0.0f) == 1);
        assert_true(value(isa, FUNCTION_EXP, -88) == 0 && value(isa, FUNCTION_EXP, -1e30f) == 0);
        assert_true(value(isa, FUNCTION_EXP, -INFINITY) == 0 &&
                    value(isa, FUNCTION_EXP, INFINITY) == INFINITY);
        assert_true(value(isa, FUNCTION_EXP, 89) == INFINITY &&
                    value(isa, FUNCTION_EXP, 88.7f) < INFINITY);
        assert_true(value(isa, FUNCTION_LOG, 0) == -INFINITY &&
                    value(isa, FUNCTION_LOG, -0.0f) == -INFINITY);
        assert_true(value(isa, FUNCTION_LOG, 1e-40f) == -INFINITY &&
                    value(isa, FUNCTION_LOG, 1) == 0);
        assert_true(isnan(value(isa, FUNCTION_LOG, -1)) &&
                    isnan(value(isa, FUNCTION_LOG, -INFINITY)));
        assert_true(value(isa, FUNCTION_LOG, INFINITY) == INFINITY);
        assert_true(value(isa, FUNCTION_TANH, 10) == 1 &&
                    value(isa, FUNCTION_TANH, -INFINITY) == -1);
        assert_true(value(isa, FUNCTION_TANH, 1e-30f) == 1e-30f &&
                    signbit(value(isa, FUNCTION_TANH, -0.0f)));
        assert_true(value(isa, FUNCTION_ERF, 4) == 1 && value(isa, FUNCTION_ERF, -INFINITY) == -1);
        assert_true(value(isa, FUNCTION_ERF, 0) == 0 && value(isa, FUNCTION_ERF, INFINITY) == 1);
        assert_true(value(isa, FUNCTION_SIGMOID, 0) == 0.5f &&
                    value(isa, FUNCTION_SIGMOID, 100) == 1);
        assert_true(value(isa, FUNCTION_SIGMOID, -100) == 0 &&
                    value(isa, FUNCTION_SIGMOID, -INFINITY) == 0);
    }
}

static void bits_are_the_same_everywhere(void **state)
{
    (void)state;
    static float x[GROUP], y0[GROUP], y[GROUP];
    for (int f = 0; f < FUNCTIONS; f++) {
        for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += (uint64_t)GROUP * 4099) {
            for (uint32_t i = 0; i < GROUP; i++) {
                uint32_t word = (uint32_t)(bits + (uint64_t)i * 4099);
                memcpy(&x[i], &word, sizeof word);
            }
            functions[ISA_GENERIC](y0, x, GROUP, table[f].function);
            for (enum isa isa = ISA_GENERIC + 1; isa < ISA_COUNT; isa++) {
                if (!isa_available(isa) || !functions[isa]) continue;
                functions[isa](y, x, GROUP, table[f].function);
                for (int i = 0; i < GROUP; i++) {
                    if (isnan(y0[i]) && isnan(y[i])) continue; // which NaN is not defined
                    if (memcmp(&y[i], &y0[i], sizeof *y) == 0) continue;
                    fail_msg("%s(%a) is %a generic, %a %s", table[f].name, (double)x[i],
                             (double)y0[i], (double)y[i], isa_name(isa));
                }
            }
        }
    }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_small),
        cmocka_unit_test(ends_are_right),
        cmocka_unit_test(bits_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
