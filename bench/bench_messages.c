// SPDX-License-Identifier: Apache-2.0
// What does a round of messages over MPI cost beside MPI_Isend and MPI_Irecv themselves?
//
// Two processes exchange a message of one size in both directions: by comm_round, and by the same library's calls with a loop that only
// tests (one message, no pieces). Both alternate; seconds are medians of an exchange, the ratio is the median of the ratios.
// Usage: STENTOR_MPI=build/release/mpi.openmpi.so mpirun -n 2 build/release/bench/bench_messages [rounds, default 15] [most MB, default 64]
#include "comm/identity.h"
#include "comm/mpi/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROUNDS = 101 };

struct bench {
    struct comm *comm;
    char *out, *in;
    size_t bytes;
    int peer, exchanges;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int n)
{
    double sorted[MOST_ROUNDS];
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    return sorted[n / 2];
}

static double by_rounds(const struct bench *bench)
{
    if (comm_barrier(bench->comm)) return -1;
    double start = mpi_now();
    for (int i = 0; i < bench->exchanges; i++) {
        struct transfer transfer[2] = {
            {.peer = bench->peer, .sends = true, .data = bench->out, .bytes = bench->bytes},
            {.peer = bench->peer, .sends = false, .data = bench->in, .bytes = bench->bytes},
        };
        if (comm_round(bench->comm, transfer, 2)) return -1;
    }
    return (mpi_now() - start) / bench->exchanges;
}

static double by_calls(const struct bench *bench)
{
    struct net *net = bench->comm->state;
    struct mpi_done done[MPI_MOST_DONE];
    char requests[64];
    int error = 0;
    if (comm_barrier(bench->comm)) return -1;
    pthread_mutex_lock(&net->lock);
    net->calls->clear(requests, 2);
    double start = mpi_now();
    for (int i = 0; i < bench->exchanges && !error; i++) {
        error = net->calls->receive(MPI_CHANNEL_DATA, bench->in, (int)bench->bytes, bench->peer, 0,
                                    requests, 0);
        if (!error)
            error = net->calls->send(MPI_CHANNEL_DATA, bench->out, (int)bench->bytes, bench->peer,
                                     0, requests, 1);
        for (int left = 2, count = 0; left && !error; left -= count)
            error = net->calls->test(requests, 2, done, &count);
    }
    double seconds = (mpi_now() - start) / bench->exchanges;
    pthread_mutex_unlock(&net->lock);
    return error ? -1 : seconds;
}

static int measure(struct bench *bench, int rounds)
{
    double round[MOST_ROUNDS], call[MOST_ROUNDS], ratio[MOST_ROUNDS];
    bench->exchanges = bench->bytes < 65536 ? 1000 : bench->bytes < (4 << 20) ? 30 : 2;
    for (int i = -1; i < rounds; i++) {
        double a = by_rounds(bench), b = by_calls(bench);
        if (a < 0 || b < 0) return 1;
        if (i < 0) continue; // the first one finds the way
        round[i] = a;
        call[i] = b;
        ratio[i] = a / b;
    }
    struct net *net = bench->comm->state;
    double seconds = median(round, rounds);
    if (bench->comm->rank == 0)
        printf("{\"bench\": \"messages\", \"library\": \"%s\", \"bytes\": %zu, \"round_us\": %.2f, "
               "\"calls_us\": %.2f, \"ratio\": %.3f, \"round_GB_per_s_each_way\": %.2f}\n",
               net->calls->name, bench->bytes, 1e6 * seconds, 1e6 * median(call, rounds),
               median(ratio, rounds), (double)bench->bytes / seconds / 1e9);
    return 0;
}

int main(int count, char **argument)
{
    static const size_t sizes[] = {0,       8,       1024,     16384,    65536,
                                   1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20};
    int rounds = count > 1 ? (int)strtol(argument[1], NULL, 10) : 15, failed = 0;
    size_t most = (count > 2 ? (size_t)strtol(argument[2], NULL, 10) : 64) << 20;
    struct identity identity;
    struct comm *net = NULL;
    if (rounds < 1 || rounds > MOST_ROUNDS) rounds = 15;
    if (identity_find(&identity) || identity_join(&identity, &net)) {
        fprintf(stderr, "bench_messages: %s\n", error_message());
        return 1;
    }
    if (!net || net->size != 2) {
        fprintf(stderr, "bench_messages: start it with mpirun -n 2\n");
        if (net) comm_destroy(&net, 1);
        return 0;
    }
    struct bench bench = {.comm = net, .peer = 1 - net->rank};
    bench.out = malloc(most + 1);
    bench.in = malloc(most + 1);
    if (!bench.out || !bench.in) return 1;
    memset(bench.out, 1, most + 1);
    memset(bench.in, 1, most + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !failed; i++) {
        bench.bytes = sizes[i];
        if (sizes[i] <= most) failed = measure(&bench, rounds);
    }
    if (failed) fprintf(stderr, "bench_messages: %s\n", error_message());
    if (failed) comm_abandon(net);
    comm_destroy(&net, 1);
    free(bench.out);
    free(bench.in);
    return failed;
}
