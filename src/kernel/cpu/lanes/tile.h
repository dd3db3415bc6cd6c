// SPDX-License-Identifier: Apache-2.0
// The innermost product of kernels that fuse products with what is around them: a tile of C in registers, its
// left operand read where it lies.
//
// Each element is one chain of fma upwards in depth, from 0 or from what C holds; so cutting depth changes nothing.
#ifndef STN_KERNEL_CPU_LANES_TILE_H
#define STN_KERNEL_CPU_LANES_TILE_H

#include "kernel/cpu/lanes/lanes.h"

enum { TILE_MOST_ROWS = 8, TILE_MOST_VECTORS = 4 };

struct panel {
    const float *a;
    int64_t a_row, a_depth; // strides
    const float *b;
    int64_t b_depth; // columns are dense
    int64_t depth;
};

// c[rows, 16 * vectors] = (accumulate ? c : 0) + a b; a and b are p's, moved to the tile.
LANES_INLINE void tile_multiply(float *c, int64_t c_row, const struct panel *p, const float *a,
                                const float *b, bool accumulate, const int rows, const int vectors)
{
    lanes sum[TILE_MOST_ROWS][TILE_MOST_VECTORS];
    LANES_UNROLL for (int r = 0; r < rows; r++) LANES_UNROLL for (int v = 0; v < vectors; v++)
        sum[r][v] = accumulate ? lanes_load(c + r * c_row + LANES * v) : lanes_zero();
    for (int64_t k = 0; k < p->depth; k++, a += p->a_depth, b += p->b_depth) {
        lanes right[TILE_MOST_VECTORS];
        LANES_UNROLL for (int v = 0; v < vectors; v++) right[v] = lanes_load(b + LANES * v);
        LANES_UNROLL for (int r = 0; r < rows; r++)
        {
            lanes left = lanes_set(a[r * p->a_row]);
            LANES_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
                lanes_fma(left, right[v], sum[r][v]);
        }
    }
    LANES_UNROLL for (int r = 0; r < rows; r++) LANES_UNROLL for (int v = 0; v < vectors; v++)
        lanes_store(c + r * c_row + LANES * v, sum[r][v]);
}
#endif
