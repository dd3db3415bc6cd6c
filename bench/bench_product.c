// SPDX-License-Identifier: Apache-2.0
// How fast are matrix products on one thread, and what share of the processor's multiply-add peak is that?
//
// One line of JSON per instruction set, precision and shape. The peak is measured beside it, in the same run:
// independent chains of fused multiply-adds in registers. Usage: bench_product [seconds per measurement,
// default 0.3]
#include "base/cpu.h"
#include "base/memory.h"
#include "kernel/cpu/kernels.h"
#include "peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*product_function)(const struct product *p, void *scratch);
typedef size_t (*scratch_function)(int64_t rows, int64_t cols, int64_t depth);

struct variant {
    enum isa isa;
    enum precision precision;
    product_function product;
    scratch_function scratch_bytes;
};

// What a product is part of: y = x w^T, dx = dy w, dw = dy^T x (w lies [out, in]), or x w with w [in, out].
enum kind { FORWARD, GRAD_INPUT, GRAD_WEIGHT, FORWARD_IN_OUT };
static const char *const kind_names[] = {"x w^T", "dy w", "dy^T x", "x w"};

struct shape {
    const char *name;
    enum kind kind;
    int64_t rows, cols, depth;
};
static const struct shape shapes[] = {
    {"gpt2-124m qkv", FORWARD, 256, 2304, 768},
    {"gpt2-124m mlp up", FORWARD, 256, 3072, 768},
    {"gpt2-124m mlp down", FORWARD, 256, 768, 3072},
    {"gpt2-124m mlp up", FORWARD_IN_OUT, 256, 3072, 768},
    {"gpt2-124m mlp up", GRAD_INPUT, 256, 768, 3072},
    {"gpt2-124m mlp down", GRAD_INPUT, 256, 3072, 768},
    {"gpt2-124m mlp up", GRAD_WEIGHT, 3072, 768, 256},
    {"gpt2-124m mlp down", GRAD_WEIGHT, 768, 3072, 256},
    {"gpt2-124m vocabulary", FORWARD, 256, 50257, 768},
    {"gpt2-124m mlp up, 1,024 tokens", FORWARD, 1024, 3072, 768},
    {"small projection", FORWARD, 192, 128, 128},
    {"small qkv", FORWARD, 192, 384, 128},
    {"small mlp up", FORWARD, 192, 512, 128},
    {"small mlp down", FORWARD, 192, 128, 512},
    {"small mlp up", GRAD_INPUT, 192, 128, 512},
    {"small mlp up", GRAD_WEIGHT, 512, 128, 192},
    {"small characters", FORWARD, 192, 65, 128},
    {"decode gpt2-124m mlp up", FORWARD, 1, 3072, 768},
    {"decode gpt2-124m mlp up", FORWARD_IN_OUT, 1, 3072, 768},
    {"decode gpt2-124m mlp down", FORWARD, 1, 768, 3072},
    {"decode small mlp up", FORWARD, 1, 512, 128},
};

#define VARIANT(isa, kernel, precision, suffix)                                                    \
    {                                                                                              \
        isa, precision, kernel##_##suffix, kernel##_scratch_bytes_##suffix                         \
    }
#define BF16_VARIANTS(isa, suffix)                                                                 \
    VARIANT(isa, product_bf16, PRECISION_BF16, suffix),                                            \
        VARIANT(isa, product_bf16x3, PRECISION_BF16X3, suffix)
#define VARIANTS(isa, suffix)                                                                      \
    VARIANT(isa, product, PRECISION_FLOAT32, suffix), BF16_VARIANTS(isa, suffix)
static const struct variant variants[] = {
    VARIANT(ISA_GENERIC, product, PRECISION_FLOAT32, generic), // the others would take minutes
#if defined(__x86_64__)
    VARIANTS(ISA_AVX2, avx2),
    VARIANTS(ISA_AVX512, avx512),
#elif defined(__aarch64__)
    VARIANTS(ISA_NEON, neon),
#endif
#if defined(HAVE_AMX)
    BF16_VARIANTS(ISA_AMX, amx),
#endif
};

// ---- measuring ----
static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Median seconds of one call, and the fastest (what it takes when neighbours leave the machine alone).
static double measure(const struct variant *v, const struct product *p, void *scratch,
                      double seconds, double *best_p)
{
    static double times[4096];
    int count = 0;
    v->product(p, scratch);
    for (double start = thread_seconds();
         count < 5 || (thread_seconds() - start < seconds && count < 4096);) {
        double begin = thread_seconds();
        v->product(p, scratch);
        times[count++] = thread_seconds() - begin;
    }
    qsort(times, (size_t)count, sizeof *times, compare);
    *best_p = times[0];
    return times[count / 2];
}

static struct product describe(const struct shape *s, const float *a, const float *b, float *c)
{
    struct product p = {.rows = s->rows,
                        .cols = s->cols,
                        .depth = s->depth,
                        .a = a,
                        .b = b,
                        .c = c,
                        .c_row = s->cols};
    bool transposed = s->kind == GRAD_WEIGHT, turned = s->kind == FORWARD;
    p.a_row = transposed ? 1 : s->depth;
    p.a_depth = transposed ? s->rows : 1;
    p.b_depth = turned ? 1 : s->cols;
    p.b_col = turned ? s->depth : 1;
    return p;
}

static enum status run(const struct variant *v, const struct shape *s, double seconds)
{
    float *a = NULL, *b = NULL, *c = NULL;
    struct block scratch = {0};
    enum status status = memory_allocate((size_t)(s->rows * s->depth), sizeof *a, "a matrix", &a);
    if (!status) status = memory_allocate((size_t)(s->cols * s->depth), sizeof *b, "a matrix", &b);
    if (!status) status = memory_allocate((size_t)(s->rows * s->cols), sizeof *c, "a matrix", &c);
    if (!status)
        status = block_create(v->scratch_bytes(s->rows, s->cols, s->depth), "scratch", &scratch);
    if (!status) {
        for (int64_t i = 0; i < s->rows * s->depth; i++) a[i] = (float)(i % 97) / 97 - 0.5f;
        for (int64_t i = 0; i < s->cols * s->depth; i++) b[i] = (float)(i % 89) / 89 - 0.5f;
        struct product p = describe(s, a, b, c);
        double best, time = measure(v, &p, scratch.data, seconds, &best);
        double work = 2e-9 * (double)s->rows * (double)s->cols * (double)s->depth,
               rate = work / time;
        printf("{\"bench\": \"product\", \"isa\": \"%s\", \"precision\": \"%s\", \"shape\": "
               "\"%s\", \"kind\": \"%s\", "
               "\"rows\": %lld, "
               "\"cols\": %lld, \"depth\": %lld, \"microseconds\": %.1f, \"gflops\": %.1f, "
               "\"best_gflops\": %.1f",
               isa_name(v->isa), precision_name(v->precision), s->name, kind_names[s->kind],
               (long long)s->rows, (long long)s->cols, (long long)s->depth, 1e6 * time, rate,
               work / best);
        double peak = peak_of(v->isa, 0.02);
        if (peak > 0) {
            printf(", \"peak_gflops\": %.1f, \"of_peak\": %.3f, \"best_of_peak\": %.3f", peak,
                   rate / peak, work / best / peak);
        }
        printf("}\n");
        fflush(stdout);
    }
    block_destroy(&scratch);
    free(c);
    free(b);
    free(a);
    return status;
}

int main(int count, char **words)
{
    double seconds = count > 1 ? atof(words[1]) : 0.3;
    cpu_flush_to_zero();
    printf("{\"bench\": \"product\", \"processor\": \"%s\"}\n", cpu_name());
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        if (!isa_available(variants[v].isa)) continue;
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            if (!run(&variants[v], &shapes[s], seconds)) continue;
            fprintf(stderr, "%s\n", error_message());
            return 1;
        }
    }
    return 0;
}
