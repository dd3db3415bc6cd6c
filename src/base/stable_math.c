// SPDX-License-Identifier: Apache-2.0
// exp, log, sine and cosine from additions, multiplications and divisions alone, so that every
// machine gets the same bits.
//
// Each reduces its argument to a small interval with constants split in two or three parts
// (products with a small whole number are then exact), and sums the function's own power series
// there, far enough that the first term left out is below a tenth of a unit in the last place. No
// fma: without hardware it would be a call, and the build never contracts.
#include "base/stable_math.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

// ln 2 = LN2_HIGH + LN2_LOW; the low 21 bits of LN2_HIGH are zero, so k * LN2_HIGH is exact for |k| < 2^21.
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW  0x1.a39ef35793c76p-33
// Adding and subtracting this rounds a double below 2^51 to the nearest whole number, ties to even.
#define ROUNDER 0x1.8p52

static double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t to_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// 2^k for -1022 <= k <= 1023.
static double power_of_two(int k) { return from_bits((uint64_t)(k + 1023) << 52); }

double stable_exp(double x)
{
    if (x != x) return x;
    if (x > 709.782712893384) return (double)INFINITY;
    if (x < -745.1332191019412) return 0;
    // x = k ln 2 + r, |r| <= ln 2 / 2, r carried as r + rest
    double k = (x * 0x1.71547652b82fep0 + ROUNDER) - ROUNDER;
    double high = x - k * LN2_HIGH, low = k * LN2_LOW;
    double r = high - low, rest = (high - r) - low;
    // exp(r) = 1 + r + r^2 (1/2! + r/3! + … + r^11/13!), even and odd powers side by side
    double s = r * r;
    double even = 1.0 / 479001600; // 12!
    even = even * s + 1.0 / 3628800;
    even = even * s + 1.0 / 40320;
    even = even * s + 1.0 / 720;
    even = even * s + 1.0 / 24;
    even = even * s + 0.5;
    double odd = 1.0 / 6227020800; // 13!
    odd = odd * s + 1.0 / 39916800;
    odd = odd * s + 1.0 / 362880;
    odd = odd * s + 1.0 / 5040;
    odd = odd * s + 1.0 / 120;
    odd = odd * s + 1.0 / 6;
    double y = 1 + (r + (s * (even + r * odd) + rest));
    // in two steps: 2^k may overflow, or y 2^k be denormal, where y and its value are not
    int half = (int)k / 2;
    return y * power_of_two(half) * power_of_two((int)k - half);
}

double stable_log(double x)
{
    if (x != x || x < 0) return (double)NAN;
    if (x == 0) return -(double)INFINITY;
    if (isinf(x)) return x;
    int k = 0;
    if (x < 0x1p-1022) { // denormal
        x *= 0x1p54;
        k = -54;
    }
    // x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2))
    uint64_t bits = to_bits(x);
    k += (int)(bits >> 52) - 1023;
    double mantissa = from_bits((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (mantissa >= 0x1.6a09e667f3bcdp0) {
        mantissa *= 0.5;
        k++;
    }
    // With s = f / (2 + f): log(1 + f) = 2 (s + s^3/3 + s^5/5 + …) = f - f^2/2 + s (f^2/2 + R), R =
    // 2 (s^2/3 + s^4/5 + …).
    double f = mantissa - 1, s = f / (2 + f), z = s * s, w = z * z;
    double even = 2.0 / 21; // coefficients of z^(2i)
    even = even * w + 2.0 / 17;
    even = even * w + 2.0 / 13;
    even = even * w + 2.0 / 9;
    even = even * w + 2.0 / 5;
    double odd = 2.0 / 23; // and of z^(2i + 1)
    odd = odd * w + 2.0 / 19;
    odd = odd * w + 2.0 / 15;
    odd = odd * w + 2.0 / 11;
    odd = odd * w + 2.0 / 7;
    odd = odd * w + 2.0 / 3;
    double series = w * even + z * odd, square = 0.5 * f * f;
    return k * LN2_HIGH - ((square - (s * (square + series) + k * LN2_LOW)) - f);
}

// x = n pi/2 + r + rest with |r| <= pi/4 (a little more by rounding); returns n mod 4.
// pi/2 in parts of 33 bits: n * part is exact for |n| < 2^20.
static int reduce_angle(double x, double *r_p, double *rest_p)
{
    double n = (x * 0x1.45f306dc9c883p-1 + ROUNDER) - ROUNDER;
    double r = x - n * 0x1.921fb544p0;
    double part = n * 0x1.0b4611a6p-34, before = r;
    r = before - part;
    double lost = (before - r) - part;
    part = n * 0x1.3198a2ep-69;
    before = r;
    r = before - part;
    lost += (before - r) - part;
    lost -= n * 0x1.b839a252049c1p-104;
    *r_p = r + lost;
    *rest_p = (r - *r_p) + lost;
    return (int)((int64_t)n & 3);
}

// sin(r + rest), |r| <= pi/4: r - r^3/3! + … + r^17/17!
static double sine_series(double r, double rest)
{
    double s = r * r;
    double sum = 1.0 / 355687428096000;
    sum = sum * s - 1.0 / 1307674368000;
    sum = sum * s + 1.0 / 6227020800;
    sum = sum * s - 1.0 / 39916800;
    sum = sum * s + 1.0 / 362880;
    sum = sum * s - 1.0 / 5040;
    sum = sum * s + 1.0 / 120;
    sum = sum * s - 1.0 / 6;
    return r + (r * s * sum + (1 - 0.5 * s) * rest);
}

// cos(r + rest), |r| <= pi/4: 1 - r^2/2 + r^4/4! - … + r^16/16!
static double cosine_series(double r, double rest)
{
    double s = r * r;
    double sum = 1.0 / 20922789888000;
    sum = sum * s - 1.0 / 87178291200;
    sum = sum * s + 1.0 / 479001600;
    sum = sum * s - 1.0 / 3628800;
    sum = sum * s + 1.0 / 40320;
    sum = sum * s - 1.0 / 720;
    sum = sum * s + 1.0 / 24;
    double half = 0.5 * s, one = 1 - half;
    return one + (((1 - one) - half) + (s * s * sum - r * rest));
}

double stable_sin(double x)
{
    if (!(fabs(x) <= 0x1p20)) return (double)NAN; // beyond what the split of pi/2 is good for
    double r, rest;
    int quadrant = reduce_angle(x, &r, &rest);
    double y = quadrant & 1 ? cosine_series(r, rest) : sine_series(r, rest);
    return quadrant & 2 ? -y : y;
}

double stable_cos(double x)
{
    if (!(fabs(x) <= 0x1p20)) return (double)NAN;
    double r, rest;
    int quadrant = reduce_angle(x, &r, &rest);
    double y = quadrant & 1 ? sine_series(r, rest) : cosine_series(r, rest);
    return quadrant == 1 || quadrant == 2 ? -y : y;
}

double stable_power(double x, long n)
{
    unsigned long left = n < 0 ? 0 - (unsigned long)n : (unsigned long)n;
    double y = 1;
    for (double square = x; left; left >>= 1, square *= square)
        if (left & 1) y *= square;
    return n < 0 ? 1 / y : y;
}

double stable_normal(double uniform1, double uniform2)
{
    return sqrt(-2 * stable_log(uniform1)) * stable_cos(0x1.921fb54442d18p2 * uniform2);
}
