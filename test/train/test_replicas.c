// SPDX-License-Identifier: Apache-2.0
// Several replicas, here threads with a trainer each: exact ways to exchange give the bits of one process, whatever the replicas,
// workers, buckets and borders; checkpoints go from any number to any other; what fails at one fails at all.
#include "replicas.h"
#include "train/internal.h"

#include <math.h>

static struct child_result expected;

static int train_expected(void **state)
{
    if (make_folder(state)) return 1;
    struct run_config config = small_run("one");
    expected = in_child(NULL, train_steps, &config, NULL);
    if (expected.status) fprintf(stderr, "%s\n", expected.message);
    return expected.status != STATUS_OK;
}

// small_run with buckets of 8,192 bytes.
static struct run_config replica_run(const char *out, const char *exchange)
{
    struct run_config config = small_run(out);
    snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s", exchange);
    config.parallel.bucket_mb = 0.008192;
    return config;
}

static void assert_same_at_all(const struct child_result *result, int replicas)
{
    for (int r = 0; r < replicas; r++) {
        assert_fine(&result[r]);
        assert_string_equal(result[r].digest, expected.digest);
        assert_memory_equal(&result[r].loss, &expected.loss, sizeof expected.loss);
        assert_memory_equal(&result[r].evaluation, &expected.evaluation,
                            sizeof expected.evaluation);
        assert_int_equal(result[r].evaluation_tokens, expected.evaluation_tokens);
    }
}

static const struct {
    int replicas, workers;
} sizes[] = {{1, 1}, {1, 4}, {2, 1}, {2, 2}, {3, 1}, {4, 1}, {3, 2}};

static void exact_ways_give_the_bits_of_one_process(void **state)
{
    (void)state;
    static const char *const way[] = {"direct", "tree", "server"};
    for (size_t w = 0; w < 3; w++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int overlap = 0; overlap < 2; overlap++) {
                struct child_result result[MOST_REPLICAS];
                struct run_config config = replica_run("exact", way[w]);
                config.parallel.workers = sizes[i].workers;
                snprintf(config.parallel.overlap, sizeof config.parallel.overlap, "%s",
                         overlap ? "on" : "off");
                if (w == 2 && sizes[i].replicas > 2) config.parallel.servers = 2;
                run_replicas(&config, sizes[i].replicas, NULL, replica_steps, NULL, result);
                assert_same_at_all(result, sizes[i].replicas);
            }
}

static void replicas_may_differ_in_workers_and_borders(void **state)
{
    (void)state;
    static const int workers[] = {2, 1, 3};
    static const char *const balance[] = {"none", "random", "measured"};
    for (int b = 0; b < 3; b++)
        for (int threads = 1; threads <= 2; threads++) {
            struct child_result result[MOST_REPLICAS];
            struct run_config config = replica_run("differ", b ? "tree" : "direct");
            snprintf(config.parallel.balance, sizeof config.parallel.balance, "%s", balance[b]);
            config.parallel.balance_every = 1;
            config.parallel.threads = threads;
            snprintf(config.parallel.overlap, sizeof config.parallel.overlap, "on");
            run_replicas(&config, 3, workers, replica_steps, NULL, result);
            assert_same_at_all(result, 3);
        }
}

// Activations lie in the gradient buffer until it is filled: what travels behind the computing is gradients, and 0 between them.
static void one_micro_batch_a_replica(void **state)
{
    (void)state;
    struct run_config config = replica_run("one-each", "direct");
    config.model.width = 36; // so there are gaps between parameters
    config.batch = 6;
    config.leaves = 3;
    struct child_result first = in_child(NULL, train_steps, &config, NULL);
    assert_fine(&first);
    for (int i = 0; i < 6; i++) {
        struct child_result result[MOST_REPLICAS];
        config.parallel.threads = 1 + i % 2;
        snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s",
                 i < 3 ? "direct" : "tree");
        snprintf(config.parallel.overlap, sizeof config.parallel.overlap, "%s",
                 i % 3 ? "on" : "off");
        run_replicas(&config, 3, NULL, replica_steps, NULL, result);
        for (int r = 0; r < 3; r++) {
            assert_fine(&result[r]);
            assert_string_equal(result[r].digest, first.digest);
        }
    }
}

static void servers_need_not_compute(void **state)
{
    (void)state;
    for (int servers = 1; servers <= 2; servers++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = replica_run("servers", "server");
        config.parallel.servers = servers;
        config.parallel.servers_compute = false;
        config.parallel.workers = 2;
        run_replicas(&config, 4, NULL, replica_steps, NULL, result);
        assert_same_at_all(result, 4);
    }
    struct child_result result[MOST_REPLICAS];
    struct run_config config = replica_run("servers", "server");
    config.parallel.servers = 2;
    config.parallel.servers_compute = false;
    run_replicas(&config, 2, NULL, replica_steps, NULL, result);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(result[r].status, STATUS_USAGE);
        assert_non_null(strstr(result[r].message, "none computes"));
    }
}

static void one_bucket_or_many(void **state)
{
    (void)state;
    static const double megabytes[] = {0.004096, 0.0123, 25};
    for (size_t i = 0; i < sizeof megabytes / sizeof *megabytes; i++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = replica_run("buckets", "direct");
        config.parallel.bucket_mb = megabytes[i];
        snprintf(config.parallel.overlap, sizeof config.parallel.overlap, i ? "on" : "off");
        run_replicas(&config, 3, NULL, replica_steps, NULL, result);
        assert_same_at_all(result, 3);
    }
}

static void resumed_on_other_numbers(void **state)
{
    (void)state;
    static const int replicas[] = {4, 2, 3, 1, 4};
    static const char *const way[] = {"direct", "server", "tree", "direct", "tree"};
    struct child_result result[MOST_REPLICAS];
    for (int i = 0; i < 5; i++) {
        struct portion part = {.stop = 4 * (i + 1)};
        struct run_config config = replica_run("resumed", way[i]);
        config.parallel.workers = 1 + i % 2;
        run_replicas(&config, replicas[i], NULL, replica_steps, &part, result);
        for (int r = 0; r < replicas[i]; r++) {
            assert_fine(&result[r]);
            assert_int_equal(result[r].step, part.stop);
        }
    }
    assert_same_at_all(result, 4);
}

static void the_ring_repeats_on_the_same_workers(void **state)
{
    (void)state;
    struct child_result first[MOST_REPLICAS], again[MOST_REPLICAS];
    struct run_config config = replica_run("ring", "ring");
    run_replicas(&config, 3, NULL, replica_steps, NULL, first);
    run_replicas(&config, 3, NULL, replica_steps, NULL, again);
    for (int r = 0; r < 3; r++) {
        assert_fine(&first[r]);
        assert_fine(&again[r]);
        assert_string_equal(first[r].digest, again[0].digest);
        assert_string_equal(again[r].digest, again[0].digest);
        // Other sums than the tree's, of the same numbers.
        assert_true(first[r].loss > 0.98 * expected.loss && first[r].loss < 1.02 * expected.loss);
    }
}

static void bf16_on_the_wire_is_near(void **state)
{
    (void)state;
    struct child_result result[MOST_REPLICAS];
    struct run_config config = replica_run("bf16", "direct");
    snprintf(config.parallel.wire, sizeof config.parallel.wire, "bf16");
    run_replicas(&config, 2, NULL, replica_steps, NULL, result);
    for (int r = 0; r < 2; r++) {
        assert_fine(&result[r]);
        assert_string_equal(result[r].digest, result[0].digest);
        assert_string_not_equal(result[r].digest, expected.digest);
        assert_true(result[r].loss > 0.98 * expected.loss && result[r].loss < 1.02 * expected.loss);
    }
}

static void auto_chooses_an_exact_way(void **state)
{
    (void)state;
    struct child_result result[MOST_REPLICAS];
    struct run_config config = replica_run("auto", "auto");
    config.parallel.workers = 2;
    run_replicas(&config, 3, NULL, replica_steps, NULL, result);
    assert_same_at_all(result, 3);
}

// ---- replicas that update for themselves ----
static struct run_config local_run(const char *out, int64_t every, double rate, double momentum)
{
    struct run_config config = replica_run(out, "local-sgd");
    config.leaves = 6;
    config.parallel.sync_every = every;
    config.parallel.outer_learning_rate = rate;
    config.parallel.outer_momentum = momentum;
    return config;
}

static void copy_weights(const struct run_config *config, void *context,
                         struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report;
    float *copy = context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    while (!status && trainer_position(trainer)->step < config->steps)
        status = trainer_step(trainer, &report);
    if (status)
        fill_failure(result, status);
    else if (own_net->rank == 0)
        memcpy(copy, trainer->weights.data, (size_t)trainer->parameters.elements * sizeof *copy);
    trainer_destroy(trainer);
}

// The mean of steps is the step of the mean, where steps are linear in the gradient.
static void averaging_every_step_is_synchronous(void **state)
{
    (void)state;
    enum { MOST = 1 << 17 };
    float *copy[2] = {calloc(MOST, sizeof(float)), calloc(MOST, sizeof(float))};
    struct child_result result[MOST_REPLICAS];
    for (int local = 0; local < 2; local++) {
        struct run_config config = local_run("every", 1, 1, 0);
        snprintf(config.optimizer.name, sizeof config.optimizer.name, "sgd");
        config.optimizer.clip = 0;
        config.schedule.learning_rate = 0.3;
        if (!local) snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "direct");
        run_replicas(&config, 3, NULL, copy_weights, copy[local], result);
        for (int r = 0; r < 3; r++) assert_fine(&result[r]);
    }
    double largest = 0, apart = 0;
    for (int i = 0; i < MOST; i++) {
        largest = fmax(largest, fabs((double)copy[0][i]));
        apart = fmax(apart, fabs((double)copy[0][i] - (double)copy[1][i]));
    }
    assert_true(largest > 0.05);
    if (!(apart < 1e-5 * largest)) fail_msg("weights of up to %g lie %g apart", largest, apart);
    free(copy[0]);
    free(copy[1]);
}

static void replicas_that_update_for_themselves_learn(void **state)
{
    (void)state;
    static const double outer[][2] = {{1, 0}, {0.7, 0.9}, {1, 0.7}};
    for (int i = 0; i < 2; i++) {
        struct child_result result[MOST_REPLICAS], again[MOST_REPLICAS];
        struct run_config config = local_run("learn", 5, outer[i][0], outer[i][1]);
        config.parallel.workers = 1 + i;
        config.steps = 40;
        run_replicas(&config, 3, NULL, replica_steps, NULL, result);
        run_replicas(&config, 3, NULL, replica_steps, NULL, again);
        for (int r = 0; r < 3; r++) {
            assert_fine(&result[r]);
            assert_string_equal(result[r].digest, again[0].digest);
            assert_memory_equal(&result[r].evaluation, &result[0].evaluation, sizeof(double));
            assert_true(result[r].evaluation < 1.05 * expected.evaluation);
        }
    }
}

// Stopped where weights are averaged; a replica more or less may go on from there.
static void local_runs_resume(void **state)
{
    (void)state;
    struct child_result whole[MOST_REPLICAS], result[MOST_REPLICAS];
    struct portion half = {.stop = 10}, rest = {.stop = 20};
    for (int i = 0; i < 2; i++) {
        struct run_config config = local_run(i ? "parts" : "whole", 5, 0.7, 0.9);
        run_replicas(&config, 2, NULL, replica_steps, &half, i ? result : whole);
        run_replicas(&config, 2, NULL, replica_steps, &rest, i ? result : whole);
    }
    for (int r = 0; r < 2; r++) {
        assert_fine(&result[r]);
        assert_string_equal(result[r].digest, whole[0].digest);
    }
    struct run_config config = local_run("parts", 5, 0.7, 0.9);
    struct portion more = {.stop = 25};
    config.steps = 25;
    run_replicas(&config, 3, NULL, replica_steps, &more, result);
    for (int r = 0; r < 3; r++) assert_fine(&result[r]);
    // And as a run that is summed again: its optimizer state is there, the averages' is passed over.
    config = replica_run("parts", "direct");
    config.leaves = 6;
    config.steps = more.stop = 28;
    run_replicas(&config, 2, NULL, replica_steps, &more, result);
    for (int r = 0; r < 2; r++) assert_fine(&result[r]);
}

// ---- what fails at one fails at all ----
// A bit of replica 1's weights turns over. The owners' weights heal it with the next step; what is saved before must not have it.
static void one_bit_turns(const struct run_config *config, void *context,
                          struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report;
    (void)context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    while (!status && trainer_position(trainer)->step < 4) status = trainer_step(trainer, &report);
    if (!status && own_net->rank == 1) ((uint32_t *)trainer->weights.data)[777] ^= 1;
    if (!status) status = trainer_save(trainer);
    if (status) fill_failure(result, status);
    trainer_destroy(trainer);
}

static void another_bit_is_found(void **state)
{
    (void)state;
    struct child_result result[MOST_REPLICAS];
    struct run_config config = replica_run("bit", "direct");
    run_replicas(&config, 3, NULL, one_bit_turns, NULL, result);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(result[r].status, STATUS_PEER);
        assert_non_null(strstr(result[r].message, "process 1 ("));
    }
}

static void fails_alike(const struct run_config *config, int replicas, enum status status,
                        const char *word)
{
    struct child_result result[MOST_REPLICAS];
    run_replicas(config, replicas, NULL, replica_steps, NULL, result);
    for (int r = 0; r < replicas; r++) {
        if (result[r].status != status || !strstr(result[r].message, word))
            fail_msg("replica %d: status %d, \"%s\"", r, (int)result[r].status, result[r].message);
        assert_string_equal(result[r].message, result[0].message);
    }
}

static void all_diverge_alike(void **state)
{
    (void)state;
    struct run_config config = replica_run("diverged", "direct");
    config.schedule.learning_rate = 1e30;
    config.schedule.warmup = 0;
    config.optimizer.clip = 0;
    fails_alike(&config, 3, STATUS_DIVERGED, "is not finite");
}

static void all_are_refused_alike(void **state)
{
    (void)state;
    struct run_config config = replica_run("refused", "direct");
    config.parallel.memory_limit = 1e6;
    fails_alike(&config, 2, STATUS_MEMORY, "would take");
    config.parallel.memory_limit = 0;
    snprintf(config.data.train, sizeof config.data.train, "%s/nothing.txt", test_folder);
    fails_alike(&config, 3, STATUS_INPUT, "nothing.txt");
}

// Replica 2 alone cannot do what it should.
static void one_fails(const struct run_config *config, void *context, struct child_result *result)
{
    struct run_config own = *config;
    (void)context;
    if (own_net->rank == 2) own.parallel.memory_limit = 1e6;
    replica_steps(&own, NULL, result);
}

static void one_that_fails_ends_all(void **state)
{
    (void)state;
    struct child_result result[MOST_REPLICAS];
    struct run_config config = replica_run("fails", "tree");
    run_replicas(&config, 4, NULL, one_fails, NULL, result);
    for (int r = 0; r < 4; r++) {
        assert_int_equal(result[r].status, STATUS_MEMORY);
        assert_non_null(strstr(result[r].message, "process 2 of 4"));
    }
}

// Replica 1 goes away after its third step.
static void one_leaves(const struct run_config *config, void *context, struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report;
    (void)context;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    while (!status && trainer_position(trainer)->step < config->steps) {
        if (own_net->rank == 1 && trainer_position(trainer)->step == 3) {
            comm_abandon(own_net);
            break;
        }
        status = trainer_step(trainer, &report);
    }
    result->step = trainer ? trainer_position(trainer)->step : 0;
    if (status) fill_failure(result, status);
    trainer_destroy(trainer);
}

static void one_that_leaves_ends_all(void **state)
{
    (void)state;
    for (int overlap = 0; overlap < 2; overlap++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = replica_run("leaves", "direct");
        snprintf(config.parallel.overlap, sizeof config.parallel.overlap, "%s",
                 overlap ? "on" : "off");
        run_replicas(&config, 3, NULL, one_leaves, NULL, result);
        for (int r = 0; r < 3; r++) {
            // It leaves behind its own third step: the others may still be ending theirs.
            assert_in_range(result[r].step, r == 1 ? 3 : 2, 3);
            if (r != 1) assert_int_equal(result[r].status, STATUS_PEER);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_ways_give_the_bits_of_one_process),
        cmocka_unit_test(replicas_may_differ_in_workers_and_borders),
        cmocka_unit_test(one_micro_batch_a_replica),
        cmocka_unit_test(servers_need_not_compute),
        cmocka_unit_test(one_bucket_or_many),
        cmocka_unit_test(resumed_on_other_numbers),
        cmocka_unit_test(the_ring_repeats_on_the_same_workers),
        cmocka_unit_test(bf16_on_the_wire_is_near),
        cmocka_unit_test(auto_chooses_an_exact_way),
        cmocka_unit_test(averaging_every_step_is_synchronous),
        cmocka_unit_test(replicas_that_update_for_themselves_learn),
        cmocka_unit_test(local_runs_resume),
        cmocka_unit_test(another_bit_is_found),
        cmocka_unit_test(all_diverge_alike),
        cmocka_unit_test(all_are_refused_alike),
        cmocka_unit_test(one_that_fails_ends_all),
        cmocka_unit_test(one_that_leaves_ends_all),
    };
    return cmocka_run_group_tests(tests, train_expected, remove_folder);
}
