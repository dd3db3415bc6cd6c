// SPDX-License-Identifier: Apache-2.0
// Slices travel between replicas that are threads: for random borders, sizes and buckets the sum that arrives at the owners is the
// one of a single process, bit for bit where that is promised; the bytes moved are the formula's; and a replica that gives up takes
// all others with it.
#include "base/memory.h"
#include "base/philox.h"
#include "kernel/cpu/kernels.h"
#include "parallel/batch_tree.h"
#include "parallel/slices.h"
#include "parallel/travel_ops.h"
#include "parallel/update_kernels.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_REPLICAS = 8, MOST_LEAVES = 40 };
static const char *const ways[] = {"direct", "tree", "ring", "server", "native"};
enum { WAYS = 5 };

static uint32_t draw(uint32_t round, uint64_t what)
{
    struct philox_address at = {17, philox_stream(PHILOX_TEST, 9), round, 0};
    return philox_bits(at, what);
}

// A leaf's gradient. Magnitudes differ, so that another order of summation shows.
static void draw_leaf(int leaf, float *g, int64_t n)
{
    struct philox_address at = {23, philox_stream(PHILOX_TEST, 10), 0, (uint32_t)leaf};
    for (int64_t i = 0; i < n; i++) {
        float x = (float)philox_uniform(at, (uint64_t)i) - 0.5f;
        g[i] = ldexpf(x, (int)(philox_bits(at, (uint64_t)i + 7) % 9));
    }
}

static void node_sum(int leaves, int level, int index, float *sum, int64_t n)
{
    if (level == 0) {
        draw_leaf(index, sum, n);
        return;
    }
    node_sum(leaves, level - 1, 2 * index, sum, n);
    if ((2 * index + 1) << (level - 1) >= leaves) return;
    float *other = calloc((size_t)n, sizeof *other);
    node_sum(leaves, level - 1, 2 * index + 1, other, n);
    for (int64_t i = 0; i < n; i++) sum[i] += other[i];
    free(other);
}

// ---- one job: `replicas` threads, each with its nodes, reduce and spread ----
struct job {
    const char *way;
    struct travel_setup setup;
    int replicas, border[MOST_REPLICAS + 1];
    bool apart;  // target is a buffer of its own, not node 0
    int quitter; // a replica that gives up after its first bucket; -1: none
    struct comm *comm[MOST_REPLICAS];
    // out
    float *sum; // [elements] put together from the owned parts
    enum status status[MOST_REPLICAS];
    struct travel_traffic reduced[MOST_REPLICAS], spread[MOST_REPLICAS];
    bool same_weights[MOST_REPLICAS];
    double written[MOST_REPLICAS], touched[MOST_REPLICAS]; // bytes of staging memory; what was said
};
struct replica {
    struct job *job;
    int rank;
};

static float weight_of(int64_t i) { return 0.25f * (float)(i % 1013) - 7; }

static enum status reduce_all(struct job *job, struct travel *travel, int rank, float **node,
                              float *target)
{
    for (int b = 0; b < travel_buckets(travel); b++) {
        if (rank == job->quitter && b == 1) {
            comm_abandon(job->comm[rank]);
            FAIL(STATUS_INPUT, "this one gives up");
        }
        int64_t first, last;
        TRY(travel_reduce(travel, b, node, target));
        travel_owned(travel, b, rank, &first, &last);
        memcpy(job->sum + first, target + first, (size_t)(last - first) * sizeof *target);
    }
    return STATUS_OK;
}

static enum status spread_all(struct job *job, struct travel *travel, int rank, float *data)
{
    int64_t n = job->setup.elements;
    for (int64_t i = 0; i < n; i++) data[i] = NAN;
    for (int b = 0; b < travel_buckets(travel); b++) {
        int64_t first, last;
        travel_owned(travel, b, rank, &first, &last);
        for (int64_t i = first; i < last; i++) data[i] = weight_of(i);
    }
    for (int b = 0; b < travel_buckets(travel); b++) TRY(travel_spread(travel, b, data));
    job->same_weights[rank] = true;
    for (int64_t i = 0; i < n; i++)
        if (!(data[i] == weight_of(i))) job->same_weights[rank] = false;
    return STATUS_OK;
}

static void *run_replica(void *context)
{
    struct replica *replica = context;
    struct job *job = replica->job;
    int rank = replica->rank, first = job->border[rank], last = job->border[rank + 1];
    int64_t n = job->setup.elements;
    struct node node[MAX_NODES];
    float *buffer[MAX_NODES] = {0}, *target = NULL;
    struct travel *travel = NULL;
    cpu_flush_to_zero();
    int nodes = run_nodes(first, last, node);
    for (int i = 0; i < nodes; i++) {
        buffer[i] = malloc((size_t)n * sizeof(float));
        node_sum(job->setup.leaves, node[i].level, node[i].index, buffer[i], n);
    }
    if (job->apart || nodes == 0) {
        target = malloc((size_t)n * sizeof *target);
        for (int64_t i = 0; i < n; i++) target[i] = NAN;
    }
    float *sum = target ? target : buffer[0];
    struct travel_setup setup = job->setup;
    setup.net = job->comm[rank];
    enum status status = travel_create(job->way, &setup, &travel);
    if (!status) {
        travel_route(travel, job->border);
        status = reduce_all(job, travel, rank, buffer, sum);
        job->reduced[rank] = travel_traffic(travel);
        const float *staging = travel->staging.data;
        for (size_t i = 0; i < travel->staging.bytes / sizeof *staging; i++)
            job->written[rank] += staging[i] != 0 ? sizeof *staging : 0;
        job->touched[rank] =
            (double)travel_touched_bytes(job->way, &setup, job->replicas, rank, job->border) -
            (double)travel_bytes(job->way, &setup, job->replicas) + (double)travel->staging.bytes;
        // A huge page is touched whole.
        if (travel->staging.bytes == TRAVEL_STAGING) {
            assert_true(job->touched[rank] == TRAVEL_STAGING);
            job->written[rank] = job->touched[rank] = 0;
        }
    }
    if (!status) status = spread_all(job, travel, rank, sum);
    if (travel) job->spread[rank] = travel_traffic(travel);
    travel_destroy(travel);
    job->status[rank] = status;
    error_clear();
    for (int i = 0; i < nodes; i++) free(buffer[i]);
    free(target);
    return NULL;
}

static void run(struct job *job)
{
    pthread_t thread[MOST_REPLICAS];
    struct replica replica[MOST_REPLICAS];
    job->sum = calloc((size_t)job->setup.elements, sizeof *job->sum);
    assert_int_equal(comm_create(NULL, job->replicas, job->comm), STATUS_OK);
    for (int r = 0; r < job->replicas; r++) {
        replica[r] = (struct replica){job, r};
        assert_int_equal(pthread_create(&thread[r], NULL, run_replica, &replica[r]), 0);
    }
    for (int r = 0; r < job->replicas; r++) pthread_join(thread[r], NULL);
    comm_destroy(job->comm, job->replicas);
}

static void assert_good(const struct job *job)
{
    for (int r = 0; r < job->replicas; r++) {
        assert_int_equal(job->status[r], STATUS_OK);
        assert_true(job->same_weights[r]);
    }
}

static float *whole_sum(int leaves, int64_t n)
{
    int level = 0;
    float *sum = calloc((size_t)n, sizeof *sum);
    while (1 << level < leaves) level++;
    node_sum(leaves, level, 0, sum, n);
    return sum;
}

// A job by chance: replicas, leaves, borders, sizes, buckets, pieces.
static struct job random_job(uint32_t round, const char *way)
{
    static const int counts[] = {1, 2, 3, 4, 5, 7, 8};
    static const int64_t sizes[] = {1, 700, 1024, 5072, 9001, 16385};
    struct job job = {.way = way, .replicas = counts[draw(round, 0) % 7], .quitter = -1};
    job.setup = (struct travel_setup){.elements = sizes[draw(round, 1) % 6],
                                      .leaves = 1 + (int)(draw(round, 2) % MOST_LEAVES),
                                      .isa = ISA_GENERIC};
    if (draw(round, 3) % 3) job.setup.bucket = SLICE_GRAIN * (1 + draw(round, 4) % 7);
    if (draw(round, 5) % 2) job.setup.piece = 1 + draw(round, 6) % 900;
    job.setup.servers = 1 + (int)(draw(round, 7) % (uint32_t)job.replicas);
    job.apart = draw(round, 8) % 2;
    if (draw(round, 9) % 3)
        borders_random(41, round, job.setup.leaves, job.replicas, job.border);
    else
        borders_equal(job.setup.leaves, job.replicas, job.border);
    return job;
}

static void exact_ways_give_the_bits_of_one_process(void **state)
{
    (void)state;
    double written = 0, touched = 0;
    static const char *const exact[] = {"direct", "tree", "server"};
    for (uint32_t round = 0; round < 240; round++) {
        struct job job = random_job(round, exact[round % 3]);
        assert_int_equal(travel_exactness_of(job.way, WIRE_FLOAT32), EXACTNESS_EXACT);
        run(&job);
        assert_good(&job);
        for (int r = 0; r < job.replicas; r++) {
            assert_true(job.written[r] <= job.touched[r]);
            // Where pieces are small on purpose, the same ones come again and again.
            if (job.setup.piece == 0) written += job.written[r], touched += job.touched[r];
        }
        float *wanted = whole_sum(job.setup.leaves, job.setup.elements);
        assert_memory_equal(job.sum, wanted, (size_t)job.setup.elements * sizeof *wanted);
        free(wanted), free(job.sum);
    }
    if (!(written > 0.6 * touched)) fail_msg("%g bytes of %g", written, touched);
}

static void tree_folds_any_runs_of_many_leaves(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        struct job job = {.way = "tree", .replicas = 2 + (int)(round % 7), .quitter = -1};
        job.setup = (struct travel_setup){.elements = 3000, .leaves = 40, .isa = ISA_GENERIC};
        job.apart = round % 2;
        borders_random(43, round, 40, job.replicas, job.border);
        run(&job);
        assert_good(&job);
        float *wanted = whole_sum(40, 3000);
        assert_memory_equal(job.sum, wanted, 3000 * sizeof *wanted);
        free(wanted), free(job.sum);
    }
}

// |sum - exact| for any order of at most leaves + replicas additions.
static void assert_near(const struct job *job, double relative)
{
    int64_t n = job->setup.elements;
    double *exact = calloc((size_t)n, sizeof *exact), *size = calloc((size_t)n, sizeof *size);
    float *g = calloc((size_t)n, sizeof *g);
    for (int leaf = 0; leaf < job->setup.leaves; leaf++) {
        draw_leaf(leaf, g, n);
        for (int64_t i = 0; i < n; i++) exact[i] += (double)g[i], size[i] += fabs((double)g[i]);
    }
    for (int64_t i = 0; i < n; i++)
        assert_true(fabs((double)job->sum[i] - exact[i]) <= relative * size[i] + 1e-30);
    free(exact), free(size), free(g);
}

static void ring_and_native_repeat_on_the_same_replicas(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 120; round++) {
        struct job job = random_job(round, round % 2 ? "ring" : "native");
        assert_int_equal(travel_exactness_of(job.way, WIRE_FLOAT32), EXACTNESS_SAME_WORKERS);
        struct job again = job;
        run(&job), run(&again);
        assert_good(&job), assert_good(&again);
        assert_memory_equal(job.sum, again.sum, (size_t)job.setup.elements * sizeof *job.sum);
        assert_near(&job, (job.setup.leaves + job.replicas) * 6e-8);
        free(job.sum), free(again.sum);
    }
}

static void bf16_on_the_wire_is_near_and_half_as_many_bytes(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 60; round++) {
        struct job job = random_job(round, round % 2 ? "direct" : "server"), wide = job;
        job.setup.wire = WIRE_BF16;
        assert_int_equal(travel_exactness_of(job.way, WIRE_BF16), EXACTNESS_APPROXIMATE);
        run(&job), run(&wide);
        assert_good(&job), assert_good(&wide);
        // Half a unit in the last of 8 places.
        assert_near(&job, 1.0 / 256 + 1e-4);
        for (int r = 0; r < job.replicas; r++)
            assert_true(2 * job.reduced[r].sent == wide.reduced[r].sent);
        free(job.sum), free(wide.sum);
    }
}

static void bytes_moved_are_the_formula(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++)
        for (int replicas = 1; replicas <= MOST_REPLICAS; replicas++) {
            struct job job = {.way = ways[w], .replicas = replicas, .quitter = -1};
            // Leaves and grains divide by 1 .. 8.
            job.setup = (struct travel_setup){.elements = 840 * SLICE_GRAIN,
                                              .leaves = replicas,
                                              .isa = ISA_GENERIC,
                                              .servers = 1};
            borders_equal(replicas, replicas, job.border);
            run(&job);
            assert_good(&job);
            double array = 840.0 * SLICE_GRAIN * sizeof(float), n = replicas, all = 0;
            for (int r = 0; r < replicas; r++) all += job.spread[r].sent;
            // All together; and each, where every replica owns as much as the others.
            bool native =
                !strcmp(ways[w], "native") && replicas > 1 && job.reduced[0].messages == 0;
            // Pairs fold only where the leaves of both make one node.
            bool tree = !strcmp(ways[w], "tree"), power = (replicas & (replicas - 1)) == 0;
            if (!native && (!tree || power)) assert_true(all == 2 * (n - 1) * array);
            bool even = tree ? power : strcmp(ways[w], "server") != 0;
            for (int r = 0; r < replicas && even && !native; r++) {
                assert_true(job.spread[r].sent == 2 * (n - 1) / n * array);
                assert_true(job.spread[r].received == 2 * (n - 1) / n * array);
                assert_true(job.reduced[r].sent == (n - 1) / n * array);
            }
            if (!strcmp(ways[w], "server")) assert_true(job.spread[0].received == (n - 1) * array);
            free(job.sum);
        }
}

static void who_gives_up_ends_the_others(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++)
        for (int quitter = 0; quitter < 5; quitter++) {
            struct job job = {.way = ways[w], .replicas = 5, .quitter = quitter};
            job.setup = (struct travel_setup){.elements = 20000,
                                              .leaves = 9,
                                              .isa = ISA_GENERIC,
                                              .bucket = 4 * SLICE_GRAIN,
                                              .servers = 2,
                                              .piece = 100};
            borders_equal(9, 5, job.border);
            run(&job);
            for (int r = 0; r < 5; r++)
                assert_int_equal(job.status[r], r == quitter ? STATUS_INPUT : STATUS_PEER);
            free(job.sum);
        }
}

static void owned_parts_cover_every_bucket_once(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++)
        for (int replicas = 1; replicas <= MOST_REPLICAS; replicas++)
            for (int64_t elements = 1; elements < 30000; elements = elements * 5 / 2 + 1) {
                struct comm *comm[MOST_REPLICAS];
                struct travel *travel = NULL;
                assert_int_equal(comm_create(NULL, replicas, comm), STATUS_OK);
                struct travel_setup setup = {.net = comm[0],
                                             .elements = elements,
                                             .leaves = 8,
                                             .isa = ISA_GENERIC,
                                             .bucket = 5 * SLICE_GRAIN,
                                             .servers = (replicas + 1) / 2};
                assert_int_equal(travel_create(ways[w], &setup, &travel), STATUS_OK);
                char *seen = calloc((size_t)elements, 1);
                int64_t next = 0;
                for (int b = 0; b < travel_buckets(travel); b++) {
                    int64_t first, last;
                    travel_bucket(travel, b, &first, &last);
                    assert_true(first == next && last > first);
                    next = last;
                    for (int r = 0; r < replicas; r++) {
                        int64_t from, to;
                        travel_owned(travel, b, r, &from, &to);
                        assert_true(from >= first && to <= last && from <= to);
                        if (from < to) assert_int_equal((from - first) % SLICE_GRAIN, 0);
                        for (int64_t i = from; i < to; i++) assert_int_equal(seen[i]++, 0);
                    }
                }
                assert_int_equal(next, elements);
                for (int64_t i = 0; i < elements; i++) assert_int_equal(seen[i], 1);
                free(seen);
                travel_destroy(travel);
                comm_destroy(comm, replicas);
            }
}

static void memory_is_what_was_said(void **state)
{
    (void)state;
    for (int w = 0; w < WAYS; w++) {
        struct comm *comm[4];
        struct travel *travel = NULL;
        struct travel_setup setup = {.elements = 100000, .leaves = 8, .isa = ISA_GENERIC};
        assert_int_equal(comm_create(NULL, 4, comm), STATUS_OK);
        size_t said = travel_bytes(ways[w], &setup, 4), before = block_total_bytes();
        setup.net = comm[1];
        assert_int_equal(travel_create(ways[w], &setup, &travel), STATUS_OK);
        size_t taken = block_total_bytes() - before;
        assert_true(taken <= said + 4096 && said < taken + 8192);
        travel_destroy(travel);
        assert_int_equal(block_total_bytes(), before);
        comm_destroy(comm, 4);
    }
}

// ---- exchange auto, over a transport whose clock counts what messages would cost ----
static const struct comm_ops *real_ops;
struct virtual_clock {
    struct comm comm; // a copy of the worker's own, with other ops
    double now, message, byte;
};

static enum status round_priced(struct comm *comm, struct transfer *transfer, int count)
{
    struct virtual_clock *clock = (struct virtual_clock *)comm;
    for (int i = 0; i < count; i++)
        if (transfer[i].sends)
            clock->now += clock->message + clock->byte * (double)transfer[i].bytes;
    return real_ops->round(comm, transfer, count);
}
static double seconds_priced(struct comm *comm) { return ((struct virtual_clock *)comm)->now; }

struct chooser {
    struct virtual_clock clock;
    struct travel_setup setup;
    const int *border;
    struct travel_choice choice;
    enum status status;
};

static void *run_chooser(void *context)
{
    struct chooser *chooser = context;
    cpu_flush_to_zero();
    chooser->setup.net = &chooser->clock.comm;
    chooser->status = travel_choose(&chooser->setup, chooser->border, &chooser->choice);
    return NULL;
}

// What 8 replicas choose where a message and a byte cost so much; replica 5 is `slow` times as slow as the others.
static struct travel_choice choice_of(double message, double byte, double slow,
                                      const struct travel_setup *setup)
{
    struct comm *comm[8];
    struct chooser chooser[8];
    pthread_t thread[8];
    int border[9];
    borders_equal(setup->leaves, 8, border);
    assert_int_equal(comm_create("threads", 8, comm), STATUS_OK);
    real_ops = comm[0]->ops;
    struct comm_ops ops = *real_ops;
    ops.round = round_priced;
    ops.seconds = seconds_priced;
    size_t before = block_total_bytes();
    for (int r = 0; r < 8; r++) {
        double factor = r == 5 ? slow : 1;
        chooser[r] = (struct chooser){.setup = *setup, .border = border};
        chooser[r].clock =
            (struct virtual_clock){*comm[r], 100.0 * r, factor * message, factor * byte};
        chooser[r].clock.comm.ops = &ops;
        pthread_create(&thread[r], NULL, run_chooser, &chooser[r]);
    }
    for (int r = 0; r < 8; r++) pthread_join(thread[r], NULL);
    for (int r = 0; r < 8; r++) {
        assert_int_equal(chooser[r].status, STATUS_OK);
        assert_string_equal(chooser[r].choice.name, chooser[0].choice.name);
        assert_int_equal(chooser[r].choice.count, chooser[0].choice.count);
        for (int i = 0; i < chooser[0].choice.count; i++)
            assert_true(chooser[r].choice.tried[i].seconds == chooser[0].choice.tried[i].seconds);
    }
    assert_int_equal(block_total_bytes(), before);
    comm_destroy(comm, 8);
    return chooser[0].choice;
}

static void auto_takes_the_quickest_exact_way(void **state)
{
    (void)state;
    struct travel_setup setup = {
        .elements = 64 * SLICE_GRAIN, .leaves = 8, .isa = ISA_GENERIC, .bucket = 16 * SLICE_GRAIN};
    // A dear message: log2 8 = 3 each way beat 7. The numbers are those of one bucket.
    struct travel_choice choice = choice_of(1, 0, 1, &setup);
    assert_string_equal(choice.name, "tree");
    assert_int_equal(choice.count, 2);
    assert_string_equal(choice.tried[0].name, "direct");
    assert_true(choice.tried[0].seconds == 14 && choice.tried[1].seconds == 6);
    // Equal bytes: the first of the ways. The slowest replica counts.
    choice = choice_of(0, 1, 3, &setup);
    assert_string_equal(choice.name, "direct");
    assert_true(choice.tried[0].seconds == 3 * 2.0 * 7 / 8 * 16 * SLICE_GRAIN * 4);
    assert_true(choice.tried[1].seconds == choice.tried[0].seconds);
    // Runs that are not aligned make the tree move more.
    setup.leaves = 13;
    choice = choice_of(1e-9, 1, 1, &setup);
    assert_string_equal(choice.name, "direct");
    assert_true(choice.tried[1].seconds > choice.tried[0].seconds);
    // Sums do not travel as bf16.
    setup.wire = WIRE_BF16;
    choice = choice_of(1, 0, 1, &setup);
    assert_string_equal(choice.name, "direct");
    assert_int_equal(choice.count, 1);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct travel_setup setup = {.elements = 10, .leaves = 1};
    assert_int_equal(travel_check("gossip", &setup, 2), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "gossip"));
    assert_non_null(strstr(error_message(), travel_names()));
    error_clear();
    setup.servers = 3;
    assert_int_equal(travel_check("direct", &setup, 2), STATUS_OK);
    assert_int_equal(travel_check("server", &setup, 2), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "3 parameter servers for 2"));
    error_clear();
    setup.servers = 1;
    setup.wire = WIRE_BF16;
    assert_int_equal(travel_check("server", &setup, 2), STATUS_OK);
    assert_int_equal(travel_check("ring", &setup, 2), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "bf16"));
    error_clear();
}

static void bf16_is_rounded_to_nearest_even(void **state)
{
    (void)state;
    static const struct {
        float x;
        uint16_t bits;
    } cases[] = {{1, 0x3f80},           {-2.5f, 0xc020},  {1.00390625f, 0x3f80},
                 {1.01171875f, 0x3f82}, {1.004f, 0x3f81}, {INFINITY, 0x7f80},
                 {3.4e38f, 0x7f80},     {0, 0},           {-0.0f, 0x8000}};
    for (enum isa isa = ISA_GENERIC; isa < ISA_COUNT; isa++) {
        if (!isa_available(isa)) continue;
        const struct update_kernels *kernels = update_kernels_of(isa);
        float x[37], back[37];
        uint16_t y[37];
        for (int i = 0; i < 37; i++) x[i] = cases[i % 9].x;
        kernels->round_bf16(y, x, 37);
        kernels->widen_bf16(back, y, 37);
        for (int i = 0; i < 37; i++) {
            uint32_t bits;
            memcpy(&bits, back + i, sizeof bits);
            assert_int_equal(y[i], cases[i % 9].bits);
            assert_int_equal(bits, (uint32_t)y[i] << 16);
        }
        x[0] = NAN;
        kernels->round_bf16(y, x, 1);
        kernels->widen_bf16(back, y, 1);
        assert_true(isnan(back[0]));
    }
}

// ---- `mpirun -n N test_travel mpi` (test_travel_mpi.sh): this process is one replica of N ----
// Everybody's owned parts of `sum`, at everybody: the parts of others are zeros.
static enum status put_together(struct comm *comm, float *sum, int64_t n, float *all)
{
    TRY(comm_gather(comm, sum, (size_t)n * sizeof *sum, all));
    for (int r = 1; r < comm->size; r++)
        for (int64_t i = 0; i < n; i++)
            if (all[r * n + i] != 0) all[i] = all[r * n + i];
    return STATUS_OK;
}

static enum status one_of_many(struct comm *comm, struct job *job, float **sum_p)
{
    int64_t n = job->setup.elements;
    float *all = calloc((size_t)(comm->size * n), sizeof *all);
    job->comm[comm->rank] = comm;
    job->replicas = comm->size;
    job->sum = calloc((size_t)n, sizeof *job->sum);
    run_replica(&(struct replica){job, comm->rank});
    enum status status = job->status[comm->rank];
    if (!status && !job->same_weights[comm->rank]) FAIL(STATUS_INPUT, "%s: weights", job->way);
    if (!status) status = put_together(comm, job->sum, n, all);
    free(job->sum);
    *sum_p = all;
    return status;
}

static enum status all_ways_over(struct comm *comm)
{
    for (uint32_t round = 0; round < 50; round++) {
        struct job job = random_job(round, ways[round % WAYS]), again;
        float *sum, *second;
        job.setup.servers = 1 + (int)(draw(round, 7) % (uint32_t)comm->size);
        borders_random(41, round, job.setup.leaves, comm->size, job.border);
        again = job;
        int64_t n = job.setup.elements;
        TRY(one_of_many(comm, &job, &sum));
        TRY(one_of_many(comm, &again, &second));
        float *wanted = whole_sum(job.setup.leaves, n);
        bool exact = travel_exactness_of(job.way, WIRE_FLOAT32) == EXACTNESS_EXACT;
        if (memcmp(sum, exact ? wanted : second, (size_t)n * sizeof *sum) != 0)
            FAIL(STATUS_INPUT, "%s, round %u: other bits", job.way, round);
        job.sum = sum;
        assert_near(&job, (job.setup.leaves + comm->size) * 6e-8);
        free(sum), free(second), free(wanted);
    }
    return STATUS_OK;
}

static int over_mpi(void)
{
    struct comm *comm = NULL;
    enum status status = comm_create("mpi", 1, &comm);
    if (!status) status = all_ways_over(comm);
    if (status)
        printf("bad: %s\n", error_message());
    else
        printf("good: %d of %d\n", comm->rank, comm->size);
    fflush(stdout);
    if (status && comm) comm_abandon(comm);
    comm_destroy(&comm, 1);
    _exit(status != STATUS_OK);
}

int main(int count, char **words)
{
    if (count > 1 && !strcmp(words[1], "mpi")) return over_mpi();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_ways_give_the_bits_of_one_process),
        cmocka_unit_test(tree_folds_any_runs_of_many_leaves),
        cmocka_unit_test(ring_and_native_repeat_on_the_same_replicas),
        cmocka_unit_test(bf16_on_the_wire_is_near_and_half_as_many_bytes),
        cmocka_unit_test(bytes_moved_are_the_formula),
        cmocka_unit_test(who_gives_up_ends_the_others),
        cmocka_unit_test(owned_parts_cover_every_bucket_once),
        cmocka_unit_test(memory_is_what_was_said),
        cmocka_unit_test(auto_takes_the_quickest_exact_way),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(bf16_is_rounded_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
