// SPDX-License-Identifier: Apache-2.0
// Tile products that wait for nothing: the loop that the roof of bf16 is measured with.
#include "kernel/cpu/amx/tiles.h"
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/lanes.h"

double KERNEL_NAME(tile_chains)(float x[16], int64_t terms)
{
    float rows[16][16];
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) rows[i][j] = x[j];
    tiles_begin();
    // Six sums: a product takes 52 cycles, and another begins every 16.
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    TILE_ZERO(4);
    TILE_ZERO(5);
    TILE_LOAD(6, rows, 64);
    TILE_LOAD(7, rows, 64);
    for (int64_t i = 0; i < terms; i++) {
        TILE_PRODUCT(0, 6, 7);
        TILE_PRODUCT(1, 6, 7);
        TILE_PRODUCT(2, 6, 7);
        TILE_PRODUCT(3, 6, 7);
        TILE_PRODUCT(4, 6, 7);
        TILE_PRODUCT(5, 6, 7);
    }
    TILE_STORE(0, rows, 64);
    tiles_end();
    x[0] = rows[0][0] > 0 ? x[0] : -x[0];
    return 2.0 * 16 * 16 * 32 * 6 * (double)terms;
}
