// SPDX-License-Identifier: Apache-2.0
// How fast are matrix products on one thread, and what share of the processor's multiply-add peak is that?
//
// One line of JSON per instruction set and shape. The peak is measured beside it, in the same run:
// independent chains of fused multiply-adds in registers. Usage: bench_product [seconds per measurement,
// default 0.3]
#include "base/cpu.h"
#include "base/memory.h"
#include "kernel/cpu/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#    include <immintrin.h>
#elif defined(__aarch64__)
#    include <arm_neon.h>
#endif

typedef void (*product_function)(const struct product *p, void *scratch);
typedef size_t (*scratch_function)(int64_t rows, int64_t cols, int64_t depth);

struct variant {
    enum isa isa;
    product_function product;
    scratch_function scratch_bytes;
    double (*peak)(double seconds);
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

// Processor time of this thread, so that neighbours on the machine count only through the caches they share.
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// ---- peak ----
enum { CHAINS = 12, PEAK_TERMS = 400000 };

// The empty assembly keeps the compiler from computing the sums otherwise; `hold` is its constraint for a
// register.
#define PEAK(name, attributes, vector, fma, hold)                                                  \
    attributes static double peak_##name(double seconds)                                           \
    {                                                                                              \
        vector sum[CHAINS] = {{0}}, a = {0}, b = {0};                                              \
        double best = 0, start = now();                                                            \
        do {                                                                                       \
            double begin = now();                                                                  \
            for (int i = 0; i < PEAK_TERMS; i++) {                                                 \
                PEAK_UNROLL for (int j = 0; j < CHAINS; j++)                                       \
                {                                                                                  \
                    sum[j] = fma;                                                                  \
                    __asm__ volatile("" : hold(sum[j]));                                           \
                }                                                                                  \
            }                                                                                      \
            double rate =                                                                          \
                2.0 * CHAINS * PEAK_TERMS * (sizeof(vector) / sizeof(float)) / (now() - begin);    \
            if (rate > best) best = rate;                                                          \
        } while (now() - start < seconds);                                                         \
        return best;                                                                               \
    }
#if defined(__clang__)
#    define PEAK_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define PEAK_UNROLL _Pragma("GCC unroll 12")
#endif
#if defined(__x86_64__)
PEAK(avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_fmadd_ps(a, b, sum[j]), "+x")
PEAK(avx512, __attribute__((target("avx512f"))), __m512, _mm512_fmadd_ps(a, b, sum[j]), "+v")
#    define VARIANT(name, ISA, peak)                                                               \
        {                                                                                          \
            ISA, product_##name, product_scratch_bytes_##name, peak                                \
        }
static const struct variant variants[] = {
    VARIANT(generic, ISA_GENERIC, NULL),
    VARIANT(avx2, ISA_AVX2, peak_avx2),
    VARIANT(avx512, ISA_AVX512, peak_avx512),
};
#elif defined(__aarch64__)
PEAK(neon, , float32x4_t, vfmaq_f32(sum[j], a, b), "+w")
#    define VARIANT(name, ISA, peak)                                                               \
        {                                                                                          \
            ISA, product_##name, product_scratch_bytes_##name, peak                                \
        }
static const struct variant variants[] = {
    VARIANT(generic, ISA_GENERIC, NULL),
    VARIANT(neon, ISA_NEON, peak_neon),
};
#else
static const struct variant variants[] = {
    {ISA_GENERIC, product_generic, product_scratch_bytes_generic, NULL}};
#endif

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
    for (double start = now(); count < 5 || (now() - start < seconds && count < 4096);) {
        double begin = now();
        v->product(p, scratch);
        times[count++] = now() - begin;
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
        printf("{\"bench\": \"product\", \"isa\": \"%s\", \"shape\": \"%s\", \"kind\": \"%s\", "
               "\"rows\": %lld, "
               "\"cols\": %lld, \"depth\": %lld, \"microseconds\": %.1f, \"gflops\": %.1f, "
               "\"best_gflops\": %.1f",
               isa_name(v->isa), s->name, kind_names[s->kind], (long long)s->rows,
               (long long)s->cols, (long long)s->depth, 1e6 * time, rate, work / best);
        if (v->peak) {
            double peak = 1e-9 * v->peak(0.02);
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
