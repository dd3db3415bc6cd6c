// SPDX-License-Identifier: Apache-2.0
// The cost model: cases counted by hand, what must grow or fall, and the published tables of others (doc/plan.md).
#include "parallel/cost.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void near(double x, double wanted)
{
    if (fabs(x - wanted) <= 1e-12 * fabs(wanted)) return;
    print_error("%.17g where %.17g was counted\n", x, wanted);
    fail();
}

// ---- the exchange ----
static const struct link link = {.latency = 10, .gap = 1, .bandwidth = 5};

static void ways_cost_what_was_counted(void **state)
{
    (void)state;
    // 4 replicas, 40 bytes: parts of 10 bytes take 1 + 2 seconds at a port.
    near(cost_reduce("direct", &link, 4, 4, 40, 1).seconds, 10 + 3 * 3);
    near(cost_reduce("direct", &link, 4, 4, 40, 2).seconds, 10 + 6 * 3); // two nodes each
    near(cost_spread("direct", &link, 4, 4, 40).seconds, 10 + 3 * 3);
    near(cost_reduce("direct", &link, 4, 4, 40, 1).bytes, 30);
    near(cost_reduce("direct", &link, 4, 4, 40, 1).messages, 3);
    near(cost_reduce("server", &link, 4, 1, 40, 1).seconds, 10 + 3 * (1 + 8));
    near(cost_reduce("server", &link, 4, 1, 40, 1).bytes, 120);
    near(cost_reduce("ring", &link, 4, 4, 40, 1).seconds, 3 * (10 + 3));
    near(cost_reduce("tree", &link, 4, 4, 40, 1).seconds, (10 + 1 + 4) + (10 + 1 + 2));
    near(cost_reduce("tree", &link, 4, 4, 40, 1).bytes, 30);
    // 5 replicas: one pair folds the whole before.
    near(cost_reduce("tree", &link, 5, 4, 40, 1).seconds, (10 + 1 + 8) + 15 + 13);
    near(cost_reduce("direct", &link, 1, 1, 40, 1).seconds, 0);
}

// ---- a step ----
static const struct cluster small = {
    .nodes = 1,
    .workers = 2,
    .shares_memory = true,
    .peak = {[PRECISION_FLOAT32] = 100},
    .efficiency = 0.5,
    .attention = 0.25,
    .memory = 1e9,
    .memory_bandwidth = 1000,
    .inside = {0, 0, 1000},
    .between = {10, 1, 100},
};
static const struct workload load = {
    .work = {.products = 400, .attention = 50, .bytes = 1500}, // 8 + 2 + 1.5 or 3 seconds
    .elements = 100,
    .states = 2,
    .micro_batches = 8,
    .leaves = 4,
    .tokens = 1000,
    .exchange = "direct",
    .wire = 4,
};

static void a_step_costs_what_was_counted(void **state)
{
    (void)state;
    // Two workers share the memory: 3 seconds for the bytes. Runs of 2 leaves, 4 micro-batches each.
    struct step_cost cost = cost_step(&small, &load);
    near(cost.compute, 4 * 13);
    near(cost.wait, 0);
    // 3 folds of 12 bytes by two workers, 2 nodes read, one update of (2 + 2 + 4) 4 bytes.
    near(cost.update, (3 * 12 * 100 * 2 + 2 * 100 * 4 + 32 * 100) / 1000.0);
    near(cost.exposed, 0);
    near(cost.seconds, cost.compute + cost.update);
    near(cost.tokens, 1000 / cost.seconds);
    assert_int_equal(cost.replicas, 1);
    // One worker: the memory is its own.
    struct cluster one = small;
    one.workers = 1;
    near(cost_step(&one, &load).compute, 8 * 11.5);
    // Three workers: the first has two leaves, the others one.
    one.workers = 3;
    cost = cost_step(&one, &load);
    near(cost.compute, 8 * 14.5 / 3);
    near(cost.compute + cost.wait, 4 * 14.5);
}

static void replicas_exchange(void **state)
{
    (void)state;
    struct cluster two = small;
    two.nodes = 2, two.workers = 1;
    struct step_cost cost = cost_step(&two, &load);
    assert_int_equal(cost.replicas, 2);
    // 400 bytes: half of them there, half back.
    near(cost.exposed, 2 * (10 + 1 + 2));
    near(cost.hidden, 0);
    near(cost.bytes, 400);
    near(cost.messages, 2);
    // Averages travel as gradients do. A server that does not compute leaves all to the other node.
    struct workload other = load;
    other.exchange = "local-sgd", other.sync_every = 1;
    near(cost_step(&two, &other).exposed, 2 * (10 + 1 + 2));
    other.exchange = "server", other.servers = 1;
    double shared = cost_step(&two, &other).compute;
    other.servers_only = true;
    near(cost_step(&two, &other).compute, 2 * shared);
    struct workload hiding = load;
    hiding.overlap = true, hiding.bucket = 100;
    cost = cost_step(&two, &hiding); // 4 buckets of 10 + 1 + 0.5
    near(cost.hidden, 11.5 * 2 / 3);
    near(cost.exposed, 4 * 11.5 * 2 - 11.5 * 2 / 3);
    hiding.exchange = "local-sgd", hiding.sync_every = 50, hiding.bucket = 0;
    near(cost_step(&two, &hiding).exposed, 2 * (10 + 1 + 2) / 50.0);
    // Each replica updates all of its weights, not half of them.
    near(cost_step(&two, &hiding).update - cost_step(&two, &load).update, 28 * 50 / 1000.0);
    // More servers than replicas are as many.
    hiding.exchange = "server", hiding.servers = 7, hiding.overlap = false;
    near(cost_step(&two, &hiding).exposed, 2 * (10 + 1 + 2));
    // Two workers with copies of their own: they are replicas, on the link inside their node.
    two = small;
    two.shares_memory = false;
    cost = cost_step(&two, &load);
    assert_int_equal(cost.replicas, 2);
    near(cost.exposed, 2 * 0.2);
}

static void more_is_never_worse(void **state)
{
    (void)state;
    struct cluster cluster = small;
    struct workload many = load;
    many.leaves = many.micro_batches = 4096;
    double before = 0;
    for (int64_t nodes = 1; nodes <= 4096; nodes *= 2) {
        cluster.nodes = nodes;
        struct step_cost cost = cost_step(&cluster, &many);
        assert_true(cost.compute > 0 && cost.wait >= -1e-9 && cost.exposed >= 0);
        assert_true(cost.compute < before || nodes == 1);
        before = cost.compute;
    }
    cluster.nodes = 64;
    static const char *const ways[] = {"direct", "tree", "ring", "server", "native", "local-sgd"};
    for (int i = 0; i < 6; i++) {
        many.exchange = ways[i], many.sync_every = 50, many.servers = 2;
        struct step_cost cost = cost_step(&cluster, &many);
        struct cluster faster = cluster;
        faster.between.bandwidth *= 2;
        assert_true(cost_step(&faster, &many).seconds < cost.seconds);
        faster = cluster, faster.between.latency /= 2;
        assert_true(cost_step(&faster, &many).seconds < cost.seconds);
        faster = cluster, faster.peak[PRECISION_FLOAT32] *= 2;
        assert_true(cost_step(&faster, &many).seconds < cost.seconds);
    }
    // Many small messages: halving waits for fewer of them; few large ones: the first is as good.
    many.elements = 1;
    assert_string_equal(cost_best_exchange(&cluster, &many), "tree");
    cluster.nodes = 2;
    assert_string_equal(cost_best_exchange(&cluster, &many), "direct");
}

// ---- published: Megatron-LM's weak scaling (Narayanan et al. 2021, table 1; micro-batches and schedules from examples/sc21/run_table_1.sh) ----
// A100: 312 TFLOP/s, 2.039 TB/s, NVLink 300 GB/s and 8 times 200 Gbit/s a node, each in one direction. The one constant, the share of the
// peak, is that at which the one-GPU run of Megatron-LM's older table (1.16B parameters, 1,024 tokens, 16 sequences: 1,076 ms) comes out.
static const struct cluster a100 = {
    .nodes = 384,
    .workers = 8,
    .peak = {[PRECISION_BF16] = 312e12},
    .efficiency = 0.583,
    .attention = 0.583,
    .memory = 80e9,
    .memory_bandwidth = 2.039e12,
    .inside = {2e-6, 0, 300e9},
    .between = {5e-6, 0, 200e9},
};
static struct arrangement megatron(int64_t workers, int64_t tensor, int64_t pipeline, int64_t batch,
                                   int64_t micro_batch, int64_t chunks)
{
    return (struct arrangement){.workers = workers,
                                .tensor = tensor,
                                .pipeline = pipeline,
                                .chunks = chunks,
                                .batch = batch,
                                .micro_batch = micro_batch,
                                .precision = PRECISION_BF16,
                                .recompute = 1,
                                .overlap = pipeline == 1,
                                .outside = 10,
                                .inside = 14,
                                .scores = 4};
}

static void megatron_is_within_15_percent(void **state)
{
    (void)state;
    const struct transformer first = {24, 1920, 1024, 51200, 15, 15, 4 * 1920, false, true};
    const struct arrangement alone = megatron(1, 1, 1, 16, 16, 1);
    double seconds = cost_layout(&a100, &first, &alone).seconds;
    assert_true(fabs(seconds / 1.076 - 1) < 0.005);
    static const struct {
        double billions;
        int tensor, pipeline, micro_batch, batch, layers, width, heads, nodes, chunks, published;
    } row[] = {
        {1.7, 1, 1, 16, 512, 24, 2304, 24, 4, 1, 137},
        {3.6, 2, 1, 16, 512, 30, 3072, 32, 8, 1, 138},
        {7.5, 4, 1, 16, 512, 36, 4096, 32, 16, 1, 142},
        {18.4, 8, 1, 8, 1024, 40, 6144, 48, 32, 1, 135},
        {39.1, 8, 2, 4, 1536, 48, 8192, 64, 64, 1, 138},
        {76.1, 8, 4, 2, 1792, 60, 10240, 80, 128, 3, 140},
        {145.6, 8, 8, 2, 2304, 80, 12288, 96, 192, 2, 148},
        {310.1, 8, 16, 1, 2160, 96, 16384, 128, 240, 2, 155},
        {529.6, 8, 35, 1, 2520, 105, 20480, 128, 315, 3, 163},
        {1008.0, 8, 64, 1, 3072, 128, 25600, 160, 384, 1, 163},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct transformer model = {row[i].layers, row[i].width,       2048,  51200, row[i].heads,
                                    row[i].heads,  4.0 * row[i].width, false, true};
        struct arrangement layout = megatron(8 * row[i].nodes, row[i].tensor, row[i].pipeline,
                                             row[i].batch, row[i].micro_batch, row[i].chunks);
        struct arrangement_cost cost = cost_layout(&a100, &model, &layout);
        double teraflops = cost.flops / cost.seconds / (double)layout.workers / 1e12;
        print_message("# %.1fB: %.1f TFLOP/s, published %d (%+.1f %%); compute %.1f, tensor %.1f, "
                      "bubble %.1f, stages %.1f, exchange %.1f, update %.1f %%\n",
                      row[i].billions, teraflops, row[i].published,
                      100 * (teraflops / row[i].published - 1), 100 * cost.compute / cost.seconds,
                      100 * cost.tensor / cost.seconds, 100 * cost.bubble / cost.seconds,
                      100 * cost.stages / cost.seconds, 100 * cost.exchange / cost.seconds,
                      100 * cost.update / cost.seconds);
        // The published numbers of parameters are cut or rounded to a tenth.
        assert_true(fabs(transformer_parameters(&model) / 1e9 - row[i].billions) < 0.11);
        assert_true(fabs(teraflops / row[i].published - 1) < 0.15);
    }
}

// torchtitan, Llama 3.1 8B on H100 (benchmarks/llama3_h100_202412_torchtitan.md): 2 sequences of 8,192 a GPU, FSDP, selective
// recompute. The share of the peak is that of its first compiled row.
static void torchtitan_is_within_15_percent(void **state)
{
    (void)state;
    const struct cluster h100 = {
        .nodes = 16,
        .workers = 8,
        .peak = {[PRECISION_BF16] = 989e12},
        .efficiency = 0.485,
        .attention = 0.485,
        .memory = 96e9,
        .memory_bandwidth = 2.4e12,
        .inside = {2e-6, 0, 450e9},
        .between = {5e-6, 0, 400e9},
    };
    const struct transformer llama = {32, 4096, 8192, 128256, 32, 8, 14336, true, false};
    assert_true(fabs(transformer_parameters(&llama) - 8.03026e9) < 1e6);
    static const struct {
        int workers;
        bool compiled;
        double published;
    } row[] = {{8, true, 6667}, {8, false, 5762}, {128, true, 6514}, {128, false, 5605}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct arrangement layout = {.workers = row[i].workers,
                                     .tensor = 1,
                                     .pipeline = 1,
                                     .chunks = 1,
                                     .batch = 2 * row[i].workers,
                                     .micro_batch = 2,
                                     .precision = PRECISION_BF16,
                                     .recompute = 0.5,
                                     .shards = true,
                                     .outside = row[i].compiled ? 10 : 26,
                                     .inside = row[i].compiled ? 14 : 32};
        double tokens = 2 * 8192 / cost_layout(&h100, &llama, &layout).seconds;
        print_message("# %d GPUs, %s: %.0f tokens/s, published %.0f (%+.1f %%)\n", row[i].workers,
                      row[i].compiled ? "compiled" : "eager", tokens, row[i].published,
                      100 * (tokens / row[i].published - 1));
        assert_true(fabs(tokens / row[i].published - 1) < 0.15);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_cost_what_was_counted),
        cmocka_unit_test(a_step_costs_what_was_counted),
        cmocka_unit_test(replicas_exchange),
        cmocka_unit_test(more_is_never_worse),
        cmocka_unit_test(megatron_is_within_15_percent),
        cmocka_unit_test(torchtitan_is_within_15_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
