// SPDX-License-Identifier: Apache-2.0
// exp, log, tanh, erf and what activations need of them, over 16 lanes, from +, *, /, fma and integer shifts only.
//
// Each reduces its argument exactly or with an fma, evaluates one polynomial (minimax in relative error, found by
// Lawson's iteration in double, coefficients rounded from the lowest up) and scales by a power of two.
// Largest errors in units of the last place, over every 331st float (test/kernel/test_functions.c prints them):
//   exp 1.00   log 0.78   tanh 2.31   erf 0.95   sigmoid 2.17
// A NaN gives a NaN.
#ifndef STN_KERNEL_CPU_LANES_FUNCTIONS_H
#define STN_KERNEL_CPU_LANES_FUNCTIONS_H

#include "base/numeric.h"
#include "kernel/cpu/lanes/lanes.h"

// a + b x
LANES_INLINE lanes lanes_line(float a, lanes b, lanes x) { return lanes_fma(b, x, lanes_set(a)); }

// x = n ln 2 + rest with an integer n; |rest| <= ln 2 / 2. Source of the split: Cody and Waite 1980.
LANES_INLINE lanes lanes_reduce_exp(lanes x, lanes *n_p)
{
    lanes n = lanes_round(lanes_mul(x, lanes_set(0x1.715476p+0f)));
    *n_p = n;
    lanes rest = lanes_fnma(n, lanes_set(0x1.62e4p-1f), x); // 15 bits: n times it is exact
    return lanes_fnma(n, lanes_set(0x1.7f7d1cp-20f), rest);
}

// e to the x: 0 below -87.34 (no denormals), infinity above 88.72.
LANES_INLINE lanes lanes_exp(lanes x)
{
    lanes n;
    lanes limited = lanes_min(lanes_set(89), lanes_max(lanes_set(-104), x)); // a NaN stays one
    lanes r = lanes_reduce_exp(limited, &n);
    lanes p = lanes_set(0x1.6a4f88p-10f);
    p = lanes_line(0x1.123988p-7f, p, r);
    p = lanes_line(0x1.5558aep-5f, p, r);
    p = lanes_line(0x1.555492p-3f, p, r);
    p = lanes_line(0x1.fffffcp-2f, p, r);
    p = lanes_add(lanes_fma(lanes_mul(r, r), p, r), lanes_set(1));
    return lanes_scale_power2(p, n);
}

// Natural logarithm: -infinity at 0 (and denormals), NaN below.
LANES_INLINE lanes lanes_log(lanes x)
{
    // x = m 2^n with sqrt(1/2) <= m < sqrt(2), from the bits: the exponent field after taking away those of
    // sqrt(1/2).
    lanes_u32 root = lanes_u32_set(0x3f3504f3);
    lanes_u32 n = lanes_u32_right_signed(lanes_u32_sub(lanes_bits(x), root), 23);
    lanes f = lanes_sub(lanes_from_bits(lanes_u32_sub(lanes_bits(x), lanes_u32_left(n, 23))),
                        lanes_set(1));
    lanes square = lanes_mul(f, f), exponent = lanes_from_int(n);
    lanes p = lanes_set(0x1.147338p-4f);
    p = lanes_line(-0x1.de01dap-4f, p, f);
    p = lanes_line(0x1.e6c00ap-4f, p, f);
    p = lanes_line(-0x1.fc28cap-4f, p, f);
    p = lanes_line(0x1.233ba2p-3f, p, f);
    p = lanes_line(-0x1.555c44p-3f, p, f);
    p = lanes_line(0x1.99a476p-3f, p, f);
    p = lanes_line(-0x1.000006p-2f, p, f);
    p = lanes_line(0x1.555548p-2f, p, f);
    // f - f^2 / 2 + f^3 p + n ln 2, small terms first.
    lanes low = lanes_fma(exponent, lanes_set(0x1.7f7d1cp-20f), lanes_mul(lanes_mul(square, f), p));
    low = lanes_fnma(lanes_set(0.5f), square, low);
    lanes y = lanes_fma(exponent, lanes_set(0x1.62e4p-1f), lanes_add(f, low));
    lanes infinity = lanes_set(__builtin_inff()), zero = lanes_zero();
    y = lanes_select(lanes_equal(x, infinity), infinity, y);
    y = lanes_select(lanes_equal(x, zero), lanes_neg(infinity), y);
    y = lanes_select(lanes_less(x, zero), lanes_set(__builtin_nanf("")), y);
    return lanes_select(lanes_is_nan(x), x, y);
}

// t / (t + 2) with t = e^(2|x|) - 1, which loses nothing near 0; 1 from |x| = 9.02.
LANES_INLINE lanes lanes_tanh(lanes x)
{
    lanes n;
    lanes size = lanes_abs(x),
          twice = lanes_min(lanes_add(size, size), lanes_set(20)); // a NaN becomes 20
    lanes r = lanes_reduce_exp(twice, &n);
    lanes p = lanes_set(0x1.9e6e76p-13f);
    p = lanes_line(0x1.6d3a44p-10f, p, r);
    p = lanes_line(0x1.1112dap-7f, p, r);
    p = lanes_line(0x1.5554f8p-5f, p, r);
    p = lanes_line(0x1.555554p-3f, p, r);
    p = lanes_line(0.5f, p, r);
    p = lanes_fma(lanes_mul(r, r), p, r);
    lanes power =
        lanes_from_bits(lanes_u32_left(lanes_u32_add(lanes_to_int(n), lanes_u32_set(127)), 23));
    lanes t = lanes_fma(power, p, lanes_sub(power, lanes_set(1)));
    lanes y = lanes_copy_sign(lanes_div(t, lanes_add(t, lanes_set(2))), x);
    return lanes_select(lanes_is_nan(x), x, y);
}

// 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x. Below 0.92 a polynomial of x^2; above, 1 -
// e^(polynomial), as log(1 - erf) is smooth; 1 from 3.92.
LANES_INLINE lanes lanes_erf(lanes x)
{
    lanes square = lanes_mul(x, x), t = lanes_min(lanes_abs(x), lanes_set(4));
    lanes p = lanes_set(0x1.4f3dfep-14f);
    p = lanes_line(-0x1.a60230p-11f, p, square);
    p = lanes_line(0x1.5449a2p-8f, p, square);
    p = lanes_line(-0x1.b80116p-6f, p, square);
    p = lanes_line(0x1.ce2d64p-4f, p, square);
    p = lanes_line(-0x1.812740p-2f, p, square);
    p = lanes_line(0x1.06eba8p-3f, p, square);
    lanes near = lanes_fma(p, x, x);
    p = lanes_set(-0x1.84f822p-17f);
    p = lanes_line(0x1.563482p-12f, p, t);
    p = lanes_line(-0x1.df4780p-9f, p, t);
    p = lanes_line(0x1.85cc46p-6f, p, t);
    p = lanes_line(-0x1.b34858p-4f, p, t);
    p = lanes_line(-0x1.452ffap-1f, p, t);
    p = lanes_line(-0x1.077b56p-3f, p, t);
    lanes far = lanes_sub(lanes_set(1), lanes_exp(lanes_fma(p, t, lanes_neg(t))));
    lanes y = lanes_select(lanes_less(t, lanes_set(0.921875f)), near, lanes_copy_sign(far, x));
    return lanes_select(lanes_is_nan(x), x, y);
}

// 1 / (1 + e^-x)
LANES_INLINE lanes lanes_sigmoid(lanes x)
{
    lanes one = lanes_set(1);
    return lanes_div(one, lanes_add(one, lanes_exp(lanes_neg(x))));
}

// Normal distribution: the share below x, and the density at x.
LANES_INLINE lanes lanes_normal_share(lanes x)
{
    lanes half = lanes_set(0.5f);
    return lanes_fma(half, lanes_erf(lanes_mul(x, lanes_set(0x1.6a09e6p-1f))), half);
}
LANES_INLINE lanes lanes_normal_density(lanes x)
{
    lanes exponent = lanes_mul(lanes_mul(x, x), lanes_set(-0.5f));
    return lanes_mul(lanes_set(0x1.988454p-2f), lanes_exp(exponent));
}

// 2 sqrt(2/pi) (x + 0.044715 x^3): GELU_TANH is x sigmoid(this), as (1 + tanh(u)) / 2 is sigmoid(2 u).
LANES_INLINE lanes lanes_gelu_tanh_inner(lanes x)
{
    lanes factor = lanes_line(0x1.988454p+0f, lanes_mul(x, lanes_set(0x1.2444f2p-4f)), x);
    return lanes_mul(factor, x);
}
// Its derivative: 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2).
LANES_INLINE lanes lanes_gelu_tanh_inner_grad(lanes x)
{
    return lanes_line(0x1.988454p+0f, lanes_mul(x, lanes_set(0x1.b6676cp-3f)), x);
}

// ---- activations ----
LANES_INLINE lanes lanes_activation(lanes x, enum activation activation)
{
    lanes one = lanes_set(1);
    switch (activation) {
    case ACTIVATION_GELU_TANH:
        return lanes_div(x, lanes_add(one, lanes_exp(lanes_neg(lanes_gelu_tanh_inner(x)))));
    case ACTIVATION_GELU:
        return lanes_mul(x, lanes_normal_share(x));
    case ACTIVATION_RELU:
        return lanes_max(lanes_zero(), x); // 0 > x ? 0 : x, which keeps a NaN
    case ACTIVATION_SILU:
        return lanes_div(x, lanes_add(one, lanes_exp(lanes_neg(x))));
    case ACTIVATION_SIGMOID:
        return lanes_sigmoid(x);
    case ACTIVATION_TANH:
        return lanes_tanh(x);
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return x;
}

// The derivative of x sigmoid(u(x)) from s = sigmoid(u) and du/dx: s + x s (1 - s) du/dx.
LANES_INLINE lanes lanes_gate_slope(lanes x, lanes s, lanes du)
{
    lanes spread = lanes_mul(s, lanes_sub(lanes_set(1), s));
    return lanes_fma(lanes_mul(x, du), spread, s);
}

// The derivative at x. Far out the slopes are those at +-1000 (so infinity times 0 does not occur); a NaN
// stays one.
LANES_INLINE lanes lanes_activation_slope(lanes x, enum activation activation)
{
    lanes one = lanes_set(1);
    x = lanes_max(lanes_set(-1000), lanes_min(lanes_set(1000), x));
    switch (activation) {
    case ACTIVATION_GELU_TANH:
        return lanes_gate_slope(x, lanes_sigmoid(lanes_gelu_tanh_inner(x)),
                                lanes_gelu_tanh_inner_grad(x));
    case ACTIVATION_GELU:
        return lanes_fma(x, lanes_normal_density(x), lanes_normal_share(x));
    case ACTIVATION_RELU:
        return lanes_select(lanes_less(lanes_zero(), x), one, lanes_zero());
    case ACTIVATION_SILU:
        return lanes_gate_slope(x, lanes_sigmoid(x), one);
    case ACTIVATION_SIGMOID: {
        lanes s = lanes_sigmoid(x);
        return lanes_mul(s, lanes_sub(one, s));
    }
    case ACTIVATION_TANH: {
        lanes t = lanes_tanh(x);
        return lanes_fnma(t, t, one);
    }
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return one;
}
#endif
