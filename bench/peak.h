// SPDX-License-Identifier: Apache-2.0
// The processor's multiply-add peak, for programs that tell shares of it: independent chains of fused
// multiply-adds in registers, GFLOP/s of one thread.
#ifndef STN_BENCH_PEAK_H
#define STN_BENCH_PEAK_H

#include "base/cpu.h"

#include <time.h>
#if defined(__x86_64__)
#    include <immintrin.h>
#elif defined(__aarch64__)
#    include <arm_neon.h>
#endif

// Processor time of this thread, so that neighbours on the machine count only through the caches they share.
static inline double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { PEAK_CHAINS = 12, PEAK_TERMS = 400000 };

#if defined(__clang__)
#    define PEAK_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define PEAK_UNROLL _Pragma("GCC unroll 12")
#endif
// The empty assembly keeps the compiler from computing the sums otherwise; `hold` is its constraint for a
// register.
#define PEAK(name, attributes, vector, fma, hold)                                                  \
    attributes static inline double peak_##name(double seconds)                                    \
    {                                                                                              \
        vector sum[PEAK_CHAINS] = {{0}}, a = {0}, b = {0};                                         \
        double best = 0, start = thread_seconds();                                                 \
        do {                                                                                       \
            double begin = thread_seconds();                                                       \
            for (int i = 0; i < PEAK_TERMS; i++) {                                                 \
                PEAK_UNROLL for (int j = 0; j < PEAK_CHAINS; j++)                                  \
                {                                                                                  \
                    sum[j] = fma;                                                                  \
                    __asm__ volatile("" : hold(sum[j]));                                           \
                }                                                                                  \
            }                                                                                      \
            double rate = 2.0 * PEAK_CHAINS * PEAK_TERMS * (sizeof(vector) / sizeof(float)) /      \
                          (thread_seconds() - begin);                                              \
            if (rate > best) best = rate;                                                          \
        } while (thread_seconds() - start < seconds);                                              \
        return 1e-9 * best;                                                                        \
    }
#if defined(__x86_64__)
PEAK(avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_fmadd_ps(a, b, sum[j]), "+x")
PEAK(avx512, __attribute__((target("avx512f"))), __m512, _mm512_fmadd_ps(a, b, sum[j]), "+v")
#elif defined(__aarch64__)
PEAK(neon, , float32x4_t, vfmaq_f32(sum[j], a, b), "+w")
#endif

// GFLOP/s within `seconds` of measuring, the best of several; 0 where the instruction set has no
// multiply-add.
static inline double peak_of(enum isa isa, double seconds)
{
#if defined(__x86_64__)
    if (isa == ISA_AVX2) return peak_avx2(seconds);
    if (isa == ISA_AVX512) return peak_avx512(seconds);
#elif defined(__aarch64__)
    if (isa == ISA_NEON) return peak_neon(seconds);
#endif
    (void)isa, (void)seconds;
    return 0;
}
#endif
