// SPDX-License-Identifier: Apache-2.0
// The vocabulary of all CPU kernels: 16 float lanes and 16 integer lanes, with the same bits on
// every instruction set.
//
// A kernel includes this file, names itself KERNEL_NAME(add), and the build compiles it once per
// instruction set with -DLANES_<isa>=1 -DLANES_ISA=<isa>. What each operation means is fixed here;
// lanes_<isa>.h only says how:
//   - add, sub, mul, div, sqrt, fma round once, to nearest even. round and floor keep the sign of
//   zero.
//   - max(a, b) is a > b ? a : b and min(a, b) is a < b ? a : b: of two zeros or with a NaN, b. A
//   denormal result is zero.
//   - comparisons with a NaN are false. select, abs, neg, copy_sign move bits and compute nothing.
//   - Denormals count as zero (the calling thread has called cpu_flush_to_zero), and so none arise.
//   - Which NaN a NaN is (sign, payload) is not defined; that it is one, is.
// One difference between makers is left: whether a result within half a unit of 2^-126, from below,
// is flushed before or after it is rounded (Arm: before). No sum or weight that is seen at that
// size matters; tests keep away from it.
//
// Functions that take n use the first n lanes, 0 <= n <= 16, and touch no memory beyond them.
#ifndef STN_KERNEL_CPU_LANES_LANES_H
#define STN_KERNEL_CPU_LANES_LANES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

#define LANES_PASTE2(name, isa) name##_##isa
#define LANES_PASTE(name, isa)  LANES_PASTE2(name, isa)
#define KERNEL_NAME(name)       LANES_PASTE(name, LANES_ISA)
#define LANES_INLINE            static inline __attribute__((always_inline))
// Before loops over a tile's rows and vectors: unrolled, so that its sums are registers. A sanitizer's checks would be unrolled with
// them, minutes of compiling.
#if defined(SANITIZED)
#    define LANES_UNROLL
#elif defined(__clang__)
#    define LANES_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define LANES_UNROLL _Pragma("GCC unroll 16")
#endif

// ---- per instruction set: the types lanes, lanes_mask, lanes_u32, and ----
// memory   lanes_load(p)  lanes_load_some(p, n): absent lanes 0   lanes_store(p, x)
// lanes_store_some(p, x, n)
//          lanes_stream(p, x): to memory past the caches where that can be told, p 64-byte aligned;
//          lanes_stream_end() before another thread reads it
//          lanes_u32_load(p)  lanes_u32_store(p, x)
// make     lanes_set(s)  lanes_zero()  lanes_u32_set(s)  lanes_u32_iota(): 0 1 2 … 15
// numbers  lanes_add sub mul div (a, b)  lanes_fma(a, b, c): a b + c  lanes_fnma(a, b, c): c - a b
// lanes_sqrt(x)
//          lanes_max min (a, b)  lanes_abs(x)  lanes_neg(x)  lanes_copy_sign(size, sign)
//          lanes_round(x): to nearest even  lanes_floor(x)
// masks    lanes_less less_equal equal (a, b)  lanes_is_nan(x)  lanes_u32_less(a, b): unsigned
// lanes_u32_equal(a, b)
//          lanes_first(n): the first n lanes  lanes_mask_and or (a, b)  lanes_mask_not(m)
//          lanes_any(m) lanes_select(m, a, b): m ? a : b   lanes_u32_select(m, a, b)
// integers lanes_u32_add sub and or xor (a, b)  lanes_u32_mul_low mul_high (a, b): halves of the
// 64-bit product
//          lanes_u32_left right (a, count): 0 <= count < 32  lanes_u32_right_signed(a, count):
//          copies the sign bit
// between  lanes_bits(x)  lanes_from_bits(a): same bits   lanes_to_int(x): nearest even, as int32,
// for |x| < 2^31
//          lanes_from_int(a): of int32, rounded
// across   lanes_sum(x)  lanes_max_all(x): the tree l op= l + 8, l + 4, l + 2, l + 1
#if defined(LANES_avx512)
#    include "kernel/cpu/lanes/lanes_avx512.h"
#elif defined(LANES_avx2)
#    include "kernel/cpu/lanes/lanes_avx2.h"
#elif defined(LANES_neon)
#    include "kernel/cpu/lanes/lanes_neon.h"
#else
#    include "kernel/cpu/lanes/lanes_generic.h"
#endif

// ---- the same for all ----
LANES_INLINE lanes_mask lanes_greater(lanes a, lanes b) { return lanes_less(b, a); }

// How many of the n elements from `start` lie in the group of 16 that begins there.
LANES_INLINE int64_t lanes_left(int64_t start, int64_t n)
{
    return n - start < LANES ? n - start : LANES;
}

// `next` in the first n lanes, `old` in the others: how a reduction takes its last group.
LANES_INLINE lanes lanes_keep(lanes next, lanes old, int64_t n)
{
    return n == LANES ? next : lanes_select(lanes_first(n), next, old);
}

#if !defined(LANES_avx512)
// x 2^n for integers |n| <= 252, rounded once: overflows to infinity, underflows to zero. A NaN in x
// stays one, whatever n.
LANES_INLINE lanes lanes_scale_power2(lanes x, lanes n)
{
    lanes_u32 whole = lanes_to_int(n), half = lanes_u32_right_signed(whole, 1);
    lanes_u32 rest = lanes_u32_sub(whole, half), bias = lanes_u32_set(127);
    lanes a = lanes_from_bits(lanes_u32_left(lanes_u32_add(half, bias), 23));
    lanes b = lanes_from_bits(lanes_u32_left(lanes_u32_add(rest, bias), 23));
    return lanes_mul(lanes_mul(x, a), b);
}
#endif
#endif
