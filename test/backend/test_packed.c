// SPDX-License-Identifier: Apache-2.0
// Packed copies of weights change no bit, are shared by programs, follow the weights, and are filled in shares.
#include "backend/packed.h"
#include "base/cpu.h"
#include "pass/gpt_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

// Widths beside tiles and panels; 3 * 84 columns of a panel of 64.
static const struct gpt_sizes sizes[] = {
    {2, 9, 84, 2, 3, 31, .gradient = true},
    {3, 33, 64, 3, 2, 65, .recompute = true, .gradient = true},
    {1, 1, 6, 1, 1, 7, .gradient = true, .threads = 3},
    {2, 90, 130, 1, 2, 20, .gradient = true, .threads = 2},
    {2, 17, 70, 1, 2, 20, .gradient = true, .precision = PRECISION_BF16},
    {2, 90, 100, 2, 2, 20, .gradient = true, .threads = 3, .precision = PRECISION_BF16X3},
};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void start(struct gpt_run *run, struct gpt_sizes n)
{
    const struct backend *cpu;
    assert_int_equal(backend_find("cpu", &cpu), STATUS_OK);
    if (gpt_run_create(run, cpu, n, true)) fail_msg("%s", error_message());
}

static void check_equal(const struct gpt_run *a, const struct gpt_run *b, const char *when)
{
    size_t bytes = (size_t)a->m.elements * sizeof(real);
    if (a->loss != b->loss || memcmp(a->gradient, b->gradient, bytes) != 0)
        fail_msg("%s: other bits with packed weights", when);
}

static void fill(const struct packed *packed, int parts)
{
    for (int part = parts - 1; part >= 0; part--) packed_fill(packed, part, parts);
}

static void copies_change_no_bit_and_follow_the_weights(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        struct gpt_run plain, run;
        struct packed *packed;
        start(&plain, sizes[i]);
        start(&run, sizes[i]);
        assert_int_equal(packed_create(&run.program, 1, &packed), STATUS_OK);
        assert_true(packed_bytes(packed) > 0);
        assert_int_equal(packed_prepare(packed, run.weights), STATUS_OK);
        packed_use(packed, run.program);
        for (int parts = 1; parts <= 7; parts += 3) {
            fill(packed, parts);
            program_run(plain.program, gpt_receive, &plain);
            program_run(run.program, gpt_receive, &run);
            check_equal(&plain, &run, "the same weights");
            for (int64_t j = 0; j < run.m.elements; j++)
                plain.weights[j] = run.weights[j] = run.weights[j] * 0.75f;
        }
        // Copies are read: without a fill the old weights are still there.
        program_run(plain.program, gpt_receive, &plain);
        program_run(run.program, gpt_receive, &run);
        size_t bytes = (size_t)run.m.elements * sizeof(real);
        assert_memory_not_equal(plain.gradient, run.gradient, bytes);
        packed_destroy(packed);
        gpt_run_destroy(&plain);
        gpt_run_destroy(&run);
    }
}

// The block is cut into pieces anywhere, each gone over in steps of any length.
static void follow(const struct packed *packed, const int64_t *border, int pieces, int64_t length)
{
    for (int i = pieces - 1; i >= 0; i--)
        for (int64_t at = border[i]; at < border[i + 1]; at += length) {
            int64_t to = at + length < border[i + 1] ? at + length : border[i + 1];
            packed_follow(packed, &(struct packed_piece){border[i], border[i + 1], at, to});
        }
}

static void copies_that_follow_are_those_of_a_fill(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        struct gpt_run plain, run;
        struct packed *packed;
        start(&plain, sizes[i]);
        start(&run, sizes[i]);
        assert_int_equal(packed_create(&run.program, 1, &packed), STATUS_OK);
        assert_int_equal(packed_follows(packed), sizes[i].precision != PRECISION_FLOAT32);
        assert_int_equal(packed_prepare(packed, run.weights), STATUS_OK);
        packed_use(packed, run.program);
        fill(packed, 1);
        int64_t all = run.m.elements;
        const int64_t border[] = {0, all / 3, all / 3 + 1, all / 2 + 5, all};
        for (int64_t length = 777; packed_follows(packed) && length < 50000; length *= 7) {
            for (int64_t j = 0; j < all; j++)
                plain.weights[j] = run.weights[j] = run.weights[j] * 0.75f;
            follow(packed, border, 4, length);
            program_run(plain.program, gpt_receive, &plain);
            program_run(run.program, gpt_receive, &run);
            check_equal(&plain, &run, "copies that followed");
        }
        packed_destroy(packed);
        gpt_run_destroy(&plain);
        gpt_run_destroy(&run);
    }
}

static void programs_share_copies(void **state)
{
    (void)state;
    struct gpt_run run[2];
    struct packed *one, *both;
    for (int i = 0; i < 2; i++) start(&run[i], sizes[0]);
    struct program *const programs[] = {run[0].program, run[1].program};
    assert_int_equal(packed_create(programs, 1, &one), STATUS_OK);
    assert_int_equal(packed_create(programs, 2, &both), STATUS_OK);
    assert_int_equal(packed_bytes(one), packed_bytes(both));
    // The gradient with respect to the input of each of the four layers' weights, columns in groups of 16.
    size_t columns = 84 * 96 * 4, hidden = 336 * 96 + 84 * 336;
    assert_int_equal(packed_bytes(one), 2 * (columns + hidden) * sizeof(float));
    packed_destroy(one);
    packed_destroy(both);
    for (int i = 0; i < 2; i++) gpt_run_destroy(&run[i]);
}

static void forward_alone_and_large_models_keep_none(void **state)
{
    (void)state;
    const struct gpt_sizes none[] = {
        {.batch = 1, .tokens = 4, .width = 64, .layers = 1, .heads = 1, .vocabulary = 9},
        {.batch = 1,
         .tokens = 4,
         .width = 640,
         .layers = 1,
         .heads = 1,
         .vocabulary = 9,
         .gradient = true},
    };
    for (int i = 0; i < 2; i++) {
        struct gpt_run run;
        struct packed *packed;
        start(&run, none[i]);
        assert_int_equal(packed_create(&run.program, 1, &packed), STATUS_OK);
        assert_int_equal(packed_bytes(packed), 0);
        assert_int_equal(packed_prepare(packed, run.weights), STATUS_OK);
        packed_use(packed, run.program);
        packed_fill(packed, 0, 1);
        program_run(run.program, gpt_receive, &run);
        packed_destroy(packed);
        gpt_run_destroy(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_change_no_bit_and_follow_the_weights),
        cmocka_unit_test(copies_that_follow_are_those_of_a_fill),
        cmocka_unit_test(programs_share_copies),
        cmocka_unit_test(forward_alone_and_large_models_keep_none),
    };
    cpu_flush_to_zero();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
