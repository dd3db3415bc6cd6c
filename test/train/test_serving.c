// SPDX-License-Identifier: Apache-2.0
// Servers that apply pushes as they come: the loss falls, fast workers go on while a slow one computes, all meet at one step for
// evaluations, checkpoints and the end, whoever asked for it; what fails at one ends all.
#include "replicas.h"
#include "train/internal.h"

#include <math.h>
#include <stdatomic.h>
#include <time.h>

static double synchronous_loss;

static struct run_config serving_run(const char *out, int servers, bool compute, int staleness)
{
    struct run_config config = small_run(out);
    snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "server");
    config.parallel.servers = servers;
    config.parallel.servers_compute = compute;
    config.parallel.staleness = staleness;
    config.steps = 40;
    return config;
}

static int train_synchronous(void **state)
{
    if (make_folder(state)) return 1;
    struct run_config config = serving_run("one", 1, true, 0);
    struct child_result result = in_child(NULL, train_steps, &config, NULL);
    synchronous_loss = result.evaluation;
    return result.status != STATUS_OK;
}

static void without_staleness_the_bits_are_the_synchronous_ones(void **state)
{
    (void)state;
    struct child_result result[MOST_REPLICAS], expected[1];
    struct run_config config = serving_run("zero", 2, true, 0);
    config.steps = 12;
    run_replicas(&config, 1, NULL, replica_steps, NULL, expected);
    run_replicas(&config, 3, NULL, replica_steps, NULL, result);
    for (int r = 0; r < 3; r++) {
        assert_fine(&result[r]);
        assert_string_equal(result[r].digest, expected->digest);
    }
}

// Steps with evaluations and checkpoints between them, each of which compares the replicas' weights.
static void steps_and_meetings(const struct run_config *config, void *context,
                               struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report = {0};
    const bool *resume = context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, resume != NULL);
    while (!status && trainer_position(trainer)->step < config->steps) {
        status = trainer_step(trainer, &report);
        int64_t step = trainer_position(trainer)->step;
        if (!status && report.step != step) fail_msg("step %lld", (long long)report.step);
        if (!status && step % 7 == 0)
            status = trainer_evaluate(trainer, &result->evaluation, &result->evaluation_tokens);
        if (!status && (step % 10 == 0 || step == config->steps)) status = trainer_save(trainer);
    }
    if (!status)
        status = trainer_evaluate(trainer, &result->evaluation, &result->evaluation_tokens);
    if (!status) status = trainer_digest(trainer, result->digest);
    if (status)
        fill_failure(result, status);
    else
        result->step = trainer_position(trainer)->step;
    trainer_destroy(trainer);
}

static void assert_alike(const struct child_result *result, int replicas, int64_t step)
{
    for (int r = 0; r < replicas; r++) {
        assert_fine(&result[r]);
        assert_int_equal(result[r].step, step);
        assert_string_equal(result[r].digest, result[0].digest);
        assert_memory_equal(&result[r].evaluation, &result[0].evaluation, sizeof(double));
    }
}

static void the_loss_falls_and_all_agree(void **state)
{
    (void)state;
    for (int staleness = 1; staleness <= 3; staleness += 2)
        for (int servers = 1; servers <= 2; servers++)
            for (int compute = 0; compute < 2; compute++) {
                struct child_result result[MOST_REPLICAS];
                char out[32];
                snprintf(out, sizeof out, "learn-%d-%d-%d", staleness, servers, compute);
                struct run_config config = serving_run(out, servers, compute, staleness);
                config.parallel.workers = 1 + compute;
                run_replicas(&config, 4, NULL, steps_and_meetings, NULL, result);
                assert_alike(result, 4, 40);
                if (!(result[0].evaluation < 1.1 * synchronous_loss))
                    fail_msg("loss %g, synchronous %g", result[0].evaluation, synchronous_loss);
            }
}

// Most rows are empty, so a worker's part of many steps is, and that of all in some.
static void empty_texts_do_not_end_a_run(void **state)
{
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/sparse.csv", test_folder);
    FILE *file = fopen(path, "w");
    fprintf(file, "text,class\n");
    for (int i = 0; i < 24; i++) fprintf(file, "%s,a\n", i % 8 == 3 ? "one two three four" : "");
    assert_int_equal(fclose(file), 0);
    for (int compute = 0; compute < 2; compute++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = serving_run(compute ? "sparse" : "sparse-served", 1, compute, 2);
        snprintf(config.task, sizeof config.task, "mlm");
        snprintf(config.model.type, sizeof config.model.type, "encoder");
        snprintf(config.data.train, sizeof config.data.train, "%s", path);
        snprintf(config.data.valid, sizeof config.data.valid, "%s", path);
        snprintf(config.data.text, sizeof config.data.text, "text");
        snprintf(config.data.tokenizer, sizeof config.data.tokenizer, "word");
        config.data.mask_rate = 0.5;
        config.batch = config.leaves = 3;
        config.micro_batch = 1;
        run_replicas(&config, 3, NULL, steps_and_meetings, NULL, result);
        assert_alike(result, 3, 40);
        assert_true(isfinite(result[0].evaluation));
    }
}

static void checkpoints_go_on_in_any_run(void **state)
{
    (void)state;
    static const struct {
        int replicas, servers, staleness;
        bool compute;
    } part[] = {
        {4, 2, 2, true}, {3, 1, 1, false}, {2, 1, 0, true}, {3, 2, 2, true}, {1, 1, 2, true}};
    struct child_result result[MOST_REPLICAS];
    bool resume = true;
    for (int i = 0; i < 5; i++) {
        struct run_config config =
            serving_run("resumed", part[i].servers, part[i].compute, part[i].staleness);
        config.steps = 8 * (i + 1);
        config.schedule.decay_steps = 40;
        run_replicas(&config, part[i].replicas, NULL, steps_and_meetings, i ? &resume : NULL,
                     result);
        assert_alike(result, part[i].replicas, config.steps);
    }
    assert_true(result[0].evaluation < 1.1 * synchronous_loss);
}

// ---- a slow worker ----
enum { SLOW = 2, AHEAD = 3 };
static atomic_llong steps_done[MOST_REPLICAS];

// The slow one does not begin a step before the others are as far ahead as they may: where they had to wait for it, it would
// wait for ever.
static void waits_for_the_fast(const struct run_config *config, void *context,
                               struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report;
    int rank = own_net->rank, first = *(const int *)context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    for (int64_t step = 0; !status && step < config->steps; step++) {
        int64_t goal = step + AHEAD < config->steps ? step + AHEAD : config->steps;
        for (int r = first; r < own_net->size && rank == SLOW; r++)
            for (int turns = 0; r != SLOW && atomic_load(&steps_done[r]) < goal; turns++) {
                if (turns == 20000) fail_msg("replica %d waits at step %lld", r, (long long)step);
                nanosleep(&(struct timespec){0, 1000000}, NULL);
            }
        status = trainer_step(trainer, &report);
        // Others may have pushed one more than what they have told of.
        if (rank != SLOW && step + 1 > atomic_load(&steps_done[SLOW]) + AHEAD + 1)
            fail_msg("replica %d is at step %lld", rank, (long long)step + 1);
        atomic_store(&steps_done[rank], step + 1);
    }
    if (!status) status = trainer_digest(trainer, result->digest);
    if (status) fill_failure(result, status);
    result->step = status ? -1 : config->steps;
    trainer_destroy(trainer);
}

static void fast_workers_go_on(void **state)
{
    (void)state;
    for (int compute = 0; compute < 2; compute++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = serving_run("slow", 1, compute, AHEAD);
        int first = 1;
        config.steps = 15;
        for (int r = 0; r < MOST_REPLICAS; r++) atomic_store(&steps_done[r], 0);
        run_replicas(&config, 4, NULL, waits_for_the_fast, &first, result);
        for (int r = 0; r < 4; r++) {
            assert_fine(&result[r]);
            assert_string_equal(result[r].digest, result[0].digest);
        }
    }
}

// ---- the end ----
static void stop_at_seven(void *context, const struct step_report *report)
{
    if (report->step == 7 && *(const int *)context == own_net->rank) train_request_stop();
}

static void run_until_stopped(const struct run_config *config, void *context,
                              struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct train_result trained;
    const struct train_observer observer = {.context = context, .step = stop_at_seven};
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    if (!status) status = train_run(trainer, &observer, &trained);
    if (status) fill_failure(result, status);
    result->step = trainer ? trainer_position(trainer)->step : -1;
    trainer_destroy(trainer);
}

static void whoever_is_asked_to_stop_all_stop_at_one_step(void **state)
{
    (void)state;
    for (int compute = 0; compute < 2; compute++)
        for (int servers = 1; servers <= 2; servers++)
            for (int who = 0; who < 4; who++) {
                struct child_result result[MOST_REPLICAS];
                char out[32];
                snprintf(out, sizeof out, "stop-%d-%d-%d", compute, servers, who);
                struct run_config config = serving_run(out, servers, compute, 2);
                config.steps = 4000;
                run_replicas(&config, 4, NULL, run_until_stopped, &who, result);
                for (int r = 0; r < 4; r++) {
                    assert_int_equal(result[r].status, STATUS_INTERRUPTED);
                    assert_int_equal(result[r].step, result[0].step);
                }
                assert_in_range(result[0].step, 7, 3999);
            }
}

static void what_diverges_ends_all(void **state)
{
    (void)state;
    for (int compute = 0; compute < 2; compute++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = serving_run("diverges", 1, compute, 2);
        config.schedule.learning_rate = 1e30;
        config.optimizer.clip = 0;
        snprintf(config.optimizer.name, sizeof config.optimizer.name, "sgd");
        run_replicas(&config, 3, NULL, steps_and_meetings, NULL, result);
        for (int r = 0; r < 3; r++) {
            if (result[r].status != STATUS_DIVERGED) fail_msg("%s", result[r].message);
            assert_non_null(strstr(result[r].message, "not finite"));
        }
    }
}

static void one_leaves(const struct run_config *config, void *context, struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report;
    int quitter = *(const int *)context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    for (int step = 0; !status && step < 30; step++) {
        if (own_net->rank == quitter && step == 5) break;
        status = trainer_step(trainer, &report);
    }
    if (status) fill_failure(result, status);
    trainer_destroy(trainer);
}

static void who_leaves_ends_all(void **state)
{
    (void)state;
    for (int compute = 0; compute < 2; compute++)
        for (int quitter = 0; quitter < 3; quitter++) {
            struct child_result result[MOST_REPLICAS];
            struct run_config config = serving_run("leaves", 1, compute, 2);
            run_replicas(&config, 3, NULL, one_leaves, &quitter, result);
            for (int r = 0; r < 3; r++)
                assert_int_equal(result[r].status, r == quitter ? STATUS_OK : STATUS_PEER);
        }
}

static void assert_refused(struct run_config *config, int replicas, const char *word)
{
    struct child_result result[MOST_REPLICAS];
    run_replicas(config, replicas, NULL, replica_steps, NULL, result);
    for (int r = 0; r < replicas; r++) {
        assert_int_equal(result[r].status, STATUS_USAGE);
        if (!strstr(result[r].message, word)) fail_msg("%s", result[r].message);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct run_config config = serving_run("refused", 1, true, 2);
    snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "tree");
    assert_refused(&config, 2, "parallel.staleness: 2 is for parallel.exchange: server");
    config = serving_run("refused", 1, true, 2);
    snprintf(config.parallel.balance, sizeof config.parallel.balance, "measured");
    assert_refused(&config, 2, "parallel.balance");
    config = serving_run("refused", 1, true, 2);
    snprintf(config.parallel.wire, sizeof config.parallel.wire, "bf16");
    assert_refused(&config, 2, "parallel.wire");
    config = serving_run("refused", 1, true, 2);
    snprintf(config.parallel.overlap, sizeof config.parallel.overlap, "on");
    assert_refused(&config, 2, "parallel.overlap");
    config = serving_run("refused", 1, true, 2);
    config.leaves = 2;
    assert_refused(&config, 3, "train.leaves: 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_staleness_the_bits_are_the_synchronous_ones),
        cmocka_unit_test(the_loss_falls_and_all_agree),
        cmocka_unit_test(empty_texts_do_not_end_a_run),
        cmocka_unit_test(checkpoints_go_on_in_any_run),
        cmocka_unit_test(fast_workers_go_on),
        cmocka_unit_test(whoever_is_asked_to_stop_all_stop_at_one_step),
        cmocka_unit_test(what_diverges_ends_all),
        cmocka_unit_test(who_leaves_ends_all),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, train_synchronous, remove_folder);
}
