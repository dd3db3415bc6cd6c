// SPDX-License-Identifier: Apache-2.0
// Up to 1,024 replicas with virtual time: the bits of one process, and messages and bytes as many as the formulas say.
#include "comm/simulated.h"
#include "parallel/batch_tree.h"
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
enum { MANY = 64 };
#else
enum { MANY = 1024 };
#endif

// A leaf's gradient: eight magnitudes, so that another order of summation shows.
static float leaf_value(int leaf, int64_t i)
{
    uint64_t x = ((uint64_t)leaf * 1000003u + (uint64_t)i + 1) * 0x9E3779B97F4A7C15u;
    x ^= x >> 31;
    x *= 0xD6E8FEB86659FD93u;
    return (float)(int32_t)(x >> 32) * (1.0f / (float)(1 << (24 + x % 8)));
}

static void node_sum(int leaves, int level, int index, float *sum, int64_t n)
{
    if (level == 0) {
        for (int64_t i = 0; i < n; i++) sum[i] = leaf_value(index, i);
        return;
    }
    node_sum(leaves, level - 1, 2 * index, sum, n);
    if ((2 * index + 1) << (level - 1) >= leaves) return;
    float *other = malloc((size_t)n * sizeof *other);
    node_sum(leaves, level - 1, 2 * index + 1, other, n);
    for (int64_t i = 0; i < n; i++) sum[i] += other[i];
    free(other);
}

struct job {
    const char *way;
    struct travel_setup setup;
    int *border;
    float *sum;             // put together from the owned parts
    int64_t *messages;      // [replicas] of reduce and spread
    double *sent, *seconds; // [replicas]
};

static enum status body(struct comm *comm, void *context)
{
    struct job *job = context;
    int64_t n = job->setup.elements, first, last;
    struct node node[MAX_NODES];
    float *buffer[MAX_NODES] = {0};
    struct travel *travel = NULL;
    cpu_flush_to_zero();
    int nodes = run_nodes(job->border[comm->rank], job->border[comm->rank + 1], node);
    for (int i = 0; i < nodes || i == 0; i++) {
        buffer[i] = malloc((size_t)n * sizeof(float));
        if (i < nodes) node_sum(job->setup.leaves, node[i].level, node[i].index, buffer[i], n);
    }
    struct travel_setup setup = job->setup;
    setup.net = comm;
    enum status status = travel_create(job->way, &setup, &travel);
    if (!status) travel_route(travel, job->border);
    for (int b = 0; !status && b < travel_buckets(travel); b++) {
        status = travel_reduce(travel, b, buffer, buffer[0]);
        travel_owned(travel, b, comm->rank, &first, &last);
        if (!status && first < last)
            memcpy(job->sum + first, buffer[0] + first, (size_t)(last - first) * sizeof(float));
    }
    for (int b = 0; !status && b < travel_buckets(travel); b++)
        status = travel_spread(travel, b, buffer[0]);
    if (!status) {
        // The "new weights" of the owners are the sums: everybody has all of them, in the end.
        for (int64_t i = comm->rank % 7; i < n; i += 97)
            if (memcmp(&buffer[0][i], &job->sum[i], sizeof(float)) != 0)
                status = error_at(STATUS_INPUT, __FILE__, __LINE__, "element %lld", (long long)i);
        job->messages[comm->rank] = travel_traffic(travel).messages;
        job->sent[comm->rank] = travel_traffic(travel).sent;
        job->seconds[comm->rank] = comm_seconds(comm);
    }
    travel_destroy(travel);
    for (int i = 0; i < MAX_NODES; i++) free(buffer[i]);
    return status;
}

static void simulate(struct job *job, int replicas)
{
    struct comm **comm = calloc((size_t)replicas, sizeof *comm);
    const struct network network = {{2e-6, 1e-7, 1e10}, {2e-6, 1e-7, 1e10}, 1};
    job->sum = calloc((size_t)job->setup.elements, sizeof *job->sum);
    job->messages = calloc((size_t)replicas, sizeof *job->messages);
    job->sent = calloc((size_t)replicas, sizeof *job->sent);
    job->seconds = calloc((size_t)replicas, sizeof *job->seconds);
    assert_int_equal(simulated_create(&network, replicas, comm), STATUS_OK);
    enum status status = simulated_run(comm, replicas, body, job);
    if (status) print_message("%s\n", error_message());
    assert_int_equal(status, STATUS_OK);
    comm_destroy(comm, replicas);
    free(comm);
}

static void release(struct job *job)
{
    free(job->sum), free(job->messages), free(job->sent), free(job->seconds), free(job->border);
}

static struct job prepare(const char *way, int replicas, int leaves, int64_t elements, bool equal)
{
    struct job job = {.way = way};
    job.setup = (struct travel_setup){
        .elements = elements, .leaves = leaves, .isa = ISA_GENERIC, .servers = 3};
    job.border = calloc((size_t)replicas + 1, sizeof(int));
    if (equal)
        borders_equal(leaves, replicas, job.border);
    else
        borders_random(77, leaves, leaves, replicas, job.border);
    return job;
}

static void many_replicas_give_the_bits_of_one(void **state)
{
    (void)state;
    static const char *const exact[] = {"direct", "tree", "server"};
    for (int replicas = 64; replicas <= MANY; replicas *= 4)
        for (int w = 0; w < 3; w++)
            for (int equal = 0; equal < 2; equal++) {
                int leaves = equal ? replicas : replicas * 3 / 2 + 1, level = 0;
                int64_t elements = 6 * SLICE_GRAIN + 333;
                struct job job = prepare(exact[w], replicas, leaves, elements, equal);
                job.setup.bucket = 4 * SLICE_GRAIN;
                simulate(&job, replicas);
                float *wanted = calloc((size_t)elements, sizeof *wanted);
                while (1 << level < leaves) level++;
                node_sum(leaves, level, 0, wanted, elements);
                assert_memory_equal(job.sum, wanted, (size_t)elements * sizeof *wanted);
                free(wanted);
                release(&job);
            }
}

// One leaf and as many grains for each: messages and bytes, to the byte, and the time of the cost model.
static void messages_and_bytes_are_the_formulas(void **state)
{
    (void)state;
    static const char *const ways[] = {"direct", "tree", "ring"};
    for (int n = 16; n <= (MANY < 256 ? MANY : 256); n *= 4)
        for (int w = 0; w < 3; w++) {
            struct job job = prepare(ways[w], n, n, (int64_t)n * SLICE_GRAIN, true);
            double array = (double)n * SLICE_GRAIN * sizeof(float);
            int levels = 0;
            while (1 << levels < n) levels++;
            simulate(&job, n);
            // Sent and received, reduce and spread.
            int64_t rounds = w == 1 ? levels : n - 1;
            // alpha: latency and gap; each of direct's messages takes the port by itself, all share one latency.
            double alpha = 2e-6 + 1e-7, half = (double)(n - 1) / n * array / 1e10;
            double wanted = w == 0 ? 2 * (2e-6 + (double)rounds * 1e-7 + half)
                                   : 2 * ((double)rounds * alpha + half);
            for (int r = 0; r < n; r++) {
                assert_int_equal(job.messages[r], 4 * rounds);
                assert_true(job.sent[r] == 2.0 * (n - 1) / n * array);
                assert_true(fabs(job.seconds[r] - wanted) < 0.02 * wanted);
            }
            release(&job);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_replicas_give_the_bits_of_one),
        cmocka_unit_test(messages_and_bytes_are_the_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
