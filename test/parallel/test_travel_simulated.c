// SPDX-License-Identifier: Apache-2.0
// Slices travel between 64, 256 and 1,024 virtual replicas: the sum is the one of a single process, bit for bit; messages and bytes are
// the formulas'; and the cost model's seconds are those of the virtual network.
#include "kernel/cpu/kernels.h"
#include "parallel/batch_tree.h"
#include "parallel/cost.h"
#include "parallel/slices.h"
#include "parallel/travel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(SANITIZED)
enum { MOST = 64 };
#else
enum { MOST = 1024 };
#endif

// Magnitudes differ, so that another order of summation shows.
static float gradient(int leaf, int64_t i)
{
    uint32_t x = (uint32_t)leaf * 2654435761u + (uint32_t)i * 40503u + 12345u;
    x = (x ^ x >> 15) * 2246822519u;
    x = (x ^ x >> 13) * 3266489917u;
    return ldexpf((float)(x >> 8) - 8388608.0f, -(int)(x & 15));
}

// Node (level, index) of `leaves` leaves.
static void node_sum(int leaves, struct node node, float *sum, int64_t n)
{
    int first = node.index << node.level, last = (node.index + 1) << node.level;
    if (last > leaves) last = leaves;
    float *waiting = malloc(14 * (size_t)n * sizeof *waiting);
    int level[14], count = 0;
    for (int leaf = first; leaf < last; leaf++) {
        float *top = waiting + count * n;
        for (int64_t i = 0; i < n; i++) top[i] = gradient(leaf, i);
        level[count++] = 0;
        while (count > 1 && (level[count - 1] == level[count - 2] || leaf == last - 1)) {
            float *left = waiting + (count - 2) * n, *right = waiting + (count - 1) * n;
            for (int64_t i = 0; i < n; i++) left[i] += right[i];
            level[--count - 1]++;
        }
    }
    memcpy(sum, waiting, (size_t)n * sizeof *sum);
    free(waiting);
}

struct job {
    const char *way;
    int replicas, leaves, servers;
    int64_t elements;
    const int *border;
    const struct network *network;
    // out
    float *sum;
    double reduced[MOST], spread[MOST]; // clocks
    struct travel_traffic traffic[MOST];
};

static float weight_of(int64_t i) { return 0.25f * (float)(i % 1013) - 7; }

static enum status travel_there_and_back(struct job *job, struct comm *comm, struct travel *travel,
                                         float **buffer)
{
    int64_t first, last;
    travel_route(travel, job->border);
    TRY(travel_reduce(travel, 0, buffer, buffer[0]));
    travel_owned(travel, 0, comm->rank, &first, &last);
    memcpy(job->sum + first, buffer[0] + first, (size_t)(last - first) * sizeof(float));
    job->reduced[comm->rank] = comm_seconds(comm);
    // Everybody at once, as after an update that takes equally long.
    TRY(comm_barrier(comm));
    double began = comm_seconds(comm);
    for (int64_t i = 0; i < job->elements; i++)
        buffer[0][i] = i >= first && i < last ? weight_of(i) : NAN;
    TRY(travel_spread(travel, 0, buffer[0]));
    job->spread[comm->rank] = comm_seconds(comm) - began;
    job->traffic[comm->rank] = travel_traffic(travel);
    for (int64_t i = 0; i < job->elements; i++)
        if (!(buffer[0][i] == weight_of(i)))
            FAIL(STATUS_INPUT, "replica %d, element %lld: %g", comm->rank, (long long)i,
                 (double)buffer[0][i]);
    return STATUS_OK;
}

static enum status be_a_replica(struct comm *comm, void *context)
{
    struct job *job = context;
    struct node node[MAX_NODES];
    float *buffer[MAX_NODES] = {0};
    struct travel *travel;
    cpu_flush_to_zero();
    int nodes = run_nodes(job->border[comm->rank], job->border[comm->rank + 1], node);
    for (int i = 0; i < nodes || i < 1; i++) {
        buffer[i] = malloc((size_t)job->elements * sizeof(float));
        if (nodes) node_sum(job->leaves, node[i], buffer[i], job->elements);
    }
    const struct travel_setup setup = {.net = comm,
                                       .elements = job->elements,
                                       .leaves = job->leaves,
                                       .isa = ISA_GENERIC,
                                       .servers = job->servers};
    TRY(travel_create(job->way, &setup, &travel));
    enum status status = travel_there_and_back(job, comm, travel, buffer);
    travel_destroy(travel);
    for (int i = 0; i < MAX_NODES; i++) free(buffer[i]);
    return status;
}

static void run(struct job *job)
{
    struct comm **comm = calloc((size_t)job->replicas, sizeof *comm);
    job->sum = calloc((size_t)job->elements, sizeof *job->sum);
    assert_int_equal(simulated_create(job->network, job->replicas, comm), STATUS_OK);
    enum status status = simulated_run(comm, job->replicas, be_a_replica, job);
    if (status) print_error("%s\n", error_message());
    assert_int_equal(status, STATUS_OK);
    comm_destroy(comm, job->replicas);
    free(comm);
}

static void assert_bits(const struct job *job)
{
    int level = 0;
    float *wanted = calloc((size_t)job->elements, sizeof *wanted);
    while (1 << level < job->leaves) level++;
    node_sum(job->leaves, (struct node){level, 0}, wanted, job->elements);
    assert_memory_equal(job->sum, wanted, (size_t)job->elements * sizeof *wanted);
    free(wanted);
}

static const struct network network = {{2e-6, 1e-7, 10e9}, {2e-6, 1e-7, 10e9}, 1};
static const char *const exact[] = {"direct", "tree", "server"};

// Few grains: most replicas own nothing, which takes little memory.
static void many_replicas_give_the_bits_of_one(void **state)
{
    (void)state;
    static struct job job;
    static int border[MOST + 1];
    static const int counts[] = {64, 256, 1024};
    for (int c = 0; c < 3 && counts[c] <= MOST; c++)
        for (int w = 0; w < 3; w++)
            for (int random = 0; random < 2; random++) {
                job = (struct job){.way = exact[w],
                                   .replicas = counts[c],
                                   .leaves = counts[c] + (random ? 77 : 0),
                                   .servers = 3,
                                   .elements = 5 * SLICE_GRAIN + 136,
                                   .border = border,
                                   .network = &network};
                if (random)
                    borders_random(5, c, job.leaves, job.replicas, border);
                else
                    borders_equal(job.leaves, job.replicas, border);
                run(&job);
                assert_bits(&job);
                free(job.sum);
            }
}

static double latest(const double *x, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

// Every replica owns as much as the others: bytes, messages and seconds are the model's.
static void the_model_says_what_the_network_does(void **state)
{
    (void)state;
    static struct job job;
    static int border[MOST + 1];
    static const int counts[] = {4, 16, 64, 256};
    static const char *const ways[] = {"direct", "tree", "ring"};
    for (int c = 0; c < 4 && counts[c] <= MOST; c++)
        for (int w = 0; w < 3; w++) {
            int replicas = counts[c];
            job = (struct job){.way = ways[w],
                               .replicas = replicas,
                               .leaves = replicas,
                               .elements = (int64_t)replicas * SLICE_GRAIN,
                               .border = border,
                               .network = &network};
            borders_equal(replicas, replicas, border);
            run(&job);
            double bytes = 4.0 * (double)job.elements;
            struct way_cost in =
                cost_reduce(ways[w], &network.between, replicas, replicas, bytes, 1);
            struct way_cost out = cost_spread(ways[w], &network.between, replicas, replicas, bytes);
            double reduce = latest(job.reduced, replicas), spread = latest(job.spread, replicas);
            print_message("# %s, %d replicas: reduce %.2f us, model %.2f; spread %.2f, model "
                          "%.2f\n",
                          ways[w], replicas, 1e6 * reduce, 1e6 * in.seconds, 1e6 * spread,
                          1e6 * out.seconds);
            for (int r = 0; r < replicas; r++) {
                assert_true(fabs(job.traffic[r].sent - in.bytes - out.bytes) < 1);
                assert_true(fabs(job.traffic[r].received - in.bytes - out.bytes) < 1);
                // Sent and received.
                assert_true((double)job.traffic[r].messages == 2 * (in.messages + out.messages));
            }
            assert_true(fabs(reduce / in.seconds - 1) < 0.03);
            assert_true(fabs(spread / out.seconds - 1) < 0.03);
            free(job.sum);
        }
}

// One server of 64: its port is what all wait for.
static void a_server_is_what_all_wait_for(void **state)
{
    (void)state;
    static struct job job;
    static int border[65];
    job = (struct job){.way = "server",
                       .replicas = 64,
                       .leaves = 64,
                       .servers = 1,
                       .elements = 8 * SLICE_GRAIN,
                       .border = border,
                       .network = &network};
    borders_equal(64, 64, border);
    run(&job);
    assert_bits(&job);
    double bytes = 4.0 * (double)job.elements;
    struct way_cost in = cost_reduce("server", &network.between, 64, 1, bytes, 1);
    assert_true(job.traffic[0].received == in.bytes);
    assert_true(fabs(latest(job.reduced, 64) / in.seconds - 1) < 0.03);
    assert_true(fabs(latest(job.spread, 64) / in.seconds - 1) < 0.03);
    free(job.sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_replicas_give_the_bits_of_one),
        cmocka_unit_test(the_model_says_what_the_network_does),
        cmocka_unit_test(a_server_is_what_all_wait_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
