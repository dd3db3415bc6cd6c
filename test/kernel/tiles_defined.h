// SPDX-License-Identifier: Apache-2.0
// The operations of kernel/cpu/amx/tiles.h by Intel's definition (Software Developer's Manual, TDPBF16PS), in plain C with
// fma: whoever includes this first compiles the AMX kernels for any machine.
//
// What tiles do when they are misused shows here too: before tiles_begin() and after tiles_end() every operation fails.
#ifndef STN_KERNEL_CPU_AMX_TILES_H
#define STN_KERNEL_CPU_AMX_TILES_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TILE_COUNT = 8, TILE_ROWS = 16, TILE_BYTES = 64 };
static unsigned char tile_memory[TILE_COUNT][TILE_ROWS][TILE_BYTES];
static bool tiles_ready;

static inline void tiles_begin(void)
{
    memset(tile_memory, 0, sizeof tile_memory);
    tiles_ready = true;
}
static inline void tiles_end(void) { tiles_ready = false; }
static inline void tile_check(int tile)
{
    if (!tiles_ready || tile < 0 || tile >= TILE_COUNT) abort();
}

static inline void tile_zero(int tile)
{
    tile_check(tile);
    memset(tile_memory[tile], 0, sizeof tile_memory[tile]);
}
static inline void tile_load(int tile, const void *from, int64_t stride)
{
    tile_check(tile);
    for (int i = 0; i < TILE_ROWS; i++)
        memcpy(tile_memory[tile][i], (const char *)from + i * stride, TILE_BYTES);
}
static inline void tile_store(int tile, void *to, int64_t stride)
{
    tile_check(tile);
    for (int i = 0; i < TILE_ROWS; i++)
        memcpy((char *)to + i * stride, tile_memory[tile][i], TILE_BYTES);
}

// Denormals are zeros: of their sign, in operands and in results.
static inline float tile_flush(float x)
{
    return x != 0 && fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}
static inline float tile_half(int tile, int row, int column)
{
    uint16_t half;
    float x;
    memcpy(&half, tile_memory[tile][row] + 2 * column, sizeof half);
    uint32_t bits = (uint32_t)half << 16;
    memcpy(&x, &bits, sizeof x);
    return tile_flush(x);
}

static inline void tile_product(int c, int a, int b)
{
    tile_check(c), tile_check(a), tile_check(b);
    for (int i = 0; i < TILE_ROWS; i++) {
        for (int j = 0; j < TILE_ROWS; j++) {
            float sum[2] = {0, 0}, total;
            for (int k = 0; k < TILE_ROWS; k++)
                for (int parity = 0; parity < 2; parity++)
                    sum[parity] = tile_flush(fmaf(tile_half(a, i, 2 * k + parity),
                                                  tile_half(b, k, 2 * j + parity), sum[parity]));
            memcpy(&total, tile_memory[c][i] + 4 * j, sizeof total);
            total = tile_flush(tile_flush(total) + tile_flush(sum[0] + sum[1]));
            memcpy(tile_memory[c][i] + 4 * j, &total, sizeof total);
        }
    }
}

#define TILE_ZERO(tile)               tile_zero(tile)
#define TILE_LOAD(tile, from, stride) tile_load(tile, from, stride)
#define TILE_STORE(tile, to, stride)  tile_store(tile, to, stride)
#define TILE_PRODUCT(c, a, b)         tile_product(c, a, b)
#endif
