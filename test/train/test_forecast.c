// SPDX-License-Identifier: Apache-2.0
// A forecast is what the trainer itself would take: the same memory, the same operations; and cluster files round-trip.
#include "base/file.h"
#include "train/cluster_file.h"
#include "train/forecast.h"
#include "train/support.h"

#include <math.h>

// One node here, so that both speak of the same.
static struct cluster one_node(int64_t workers)
{
    return (struct cluster){.nodes = 1,
                            .workers = workers,
                            .shares_memory = true,
                            .peak = {[PRECISION_FLOAT32] = 1e11},
                            .efficiency = 0.8,
                            .attention = 0.5,
                            .memory = 1e10,
                            .memory_bandwidth = 2e10,
                            .inside = {0, 0, 1e9},
                            .between = {0, 0, 1e9}};
}

static struct memory_report memory_there(const struct forecast *forecast,
                                         const struct cluster *cluster)
{
    struct memory_report report;
    assert_int_equal(forecast_memory(forecast, cluster, &report), STATUS_OK);
    return report;
}

static void memory_and_operations_are_the_trainers(void **state)
{
    (void)state;
    for (int64_t workers = 1; workers <= 3; workers++) {
        static struct run_config config;
        static struct forecast forecast;
        struct trainer *trainer;
        config = small_run("out");
        config.parallel.workers = workers;
        assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
        assert_int_equal(forecast_create(&config, &forecast), STATUS_OK);
        struct cluster cluster = one_node(workers);
        struct memory_report wanted = trainer_memory(trainer);
        struct memory_report got = memory_there(&forecast, &cluster);
        assert_int_equal(got.weights, wanted.weights);
        assert_int_equal(got.optimizer_state, wanted.optimizer_state);
        assert_int_equal(got.gradients, wanted.gradients);
        assert_int_equal(got.activations, wanted.activations);
        assert_int_equal(got.packed_weights, wanted.packed_weights);
        // Tables of the trainer and the text's pages apart.
        double other = (double)wanted.other - (double)got.other;
        assert_true(fabs(other) < 0.02 * (double)wanted.total);
        struct work work = forecast.workload.work;
        double micro_batches = (double)forecast.workload.micro_batches;
        double flops = trainer_cost(trainer).flops;
        assert_true(micro_batches * (work.products + work.attention) <= flops);
        assert_true(micro_batches * (work.products + work.attention) > 0.8 * flops);
        assert_true(forecast.parameters == (double)trainer_parameters(trainer));
        trainer_destroy(trainer);
    }
}

// Dedicated servers need other nodes beside them, and there are none in a run of one.
static void servers_need_a_place(void **state)
{
    (void)state;
    static struct run_config config;
    static struct forecast forecast;
    struct memory_report report;
    config = small_run("out");
    snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "server");
    config.parallel.servers = 2;
    config.parallel.servers_compute = false;
    assert_int_equal(forecast_create(&config, &forecast), STATUS_OK);
    struct cluster cluster = one_node(2);
    size_t alone = memory_there(&forecast, &cluster).gradients;
    assert_true(alone > 0);
    cluster.nodes = 2;
    assert_int_equal(forecast_memory(&forecast, &cluster, &report), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "all 2 processes serve and none computes"));
    error_clear();
    cluster.nodes = 3;
    assert_true(memory_there(&forecast, &cluster).gradients > 0);
    // Without momentum the servers have little; what is told is of one that computes.
    snprintf(config.optimizer.name, sizeof config.optimizer.name, "sgd");
    assert_int_equal(forecast_create(&config, &forecast), STATUS_OK);
    assert_true(memory_there(&forecast, &cluster).worker_gradients > 0);
}

static void owners_share_the_optimizer(void **state)
{
    (void)state;
    static struct run_config config;
    static struct forecast forecast;
    config = small_run("out");
    assert_int_equal(forecast_create(&config, &forecast), STATUS_OK);
    struct cluster cluster = one_node(2);
    size_t before = memory_there(&forecast, &cluster).optimizer_state;
    cluster.nodes = 4;
    size_t after = memory_there(&forecast, &cluster).optimizer_state;
    assert_true(after < before);
    // A GPU each: as many replicas as workers.
    cluster.shares_memory = false;
    assert_int_equal(memory_there(&forecast, &cluster).replicas, 8);
}

static void batches_grow_with_the_nodes(void **state)
{
    (void)state;
    static struct run_config config;
    static struct forecast forecast;
    config = small_run("out");
    assert_int_equal(forecast_create(&config, &forecast), STATUS_OK);
    struct workload larger = forecast_larger(&forecast, 3);
    assert_int_equal(larger.micro_batches, 3 * forecast.workload.micro_batches);
    assert_int_equal(larger.leaves, 3 * forecast.workload.leaves);
    assert_true(larger.tokens == 3 * forecast.workload.tokens);
    assert_int_equal(forecast_larger(&forecast, 1 << 20).leaves, 4096);
}

// Member by member: what lies between them is anything.
static void assert_cluster_equal(const struct cluster *a, const struct cluster *b)
{
    assert_int_equal(a->nodes, b->nodes);
    assert_int_equal(a->workers, b->workers);
    assert_int_equal(a->shares_memory, b->shares_memory);
    assert_memory_equal(a->peak, b->peak, sizeof a->peak);
    assert_true(a->efficiency == b->efficiency && a->attention == b->attention);
    assert_true(a->memory == b->memory && a->memory_bandwidth == b->memory_bandwidth);
    assert_memory_equal(&a->inside, &b->inside, sizeof a->inside);
    assert_memory_equal(&a->between, &b->between, sizeof a->between);
}

static void cluster_files_round_trip(void **state)
{
    (void)state;
    struct cluster_file file = {.cluster = one_node(7)}, back;
    char path[300], *text;
    snprintf(file.name, sizeof file.name, "a \"quoted\\ name\"");
    file.cluster.between = (struct link){1.25e-5, 3e-7, 12345678901.0};
    file.cluster.shares_memory = false;
    snprintf(path, sizeof path, "%s/cluster.yaml", test_folder);
    assert_int_equal(cluster_file_print(&file, &text), STATUS_OK);
    assert_int_equal(file_replace(path, text, strlen(text)), STATUS_OK);
    assert_int_equal(cluster_file_read(path, &back), STATUS_OK);
    assert_string_equal(back.name, file.name);
    assert_cluster_equal(&back.cluster, &file.cluster);
    free(text);
}

static void shares_are_measured(void **state)
{
    (void)state;
    double products = 0, attention = 0;
    assert_int_equal(forecast_measure(1e9, &products, &attention), STATUS_OK);
    assert_true(products > 0 && isfinite(products));
    assert_true(attention > 0 && isfinite(attention));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_operations_are_the_trainers),
        cmocka_unit_test(servers_need_a_place),
        cmocka_unit_test(owners_share_the_optimizer),
        cmocka_unit_test(batches_grow_with_the_nodes),
        cmocka_unit_test(cluster_files_round_trip),
        cmocka_unit_test(shares_are_measured),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
