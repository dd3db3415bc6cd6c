// SPDX-License-Identifier: Apache-2.0
// lanes.h for aarch64 NEON: four registers each, lanes 0-3, 4-7, 8-11, 12-15.
#ifndef STN_KERNEL_CPU_LANES_LANES_NEON_H
#define STN_KERNEL_CPU_LANES_LANES_NEON_H

#include <arm_neon.h>

typedef struct {
    float32x4_t q0, q1, q2, q3;
} lanes;
typedef struct {
    uint32x4_t q0, q1, q2, q3;
} lanes_u32;
typedef lanes_u32 lanes_mask; // all bits of a lane set or none

// ---- memory ----
LANES_INLINE lanes lanes_load(const float *p)
{
    return (lanes){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
LANES_INLINE lanes lanes_load_some(const float *p, int64_t n)
{
    if (n == LANES) return lanes_load(p);
    float copy[LANES] = {0};
    memcpy(copy, p, (size_t)n * sizeof *p);
    return lanes_load(copy);
}
LANES_INLINE void lanes_store(float *p, lanes x)
{
    vst1q_f32(p, x.q0);
    vst1q_f32(p + 4, x.q1);
    vst1q_f32(p + 8, x.q2);
    vst1q_f32(p + 12, x.q3);
}
LANES_INLINE void lanes_store_some(float *p, lanes x, int64_t n)
{
    if (n == LANES) {
        lanes_store(p, x);
        return;
    }
    float copy[LANES];
    lanes_store(copy, x);
    memcpy(p, copy, (size_t)n * sizeof *p);
}
LANES_INLINE void lanes_stream(float *p, lanes x) { lanes_store(p, x); }
LANES_INLINE void lanes_stream_end(void) {}
LANES_INLINE lanes_u32 lanes_u32_load(const uint32_t *p)
{
    return (lanes_u32){vld1q_u32(p), vld1q_u32(p + 4), vld1q_u32(p + 8), vld1q_u32(p + 12)};
}
LANES_INLINE void lanes_u32_store(uint32_t *p, lanes_u32 a)
{
    vst1q_u32(p, a.q0);
    vst1q_u32(p + 4, a.q1);
    vst1q_u32(p + 8, a.q2);
    vst1q_u32(p + 12, a.q3);
}

// ---- make ----
LANES_INLINE lanes lanes_set(float s)
{
    float32x4_t q = vdupq_n_f32(s);
    return (lanes){q, q, q, q};
}
LANES_INLINE lanes lanes_zero(void) { return lanes_set(0); }
LANES_INLINE lanes_u32 lanes_u32_set(uint32_t s)
{
    uint32x4_t q = vdupq_n_u32(s);
    return (lanes_u32){q, q, q, q};
}
LANES_INLINE lanes_u32 lanes_u32_iota(void)
{
    static const uint32_t numbers[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return lanes_u32_load(numbers);
}

// ---- between ----
LANES_INLINE lanes_u32 lanes_bits(lanes x)
{
    return (lanes_u32){vreinterpretq_u32_f32(x.q0), vreinterpretq_u32_f32(x.q1),
                       vreinterpretq_u32_f32(x.q2), vreinterpretq_u32_f32(x.q3)};
}
LANES_INLINE lanes lanes_from_bits(lanes_u32 a)
{
    return (lanes){vreinterpretq_f32_u32(a.q0), vreinterpretq_f32_u32(a.q1),
                   vreinterpretq_f32_u32(a.q2), vreinterpretq_f32_u32(a.q3)};
}
LANES_INLINE lanes_u32 lanes_to_int(lanes x)
{
    return (lanes_u32){
        vreinterpretq_u32_s32(vcvtnq_s32_f32(x.q0)), vreinterpretq_u32_s32(vcvtnq_s32_f32(x.q1)),
        vreinterpretq_u32_s32(vcvtnq_s32_f32(x.q2)), vreinterpretq_u32_s32(vcvtnq_s32_f32(x.q3))};
}
LANES_INLINE lanes lanes_from_int(lanes_u32 a)
{
    return (lanes){
        vcvtq_f32_s32(vreinterpretq_s32_u32(a.q0)), vcvtq_f32_s32(vreinterpretq_s32_u32(a.q1)),
        vcvtq_f32_s32(vreinterpretq_s32_u32(a.q2)), vcvtq_f32_s32(vreinterpretq_s32_u32(a.q3))};
}

// ---- numbers ----
LANES_INLINE lanes lanes_add(lanes a, lanes b)
{
    return (lanes){vaddq_f32(a.q0, b.q0), vaddq_f32(a.q1, b.q1), vaddq_f32(a.q2, b.q2),
                   vaddq_f32(a.q3, b.q3)};
}
LANES_INLINE lanes lanes_sub(lanes a, lanes b)
{
    return (lanes){vsubq_f32(a.q0, b.q0), vsubq_f32(a.q1, b.q1), vsubq_f32(a.q2, b.q2),
                   vsubq_f32(a.q3, b.q3)};
}
LANES_INLINE lanes lanes_mul(lanes a, lanes b)
{
    return (lanes){vmulq_f32(a.q0, b.q0), vmulq_f32(a.q1, b.q1), vmulq_f32(a.q2, b.q2),
                   vmulq_f32(a.q3, b.q3)};
}
LANES_INLINE lanes lanes_div(lanes a, lanes b)
{
    return (lanes){vdivq_f32(a.q0, b.q0), vdivq_f32(a.q1, b.q1), vdivq_f32(a.q2, b.q2),
                   vdivq_f32(a.q3, b.q3)};
}
LANES_INLINE lanes lanes_fma(lanes a, lanes b, lanes c)
{
    return (lanes){vfmaq_f32(c.q0, a.q0, b.q0), vfmaq_f32(c.q1, a.q1, b.q1),
                   vfmaq_f32(c.q2, a.q2, b.q2), vfmaq_f32(c.q3, a.q3, b.q3)};
}
LANES_INLINE lanes lanes_fnma(lanes a, lanes b, lanes c)
{
    return (lanes){vfmsq_f32(c.q0, a.q0, b.q0), vfmsq_f32(c.q1, a.q1, b.q1),
                   vfmsq_f32(c.q2, a.q2, b.q2), vfmsq_f32(c.q3, a.q3, b.q3)};
}
LANES_INLINE lanes lanes_sqrt(lanes x)
{
    return (lanes){vsqrtq_f32(x.q0), vsqrtq_f32(x.q1), vsqrtq_f32(x.q2), vsqrtq_f32(x.q3)};
}
// Denormals become zeros of their sign, as x86's maxps and minps make them.
LANES_INLINE float32x4_t lanes_quarter_flush(float32x4_t x)
{
    uint32x4_t bits = vreinterpretq_u32_f32(x);
    uint32x4_t normal = vtstq_u32(bits, vdupq_n_u32(0x7f800000));
    return vreinterpretq_f32_u32(vandq_u32(bits, vorrq_u32(normal, vdupq_n_u32(0x80000000))));
}
// Not vmaxq_f32, which gives a NaN for either NaN and +0 of two zeros.
LANES_INLINE float32x4_t lanes_quarter_max(float32x4_t a, float32x4_t b)
{
    return lanes_quarter_flush(vbslq_f32(vcgtq_f32(a, b), a, b));
}
LANES_INLINE float32x4_t lanes_quarter_min(float32x4_t a, float32x4_t b)
{
    return lanes_quarter_flush(vbslq_f32(vcltq_f32(a, b), a, b));
}
LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return (lanes){lanes_quarter_max(a.q0, b.q0), lanes_quarter_max(a.q1, b.q1),
                   lanes_quarter_max(a.q2, b.q2), lanes_quarter_max(a.q3, b.q3)};
}
LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
    return (lanes){lanes_quarter_min(a.q0, b.q0), lanes_quarter_min(a.q1, b.q1),
                   lanes_quarter_min(a.q2, b.q2), lanes_quarter_min(a.q3, b.q3)};
}
LANES_INLINE lanes lanes_abs(lanes x)
{
    return (lanes){vabsq_f32(x.q0), vabsq_f32(x.q1), vabsq_f32(x.q2), vabsq_f32(x.q3)};
}
LANES_INLINE lanes lanes_neg(lanes x)
{
    return (lanes){vnegq_f32(x.q0), vnegq_f32(x.q1), vnegq_f32(x.q2), vnegq_f32(x.q3)};
}
LANES_INLINE lanes lanes_copy_sign(lanes size, lanes sign)
{
    uint32x4_t bit = vdupq_n_u32(0x80000000);
    return (lanes){vbslq_f32(bit, sign.q0, size.q0), vbslq_f32(bit, sign.q1, size.q1),
                   vbslq_f32(bit, sign.q2, size.q2), vbslq_f32(bit, sign.q3, size.q3)};
}
LANES_INLINE lanes lanes_round(lanes x)
{
    return (lanes){vrndnq_f32(x.q0), vrndnq_f32(x.q1), vrndnq_f32(x.q2), vrndnq_f32(x.q3)};
}
LANES_INLINE lanes lanes_floor(lanes x)
{
    return (lanes){vrndmq_f32(x.q0), vrndmq_f32(x.q1), vrndmq_f32(x.q2), vrndmq_f32(x.q3)};
}

// ---- integers ----
LANES_INLINE lanes_u32 lanes_u32_add(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){vaddq_u32(a.q0, b.q0), vaddq_u32(a.q1, b.q1), vaddq_u32(a.q2, b.q2),
                       vaddq_u32(a.q3, b.q3)};
}
LANES_INLINE lanes_u32 lanes_u32_sub(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){vsubq_u32(a.q0, b.q0), vsubq_u32(a.q1, b.q1), vsubq_u32(a.q2, b.q2),
                       vsubq_u32(a.q3, b.q3)};
}
LANES_INLINE lanes_u32 lanes_u32_and(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){vandq_u32(a.q0, b.q0), vandq_u32(a.q1, b.q1), vandq_u32(a.q2, b.q2),
                       vandq_u32(a.q3, b.q3)};
}
LANES_INLINE lanes_u32 lanes_u32_or(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){vorrq_u32(a.q0, b.q0), vorrq_u32(a.q1, b.q1), vorrq_u32(a.q2, b.q2),
                       vorrq_u32(a.q3, b.q3)};
}
LANES_INLINE lanes_u32 lanes_u32_xor(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){veorq_u32(a.q0, b.q0), veorq_u32(a.q1, b.q1), veorq_u32(a.q2, b.q2),
                       veorq_u32(a.q3, b.q3)};
}
LANES_INLINE lanes_u32 lanes_u32_mul_low(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){vmulq_u32(a.q0, b.q0), vmulq_u32(a.q1, b.q1), vmulq_u32(a.q2, b.q2),
                       vmulq_u32(a.q3, b.q3)};
}
LANES_INLINE uint32x4_t lanes_quarter_mul_high(uint32x4_t a, uint32x4_t b)
{
    uint64x2_t low = vmull_u32(vget_low_u32(a), vget_low_u32(b));
    uint64x2_t high = vmull_high_u32(a, b);
    return vuzp2q_u32(vreinterpretq_u32_u64(low), vreinterpretq_u32_u64(high));
}
LANES_INLINE lanes_u32 lanes_u32_mul_high(lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){lanes_quarter_mul_high(a.q0, b.q0), lanes_quarter_mul_high(a.q1, b.q1),
                       lanes_quarter_mul_high(a.q2, b.q2), lanes_quarter_mul_high(a.q3, b.q3)};
}
LANES_INLINE lanes_u32 lanes_u32_left(lanes_u32 a, int count)
{
    int32x4_t bits = vdupq_n_s32(count);
    return (lanes_u32){vshlq_u32(a.q0, bits), vshlq_u32(a.q1, bits), vshlq_u32(a.q2, bits),
                       vshlq_u32(a.q3, bits)};
}
LANES_INLINE lanes_u32 lanes_u32_right(lanes_u32 a, int count) { return lanes_u32_left(a, -count); }
LANES_INLINE uint32x4_t lanes_quarter_right_signed(uint32x4_t a, int count)
{
    return vreinterpretq_u32_s32(vshlq_s32(vreinterpretq_s32_u32(a), vdupq_n_s32(-count)));
}
LANES_INLINE lanes_u32 lanes_u32_right_signed(lanes_u32 a, int count)
{
    return (lanes_u32){
        lanes_quarter_right_signed(a.q0, count), lanes_quarter_right_signed(a.q1, count),
        lanes_quarter_right_signed(a.q2, count), lanes_quarter_right_signed(a.q3, count)};
}

// ---- masks ----
LANES_INLINE lanes_mask lanes_less(lanes a, lanes b)
{
    return (lanes_mask){vcltq_f32(a.q0, b.q0), vcltq_f32(a.q1, b.q1), vcltq_f32(a.q2, b.q2),
                        vcltq_f32(a.q3, b.q3)};
}
LANES_INLINE lanes_mask lanes_less_equal(lanes a, lanes b)
{
    return (lanes_mask){vcleq_f32(a.q0, b.q0), vcleq_f32(a.q1, b.q1), vcleq_f32(a.q2, b.q2),
                        vcleq_f32(a.q3, b.q3)};
}
LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b)
{
    return (lanes_mask){vceqq_f32(a.q0, b.q0), vceqq_f32(a.q1, b.q1), vceqq_f32(a.q2, b.q2),
                        vceqq_f32(a.q3, b.q3)};
}
LANES_INLINE lanes_mask lanes_is_nan(lanes x)
{
    return (lanes_mask){vmvnq_u32(vceqq_f32(x.q0, x.q0)), vmvnq_u32(vceqq_f32(x.q1, x.q1)),
                        vmvnq_u32(vceqq_f32(x.q2, x.q2)), vmvnq_u32(vceqq_f32(x.q3, x.q3))};
}
LANES_INLINE lanes_mask lanes_u32_less(lanes_u32 a, lanes_u32 b)
{
    return (lanes_mask){vcltq_u32(a.q0, b.q0), vcltq_u32(a.q1, b.q1), vcltq_u32(a.q2, b.q2),
                        vcltq_u32(a.q3, b.q3)};
}
LANES_INLINE lanes_mask lanes_u32_equal(lanes_u32 a, lanes_u32 b)
{
    return (lanes_mask){vceqq_u32(a.q0, b.q0), vceqq_u32(a.q1, b.q1), vceqq_u32(a.q2, b.q2),
                        vceqq_u32(a.q3, b.q3)};
}
LANES_INLINE lanes_mask lanes_first(int64_t n)
{
    return lanes_u32_less(lanes_u32_iota(), lanes_u32_set((uint32_t)n));
}
LANES_INLINE lanes_mask lanes_mask_and(lanes_mask a, lanes_mask b) { return lanes_u32_and(a, b); }
LANES_INLINE lanes_mask lanes_mask_or(lanes_mask a, lanes_mask b) { return lanes_u32_or(a, b); }
LANES_INLINE lanes_mask lanes_mask_not(lanes_mask m)
{
    return (lanes_mask){vmvnq_u32(m.q0), vmvnq_u32(m.q1), vmvnq_u32(m.q2), vmvnq_u32(m.q3)};
}
LANES_INLINE bool lanes_any(lanes_mask m)
{
    return vmaxvq_u32(vorrq_u32(vorrq_u32(m.q0, m.q1), vorrq_u32(m.q2, m.q3))) != 0;
}
LANES_INLINE lanes lanes_select(lanes_mask m, lanes a, lanes b)
{
    return (lanes){vbslq_f32(m.q0, a.q0, b.q0), vbslq_f32(m.q1, a.q1, b.q1),
                   vbslq_f32(m.q2, a.q2, b.q2), vbslq_f32(m.q3, a.q3, b.q3)};
}
LANES_INLINE lanes_u32 lanes_u32_select(lanes_mask m, lanes_u32 a, lanes_u32 b)
{
    return (lanes_u32){vbslq_u32(m.q0, a.q0, b.q0), vbslq_u32(m.q1, a.q1, b.q1),
                       vbslq_u32(m.q2, a.q2, b.q2), vbslq_u32(m.q3, a.q3, b.q3)};
}

// ---- across ----
LANES_INLINE float lanes_sum(lanes x)
{
    float32x4_t a = vaddq_f32(vaddq_f32(x.q0, x.q2), vaddq_f32(x.q1, x.q3));
    float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
LANES_INLINE float lanes_max_all(lanes x)
{
    float32x4_t a = lanes_quarter_max(lanes_quarter_max(x.q0, x.q2), lanes_quarter_max(x.q1, x.q3));
    a = lanes_quarter_max(a, vextq_f32(a, a, 2));
    return vgetq_lane_f32(lanes_quarter_max(a, vextq_f32(a, a, 1)), 0);
}
#endif
