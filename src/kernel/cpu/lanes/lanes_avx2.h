// SPDX-License-Identifier: Apache-2.0
// lanes.h for AVX2 + FMA: two registers each, lanes 0-7 and 8-15.
#ifndef STN_KERNEL_CPU_LANES_LANES_AVX2_H
#define STN_KERNEL_CPU_LANES_LANES_AVX2_H

#include <immintrin.h>

typedef struct {
    __m256 low, high;
} lanes;
typedef struct {
    __m256 low, high; // all bits of a lane set or none
} lanes_mask;
typedef struct {
    __m256i low, high;
} lanes_u32;

// ---- make ----
LANES_INLINE lanes lanes_set(float s) { return (lanes){_mm256_set1_ps(s), _mm256_set1_ps(s)}; }
LANES_INLINE lanes lanes_zero(void) { return (lanes){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
LANES_INLINE lanes_u32 lanes_u32_set(uint32_t s)
{
    return (lanes_u32){_mm256_set1_epi32((int)s), _mm256_set1_epi32((int)s)};
}
LANES_INLINE lanes_u32 lanes_u32_iota(void)
{
    return (lanes_u32){_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                       _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
}
LANES_INLINE lanes_mask lanes_first(int64_t n)
{
    lanes_u32 i = lanes_u32_iota();
    __m256i limit = _mm256_set1_epi32((int)n);
    return (lanes_mask){_mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, i.low)),
                        _mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, i.high))};
}

// ---- memory ----
LANES_INLINE lanes lanes_load(const float *p)
{
    return (lanes){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
LANES_INLINE lanes lanes_load_some(const float *p, int64_t n)
{
    if (n == LANES)
        return lanes_load(p); // masked loads and, more so, stores are slow on AMD's processors
    lanes_mask m = lanes_first(n);
    return (lanes){_mm256_maskload_ps(p, _mm256_castps_si256(m.low)),
                   _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.high))};
}
LANES_INLINE void lanes_store(float *p, lanes x)
{
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}
LANES_INLINE void lanes_store_some(float *p, lanes x, int64_t n)
{
    if (n == LANES) {
        lanes_store(p, x);
        return;
    }
    lanes_mask m = lanes_first(n);
    _mm256_maskstore_ps(p, _mm256_castps_si256(m.low), x.low);
    _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.high), x.high);
}
LANES_INLINE void lanes_stream(float *p, lanes x)
{
    _mm256_stream_ps(p, x.low);
    _mm256_stream_ps(p + 8, x.high);
}
LANES_INLINE void lanes_stream_end(void) { _mm_sfence(); }
LANES_INLINE lanes_u32 lanes_u32_load(const uint32_t *p)
{
    return (lanes_u32){_mm256_loadu_si256((const __m256i_u *)p),
                       _mm256_loadu_si256((const __m256i_u *)(p + 8))};
}
LANES_INLINE void lanes_u32_store(uint32_t *p, lanes_u32 a)
{
    _mm256_storeu_si256((__m256i_u *)p, a.low);
    _mm256_storeu_si256((__m256i_u *)(p + 8), a.high);
}
// ---- between ----
LANES_INLINE lanes_u32 lanes_bits(lanes x)
{
    return (lanes_u32){_mm256_castps_si256(x.low), _mm256_castps_si256(x.high)};
}
LANES_INLINE lanes lanes_from_bits(lanes_u32 a)
{
    return (lanes){_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)};
}
LANES_INLINE lanes_u32 lanes_to_int(lanes x)
{
    return (lanes_u32){_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)};
}
LANES_INLINE lanes lanes_from_int(lanes_u32 a)
{
    return (lanes){_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
}

// ---- numbers ----
LANES_INLINE lanes lanes_add(lanes a, lanes b)
{
    return (lanes){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
LANES_INLINE lanes lanes_sub(lanes a, lanes b)
{
    return (lanes){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
LANES_INLINE lanes lanes_mul(lanes a, lanes b)
{
    return (lanes){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
LANES_INLINE lanes lanes_div(lanes a, lanes b)
{
    return (lanes){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
LANES_INLINE lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return (lanes){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
LANES_INLINE lanes lanes_fnma(lanes a, lanes b, lanes c)
{
    return (lanes){_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}
LANES_INLINE lanes lanes_sqrt(lanes x)
{
    return (lanes){_mm256_sqrt_ps(x.low), _mm256_sqrt_ps(x.high)};
}
LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return (lanes){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
    return (lanes){_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
LANES_INLINE lanes lanes_abs(lanes x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (lanes){_mm256_andnot_ps(sign, x.low), _mm256_andnot_ps(sign, x.high)};
}
LANES_INLINE lanes lanes_neg(lanes x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (lanes){_mm256_xor_ps(sign, x.low), _mm256_xor_ps(sign, x.high)};
}
LANES_INLINE lanes lanes_copy_sign(lanes size, lanes sign)
{
    __m256 bit = _mm256_set1_ps(-0.0f);
    lanes a = lanes_abs(size);
    return (lanes){_mm256_or_ps(a.low, _mm256_and_ps(bit, sign.low)),
                   _mm256_or_ps(a.high, _mm256_and_ps(bit, sign.high))};
}
LANES_INLINE lanes lanes_round(lanes x)
{
    return (lanes){_mm256_round_ps(x.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                   _mm256_round_ps(x.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
LANES_INLINE lanes lanes_floor(lanes x)
{
    return (lanes){_mm256_floor_ps(x.low), _mm256_floor_ps(x.high)};
}

// ---- integers ----
LANES_INLINE lanes_u32 lanes_u32_add(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
LANES_INLINE lanes_u32 lanes_u32_sub(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
LANES_INLINE lanes_u32 lanes_u32_and(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
}
LANES_INLINE lanes_u32 lanes_u32_or(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
}
LANES_INLINE lanes_u32 lanes_u32_xor(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}
LANES_INLINE lanes_u32 lanes_u32_mul_low(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
}
LANES_INLINE __m256i lanes_half_mul_high(__m256i a, __m256i b)
{
    __m256i even = _mm256_mul_epu32(a, b);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}
LANES_INLINE lanes_u32 lanes_u32_mul_high(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){lanes_half_mul_high(a.low, b.low), lanes_half_mul_high(a.high, b.high)};
}
LANES_INLINE lanes_u32 lanes_u32_left(lanes_u32 a, int count)
{
    __m128i bits = _mm_cvtsi32_si128(count);
    return (lanes_u32){_mm256_sll_epi32(a.low, bits), _mm256_sll_epi32(a.high, bits)};
}
LANES_INLINE lanes_u32 lanes_u32_right(lanes_u32 a, int count)
{
    __m128i bits = _mm_cvtsi32_si128(count);
    return (lanes_u32){_mm256_srl_epi32(a.low, bits), _mm256_srl_epi32(a.high, bits)};
}
LANES_INLINE lanes_u32 lanes_u32_right_signed(lanes_u32 a, int count)
{
    __m128i bits = _mm_cvtsi32_si128(count);
    return (lanes_u32){_mm256_sra_epi32(a.low, bits), _mm256_sra_epi32(a.high, bits)};
}

// ---- masks ----
LANES_INLINE lanes_mask lanes_less(lanes a, lanes b)
{
    return (lanes_mask){_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ),
                        _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
}
LANES_INLINE lanes_mask lanes_less_equal(lanes a, lanes b)
{
    return (lanes_mask){_mm256_cmp_ps(a.low, b.low, _CMP_LE_OQ),
                        _mm256_cmp_ps(a.high, b.high, _CMP_LE_OQ)};
}
LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b)
{
    return (lanes_mask){_mm256_cmp_ps(a.low, b.low, _CMP_EQ_OQ),
                        _mm256_cmp_ps(a.high, b.high, _CMP_EQ_OQ)};
}
LANES_INLINE lanes_mask lanes_is_nan(lanes x)
{
    return (lanes_mask){_mm256_cmp_ps(x.low, x.low, _CMP_UNORD_Q),
                        _mm256_cmp_ps(x.high, x.high, _CMP_UNORD_Q)};
}
LANES_INLINE __m256 lanes_half_less(__m256i a, __m256i b)
{
    __m256i top = _mm256_set1_epi32((int)0x80000000u); // AVX2 compares signed numbers only
    return _mm256_castsi256_ps(
        _mm256_cmpgt_epi32(_mm256_xor_si256(b, top), _mm256_xor_si256(a, top)));
}
LANES_INLINE lanes_mask lanes_u32_less(lanes_u32 a, lanes_u32 b)
{
    return (lanes_mask){lanes_half_less(a.low, b.low), lanes_half_less(a.high, b.high)};
}
LANES_INLINE lanes_mask lanes_u32_equal(lanes_u32 a, lanes_u32 b)
{
    return (lanes_mask){_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.low, b.low)),
                        _mm256_castsi256_ps(_mm256_cmpeq_epi32(a.high, b.high))};
}
LANES_INLINE lanes_mask lanes_mask_and(lanes_mask a, lanes_mask b)
{
    return (lanes_mask){_mm256_and_ps(a.low, b.low), _mm256_and_ps(a.high, b.high)};
}
LANES_INLINE lanes_mask lanes_mask_or(lanes_mask a, lanes_mask b)
{
    return (lanes_mask){_mm256_or_ps(a.low, b.low), _mm256_or_ps(a.high, b.high)};
}
LANES_INLINE lanes_mask lanes_mask_not(lanes_mask m)
{
    __m256 all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    return (lanes_mask){_mm256_xor_ps(m.low, all), _mm256_xor_ps(m.high, all)};
}
LANES_INLINE bool lanes_any(lanes_mask m)
{
    return _mm256_movemask_ps(_mm256_or_ps(m.low, m.high)) != 0;
}
LANES_INLINE lanes lanes_select(lanes_mask m, lanes a, lanes b)
{
    return (lanes){_mm256_blendv_ps(b.low, a.low, m.low), _mm256_blendv_ps(b.high, a.high, m.high)};
}
LANES_INLINE lanes_u32 lanes_u32_select(lanes_mask m, lanes_u32 a, lanes_u32 b)
{
    return lanes_bits(lanes_select(m, lanes_from_bits(a), lanes_from_bits(b)));
}

// ---- across ----
LANES_INLINE float lanes_sum(lanes x)
{
    __m256 a = _mm256_add_ps(x.low, x.high);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}
LANES_INLINE float lanes_max_all(lanes x)
{
    __m256 a = _mm256_max_ps(x.low, x.high);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_shuffle_ps(b, b, 1)));
}
#endif
