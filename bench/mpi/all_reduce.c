// SPDX-License-Identifier: Apache-2.0
// The peer of bench/exchange.sh: an MPI library's own blocking MPI_Allreduce in place, as a program that has nothing of ours.
//
// For each size (bytes, as arguments behind the number of rounds): a line with the size, the median and the least of seconds at the
// slowest rank. Memory lies in huge pages, as ours does.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { MOST_ROUNDS = 1001 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words)
{
    static double seconds[MOST_ROUNDS];
    int rank, rounds = count > 1 ? atoi(words[1]) : 7;
    MPI_Init(&count, &words);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rounds < 1 || rounds > MOST_ROUNDS) MPI_Abort(MPI_COMM_WORLD, 2);
    for (int s = 2; s < count; s++) {
        long bytes = atol(words[s]), n = bytes / (long)sizeof(float);
        size_t page = 2 << 20, whole = ((size_t)bytes / page + 1) * page;
        float *data = aligned_alloc(page, whole);
        if (!data || n > 1 << 30) MPI_Abort(MPI_COMM_WORLD, 4);
        madvise(data, whole, MADV_HUGEPAGE);
        for (int round = -1; round < rounds; round++) {
            for (long i = 0; i < n; i++) data[i] = (float)(i % 97) * 0.01f - 0.5f;
            MPI_Barrier(MPI_COMM_WORLD);
            double start = MPI_Wtime(), took, slowest;
            MPI_Allreduce(MPI_IN_PLACE, data, (int)n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
            took = MPI_Wtime() - start;
            MPI_Allreduce(&took, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
            if (round >= 0) seconds[round] = slowest;
        }
        qsort(seconds, (size_t)rounds, sizeof *seconds, compare);
        if (rank == 0) printf("%ld %.9f %.9f\n", bytes, seconds[rounds / 2], seconds[0]);
        free(data);
    }
    MPI_Finalize();
    return 0;
}
