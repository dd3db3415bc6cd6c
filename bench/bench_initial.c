// SPDX-License-Identifier: Apache-2.0
// How long does drawing initial weights take, per element and thread? The plain definition (nn/parameters.c) and the kernel of each
// instruction set, beside each other; processor time, medians of 5. Then GPT-2 124M's on two threads that share memory never touched,
// by the best instruction set. Usage: bench_initial [elements, default 2,000,000]
#include "base/cpu.h"
#include "base/memory.h"
#include "kernel/cpu/kernels.h"
#include "nn/nn.h"

#include <pthread.h>
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

// ---- two threads ----
struct half {
    float *w;
    int64_t first, count;
    normal_function normal;
    double seconds;
};

static void *draw_half(void *context)
{
    struct half *half = context;
    double start = now();
    half->normal(half->w + half->first, 1, 1, half->first, half->count, 0.02);
    half->seconds = now() - start;
    return NULL;
}

static void run_two(normal_function normal)
{
    enum { ELEMENTS = 124440000 };
    struct block block;
    pthread_t thread[2];
    if (block_create(ELEMENTS * sizeof(float), "weights", &block)) return;
    struct half half[2] = {{block.data, 0, ELEMENTS / 2, normal, 0},
                           {block.data, ELEMENTS / 2, ELEMENTS / 2, normal, 0}};
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread[i], NULL, draw_half, &half[i])) exit(1);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    printf("{\"bench\": \"initial\", \"processor\": \"%s\", \"threads\": 2, \"elements\": %d, "
           "\"slower_thread_seconds\": %.3f}\n",
           cpu_name(), ELEMENTS, half[half[1].seconds > half[0].seconds].seconds);
    block_destroy(&block);
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
    size_t best = sizeof rows / sizeof *rows - 1;
    while (!isa_available(rows[best].isa)) best--;
    if (count == 1 && rows[best].normal) run_two(rows[best].normal);
    return 0;
}
