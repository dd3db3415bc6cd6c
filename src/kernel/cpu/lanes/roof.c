// SPDX-License-Identifier: Apache-2.0
// The two loops that a core's roof is measured with: multiply-adds that wait for nothing, and a triad that waits for memory.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/lanes.h"

// Enough to hide an fma's latency of four or five cycles on two units, few enough for the registers.
#if defined(LANES_avx512)
enum { CHAINS = 12 };
#elif defined(LANES_avx2) || defined(LANES_neon)
enum { CHAINS = 6 };
#else
enum { CHAINS = 2 };
#endif

double KERNEL_NAME(fma_chains)(float x[16], int64_t terms)
{
    // A factor that no compiler knows, small enough that nothing overflows.
    lanes sum[CHAINS], a = lanes_load(x), b = lanes_set(x[0] * 0x1p-20f);
    for (int c = 0; c < CHAINS; c++) sum[c] = lanes_set((float)c);
    for (int64_t i = 0; i < terms; i++)
        for (int c = 0; c < CHAINS; c++) sum[c] = lanes_fma(a, b, sum[c]);
    for (int c = 1; c < CHAINS; c++) sum[0] = lanes_add(sum[0], sum[c]);
    lanes_store(x, lanes_select(lanes_less(sum[0], lanes_set(-1)), sum[0], a));
    return 2.0 * LANES * CHAINS * (double)terms;
}

void KERNEL_NAME(triad)(float *y, const float *a, const float *b, float s, int64_t n)
{
    lanes factor = lanes_set(s);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_stream(y + i, lanes_fma(factor, lanes_load(b + i), lanes_load(a + i)));
    int64_t some = n - i;
    lanes last = lanes_fma(factor, lanes_load_some(b + i, some), lanes_load_some(a + i, some));
    lanes_store_some(y + i, last, some);
    lanes_stream_end();
}
