// SPDX-License-Identifier: Apache-2.0
// How long does drawing initial weights take, per element and thread? The plain definition (nn/parameters.c) and the kernel of each
// instruction set, beside each other; processor time, medians of 5. Usage: bench_initial [elements, default 2,000,000]
#include "base/cpu.h"
#include "base/memory.h"
#include "kernel/cpu/kernels.h"
#include "nn/nn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const struct {
    const char *name;
    enum isa isa;
    normal_function normal; // NULL: the definition
} rows[] = {
    {"definition", ISA_GENERIC, NULL},
    {"generic", ISA_GENERIC, normal_generic},
#if defined(__x86_64__)
    {"avx2", ISA_AVX2, normal_avx2},
    {"avx512", ISA_AVX512, normal_avx512},
#elif defined(__aarch64__)
    {"neon", ISA_NEON, normal_neon},
#endif
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words)
{
    struct parameter parameter = {
        .count = count > 1 ? atol(words[1]) : 2000000, .init = INIT_NORMAL, .deviation = 0.02};
    struct parameters parameters = {.list = &parameter, .count = 1, .elements = parameter.count};
    struct block block;
    if (parameter.count < 1 ||
        block_create((size_t)parameter.count * sizeof(float), "weights", &block)) {
        fprintf(stderr, "usage: bench_initial [elements]\n");
        return 1;
    }
    memset(block.data, 0, block.bytes);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        double times[ROUNDS];
        if (!isa_available(rows[row].isa)) continue;
        for (int round = 0; round < ROUNDS; round++) {
            double start = now();
            if (rows[row].normal)
                parameters_initialise_range(&parameters, 1, 0, parameter.count, rows[row].normal,
                                            block.data);
            else
                parameters_initialise(&parameters, 1, block.data);
            times[round] = now() - start;
        }
        qsort(times, ROUNDS, sizeof *times, compare);
        printf("{\"bench\": \"initial\", \"processor\": \"%s\", \"kernel\": \"%s\", "
               "\"ns_per_element\": "
               "%.2f}\n",
               cpu_name(), rows[row].name, 1e9 * times[ROUNDS / 2] / (double)parameter.count);
    }
    block_destroy(&block);
    return 0;
}
