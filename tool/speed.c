// SPDX-License-Identifier: Apache-2.0
#include "speed.h"

#include "backend/cpu/roof.h"
#include "base/memory.h"
#include "clock.h"
#include "kernel/cpu/kernels.h"

#include <pthread.h>
#include <stdlib.h>

struct product_kernel {
    void (*run)(const struct product *product, void *scratch);
    size_t (*scratch_bytes)(int64_t rows, int64_t cols, int64_t depth);
};
#define KERNEL_PAIR(name, isa)                                                                     \
    {                                                                                              \
        name##_##isa, name##_scratch_bytes_##isa                                                   \
    }
#define BF16_KERNELS(isa)                                                                          \
    [PRECISION_BF16] = KERNEL_PAIR(product_bf16, isa), [PRECISION_BF16X3] =                        \
                                                           KERNEL_PAIR(product_bf16x3, isa)
#define KERNELS(isa)                                                                               \
    {                                                                                              \
        [PRECISION_FLOAT32] = KERNEL_PAIR(product, isa), BF16_KERNELS(isa)                         \
    }
static const struct product_kernel kernels[ISA_COUNT][PRECISION_COUNT] = {
    [ISA_GENERIC] = KERNELS(generic),
#if defined(__x86_64__)
    [ISA_AVX2] = KERNELS(avx2),
    [ISA_AVX512] = KERNELS(avx512),
#elif defined(__aarch64__)
    [ISA_NEON] = KERNELS(neon),
#endif
#if defined(HAVE_AMX)
    [ISA_AMX] = {BF16_KERNELS(amx)},
#endif
};

static const struct product_kernel *kernel_of(enum isa isa, enum precision precision)
{
    const struct product_kernel *kernel = &kernels[isa][precision];
    return kernel->run ? kernel : &kernels[isa_lanes(isa)][precision];
}

// Of the time that a measurement takes, what wakes a sleeping core.
#define WARM_SHARE (1.0 / 3)

struct runner {
    const struct product_kernel *kernel;
    struct product product;
    struct block memory;
    void *scratch;
    double seconds; // to take
    pthread_t thread;
    double flops; // a second
};

static void *run_products(void *context)
{
    struct runner *runner = context;
    const struct product *p = &runner->product;
    cpu_flush_to_zero();
    double start = clock_seconds();
    do runner->kernel->run(p, runner->scratch);
    while (clock_seconds() - start < runner->seconds * WARM_SHARE);
    // Processor time: what neighbours take of the machine is not ours to forecast.
    long runs = 0;
    double begin = clock_thread_seconds();
    start = clock_seconds();
    do {
        runner->kernel->run(p, runner->scratch);
        runs++;
    } while (clock_seconds() - start < runner->seconds * (1 - WARM_SHARE));
    runner->flops = 2.0 * (double)p->rows * (double)p->cols * (double)p->depth * (double)runs /
                    (clock_thread_seconds() - begin);
    return NULL;
}

static enum status prepare(struct runner *runner, int64_t rows, int64_t cols, int64_t depth)
{
    size_t a = (size_t)(rows * depth), b = (size_t)(depth * cols), c = (size_t)(rows * cols);
    size_t scratch = runner->kernel->scratch_bytes(rows, cols, depth);
    TRY(block_create((a + b + c + 48) * sizeof(float) + scratch + 64, "a measurement",
                     &runner->memory));
    float *memory = runner->memory.data;
    for (size_t i = 0; i < a + b; i++) memory[i] = (float)(i % 97) * 0.01f - 0.5f;
    runner->product = (struct product){
        .rows = rows,
        .cols = cols,
        .depth = depth,
        .a = memory,
        .a_row = depth,
        .a_depth = 1,
        .b = memory + a,
        .b_depth = cols,
        .b_col = 1,
        .c = memory + a + b,
        .c_row = cols,
    };
    uintptr_t end = (uintptr_t)(memory + a + b + c);
    runner->scratch = (char *)(memory + a + b + c) + (64 - end % 64) % 64;
    return STATUS_OK;
}

enum status speed_measure(enum isa isa, enum precision precision, int workers, int64_t rows,
                          int64_t cols, int64_t depth, double seconds, double *flops_p)
{
    struct runner *runner;
    int started = 0;
    double flops = 0;
    TRY(memory_allocate((size_t)workers, sizeof *runner, "a measurement", &runner));
    enum status status = STATUS_OK;
    for (int i = 0; i < workers && status == STATUS_OK; i++) {
        runner[i].seconds = seconds;
        runner[i].kernel = kernel_of(isa, precision);
        status = prepare(&runner[i], rows, cols, depth);
    }
    while (status == STATUS_OK && started < workers &&
           !pthread_create(&runner[started].thread, NULL, run_products, &runner[started]))
        started++;
    for (int i = 0; i < started; i++) {
        pthread_join(runner[i].thread, NULL);
        flops += runner[i].flops;
    }
    for (int i = 0; i < workers; i++) block_destroy(&runner[i].memory);
    free(runner);
    if (status == STATUS_OK) *flops_p = flops;
    return status;
}

#define PEAK_SECONDS 0.03

enum status speed_peak(enum precision precision, int workers, double *flops_p)
{
    enum isa isa;
    int cores = cpu_cores(), threads = workers < cores ? workers : cores;
    double peak = 0;
    TRY(isa_choose(&isa));
    if (isa == ISA_AMX && precision != PRECISION_FLOAT32)
        TRY(roof_measure_tiles(threads, PEAK_SECONDS, &peak));
    else
        TRY(roof_measure_fma(isa, threads, PEAK_SECONDS, &peak));
    *flops_p = precision == PRECISION_BF16X3 ? peak / 3 : peak;
    return STATUS_OK;
}
