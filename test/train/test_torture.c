// SPDX-License-Identifier: Apache-2.0
// Every allocation of a run fails once, the first, the second, and so on until none is left: each time there is a message,
// nothing hangs, and what lies on disk stays whole.
#include "support.h"

static void fail_one(const struct run_config *config, void *context, struct child_result *result)
{
    char number[24];
    snprintf(number, sizeof number, "%d", *(const int *)context);
    setenv("STENTOR_FAIL_ALLOC", number, 1);
    struct trainer *trainer = NULL;
    struct train_result train_result;
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, true);
    if (!status) status = train_run(trainer, NULL, &train_result);
    fill_failure(result, status);
    result->step = (int64_t)memory_allocations();
    trainer_destroy(trainer);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct run_config config = small_run("torture");
    config.steps = 1;
    config.eval_every = 1;
    config.parallel.workers = 2;
    int failures = 0, n = 1;
    for (;; n++) {
        // The same work each time: the cache of ids and the folder are made anew.
        assert_int_equal(directory_remove(config.out), STATUS_OK);
        assert_int_equal(directory_remove(config.data.cache), STATUS_OK);
        struct child_result result = in_child(NULL, fail_one, &config, &n);
        if (!result.status && n > result.step) break;
        if (!result.status) continue; // a part that the run can do without: a warning
        failures++;
        if (result.status != STATUS_MEMORY || !result.message[0])
            fail_msg("allocation %d: status %d, \"%s\"", n, (int)result.status, result.message);
    }
    print_message("# %d of %d allocations were needed\n", failures, n);
    assert_true(failures > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
