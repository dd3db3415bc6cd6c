// SPDX-License-Identifier: Apache-2.0
// The tile operations that AMX kernels are written with: eight tiles of 16 rows of 64 bytes, numbered by constants.
//
// test/kernel/tiles_defined.h has the same operations as Intel defines them, in plain C with fma, so that the kernels
// can be tested where there are no tiles. Whoever computes calls tiles_begin() and, when done, tiles_end(); the process
// asks for permission first (base/cpu.h: isa_available).
#ifndef STN_KERNEL_CPU_AMX_TILES_H
#define STN_KERNEL_CPU_AMX_TILES_H

#include <immintrin.h>
#include <stdint.h>

// Compilers do not know that loads and stores of tiles touch memory.
#define TILES_FENCE __asm__ volatile("" ::: "memory")

// All eight tiles whole. Palette 1.
static inline void tiles_begin(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
    TILES_FENCE;
    _tile_loadconfig(&config);
    TILES_FENCE;
}
static inline void tiles_end(void) { _tile_release(); }

#define TILE_ZERO(tile) _tile_zero(tile)
// 16 rows of 64 bytes, `stride` bytes apart.
#define TILE_LOAD(tile, from, stride)                                                              \
    do {                                                                                           \
        TILES_FENCE;                                                                               \
        _tile_loadd(tile, from, stride);                                                           \
        TILES_FENCE;                                                                               \
    } while (0)
#define TILE_STORE(tile, to, stride)                                                               \
    do {                                                                                           \
        TILES_FENCE;                                                                               \
        _tile_stored(tile, to, stride);                                                            \
        TILES_FENCE;                                                                               \
    } while (0)
// c[i][j] += the even terms' and the odd terms' sums of a[i][k] b[k][j], pairs of bf16.
#define TILE_PRODUCT(c, a, b) _tile_dpbf16ps(c, a, b)
#endif
