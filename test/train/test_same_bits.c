// SPDX-License-Identifier: Apache-2.0
// The promise of DESIGN.md 1.1: weights and optimizer state are the same bits for any number of workers, any borders, any
// instruction set, with or without recomputed activations, killed and resumed or not.
#include "base/cpu.h"
#include "support.h"

#include <math.h>

static struct child_result expected;

static void assert_same(const struct child_result *result)
{
    assert_fine(result);
    assert_string_equal(result->digest, expected.digest);
    assert_memory_equal(&result->loss, &expected.loss, sizeof expected.loss);
    assert_memory_equal(&result->evaluation, &expected.evaluation, sizeof expected.evaluation);
    assert_int_equal(result->evaluation_tokens, expected.evaluation_tokens);
}

static int train_expected(void **state)
{
    if (make_folder(state)) return 1;
    struct run_config config = small_run("one");
    expected = in_child(NULL, train_steps, &config, NULL);
    if (expected.status) fprintf(stderr, "%s\n", expected.message);
    return expected.status != STATUS_OK;
}

static void another_seed_gives_other_bits(void **state)
{
    (void)state;
    struct run_config config = small_run("seed");
    config.seed++;
    struct child_result result = in_child(NULL, train_steps, &config, NULL);
    assert_fine(&result);
    assert_string_not_equal(result.digest, expected.digest);
}

static void any_number_of_workers(void **state)
{
    (void)state;
    const int workers[] = {1, 2, 3, 4, 5, 8};
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        struct run_config config = small_run("workers");
        config.parallel.workers = workers[i];
        struct child_result result = in_child(NULL, train_steps, &config, NULL);
        assert_same(&result);
    }
}

// Threads of workers, free and tied to cores.
static void any_number_of_threads(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++) {
        struct run_config config = small_run("threads");
        config.parallel.workers = 1 + i % 3;
        config.parallel.threads = 1 + i / 3;
        snprintf(config.parallel.pin, sizeof config.parallel.pin, "%s", i % 2 ? "on" : "off");
        struct child_result result = in_child(NULL, train_steps, &config, NULL);
        assert_same(&result);
    }
}

// Where every worker has one micro-batch at most, activations lie in the gradient buffer until it is filled; with fewer workers sums
// wait in it. With a width of 36 there are gaps between parameters, which count in the norm.
static void one_micro_batch_a_worker(void **state)
{
    (void)state;
    struct child_result first = {.status = STATUS_OK};
    for (int i = 0; i < 6; i++) {
        struct run_config config = small_run("one-each");
        config.model.width = 36;
        config.batch = 6;
        config.leaves = 3;
        config.parallel.workers = (const int[]){1, 2, 3}[i % 3] + (i == 5);
        config.parallel.threads = 1 + i / 3;
        struct child_result result = in_child(NULL, train_steps, &config, NULL);
        assert_fine(&result);
        if (i == 0) first = result;
        assert_string_equal(result.digest, first.digest);
    }
}

static void random_borders(void **state)
{
    (void)state;
    const int workers[] = {2, 3, 5, 8};
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        struct run_config config = small_run("random");
        config.parallel.workers = workers[i];
        snprintf(config.parallel.balance, sizeof config.parallel.balance, "random");
        struct child_result result = in_child(NULL, train_steps, &config, NULL);
        assert_same(&result);
    }
}

static void measured_borders(void **state)
{
    (void)state;
    const int workers[] = {2, 3, 7};
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        struct run_config config = small_run("measured");
        config.parallel.workers = workers[i];
        config.parallel.balance_every = 1;
        snprintf(config.parallel.balance, sizeof config.parallel.balance, "measured");
        struct child_result result = in_child(NULL, train_steps, &config, NULL);
        assert_same(&result);
    }
}

static void recomputed_activations(void **state)
{
    (void)state;
    for (int layers = 1; layers <= 2; layers++) {
        struct run_config config = small_run("recompute");
        config.model.recompute_layers = layers;
        config.parallel.workers = 2;
        struct child_result result = in_child(NULL, train_steps, &config, NULL);
        assert_same(&result);
    }
}

// Dealt out: other bits than those of samples as they were drawn, and the same for any number of workers. Windows are equally long.
static void any_partition(void **state)
{
    (void)state;
    static const char *const name[] = {"interleaved", "length"};
    for (int kind = 0; kind < 2; kind++) {
        struct child_result result[3];
        for (int run = 0; run < 3; run++) {
            struct run_config config = small_run("partition");
            snprintf(config.data.partition, sizeof config.data.partition, "%s", name[kind]);
            config.parallel.workers = (int64_t[]){1, 3, 8}[run];
            result[run] = in_child(NULL, train_steps, &config, NULL);
            assert_fine(&result[run]);
            assert_string_equal(result[run].digest, result[0].digest);
        }
        assert_true(!strcmp(result[0].digest, expected.digest) == (kind == 1));
    }
}

// A text of 5 windows, and batches of 24: no sample is left out, no worker without work, and the bits are the same.
static void batches_longer_than_epochs(void **state)
{
    (void)state;
    char path[RUN_PATH];
    struct child_result result[4];
    snprintf(path, sizeof path, "%s/short.txt", test_folder);
    static const char text[] =
        "Sing, goddess, of the wrath of Achilles, son of Peleus, and of the ";
    assert_int_equal(file_replace(path, text, sizeof text - 1), STATUS_OK);
    for (int workers = 1; workers <= 4; workers++) {
        struct run_config config = small_run("short");
        snprintf(config.data.train, sizeof config.data.train, "%s", path);
        config.data.valid_fraction = 0;
        config.model.context = 11;
        config.parallel.workers = workers;
        result[workers - 1] = in_child(NULL, train_steps, &config, NULL);
        assert_fine(&result[workers - 1]);
        assert_string_equal(result[workers - 1].digest, result[0].digest);
    }
}

static void any_instruction_set(void **state)
{
    (void)state;
    for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa)) continue;
        struct run_config config = small_run("isa");
        config.parallel.workers = 3;
        struct child_result result = in_child(isa_name(isa), train_steps, &config, NULL);
        assert_same(&result);
    }
}

// Other bits than float32's and each other's, and their own for any workers and instruction set.
static void bf16_and_bf16x3(void **state)
{
    (void)state;
    static const char *const name[] = {"bf16", "bf16x3"};
    char digest[2][sizeof expected.digest];
    for (int i = 0; i < 2; i++) {
        for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++) {
            if (!isa_available(isa)) continue;
            struct run_config config = small_run("precision");
            snprintf(config.precision, sizeof config.precision, "%s", name[i]);
            config.parallel.workers = 1 + (int64_t)isa % 3;
            struct child_result result = in_child(isa_name(isa), train_steps, &config, NULL);
            assert_fine(&result);
            if (isa == ISA_GENERIC) memcpy(digest[i], result.digest, sizeof digest[i]);
            assert_string_equal(result.digest, digest[i]);
            assert_true(fabs(result.loss - expected.loss) < 0.02 * expected.loss);
        }
        assert_string_not_equal(digest[i], expected.digest);
    }
    assert_string_not_equal(digest[0], digest[1]);
}

static void any_optimizer(void **state)
{
    (void)state;
    static const char *const name[] = {"sgd", "rmsprop", "adam"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        struct child_result result[3];
        for (int run = 0; run < 3; run++) {
            struct run_config config = small_run("optimizer");
            snprintf(config.optimizer.name, sizeof config.optimizer.name, "%s", name[i]);
            config.optimizer.momentum = strcmp(name[i], "adam") ? 0.9 : 0;
            config.optimizer.l1 = 1e-5;
            config.optimizer.clip_infinity = 0.05;
            config.optimizer.clip_value = 0.02;
            config.parallel.workers = (int64_t[]){1, 3, 8}[run];
            result[run] = in_child(run == 2 ? "generic" : NULL, train_steps, &config, NULL);
            assert_fine(&result[run]);
            assert_string_equal(result[run].digest, result[0].digest);
        }
    }
}

// Stops at every step and goes on with another number of workers; the position is all that is carried over.
static void resumed_at_every_step(void **state)
{
    (void)state;
    struct run_config config = small_run("resumed");
    struct child_result result = {0};
    for (int64_t step = 1; step <= 20; step++) {
        struct portion part = {.stop = step};
        config.parallel.workers = 1 + step * 5 % 8;
        result = in_child(NULL, train_steps, &config, &part);
        assert_fine(&result);
        assert_int_equal(result.step, step);
    }
    assert_same(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_seed_gives_other_bits),
        cmocka_unit_test(any_number_of_workers),
        cmocka_unit_test(any_number_of_threads),
        cmocka_unit_test(one_micro_batch_a_worker),
        cmocka_unit_test(random_borders),
        cmocka_unit_test(measured_borders),
        cmocka_unit_test(recomputed_activations),
        cmocka_unit_test(any_partition),
        cmocka_unit_test(batches_longer_than_epochs),
        cmocka_unit_test(any_instruction_set),
        cmocka_unit_test(bf16_and_bf16x3),
        cmocka_unit_test(any_optimizer),
        cmocka_unit_test(resumed_at_every_step),
    };
    return cmocka_run_group_tests(tests, train_expected, remove_folder);
}
