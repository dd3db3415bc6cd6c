// SPDX-License-Identifier: Apache-2.0
// lanes.h for any processor: four quarters of four lanes as gcc's and clang's portable vectors.
//
// Baseline x86-64 has no fused multiply-add. There a quarter is computed in double: the product is
// exact, the sum is rounded to 53 bits, and the second rounding, to 24, is right unless the sum
// seems to lie just between two floats; then fmaf() decides.
#ifndef STN_KERNEL_CPU_LANES_LANES_GENERIC_H
#define STN_KERNEL_CPU_LANES_LANES_GENERIC_H

#include <math.h>
#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

typedef float lanes_quarter __attribute__((vector_size(16)));
typedef int32_t lanes_quarter_int __attribute__((vector_size(16)));
typedef uint32_t lanes_quarter_u32 __attribute__((vector_size(16)));

typedef struct {
    lanes_quarter q0, q1, q2, q3;
} lanes;
typedef struct {
    lanes_quarter_u32 q0, q1, q2, q3;
} lanes_u32;
typedef lanes_u32 lanes_mask; // all bits of a lane set or none

// ---- memory ----
LANES_INLINE lanes lanes_load(const float *p)
{
    lanes x;
    memcpy(&x, p, sizeof x);
    return x;
}
LANES_INLINE lanes lanes_load_some(const float *p, int64_t n)
{
    if (n == LANES) return lanes_load(p);
    lanes x = {0};
    memcpy(&x, p, (size_t)n * sizeof *p);
    return x;
}
LANES_INLINE void lanes_store(float *p, lanes x) { memcpy(p, &x, sizeof x); }
LANES_INLINE void lanes_store_some(float *p, lanes x, int64_t n)
{
    if (n == LANES)
        lanes_store(p, x);
    else
        memcpy(p, &x, (size_t)n * sizeof *p);
}
#if defined(__SSE2__)
LANES_INLINE void lanes_stream(float *p, lanes x)
{
    _mm_stream_ps(p, (__m128)x.q0);
    _mm_stream_ps(p + 4, (__m128)x.q1);
    _mm_stream_ps(p + 8, (__m128)x.q2);
    _mm_stream_ps(p + 12, (__m128)x.q3);
}
LANES_INLINE void lanes_stream_end(void) { _mm_sfence(); }
#else
LANES_INLINE void lanes_stream(float *p, lanes x) { lanes_store(p, x); }
LANES_INLINE void lanes_stream_end(void) {}
#endif
LANES_INLINE lanes_u32 lanes_u32_load(const uint32_t *p)
{
    lanes_u32 a;
    memcpy(&a, p, sizeof a);
    return a;
}
LANES_INLINE void lanes_u32_store(uint32_t *p, lanes_u32 a) { memcpy(p, &a, sizeof a); }

// ---- make ----
LANES_INLINE lanes lanes_set(float s)
{
    lanes_quarter q = {s, s, s, s};
    return (lanes){q, q, q, q};
}
LANES_INLINE lanes lanes_zero(void) { return lanes_set(0); }
LANES_INLINE lanes_u32 lanes_u32_set(uint32_t s)
{
    lanes_quarter_u32 q = {s, s, s, s};
    return (lanes_u32){q, q, q, q};
}
LANES_INLINE lanes_u32 lanes_u32_iota(void)
{
    return (lanes_u32){{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}, {12, 13, 14, 15}};
}

// ---- between ----
LANES_INLINE lanes_u32 lanes_bits(lanes x)
{
    return (lanes_u32){(lanes_quarter_u32)x.q0, (lanes_quarter_u32)x.q1, (lanes_quarter_u32)x.q2,
                       (lanes_quarter_u32)x.q3};
}
LANES_INLINE lanes lanes_from_bits(lanes_u32 a)
{
    return (lanes){(lanes_quarter)a.q0, (lanes_quarter)a.q1, (lanes_quarter)a.q2,
                   (lanes_quarter)a.q3};
}
LANES_INLINE lanes_quarter lanes_quarter_from_int(lanes_quarter_u32 a)
{
    return __builtin_convertvector((lanes_quarter_int)a, lanes_quarter);
}
LANES_INLINE lanes lanes_from_int(lanes_u32 a)
{
    return (lanes){lanes_quarter_from_int(a.q0), lanes_quarter_from_int(a.q1),
                   lanes_quarter_from_int(a.q2), lanes_quarter_from_int(a.q3)};
}

// ---- masks ----
LANES_INLINE lanes_mask lanes_less(lanes a, lanes b)
{
    return (lanes_mask){(lanes_quarter_u32)(a.q0 < b.q0), (lanes_quarter_u32)(a.q1 < b.q1),
                        (lanes_quarter_u32)(a.q2 < b.q2), (lanes_quarter_u32)(a.q3 < b.q3)};
}
LANES_INLINE lanes_mask lanes_less_equal(lanes a, lanes b)
{
    return (lanes_mask){(lanes_quarter_u32)(a.q0 <= b.q0), (lanes_quarter_u32)(a.q1 <= b.q1),
                        (lanes_quarter_u32)(a.q2 <= b.q2), (lanes_quarter_u32)(a.q3 <= b.q3)};
}
LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b)
{
    return (lanes_mask){(lanes_quarter_u32)(a.q0 == b.q0), (lanes_quarter_u32)(a.q1 == b.q1),
                        (lanes_quarter_u32)(a.q2 == b.q2), (lanes_quarter_u32)(a.q3 == b.q3)};
}
LANES_INLINE lanes_mask lanes_is_nan(lanes x)
{
    // NOLINTBEGIN(misc-redundant-expression): a NaN is not equal to itself
    return (lanes_mask){(lanes_quarter_u32)(x.q0 != x.q0), (lanes_quarter_u32)(x.q1 != x.q1),
                        (lanes_quarter_u32)(x.q2 != x.q2), (lanes_quarter_u32)(x.q3 != x.q3)};
    // NOLINTEND(misc-redundant-expression)
}
LANES_INLINE lanes_mask lanes_u32_less(lanes_u32 a, lanes_u32 b)
{
    return (lanes_mask){(lanes_quarter_u32)(a.q0 < b.q0), (lanes_quarter_u32)(a.q1 < b.q1),
                        (lanes_quarter_u32)(a.q2 < b.q2), (lanes_quarter_u32)(a.q3 < b.q3)};
}
LANES_INLINE lanes_mask lanes_u32_equal(lanes_u32 a, lanes_u32 b)
{
    return (lanes_mask){(lanes_quarter_u32)(a.q0 == b.q0), (lanes_quarter_u32)(a.q1 == b.q1),
                        (lanes_quarter_u32)(a.q2 == b.q2), (lanes_quarter_u32)(a.q3 == b.q3)};
}
LANES_INLINE lanes_mask lanes_first(int64_t n)
{
    return lanes_u32_less(lanes_u32_iota(), lanes_u32_set((uint32_t)n));
}
LANES_INLINE lanes_mask lanes_mask_and(lanes_mask a, lanes_mask b)
{
    return (lanes_mask){a.q0 & b.q0, a.q1 & b.q1, a.q2 & b.q2, a.q3 & b.q3};
}
LANES_INLINE lanes_mask lanes_mask_or(lanes_mask a, lanes_mask b)
{
    return (lanes_mask){a.q0 | b.q0, a.q1 | b.q1, a.q2 | b.q2, a.q3 | b.q3};
}
LANES_INLINE lanes_mask lanes_mask_not(lanes_mask m)
{
    return (lanes_mask){~m.q0, ~m.q1, ~m.q2, ~m.q3};
}
LANES_INLINE bool lanes_any(lanes_mask m)
{
    lanes_quarter_u32 q = m.q0 | m.q1 | m.q2 | m.q3;
    return (q[0] | q[1] | q[2] | q[3]) != 0;
}
LANES_INLINE lanes_u32 lanes_u32_select(lanes_mask m, lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){(m.q0 & a.q0) | (~m.q0 & b.q0), (m.q1 & a.q1) | (~m.q1 & b.q1),
                       (m.q2 & a.q2) | (~m.q2 & b.q2), (m.q3 & a.q3) | (~m.q3 & b.q3)};
}
LANES_INLINE lanes lanes_select(lanes_mask m, lanes a, lanes b)
{
    return lanes_from_bits(lanes_u32_select(m, lanes_bits(a), lanes_bits(b)));
}

// ---- integers ----
LANES_INLINE lanes_u32 lanes_u32_add(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){a.q0 + b.q0, a.q1 + b.q1, a.q2 + b.q2, a.q3 + b.q3};
}
LANES_INLINE lanes_u32 lanes_u32_sub(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){a.q0 - b.q0, a.q1 - b.q1, a.q2 - b.q2, a.q3 - b.q3};
}
LANES_INLINE lanes_u32 lanes_u32_and(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){a.q0 & b.q0, a.q1 & b.q1, a.q2 & b.q2, a.q3 & b.q3};
}
LANES_INLINE lanes_u32 lanes_u32_or(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){a.q0 | b.q0, a.q1 | b.q1, a.q2 | b.q2, a.q3 | b.q3};
}
LANES_INLINE lanes_u32 lanes_u32_xor(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){a.q0 ^ b.q0, a.q1 ^ b.q1, a.q2 ^ b.q2, a.q3 ^ b.q3};
}
LANES_INLINE lanes_u32 lanes_u32_mul_low(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){a.q0 * b.q0, a.q1 * b.q1, a.q2 * b.q2, a.q3 * b.q3};
}
LANES_INLINE lanes_quarter_u32 lanes_quarter_mul_high(lanes_quarter_u32 a, lanes_quarter_u32 b)
{
    lanes_quarter_u32 high;
    for (int i = 0; i < 4; i++) high[i] = (uint32_t)((uint64_t)a[i] * b[i] >> 32);
    return high;
}
LANES_INLINE lanes_u32 lanes_u32_mul_high(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){lanes_quarter_mul_high(a.q0, b.q0), lanes_quarter_mul_high(a.q1, b.q1),
                       lanes_quarter_mul_high(a.q2, b.q2), lanes_quarter_mul_high(a.q3, b.q3)};
}
LANES_INLINE lanes_u32 lanes_u32_left(lanes_u32 a, int count)
{
    return (lanes_u32){a.q0 << (uint32_t)count, a.q1 << (uint32_t)count, a.q2 << (uint32_t)count,
                       a.q3 << (uint32_t)count};
}
LANES_INLINE lanes_u32 lanes_u32_right(lanes_u32 a, int count)
{
    return (lanes_u32){a.q0 >> (uint32_t)count, a.q1 >> (uint32_t)count, a.q2 >> (uint32_t)count,
                       a.q3 >> (uint32_t)count};
}
LANES_INLINE lanes_u32 lanes_u32_right_signed(lanes_u32 a, int count)
{
    return (lanes_u32){(lanes_quarter_u32)((lanes_quarter_int)a.q0 >> count),
                       (lanes_quarter_u32)((lanes_quarter_int)a.q1 >> count),
                       (lanes_quarter_u32)((lanes_quarter_int)a.q2 >> count),
                       (lanes_quarter_u32)((lanes_quarter_int)a.q3 >> count)};
}

// ---- numbers ----
LANES_INLINE lanes lanes_add(lanes a, lanes b)
{
    return (lanes){a.q0 + b.q0, a.q1 + b.q1, a.q2 + b.q2, a.q3 + b.q3};
}
LANES_INLINE lanes lanes_sub(lanes a, lanes b)
{
    return (lanes){a.q0 - b.q0, a.q1 - b.q1, a.q2 - b.q2, a.q3 - b.q3};
}
LANES_INLINE lanes lanes_mul(lanes a, lanes b)
{
    return (lanes){a.q0 * b.q0, a.q1 * b.q1, a.q2 * b.q2, a.q3 * b.q3};
}
LANES_INLINE lanes lanes_div(lanes a, lanes b)
{
    return (lanes){a.q0 / b.q0, a.q1 / b.q1, a.q2 / b.q2, a.q3 / b.q3};
}
LANES_INLINE lanes lanes_abs(lanes x)
{
    return lanes_from_bits(lanes_u32_and(lanes_bits(x), lanes_u32_set(0x7fffffff)));
}
LANES_INLINE lanes lanes_neg(lanes x)
{
    return lanes_from_bits(lanes_u32_xor(lanes_bits(x), lanes_u32_set(0x80000000)));
}
LANES_INLINE lanes lanes_copy_sign(lanes size, lanes sign)
{
    return lanes_select(lanes_u32_set(0x80000000), sign, size);
}

// One lane at a time; noinline because it is rare where it is not an instruction.
LANES_INLINE lanes_quarter lanes_quarter_fma_each(lanes_quarter a, lanes_quarter b, lanes_quarter c)
{
    return (lanes_quarter){fmaf(a[0], b[0], c[0]), fmaf(a[1], b[1], c[1]), fmaf(a[2], b[2], c[2]),
                           fmaf(a[3], b[3], c[3])};
}
#if defined(__SSE2__) && !defined(__FMA__)
static __attribute__((noinline, unused)) lanes_quarter
lanes_quarter_fma_rare(lanes_quarter a, lanes_quarter b, lanes_quarter c)
{
    return lanes_quarter_fma_each(a, b, c);
}
LANES_INLINE lanes_quarter lanes_quarter_fma(lanes_quarter a, lanes_quarter b, lanes_quarter c)
{
    __m128d low = _mm_add_pd(_mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)), _mm_cvtps_pd(c));
    __m128d high =
        _mm_add_pd(_mm_mul_pd(_mm_cvtps_pd(_mm_movehl_ps(a, a)), _mm_cvtps_pd(_mm_movehl_ps(b, b))),
                   _mm_cvtps_pd(_mm_movehl_ps(c, c)));
    // The 29 bits of a double that a float lacks, in the lower words of the four sums.
    __m128i beyond =
        _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0x88));
    beyond = _mm_and_si128(beyond, _mm_set1_epi32(0x1fffffff));
    __m128i between = _mm_cmpeq_epi32(beyond, _mm_set1_epi32(0x10000000));
    if (__builtin_expect(_mm_movemask_epi8(between) != 0, 0))
        return lanes_quarter_fma_rare(a, b, c);
    return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
}
#else
LANES_INLINE lanes_quarter lanes_quarter_fma(lanes_quarter a, lanes_quarter b, lanes_quarter c)
{
    return lanes_quarter_fma_each(a, b, c);
}
#endif
LANES_INLINE lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return (lanes){lanes_quarter_fma(a.q0, b.q0, c.q0), lanes_quarter_fma(a.q1, b.q1, c.q1),
                   lanes_quarter_fma(a.q2, b.q2, c.q2), lanes_quarter_fma(a.q3, b.q3, c.q3)};
}
LANES_INLINE lanes lanes_fnma(lanes a, lanes b, lanes c) { return lanes_fma(lanes_neg(a), b, c); }
LANES_INLINE lanes_quarter lanes_quarter_sqrt(lanes_quarter x)
{
#if defined(__SSE2__) && !defined(__FMA__)
    return _mm_sqrt_ps(x);
#else
    return (lanes_quarter){sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3])};
#endif
}
LANES_INLINE lanes lanes_sqrt(lanes x)
{
    return (lanes){lanes_quarter_sqrt(x.q0), lanes_quarter_sqrt(x.q1), lanes_quarter_sqrt(x.q2),
                   lanes_quarter_sqrt(x.q3)};
}
// Denormals become zeros of their sign, as x86's maxps and minps make them (compilers use those
// here as they like).
LANES_INLINE lanes lanes_flush(lanes x)
{
    lanes_u32 bits = lanes_bits(x), exponent = lanes_u32_and(bits, lanes_u32_set(0x7f800000));
    lanes_mask zero = lanes_u32_equal(exponent, lanes_u32_set(0));
    lanes_u32 sign = lanes_u32_and(bits, lanes_u32_set(0x80000000));
    return lanes_from_bits(lanes_u32_select(zero, sign, bits));
}
LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return lanes_flush(lanes_select(lanes_less(b, a), a, b));
}
LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
    return lanes_flush(lanes_select(lanes_less(a, b), a, b));
}
// Adding and taking away 2^23 leaves an integer; larger numbers are integers.
LANES_INLINE lanes lanes_round(lanes x)
{
    lanes size = lanes_abs(x), large = lanes_set(8388608.0f);
    lanes whole = lanes_copy_sign(lanes_sub(lanes_add(size, large), large), x);
    return lanes_select(lanes_less(size, large), whole, x);
}
LANES_INLINE lanes lanes_floor(lanes x)
{
    lanes whole = lanes_round(x), below = lanes_sub(whole, lanes_set(1));
    return lanes_select(lanes_less(x, whole), below, whole);
}
LANES_INLINE lanes_quarter_u32 lanes_quarter_to_int(lanes_quarter x)
{
    return (lanes_quarter_u32) __builtin_convertvector(x, lanes_quarter_int);
}
LANES_INLINE lanes_u32 lanes_to_int(lanes x)
{
    lanes whole = lanes_round(x);
    return (lanes_u32){lanes_quarter_to_int(whole.q0), lanes_quarter_to_int(whole.q1),
                       lanes_quarter_to_int(whole.q2), lanes_quarter_to_int(whole.q3)};
}

// ---- across ----
LANES_INLINE float lanes_sum(lanes x)
{
    lanes_quarter a = (x.q0 + x.q2) + (x.q1 + x.q3);
    return (a[0] + a[2]) + (a[1] + a[3]);
}
LANES_INLINE float lanes_max_all(lanes x)
{
    lanes a = lanes_max(x, (lanes){x.q2, x.q3, x.q2, x.q3});
    a = lanes_max(a, (lanes){a.q1, a.q1, a.q1, a.q1});
    lanes_quarter q = {a.q0[2], a.q0[3], a.q0[2], a.q0[3]};
    a = lanes_max(a, (lanes){q, q, q, q});
    q = (lanes_quarter){a.q0[1], a.q0[1], a.q0[1], a.q0[1]};
    a = lanes_max(a, (lanes){q, q, q, q});
    return a.q0[0];
}
#endif
