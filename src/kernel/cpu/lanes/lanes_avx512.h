// SPDX-License-Identifier: Apache-2.0
// lanes.h for AVX-512 (F, BW, VL, DQ): one register each.
#ifndef STN_KERNEL_CPU_LANES_LANES_AVX512_H
#define STN_KERNEL_CPU_LANES_LANES_AVX512_H

#include <immintrin.h>

typedef __m512 lanes;
typedef __mmask16 lanes_mask;
typedef __m512i lanes_u32;

LANES_INLINE lanes_mask lanes_first(int64_t n) { return (lanes_mask)((1u << n) - 1); }

// ---- memory ----
LANES_INLINE lanes lanes_load(const float *p) { return _mm512_loadu_ps(p); }
LANES_INLINE lanes lanes_load_some(const float *p, int64_t n)
{
    return n == LANES ? lanes_load(p) : _mm512_maskz_loadu_ps(lanes_first(n), p);
}
LANES_INLINE void lanes_store(float *p, lanes x) { _mm512_storeu_ps(p, x); }
LANES_INLINE void lanes_store_some(float *p, lanes x, int64_t n)
{
    if (n == LANES)
        lanes_store(p, x); // what is loaded again soon is not forwarded from a masked store
    else
        _mm512_mask_storeu_ps(p, lanes_first(n), x);
}
LANES_INLINE void lanes_stream(float *p, lanes x) { _mm512_stream_ps(p, x); }
LANES_INLINE void lanes_stream_end(void) { _mm_sfence(); }
LANES_INLINE lanes_u32 lanes_u32_load(const uint32_t *p) { return _mm512_loadu_si512(p); }
LANES_INLINE void lanes_u32_store(uint32_t *p, lanes_u32 a) { _mm512_storeu_si512(p, a); }

// ---- make ----
LANES_INLINE lanes lanes_set(float s) { return _mm512_set1_ps(s); }
LANES_INLINE lanes lanes_zero(void) { return _mm512_setzero_ps(); }
LANES_INLINE lanes_u32 lanes_u32_set(uint32_t s) { return _mm512_set1_epi32((int)s); }
LANES_INLINE lanes_u32 lanes_u32_iota(void)
{
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// ---- between ----
LANES_INLINE lanes_u32 lanes_bits(lanes x) { return _mm512_castps_si512(x); }
LANES_INLINE lanes lanes_from_bits(lanes_u32 a) { return _mm512_castsi512_ps(a); }
LANES_INLINE lanes_u32 lanes_to_int(lanes x) { return _mm512_cvtps_epi32(x); }
LANES_INLINE lanes lanes_from_int(lanes_u32 a) { return _mm512_cvtepi32_ps(a); }

// ---- numbers ----
LANES_INLINE lanes lanes_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
LANES_INLINE lanes lanes_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
LANES_INLINE lanes lanes_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
LANES_INLINE lanes lanes_div(lanes a, lanes b) { return _mm512_div_ps(a, b); }
LANES_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
LANES_INLINE lanes lanes_fnma(lanes a, lanes b, lanes c) { return _mm512_fnmadd_ps(a, b, c); }
LANES_INLINE lanes lanes_sqrt(lanes x) { return _mm512_sqrt_ps(x); }
LANES_INLINE lanes lanes_max(lanes a, lanes b) { return _mm512_max_ps(a, b); }
LANES_INLINE lanes lanes_min(lanes a, lanes b) { return _mm512_min_ps(a, b); }
LANES_INLINE lanes lanes_abs(lanes x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x); }
LANES_INLINE lanes lanes_neg(lanes x) { return _mm512_xor_ps(_mm512_set1_ps(-0.0f), x); }
LANES_INLINE lanes lanes_copy_sign(lanes size, lanes sign)
{
    lanes bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, size), _mm512_and_ps(bit, sign));
}
LANES_INLINE lanes lanes_round(lanes x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// See lanes.h.
LANES_INLINE lanes lanes_scale_power2(lanes x, lanes n) { return _mm512_scalef_ps(x, n); }
LANES_INLINE lanes lanes_floor(lanes x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

// ---- integers ----
LANES_INLINE lanes_u32 lanes_u32_add(lanes_u32 a, lanes_u32 b) { return _mm512_add_epi32(a, b); }
LANES_INLINE lanes_u32 lanes_u32_sub(lanes_u32 a, lanes_u32 b) { return _mm512_sub_epi32(a, b); }
LANES_INLINE lanes_u32 lanes_u32_and(lanes_u32 a, lanes_u32 b) { return _mm512_and_si512(a, b); }
LANES_INLINE lanes_u32 lanes_u32_or(lanes_u32 a, lanes_u32 b) { return _mm512_or_si512(a, b); }
LANES_INLINE lanes_u32 lanes_u32_xor(lanes_u32 a, lanes_u32 b) { return _mm512_xor_si512(a, b); }
LANES_INLINE lanes_u32 lanes_u32_mul_low(lanes_u32 a, lanes_u32 b)
{
    return _mm512_mullo_epi32(a, b);
}
LANES_INLINE lanes_u32 lanes_u32_mul_high(lanes_u32 a, lanes_u32 b)
{
    __m512i even = _mm512_mul_epu32(a, b);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    return _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}
LANES_INLINE lanes_u32 lanes_u32_left(lanes_u32 a, int count)
{
    return _mm512_sll_epi32(a, _mm_cvtsi32_si128(count));
}
LANES_INLINE lanes_u32 lanes_u32_right(lanes_u32 a, int count)
{
    return _mm512_srl_epi32(a, _mm_cvtsi32_si128(count));
}
LANES_INLINE lanes_u32 lanes_u32_right_signed(lanes_u32 a, int count)
{
    return _mm512_sra_epi32(a, _mm_cvtsi32_si128(count));
}

// ---- masks ----
LANES_INLINE lanes_mask lanes_less(lanes a, lanes b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
LANES_INLINE lanes_mask lanes_less_equal(lanes a, lanes b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
LANES_INLINE lanes_mask lanes_is_nan(lanes x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
LANES_INLINE lanes_mask lanes_u32_less(lanes_u32 a, lanes_u32 b)
{
    return _mm512_cmplt_epu32_mask(a, b);
}
LANES_INLINE lanes_mask lanes_u32_equal(lanes_u32 a, lanes_u32 b)
{
    return _mm512_cmpeq_epu32_mask(a, b);
}
LANES_INLINE lanes_mask lanes_mask_and(lanes_mask a, lanes_mask b) { return (lanes_mask)(a & b); }
LANES_INLINE lanes_mask lanes_mask_or(lanes_mask a, lanes_mask b) { return (lanes_mask)(a | b); }
LANES_INLINE lanes_mask lanes_mask_not(lanes_mask m) { return (lanes_mask)~m; }
LANES_INLINE bool lanes_any(lanes_mask m) { return m != 0; }
LANES_INLINE lanes lanes_select(lanes_mask m, lanes a, lanes b)
{
    return _mm512_mask_blend_ps(m, b, a);
}
LANES_INLINE lanes_u32 lanes_u32_select(lanes_mask m, lanes_u32 a, lanes_u32 b)
{
    return _mm512_mask_blend_epi32(m, b, a);
}

// ---- across ----
// x[i] lane j and x[j] lane i change places.
LANES_INLINE void lanes_turn(lanes x[16])
{
    __m512 t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    // Of each four rows: quarter q of x[4 i + j] holds column 4 q + j.
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
        __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
        x[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        x[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        x[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        x[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m512 even = _mm512_shuffle_f32x4(x[j], x[4 + j], 0x88);
        __m512 odd = _mm512_shuffle_f32x4(x[j], x[4 + j], 0xdd);
        __m512 even_below = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0x88);
        __m512 odd_below = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0xdd);
        x[j] = _mm512_shuffle_f32x4(even, even_below, 0x88);
        x[8 + j] = _mm512_shuffle_f32x4(even, even_below, 0xdd);
        x[4 + j] = _mm512_shuffle_f32x4(odd, odd_below, 0x88);
        x[12 + j] = _mm512_shuffle_f32x4(odd, odd_below, 0xdd);
    }
}
LANES_INLINE float lanes_sum(lanes x)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}
LANES_INLINE float lanes_max_all(lanes x)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_shuffle_ps(b, b, 1)));
}
#endif
