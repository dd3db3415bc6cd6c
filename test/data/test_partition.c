// SPDX-License-Identifier: Apache-2.0
// Partition: every kind is a bijection of the batch for any sizes, and places are where the header says.
#include "data/partition.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

static void every_kind_is_a_bijection(void **state)
{
    (void)state;
    for (int kind = PARTITION_CONTIGUOUS; kind <= PARTITION_LENGTH; kind++)
        for (int64_t micro_batches = 1; micro_batches <= 23; micro_batches++)
            for (int64_t rows = 1; rows <= 3; rows++) {
                struct partition p = {.kind = (enum partition_kind)kind,
                                      .micro_batches = micro_batches,
                                      .rows = rows};
                bool seen[69] = {false};
                for (int64_t place = 0; place < micro_batches * rows; place++) {
                    int64_t sample = partition_sample(&p, place);
                    assert_true(sample >= 0 && sample < micro_batches * rows);
                    assert_false(seen[sample]);
                    seen[sample] = true;
                }
            }
}

static void contiguous_keeps_the_order_and_interleaved_deals(void **state)
{
    (void)state;
    struct partition p = {.kind = PARTITION_CONTIGUOUS, .micro_batches = 4, .rows = 3};
    for (int64_t i = 0; i < 12; i++) assert_int_equal(partition_sample(&p, i), i);
    p.kind = PARTITION_INTERLEAVED;
    const int64_t expected[] = {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11};
    for (int64_t i = 0; i < 12; i++) assert_int_equal(partition_sample(&p, i), expected[i]);
}

static void names(void **state)
{
    (void)state;
    enum partition_kind kind = PARTITION_CONTIGUOUS;
    assert_true(partition_find("length", &kind));
    assert_int_equal(kind, PARTITION_LENGTH);
    assert_true(partition_find("interleaved", &kind));
    assert_int_equal(kind, PARTITION_INTERLEAVED);
    assert_false(partition_find("lengths", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_a_bijection),
        cmocka_unit_test(contiguous_keeps_the_order_and_interleaved_deals),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
