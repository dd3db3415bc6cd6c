// SPDX-License-Identifier: Apache-2.0
// Initial weights drawn over lanes: the bits of the plain definition, wherever a range is cut.
#include "base/stable_math.h"
#include "kernel/buffers.h"
#include "kernel/cpu/kernels.h"

static void (*const normals[ISA_COUNT])(float *, uint64_t, uint32_t, int64_t, int64_t,
                                        double) = KERNEL_ROW(normal);
static const uint64_t seed = UINT64_C(0x9d2c5680efc60000);
static const uint32_t stream = 0x1000007;

static float defined(int64_t element, double deviation)
{
    const int64_t sequence_elements = INT64_C(1) << 32;
    struct philox_address at = {
        .seed = seed, .stream = stream, .sequence = (uint32_t)(element / sequence_elements)};
    uint64_t i = (uint64_t)(element % sequence_elements);
    return (float)(deviation *
                   stable_normal(philox_uniform(at, 2 * i), philox_uniform(at, 2 * i + 1)));
}

static void normals_are_their_definition(void **state)
{
    (void)state;
    enum { MANY = 200003 };
    float *want = floats(MANY);
    for (int64_t i = 0; i < MANY; i++) want[i] = defined(i, 0.02);
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !normals[isa]) continue;
        float *w = floats(MANY);
        normals[isa](w, seed, stream, 0, MANY, 0.02);
        assert_same_bits(want, w, MANY * sizeof *w, "normal deviates", isa);
    }
    buffers_check_and_free();
}

static void ranges_may_be_cut_anywhere(void **state)
{
    (void)state;
    // The counter of a sequence ends at 2^32 elements.
    static const int64_t starts[] = {0, 1, 15, 16, 1009, (INT64_C(1) << 32) - 9, INT64_C(3) << 32};
    static const int64_t lengths[] = {0, 1, 7, 15, 16, 17, 31, 33, 100};
    for (enum isa isa = 0; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa) || !normals[isa]) continue;
        for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
            for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                float *w = floats(lengths[l]);
                normals[isa](w, seed, stream, starts[s], lengths[l], 1.5);
                for (int64_t i = 0; i < lengths[l]; i++)
                    assert_true(w[i] == defined(starts[s] + i, 1.5));
                buffers_check_and_free();
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normals_are_their_definition),
        cmocka_unit_test(ranges_may_be_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
