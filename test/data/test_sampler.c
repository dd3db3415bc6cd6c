// SPDX-License-Identifier: Apache-2.0
// Sampling: permutations that are permutations, even and repeatable; every window once in an epoch; every target once in an evaluation.
#include "data/sampler.h"
#include "text_files.h"

#include <math.h>

// ---- permutations ----
static void every_short_permutation_is_one(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 300; n++)
        for (uint32_t epoch = 0; epoch < 5; epoch++) {
            bool seen[300] = {false};
            for (int64_t i = 0; i < n; i++) {
                int64_t to = permutation_at(1337, epoch, n, i);
                assert_true(to >= 0 && to < n && !seen[to]);
                seen[to] = true;
            }
        }
}

static void long_permutations_are_ones(void **state)
{
    (void)state;
    static const int64_t sizes[] = {4096, 4097, 65535, 100003, 1 << 20};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        bool *seen = calloc((size_t)sizes[k], 1);
        for (int64_t i = 0; i < sizes[k]; i++) {
            int64_t to = permutation_at(7, 3, sizes[k], i);
            assert_true(to >= 0 && to < sizes[k] && !seen[to]);
            seen[to] = true;
        }
        free(seen);
    }
}

// Where all cannot be marked: neighbours of some places, all different and inside.
static void huge_permutations_stay_inside_and_apart(void **state)
{
    (void)state;
    static const int64_t sizes[] = {(1ll << 31) + 1, (1ll << 32) - 5, 1ll << 40, (1ll << 62) + 9,
                                    INT64_MAX};
    enum { TAKEN = 600 };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t taken[TAKEN];
        for (int64_t i = 0; i < TAKEN; i++) {
            taken[i] = permutation_at(3, 1, sizes[k], i % 2 ? i : sizes[k] - 1 - i);
            assert_true(taken[i] >= 0 && taken[i] < sizes[k]);
            for (int64_t j = 0; j < i; j++) assert_true(taken[i] != taken[j]);
        }
    }
}

static void permutations_repeat_and_depend_on_seed_and_epoch(void **state)
{
    (void)state;
    int same_epoch = 0, same_seed = 0, fixed = 0;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t to = permutation_at(42, 0, 1000, i);
        assert_int_equal(to, permutation_at(42, 0, 1000, i));
        same_epoch += to == permutation_at(42, 1, 1000, i);
        same_seed += to == permutation_at(43, 0, 1000, i);
        fixed += to == i;
    }
    // Chance gives 1 on average; more than 8 has a chance of one in a million.
    assert_true(same_epoch <= 8 && same_seed <= 8 && fixed <= 8);
    // These must never change: a resumed run would see other samples.
    assert_int_equal(permutation_at(1337, 0, 1000, 0), 227);
    assert_int_equal(permutation_at(1337, 1, 1000, 999), 253);
    assert_int_equal(permutation_at(5, 9, 17, 3), 12);
}

// Chi-square of (place, value) over many epochs: (n-1)^2 degrees of freedom, so mean (n-1)^2 and deviation sqrt(2) (n-1).
static void every_place_holds_every_value_equally_often(void **state)
{
    (void)state;
    static const int64_t sizes[] = {2, 3, 5, 10, 31};
    enum { EPOCHS = 20000 };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t n = sizes[k];
        int counts[31][31] = {{0}};
        for (uint32_t epoch = 0; epoch < EPOCHS; epoch++)
            for (int64_t i = 0; i < n; i++) counts[i][permutation_at(11, epoch, n, i)]++;
        double expected = (double)EPOCHS / (double)n, sum = 0,
               freedom = (double)((n - 1) * (n - 1));
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                sum += (counts[i][j] - expected) * (counts[i][j] - expected) / expected;
        if (fabs(sum - freedom) > 5 * sqrt(2 * freedom))
            fail_msg("n %d: chi-square %.1f of %.0f", (int)n, sum, freedom);
    }
}

// Successive samples do not follow one another in the text.
static void neighbours_are_torn_apart(void **state)
{
    (void)state;
    const int64_t n = 100000;
    double sum = 0;
    int followers = 0;
    for (int64_t i = 0; i + 1 < n; i++) {
        int64_t step = permutation_at(1, 0, n, i + 1) - permutation_at(1, 0, n, i);
        sum += fabs((double)step);
        followers += step == 1;
    }
    double mean = sum / (double)(n - 1) / (double)n; // 1/3 for a random order
    assert_true(fabs(mean - 1.0 / 3) < 0.005);
    assert_true(followers < 10);
}

// ---- samples ----
enum { MOST = 3000 };
static uint16_t ids[MOST];
static struct corpus numbered = {.ids16 = ids, .count = MOST};

static int number_ids(void **state)
{
    for (int i = 0; i < MOST; i++) ids[i] = (uint16_t)i;
    return clear(state);
}

static void an_epoch_uses_every_window_once(void **state)
{
    (void)state;
    static const struct {
        int64_t first, last, context;
    } ranges[] = {{0, 3000, 64}, {100, 2999, 7}, {5, 5 + 65, 64},    {0, 2, 1},
                  {0, 128, 64},  {0, 129, 64},   {17, 17 + 191, 64}, {0, 1000, 999}};
    int32_t tokens[1000], targets[1000];
    for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
        struct sampler sampler;
        int64_t first = ranges[k].first, last = ranges[k].last, context = ranges[k].context;
        assert_int_equal(sampler_init(&sampler, &numbered, first, last, context, 1337), STATUS_OK);
        assert_true(sampler.windows >= 1 && sampler.windows * context <= last - first - 1);
        assert_true(sampler.windows == 1 ||
                    (last - first - 1) - sampler.windows * context < 2 * context);
        for (int64_t epoch = 0; epoch < 6; epoch++) {
            bool used[MOST] = {false};
            int64_t start = -1;
            for (int64_t i = 0; i < sampler.windows; i++) {
                int64_t n = epoch * sampler.windows + i;
                assert_int_equal(sampler_epoch(&sampler, n), epoch);
                sampler_training(&sampler, n, tokens, targets);
                assert_true(tokens[0] >= first && targets[context - 1] < last);
                for (int64_t j = 0; j < context; j++) {
                    assert_int_equal(tokens[j], tokens[0] + j);
                    assert_int_equal(targets[j], tokens[j] + 1);
                    assert_false(used[tokens[j]]);
                    used[tokens[j]] = true;
                }
                if (start < 0 || tokens[0] < start) start = tokens[0];
            }
            // Windows lie side by side.
            for (int64_t j = 0; j < sampler.windows * context; j++) assert_true(used[start + j]);
        }
    }
}

static void the_shift_changes_with_the_epoch_and_reaches_everywhere(void **state)
{
    (void)state;
    struct sampler sampler;
    int32_t tokens[16], targets[16];
    bool met[16] = {false}, covered[500] = {false};
    assert_int_equal(sampler_init(&sampler, &numbered, 0, 500, 16, 9), STATUS_OK);
    for (int64_t n = 0; n < 400 * sampler.windows; n++) {
        sampler_training(&sampler, n, tokens, targets);
        met[tokens[0] % 16] = true;
        for (int i = 0; i < 16; i++) covered[targets[i]] = covered[tokens[i]] = true;
    }
    for (int i = 0; i < 16; i++) assert_true(met[i]);
    for (int i = 0; i < 500; i++) assert_true(covered[i]);
}

static void samples_repeat_and_depend_on_the_seed(void **state)
{
    (void)state;
    struct sampler one, two, other;
    int32_t a[8], b[8], targets[8];
    int equal = 0;
    assert_int_equal(sampler_init(&one, &numbered, 0, MOST, 8, 1), STATUS_OK);
    assert_int_equal(sampler_init(&two, &numbered, 0, MOST, 8, 1), STATUS_OK);
    assert_int_equal(sampler_init(&other, &numbered, 0, MOST, 8, 2), STATUS_OK);
    for (int64_t n = 0; n < 1000; n++) {
        sampler_training(&one, n, a, targets);
        sampler_training(&two, n, b, targets);
        assert_memory_equal(a, b, sizeof a);
        sampler_training(&other, n, b, targets);
        equal += a[0] == b[0];
    }
    assert_true(equal < 10);
}

static void every_id_but_the_first_is_a_target_once(void **state)
{
    (void)state;
    static const int64_t counts[] = {8, 9, 10, 15, 16, 17, 100};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        struct sampler sampler;
        int32_t tokens[7], targets[7];
        bool met[MOST] = {false};
        int64_t first = 40, last = first + counts[k], found = 0;
        assert_int_equal(sampler_init(&sampler, &numbered, first, last, 7, 1), STATUS_OK);
        for (int64_t window = 0; window < sampler_evaluation_windows(&sampler); window++) {
            sampler_evaluation(&sampler, window, tokens, targets);
            int real = 0;
            for (int i = 0; i < 7; i++) {
                if (targets[i] < 0) {
                    assert_int_equal(targets[i], -1);
                    assert_int_equal(tokens[i], 0);
                    continue;
                }
                assert_int_equal(targets[i], tokens[i] + 1);
                assert_true(targets[i] > first && targets[i] < last && !met[targets[i]]);
                met[targets[i]] = true;
                real++;
            }
            assert_true(real > 0);
            found += real;
        }
        assert_int_equal(found, counts[k] - 1);
    }
}

static void ids_of_four_bytes_are_read_too(void **state)
{
    (void)state;
    static uint32_t wide[20];
    for (uint32_t i = 0; i < 20; i++) wide[i] = 70000 + i;
    struct corpus corpus = {.ids32 = wide, .count = 20};
    struct sampler sampler;
    int32_t tokens[4], targets[4];
    assert_int_equal(sampler_init(&sampler, &corpus, 0, 20, 4, 1), STATUS_OK);
    sampler_training(&sampler, 0, tokens, targets);
    assert_true(tokens[0] >= 70000 && targets[3] == tokens[0] + 4);
}

static void a_range_that_is_too_short_is_refused(void **state)
{
    (void)state;
    struct sampler sampler;
    for (int64_t count = 0; count <= 64; count++) {
        assert_int_equal(sampler_init(&sampler, &numbered, 10, 10 + count, 64, 1), STATUS_INPUT);
        if (count == 64)
            assert_true(error_says("the text has 64 tokens here; a context of 64 needs 65 or more: "
                                   "give more text, or set model.context to 63 or less"));
        error_clear();
    }
    assert_int_equal(sampler_init(&sampler, &numbered, 10, 10 + 65, 64, 1), STATUS_OK);
    assert_int_equal(sampler.windows, 1);
}

static void a_short_range_is_one_padded_window_of_an_evaluation(void **state)
{
    (void)state;
    struct sampler sampler;
    int32_t tokens[8], targets[8];
    for (int64_t count = 0; count <= 20; count++) {
        enum status status = sampler_init_evaluation(&sampler, &numbered, 10, 10 + count, 8);
        assert_int_equal(status, count < 2 ? STATUS_INPUT : STATUS_OK);
        if (status) {
            assert_true(error_says(count ? "the text has 1 token here; a loss needs 2"
                                         : "the text has no token here"));
            error_clear();
            continue;
        }
        assert_int_equal(sampler_evaluation_windows(&sampler), (count - 1 + 7) / 8);
        sampler_evaluation(&sampler, 0, tokens, targets);
        for (int64_t i = 0; i < 8; i++)
            assert_int_equal(targets[i], i + 1 < count ? corpus_id(&numbered, 10 + i + 1) : -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_short_permutation_is_one),
        cmocka_unit_test(long_permutations_are_ones),
        cmocka_unit_test(huge_permutations_stay_inside_and_apart),
        cmocka_unit_test(permutations_repeat_and_depend_on_seed_and_epoch),
        cmocka_unit_test(every_place_holds_every_value_equally_often),
        cmocka_unit_test(neighbours_are_torn_apart),
        cmocka_unit_test_setup(an_epoch_uses_every_window_once, number_ids),
        cmocka_unit_test_setup(the_shift_changes_with_the_epoch_and_reaches_everywhere, number_ids),
        cmocka_unit_test_setup(samples_repeat_and_depend_on_the_seed, number_ids),
        cmocka_unit_test_setup(every_id_but_the_first_is_a_target_once, number_ids),
        cmocka_unit_test_setup(ids_of_four_bytes_are_read_too, number_ids),
        cmocka_unit_test_setup(a_range_that_is_too_short_is_refused, number_ids),
        cmocka_unit_test_setup(a_short_range_is_one_padded_window_of_an_evaluation, number_ids),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
