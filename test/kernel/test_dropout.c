// SPDX-License-Identifier: Apache-2.0
// Dropout over lanes equals the scalar definition of base/philox.h, element for element.
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const kernels[ISA_COUNT])(float *, const float *, const struct dropout *, int64_t,
                                        int64_t, int64_t) = KERNEL_ROW(dropout);
static const int64_t lengths[] = {1, 7, 15, 16, 17, 31, 33, 63, 64, 65, 127, 130, 1000};
enum { LENGTHS = sizeof lengths / sizeof lengths[0], SEQUENCES = 3 };
static const uint32_t numbers[4] = {0x89abcdef, 0x01234567, 77,
                                    0xfffffffe}; // the third sequence's number wraps to 0

static void equals_the_definition(void **state)
{
    (void)state;
    const double rates[] = {0.1, 0.5, 0.999};
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !kernels[isa]) continue;
        for (int i = 0; i < LENGTHS; i++)
            for (int j = 0; j < 3; j++) {
                int64_t n = lengths[i];
                struct dropout d = {.rate = rates[j],
                                    .stream = philox_stream(PHILOX_DROPOUT, 5),
                                    .random = numbers};
                float *x = random_floats(SEQUENCES * n, 8, 1), *y = floats(SEQUENCES * n);
                // Two parts, cut inside a sequence.
                int64_t blocks = SEQUENCES * ((n + 63) / 64), cut = blocks / 2;
                kernels[isa](y, x, &d, n, cut, blocks);
                kernels[isa](y, x, &d, n, 0, cut);
                for (int64_t s = 0; s < SEQUENCES; s++)
                    for (int64_t e = 0; e < n; e++) {
                        struct philox_address at = {.seed = 0x0123456789abcdef,
                                                    .stream = d.stream,
                                                    .step = 77,
                                                    .sequence = 0xfffffffe + (uint32_t)s};
                        bool keep = philox_bits(at, (uint64_t)e) >= dropout_threshold(d.rate);
                        float want = keep ? x[s * n + e] * (float)(1 / (1 - d.rate)) : 0;
                        assert_true(y[s * n + e] == want);
                    }
                kernels[isa](x, x, &d, n, 0, blocks); // in place
                assert_memory_equal(x, y, (size_t)(SEQUENCES * n) * sizeof *x);
                buffers_check_and_free();
            }
    }
}

static void rate_zero_copies(void **state)
{
    (void)state;
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !kernels[isa]) continue;
        struct dropout d = {.rate = 0, .random = numbers};
        float *x = random_floats(99, 8, 1), *y = floats(99);
        kernels[isa](y, x, &d, 33, 0, 3);
        assert_memory_equal(x, y, 99 * sizeof *x);
        kernels[isa](x, x, &d, 33, 0, 3);
        assert_memory_equal(x, y, 99 * sizeof *x);
        buffers_check_and_free();
    }
}

int main(void)
{
    cpu_flush_to_zero();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(rate_zero_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
