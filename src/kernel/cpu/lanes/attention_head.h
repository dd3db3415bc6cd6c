// SPDX-License-Identifier: Apache-2.0
// What attention and its gradient share: blocks, packed panels, one head of one sequence.
#ifndef STN_KERNEL_CPU_LANES_ATTENTION_HEAD_H
#define STN_KERNEL_CPU_LANES_ATTENTION_HEAD_H

#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/fetch.h"
#include "kernel/cpu/lanes/functions.h"
#include "kernel/cpu/lanes/philox_lanes.h"
#include "kernel/cpu/lanes/tile.h"

#include <math.h>

enum {
    BLOCK = 64,
    STRIP = 8,
    TILE_ROWS = 4,
    MOST_KEPT = 1024, // rows of a head that stay packed for all blocks that meet them
#if defined(LANES_avx512)
    TILE_VECTORS = 4,
#else
    TILE_VECTORS = 1, // two or four registers each
#endif
};
_Static_assert((int)BLOCK == (int)PHILOX_BLOCK,
               "one block of random bits is one query's row of a block");

static inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- products of panels ----
LANES_INLINE void multiply_tile(float *c, int64_t c_row, const struct panel *p, const float *a,
                                const float *b, bool accumulate, const int rows, int64_t vectors)
{
    switch (vectors) {
#if defined(LANES_avx512)
    case 4:
        tile_multiply(c, c_row, p, a, b, accumulate, rows, 4);
        break;
    case 3:
        tile_multiply(c, c_row, p, a, b, accumulate, rows, 3);
        break;
    case 2:
        tile_multiply(c, c_row, p, a, b, accumulate, rows, 2);
        break;
#endif
    default:
        tile_multiply(c, c_row, p, a, b, accumulate, rows, 1);
        break;
    }
}

// c[rows, 16 * vectors] = (accumulate ? c : 0) + a b
static inline void multiply(float *c, int64_t c_row, const struct panel *p, int64_t rows,
                            int64_t vectors, bool accumulate)
{
    for (int64_t v = 0; v < vectors; v += TILE_VECTORS) {
        int64_t some = smaller(vectors - v, TILE_VECTORS), r = 0;
        const float *b = p->b + LANES * v;
        for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
            multiply_tile(c + r * c_row + LANES * v, c_row, p, p->a + r * p->a_row, b, accumulate,
                          TILE_ROWS, some);
        for (; r < rows; r++)
            multiply_tile(c + r * c_row + LANES * v, c_row, p, p->a + r * p->a_row, b, accumulate,
                          1, some);
    }
}

// ---- panels ----
// Copies `rows` rows of `size` floats; fills columns up to `width` with zeros.
static inline void pack_rows(float *panel, int64_t width, const float *x, int64_t x_row,
                             int64_t rows, int64_t size)
{
    for (int64_t r = 0; r < rows; r++) {
        float *to = panel + r * width;
        const float *from = x + r * x_row;
        for (int64_t d = 0; d < width; d += LANES)
            lanes_store(to + d, d + LANES <= size ? lanes_load(from + d)
                                                  : lanes_load_some(from + d, size - d));
    }
}

static inline void unpack_rows(float *x, int64_t x_row, const float *panel, int64_t width,
                               int64_t rows, int64_t size)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t d = 0; d < size; d += LANES)
            lanes_store_some(x + r * x_row + d, lanes_load(panel + r * width + d),
                             lanes_left(d, size));
}

typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
#if defined(__clang__)
#    define QUAD_PICK(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t quad_order __attribute__((vector_size(16)));
#    define QUAD_PICK(a, b, i, j, k, l) __builtin_shuffle(a, b, (quad_order){i, j, k, l})
#endif

// panel[d, r] = x[r, d] for the rows from `first`, a multiple of 4; r is filled up to BLOCK with zeros.
static inline void pack_transposed_rest(float *panel, const float *x, int64_t x_row, int64_t first,
                                        int64_t rows, int64_t size)
{
    int64_t whole_rows = rows / 4 * 4, whole_size = size / 4 * 4;
    for (int64_t r = first; r < whole_rows; r += 4) {
        const float *from = x + r * x_row;
        for (int64_t d = 0; d < whole_size; d += 4) {
            quad a = *(const quad *)(from + d), b = *(const quad *)(from + x_row + d);
            quad c = *(const quad *)(from + 2 * x_row + d),
                 e = *(const quad *)(from + 3 * x_row + d);
            quad ab_low = QUAD_PICK(a, b, 0, 4, 1, 5), ab_high = QUAD_PICK(a, b, 2, 6, 3, 7);
            quad ce_low = QUAD_PICK(c, e, 0, 4, 1, 5), ce_high = QUAD_PICK(c, e, 2, 6, 3, 7);
            float *to = panel + d * BLOCK + r;
            *(quad *)to = QUAD_PICK(ab_low, ce_low, 0, 1, 4, 5);
            *(quad *)(to + BLOCK) = QUAD_PICK(ab_low, ce_low, 2, 3, 6, 7);
            *(quad *)(to + 2 * BLOCK) = QUAD_PICK(ab_high, ce_high, 0, 1, 4, 5);
            *(quad *)(to + 3 * BLOCK) = QUAD_PICK(ab_high, ce_high, 2, 3, 6, 7);
        }
        for (int64_t d = whole_size; d < size; d++)
            for (int64_t i = 0; i < 4; i++) panel[d * BLOCK + r + i] = from[i * x_row + d];
    }
    for (int64_t d = 0; d < size; d++)
        for (int64_t r = whole_rows; r < BLOCK; r++)
            panel[d * BLOCK + r] = r < rows ? x[r * x_row + d] : 0;
}

// panel[d, r] = x[r, d], r filled up to BLOCK with zeros.
static inline void pack_transposed(float *panel, const float *x, int64_t x_row, int64_t rows,
                                   int64_t size)
{
    int64_t first = 0;
#if defined(LANES_avx512)
    for (; size % LANES == 0 && first + LANES <= rows; first += LANES)
        for (int64_t d = 0; d < size; d += LANES) {
            lanes square[LANES];
            for (int r = 0; r < LANES; r++) square[r] = lanes_load(x + (first + r) * x_row + d);
            lanes_turn(square);
            for (int r = 0; r < LANES; r++) lanes_store(panel + (d + r) * BLOCK + first, square[r]);
        }
#endif
    if (first < BLOCK) pack_transposed_rest(panel, x, x_row, first, rows, size);
}

// ---- one head of one sequence ----
struct head {
    const float *q, *k, *v; // rows of `size` floats
    int64_t q_row, kv_row;
    float *y; // written forward, read backward
    int64_t y_row;
    float *lse;    // one per query, or NULL
    int64_t first; // position of query 0
    int64_t queries, keys, size;
    int64_t room; // for packed keys, rows
    bool bidirectional;
    const float *dy; // rows as y
    float *dq, *dk, *dv;
    float scale;
    bool drops;
    struct philox_address at;
    uint32_t row_blocks; // blocks of random bits in a query's row
    uint32_t threshold;
    float kept;
};

static inline void head_set_dropout(struct head *h, const struct attention *a, int64_t sequence,
                                    int64_t index)
{
    const struct dropout *d = a->dropout;
    h->drops = d && d->rate > 0;
    if (!h->drops) return;
    h->at = (struct philox_address){.seed = (uint64_t)d->random[1] << 32 | d->random[0],
                                    .stream = d->stream + (uint32_t)index,
                                    .step = d->random[2],
                                    .sequence = d->random[3] + (uint32_t)sequence};
    h->row_blocks = (uint32_t)((a->tokens + BLOCK - 1) / BLOCK);
    h->threshold = dropout_threshold(d->rate);
    h->kept = dropout_scale(d->rate);
}

// How many keys, from the first, the query at `position` sees.
LANES_INLINE int64_t seen_keys(const struct head *h, int64_t position)
{
    return h->bidirectional ? h->keys : position + 1;
}

// How many packed rows of all there is room for: whole blocks.
static inline int64_t room_for(int64_t rows) { return smaller(round_up(rows, BLOCK), MOST_KEPT); }

static inline struct head head_of(const struct attention *a, int64_t sequence, int64_t index)
{
    int64_t width = a->heads * a->head_size, kv_width = a->kv_heads * a->head_size;
    int64_t row = width + 2 * kv_width, start = sequence * a->tokens * row;
    int64_t q = start + index * a->head_size, at = sequence * a->tokens * width + (q - start);
    int64_t k = start + width + index / (a->heads / a->kv_heads) * a->head_size;
    int64_t length = a->lengths ? a->lengths[sequence] : a->tokens;
    struct head h = {.q = a->qkv + q,
                     .k = a->qkv + k,
                     .v = a->qkv + k + kv_width,
                     .q_row = row,
                     .kv_row = row,
                     .y = a->y + at,
                     .y_row = width,
                     .lse = a->lse ? a->lse + (sequence * a->heads + index) * a->tokens : NULL,
                     .queries = length,
                     .keys = length,
                     .size = a->head_size,
                     .room = room_for(a->tokens),
                     .bidirectional = a->bidirectional,
                     .scale = 1 / sqrtf((float)a->head_size)};
    if (a->dqkv) {
        h.dy = a->dy + at;
        h.dq = a->dqkv + q;
        h.dk = a->dqkv + k;
        h.dv = a->dqkv + k + kv_width;
    }
    head_set_dropout(&h, a, sequence, index);
    return h;
}

// D of rows from `start`: lane reductions of dy y.
static inline void row_dots(float *out, const struct head *h, int64_t start, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *y = h->y + (start + r) * h->y_row, *dy = h->dy + (start + r) * h->y_row;
        lanes sum = lanes_zero();
        int64_t d = 0;
        for (; d + LANES <= h->size; d += LANES)
            sum = lanes_fma(lanes_load(dy + d), lanes_load(y + d), sum);
        if (d < h->size) {
            int64_t n = h->size - d;
            lanes more = lanes_fma(lanes_load_some(dy + d, n), lanes_load_some(y + d, n), sum);
            sum = lanes_select(lanes_first(n), more, sum);
        }
        out[r] = lanes_sum(sum);
    }
}

static inline void fetch_rows(const float *x, int64_t x_row, int64_t first, int64_t last,
                              int64_t size)
{
    for (int64_t r = first; x && r < last; r++)
        for (int64_t d = 0; d < size; d += CACHE_LINE) __builtin_prefetch(x + r * x_row + d, 0, 2);
}

// Brings a strip of the block of rows that follows the one at `start` nearer: of h, or else the first
// of `next` (NULL: there is none). Rows of one head lie too far apart for the processor to guess them.
static inline void fetch_strip(const struct head *h, const struct head *next, int64_t start,
                               int64_t strip)
{
    int64_t first = start + BLOCK + strip;
    if (start + BLOCK >= h->queries) {
        if (!next) return;
        h = next;
        first = strip;
    }
    int64_t last = smaller(first + STRIP, h->queries);
    fetch_rows(h->q, h->q_row, first, last, h->size);
    fetch_rows(h->k, h->kv_row, first, last, h->size);
    fetch_rows(h->v, h->kv_row, first, last, h->size);
    fetch_rows(h->y, h->y_row, first, last, h->size);
    if (!h->dq) return;
    fetch_rows(h->dy, h->y_row, first, last, h->size);
    fetch_rows(h->dq, h->q_row, first, last, h->size);
    fetch_rows(h->dk, h->kv_row, first, last, h->size);
    fetch_rows(h->dv, h->kv_row, first, last, h->size);
}

// Rows from, …, to - 1 of `size` floats become 0.
static inline void clear_rows(float *x, int64_t x_row, int64_t from, int64_t to, int64_t size)
{
    for (int64_t r = from; r < to; r++) memset(x + r * x_row, 0, (size_t)size * sizeof *x);
}

// The first `visible` of the 16 keys of group `v`.
LANES_INLINE lanes_mask visible_lanes(int64_t visible, int64_t v)
{
    int64_t n = visible - LANES * v;
    return lanes_first(n < 0 ? 0 : n > LANES ? LANES : n);
}

static inline float *take(char **place, int64_t count)
{
    float *taken = (float *)*place;
    *place += (size_t)round_up(count, LANES) * sizeof(float);
    return taken;
}
#endif
