// SPDX-License-Identifier: Apache-2.0
// Normal deviates for initial weights: base/stable_math.h's stable_normal() of base/philox.h's words, over 16 elements at once.
//
// The formulas are those of stable_math.c, operation by operation, for the arguments that occur: uniforms of (0, 1), which are
// normal numbers, and angles of (0, 2 pi). So the bits are the same, and nothing is asked that differs from element to element:
// both of two cases are computed, and one is chosen. Loops run over arrays of 16 doubles, which compilers make vectors of.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/philox_lanes.h"

#include <math.h>

#define ROUNDER 0x1.8p52
typedef double doubles[LANES];

LANES_INLINE double double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
LANES_INLINE uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
// A whole number below 2^52: its bits behind those of 2^52, less 2^52.
LANES_INLINE double whole(uint64_t n) { return double_of(n | 0x4330000000000000u) - 0x1p52; }

// stable_log of a normal number in (0, 1)
LANES_INLINE double log_of(double x)
{
    uint64_t bits = bits_of(x);
    double k = whole(bits >> 52) - 1023;
    double mantissa = double_of((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    double larger = mantissa >= 0x1.6a09e667f3bcdp0 ? 1 : 0;
    mantissa *= 1 - 0.5 * larger; // times 1 or a half: exact
    k += larger;
    double f = mantissa - 1, s = f / (2 + f), z = s * s, w = z * z;
    double even = 2.0 / 21;
    even = even * w + 2.0 / 17;
    even = even * w + 2.0 / 13;
    even = even * w + 2.0 / 9;
    even = even * w + 2.0 / 5;
    double odd = 2.0 / 23;
    odd = odd * w + 2.0 / 19;
    odd = odd * w + 2.0 / 15;
    odd = odd * w + 2.0 / 11;
    odd = odd * w + 2.0 / 7;
    odd = odd * w + 2.0 / 3;
    double series = w * even + z * odd, square = 0.5 * f * f;
    return k * 0x1.62e42feep-1 -
           ((square - (s * (square + series) + k * 0x1.a39ef35793c76p-33)) - f);
}

// stable_cos of a number in (0, 2 pi)
LANES_INLINE double cos_of(double x)
{
    double rounded = x * 0x1.45f306dc9c883p-1 + ROUNDER, n = rounded - ROUNDER;
    uint64_t quadrant = bits_of(rounded); // its last two bits
    double before = x - n * 0x1.921fb544p0;
    double part = n * 0x1.0b4611a6p-34;
    double r = before - part, lost = (before - r) - part;
    part = n * 0x1.3198a2ep-69;
    before = r;
    r = before - part;
    lost += (before - r) - part;
    lost -= n * 0x1.b839a252049c1p-104;
    double angle = r + lost, rest = (r - angle) + lost;
    double s = angle * angle;
    double sum = 1.0 / 355687428096000;
    sum = sum * s - 1.0 / 1307674368000;
    sum = sum * s + 1.0 / 6227020800;
    sum = sum * s - 1.0 / 39916800;
    sum = sum * s + 1.0 / 362880;
    sum = sum * s - 1.0 / 5040;
    sum = sum * s + 1.0 / 120;
    sum = sum * s - 1.0 / 6;
    double sine = angle + (angle * s * sum + (1 - 0.5 * s) * rest);
    sum = 1.0 / 20922789888000;
    sum = sum * s - 1.0 / 87178291200;
    sum = sum * s + 1.0 / 479001600;
    sum = sum * s - 1.0 / 3628800;
    sum = sum * s + 1.0 / 40320;
    sum = sum * s - 1.0 / 720;
    sum = sum * s + 1.0 / 24;
    double half = 0.5 * s, one = 1 - half;
    double cosine = one + (((1 - one) - half) + (s * s * sum - angle * rest));
    // quadrant 0: cosine, 1: -sine, 2: -cosine, 3: sine
    uint64_t odd = 0 - (quadrant & 1);
    uint64_t sign = ((quadrant ^ quadrant >> 1) & 1) << 63;
    return double_of(((bits_of(sine) & odd) | (bits_of(cosine) & ~odd)) ^ sign);
}

// 53 bits of two words: philox_uniform
LANES_INLINE double uniform(uint32_t high, uint32_t low)
{
    return (whole(((uint64_t)high << 32 | low) >> 12) + 0.5) * 0x1p-52;
}

// Elements 16 group … 16 group + 15 of the stream.
static void draw(struct philox_address at, int64_t group, double deviation, float w[LANES])
{
    lanes_u32 block[4];
    uint32_t word[4 * LANES];
    doubles first, second;
    // A block counter has room for 2^32 elements; what lies beyond counts on in the address's sequence.
    at.sequence = (uint32_t)(group >> 28);
    philox_block(at, (uint32_t)group & 0xfffffffu, block);
    for (int i = 0; i < 4; i++) lanes_u32_store(word + LANES * i, block[i]);
    for (int i = 0; i < LANES; i++) {
        first[i] = uniform(word[4 * i], word[4 * i + 1]);
        second[i] = uniform(word[4 * i + 2], word[4 * i + 3]);
    }
    for (int i = 0; i < LANES; i++) first[i] = sqrt(-2 * log_of(first[i]));
    for (int i = 0; i < LANES; i++) second[i] = cos_of(0x1.921fb54442d18p2 * second[i]);
    for (int i = 0; i < LANES; i++) w[i] = (float)(deviation * (first[i] * second[i]));
}

void KERNEL_NAME(normal)(float *w, uint64_t seed, uint32_t stream, int64_t first, int64_t n,
                         double deviation)
{
    const struct philox_address at = {.seed = seed, .stream = stream};
    for (int64_t i = 0; i < n;) {
        int64_t skip = (first + i) % LANES;
        int64_t count = n - i < LANES - skip ? n - i : LANES - skip;
        float drawn[LANES];
        draw(at, (first + i) / LANES, deviation, drawn);
        memcpy(w + i, drawn + skip, (size_t)count * sizeof *w);
        i += count;
    }
}
