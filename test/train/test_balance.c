// SPDX-License-Identifier: Apache-2.0
// Measured speed moves the borders, away from the slow worker, and no bit with them.
#include "support.h"
#include "train/internal.h"

static void a_slow_worker_gets_fewer_leaves(void **state)
{
    (void)state;
    char digest[2][65];
    for (int moved = 0; moved < 2; moved++) {
        struct run_config config = small_run(moved ? "moved" : "still");
        config.leaves = 12;
        config.parallel.workers = 3;
        config.parallel.balance_every = 2;
        snprintf(config.parallel.balance, sizeof config.parallel.balance,
                 moved ? "measured" : "none");
        struct trainer *trainer = NULL;
        struct step_report report;
        assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
        assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
        assert_int_equal(trainer->border[1], 4);
        for (int step = 0; step < 8; step++) {
            // As if worker 1 were ten times as slow as the others, which are alike.
            for (int r = 0; r < 3; r++)
                trainer->speed[r] = (struct speed){.seconds = r == 1 ? 10 : 1, .steps = 10};
            assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
            if (!moved || step == 0) continue;
            assert_int_equal(trainer->border[1], 6);
            assert_int_equal(trainer->border[2], 7);
        }
        // Without measuring they stay.
        if (!moved) assert_int_equal(trainer->border[1], 4);
        assert_int_equal(trainer_digest(trainer, digest[moved]), STATUS_OK);
        trainer_destroy(trainer);
    }
    assert_string_equal(digest[0], digest[1]);
}

static void small_differences_move_nothing(void **state)
{
    (void)state;
    struct run_config config = small_run("alike");
    config.leaves = 12;
    config.parallel.workers = 2;
    config.parallel.balance_every = 1;
    snprintf(config.parallel.balance, sizeof config.parallel.balance, "measured");
    struct trainer *trainer = NULL;
    struct step_report report;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    for (int step = 0; step < 4; step++) {
        trainer->speed[0] = (struct speed){.seconds = 1, .steps = 10};
        trainer->speed[1] = (struct speed){.seconds = 1.1, .steps = 10};
        assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
        assert_int_equal(trainer->border[1], 6);
    }
    trainer_destroy(trainer);
}

static void workers_beyond_the_leaves_only_update(void **state)
{
    (void)state;
    struct run_config config = small_run("many");
    config.leaves = 2;
    config.parallel.workers = 6;
    snprintf(config.parallel.balance, sizeof config.parallel.balance, "measured");
    struct trainer *trainer = NULL;
    struct step_report report;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    for (int step = 0; step < 5; step++)
        assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
    trainer_destroy(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_worker_gets_fewer_leaves),
        cmocka_unit_test(small_differences_move_nothing),
        cmocka_unit_test(workers_beyond_the_leaves_only_update),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
