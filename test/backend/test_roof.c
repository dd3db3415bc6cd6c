// SPDX-License-Identifier: Apache-2.0
// The loops that roofs are measured with do the work that is counted, and every instruction set and number of threads gives a
// rate. Nothing here depends on how fast the machine is.
#include "backend/cpu/roof.h"
#include "base/memory.h"
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

// The loop for tiles, over their definition and the lanes of any processor.
double tile_chains_defined(float x[16], int64_t terms);
#include "kernel/tiles_defined.h"
#define LANES_generic 1
#define LANES_ISA     defined
#include "kernel/cpu/amx/roof.c"

static double (*const chains[ISA_COUNT])(float *, int64_t) = KERNEL_ROW(fma_chains);
static void (*const triads[ISA_COUNT])(float *, const float *, const float *, float,
                                       int64_t) = KERNEL_ROW(triad);
#define EACH_ISA(isa)                                                                              \
    for (enum isa isa = 0; isa < ISA_COUNT; isa++)                                                 \
        if (chains[isa] && isa_available(isa))

static void chains_count_what_they_do(void **state)
{
    (void)state;
    EACH_ISA(isa)
    {
        float x[16];
        for (int i = 0; i < 16; i++) x[i] = 0.5f;
        double one = chains[isa](x, 1), many = chains[isa](x, 1000);
        assert_true(one >= 2 * 16 && many == 1000 * one);
        // 1,000 terms of 2^-22 on top of chain 0's zero, and what the other chains began with: not below -1.
        for (int i = 0; i < 16; i++) assert_true(x[i] == 0.5f);
    }
}

static void a_triad_is_written_whole(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 15, 16, 17, 63, 64, 1003};
    EACH_ISA(isa)
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        int64_t n = lengths[l];
        _Alignas(64) float y[1024];
        float a[1003], b[1003];
        for (int64_t i = 0; i < 1024; i++) y[i] = -7;
        for (int64_t i = 0; i < n; i++) a[i] = (float)i, b[i] = (float)(n - i);
        triads[isa](y, a, b, 0.5f, n);
        for (int64_t i = 0; i < n; i++) assert_true(y[i] == fmaf(0.5f, b[i], a[i]));
        for (int64_t i = n; i < 1024; i++) assert_true(y[i] == -7);
    }
}

static void every_set_and_any_threads_have_a_rate(void **state)
{
    (void)state;
    EACH_ISA(isa)
    for (int threads = 1; threads <= 3; threads++) {
        double fma = 0, bytes = 0, few = 0;
        assert_int_equal(roof_measure_fma(isa, threads, 0.002, &fma), STATUS_OK);
        assert_int_equal(roof_measure_triad(isa, threads, 1 << 20, 0.002, &bytes), STATUS_OK);
        assert_int_equal(roof_measure_triad(isa, threads, 100, 0.0, &few), STATUS_OK);
        assert_true(fma > 1e6 && bytes > 1e6 && few > 0);
        assert_true(isfinite(fma) && isfinite(bytes) && isfinite(few));
    }
}

// Tiles by their definition, on any machine: the loop stores what it has added up.
static void tile_chains_add_up(void **state)
{
    (void)state;
    float x[16], two[16];
    for (int i = 0; i < 16; i++) x[i] = two[i] = 1;
    assert_true(tile_chains_defined(x, 3) == 3 * tile_chains_defined(two, 1));
    assert_true(x[0] == 1 && two[0] == 1);
    double rate = -1;
    assert_int_equal(roof_measure_tiles(2, 0.002, &rate), STATUS_OK);
    assert_true(isa_available(ISA_AMX) ? rate > 1e6 : rate == 0);
}

static void nothing_stays_allocated(void **state)
{
    (void)state;
    size_t before = block_total_bytes();
    double rate;
    assert_int_equal(roof_measure_triad(ISA_GENERIC, 2, 1 << 16, 0, &rate), STATUS_OK);
    assert_true(block_total_bytes() == before);
    // More than there is: an error, and no rate.
    rate = -1;
    assert_int_equal(roof_measure_triad(ISA_GENERIC, 1, (size_t)1 << 60, 0, &rate), STATUS_MEMORY);
    assert_true(rate == -1 && block_total_bytes() == before);
    error_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_count_what_they_do),
        cmocka_unit_test(a_triad_is_written_whole),
        cmocka_unit_test(every_set_and_any_threads_have_a_rate),
        cmocka_unit_test(tile_chains_add_up),
        cmocka_unit_test(nothing_stays_allocated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
