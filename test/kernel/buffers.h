// SPDX-License-Identifier: Apache-2.0
// What the kernel tests share: arrays with guard bytes around them, numbers to fill them, a row of
// kernels per instruction set.
#ifndef STN_TEST_KERNEL_BUFFERS_H
#define STN_TEST_KERNEL_BUFFERS_H

#include "base/cpu.h"
#include "base/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// {the kernel `name` of every instruction set}, indexed by enum isa; NULL where the build has none.
#if defined(__x86_64__)
#    define KERNEL_ROW(name)                                                                       \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic, [ISA_AVX2] = name##_avx2, [ISA_AVX512] = name##_avx512 \
        }
#elif defined(__aarch64__)
#    define KERNEL_ROW(name)                                                                       \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic, [ISA_NEON] = name##_neon                               \
        }
#else
#    define KERNEL_ROW(name)                                                                       \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic                                                         \
        }
#endif

enum { GUARD_BYTES = 128, MOST_BUFFERS = 256 };

// One allocation with guard bytes on both sides; `data` lies 4 bytes beside 64-byte alignment unless `aligned`.
struct buffer {
    unsigned char *raw;
    size_t before, bytes;
};
static struct buffer buffers[MOST_BUFFERS];
static int buffer_count;

static inline void *buffer_bytes(size_t bytes, bool aligned)
{
    assert_true(buffer_count < MOST_BUFFERS);
    struct buffer *b = &buffers[buffer_count++];
    b->before = GUARD_BYTES + (aligned ? 0 : 4);
    b->bytes = bytes;
    b->raw = aligned_alloc(64, (b->before + bytes + GUARD_BYTES + 63) / 64 * 64);
    assert_non_null(b->raw);
    memset(b->raw, 0xA5, b->before);
    memset(b->raw + b->before, 0xFF, bytes); // NaN: what is read before it is written shows
    memset(b->raw + b->before + bytes, 0xA5, GUARD_BYTES);
    return b->raw + b->before;
}
static inline float *floats(int64_t n) { return buffer_bytes((size_t)n * sizeof(float), false); }
static inline int32_t *integers(int64_t n)
{
    return buffer_bytes((size_t)n * sizeof(int32_t), false);
}
static inline void *scratch_of(size_t bytes) { return buffer_bytes(bytes, true); }

// Fails when a guard was touched; frees all buffers.
static inline void buffers_check_and_free(void)
{
    bool intact = true;
    for (int i = 0; i < buffer_count; i++) {
        const struct buffer *b = &buffers[i];
        for (size_t j = 0; j < b->before; j++) intact &= b->raw[j] == 0xA5;
        for (size_t j = 0; j < GUARD_BYTES; j++) intact &= b->raw[b->before + b->bytes + j] == 0xA5;
        free(b->raw);
    }
    buffer_count = 0;
    assert_true(intact);
}

// Numbers in (-size, size), fixed by `seed`.
static inline float *random_floats(int64_t n, uint32_t seed, double size)
{
    struct philox_address at = {.seed = seed, .stream = philox_stream(PHILOX_TEST, 2)};
    float *x = floats(n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(size * (2 * philox_uniform(at, (uint64_t)i) - 1));
    return x;
}

static inline void assert_same_bits(const void *a, const void *b, size_t bytes, const char *what,
                                    enum isa isa)
{
    const uint32_t *x = a, *y = b;
    for (size_t i = 0; i < bytes / 4; i++) {
        if (x[i] == y[i]) continue;
        float u, v;
        memcpy(&u, x + i, 4), memcpy(&v, y + i, 4);
        fail_msg("%s: element %zu is %a generic, %a %s", what, i, (double)u, (double)v,
                 isa_name(isa));
    }
}

// |got - want| <= tolerance * (1 + |want|)
static inline void assert_near(double got, double want, double tolerance, const char *what,
                               int64_t index)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s: element %lld is %.9g, should be %.9g", what, (long long)index, got, want);
}
#endif
