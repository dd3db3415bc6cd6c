// SPDX-License-Identifier: Apache-2.0
// Products of bf16 operands with the meaning of Intel's tile products, computed with fma; and of operands split in two.
//
// A tile of C keeps two sums for each element, of the even and of the odd terms of a block of 32, and adds them to C
// after each block. Terms of A are widened to floats when they are packed, those of B, of which a tile reads 16 columns at
// once, in registers. C lies in memory between blocks: it is touched once in 32 terms.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/bf16_blocks.h"
#include "kernel/cpu/lanes/product_finish.h"

// Twice as many sums as elements of a tile: 24 of 32 registers with AVX-512, 12 of 16 with AVX2, 16 of 32 with NEON.
#if defined(LANES_avx512)
enum { TILE_ROWS = 6, TILE_GROUPS = 2 };
#elif defined(LANES_avx2)
enum { TILE_ROWS = 3, TILE_GROUPS = 1 };
#else
enum { TILE_ROWS = 2, TILE_GROUPS = 1 };
#endif
enum {
    TILE_COLS = TILE_GROUPS * LANES,
    DEPTH_BLOCKS = 8, // of B in the first-level cache: 16 KiB with two groups
    ROW_BLOCK = 192   // of A in the second-level cache: 192 KiB
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- tiles ----
struct tile {
    int64_t blocks;
    const float *a;    // [blocks][parts][TILE_ROWS][32]
    const uint32_t *b; // [blocks][parts] blocks by pairs; the next 16 columns b_group behind
    int64_t b_group;
    float *c; // [rows][groups * 16], all of them present
    int64_t c_row;
};

// C += one block's sum.
LANES_INLINE void tile_block(const int rows, const int groups, const struct tile *t, const float *a,
                             const uint32_t *b)
{
    lanes even[TILE_ROWS][TILE_GROUPS], odd[TILE_ROWS][TILE_GROUPS];
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
        even[i][g] = odd[i][g] = lanes_zero();
    for (int pair = 0; pair < BLOCK_PAIRS; pair++) {
        lanes_u32 words[TILE_GROUPS];
        lanes bs[TILE_GROUPS];
        LANES_UNROLL for (int g = 0; g < groups; g++)
        {
            words[g] = lanes_u32_load(b + g * t->b_group);
            bs[g] = lanes_from_bits(lanes_u32_left(words[g], 16));
        }
        LANES_UNROLL for (int i = 0; i < rows; i++)
        {
            lanes ai = lanes_set(a[i * BLOCK_TERMS]);
            LANES_UNROLL for (int g = 0; g < groups; g++) even[i][g] =
                lanes_fma(ai, bs[g], even[i][g]);
        }
        LANES_UNROLL for (int g = 0; g < groups; g++) bs[g] =
            lanes_from_bits(lanes_u32_and(words[g], lanes_u32_set(0xffff0000)));
        LANES_UNROLL for (int i = 0; i < rows; i++)
        {
            lanes ai = lanes_set(a[i * BLOCK_TERMS + 1]);
            LANES_UNROLL for (int g = 0; g < groups; g++) odd[i][g] =
                lanes_fma(ai, bs[g], odd[i][g]);
        }
        a += 2;
        b += LANES;
    }
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
    {
        float *c = t->c + i * t->c_row + g * LANES;
        lanes_store(c, lanes_add(lanes_load(c), lanes_add(even[i][g], odd[i][g])));
    }
}

LANES_INLINE void tile_run(const int rows, const int groups, const struct tile *t, const bool split)
{
    enum { A_PART = TILE_ROWS * BLOCK_TERMS };
    const float *a = t->a;
    const uint32_t *b = t->b;
    for (int64_t block = 0; block < t->blocks; block++) {
        if (split) {
            tile_block(rows, groups, t, a, b + BLOCK_WORDS);
            tile_block(rows, groups, t, a, b);
            tile_block(rows, groups, t, a + A_PART, b);
        } else {
            tile_block(rows, groups, t, a, b);
        }
        a += A_PART * (split ? 2 : 1);
        b += BLOCK_WORDS * (split ? 2 : 1);
    }
}

#define TILE(rows, groups)                                                                         \
    static void tile_##rows##_##groups(const struct tile *t, bool split)                           \
    {                                                                                              \
        if (split)                                                                                 \
            tile_run(rows, groups, t, true);                                                       \
        else                                                                                       \
            tile_run(rows, groups, t, false);                                                      \
    }
typedef void (*tile_function)(const struct tile *t, bool split);

TILE(1, 1)
TILE(2, 1)
#if defined(LANES_avx512)
TILE(3, 1)
TILE(4, 1)
TILE(5, 1)
TILE(6, 1)
TILE(1, 2)
TILE(2, 2)
TILE(3, 2)
TILE(4, 2)
TILE(5, 2)
TILE(6, 2)
static const tile_function tile_table[TILE_GROUPS][TILE_ROWS] = {
    {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1},
    {tile_1_2, tile_2_2, tile_3_2, tile_4_2, tile_5_2, tile_6_2}};
#elif defined(LANES_avx2)
TILE(3, 1)
static const tile_function tile_table[TILE_GROUPS][TILE_ROWS] = {{tile_1_1, tile_2_1, tile_3_1}};
#else
static const tile_function tile_table[TILE_GROUPS][TILE_ROWS] = {{tile_1_1, tile_2_1}};
#endif

// ---- blocks of the product: rows [row, row + rows), blocks of terms [first, first + blocks) ----
struct region {
    const struct product *p;
    int64_t row, rows, first, blocks, all_blocks;
    float *a;    // [tile of rows][blocks][parts][TILE_ROWS][32]
    uint32_t *b; // [groups][blocks][parts] when B is not packed
    bool starts, finishes;
};

// Widens what was packed: 16 rows of one block.
LANES_INLINE void place_rows(const struct region *r, int64_t row, int64_t block,
                             const uint32_t *words, int64_t rows, const bool split)
{
    const int64_t parts = split ? 2 : 1;
    for (int64_t part = 0; part < parts; part++) {
        for (int64_t i = 0; i < rows; i++) {
            int64_t tile = (row + i) / TILE_ROWS, line = (row + i) % TILE_ROWS;
            int64_t place = ((tile * r->blocks + block) * parts + part) * TILE_ROWS + line;
            uint16_t halves[BLOCK_TERMS];
            uint32_t bits[BLOCK_TERMS];
            memcpy(halves, words + part * BLOCK_WORDS + i * BLOCK_PAIRS, sizeof halves);
            for (int k = 0; k < BLOCK_TERMS; k++) bits[k] = (uint32_t)halves[k] << 16;
            memcpy(r->a + place * BLOCK_TERMS, bits, sizeof bits);
        }
    }
}

// Terms of a row lie side by side: a rounded number is its own widened form.
LANES_INLINE void pack_row(const struct region *r, int64_t row, const bool split)
{
    const struct product *p = r->p;
    const int64_t parts = split ? 2 : 1;
    float *to = r->a + row / TILE_ROWS * r->blocks * parts * TILE_ROWS * BLOCK_TERMS +
                row % TILE_ROWS * BLOCK_TERMS;
    const float *x = p->a + (r->row + row) * p->a_row;
    for (int64_t block = 0; block < r->blocks; block++) {
        int64_t k = (r->first + block) * BLOCK_TERMS;
        for (int64_t i = 0; i < BLOCK_TERMS; i += LANES) {
            int64_t left = p->depth - k - i;
            lanes value = left >= LANES ? lanes_load(x + k + i)
                                        : lanes_load_some(x + k + i, left > 0 ? left : 0);
            if (split) {
                struct bf16_split both = bf16_split(value);
                lanes_store(to + i, lanes_from_bits(both.high));
                lanes_store(to + TILE_ROWS * BLOCK_TERMS + i, lanes_from_bits(both.low));
            } else {
                lanes_store(to + i, lanes_from_bits(bf16_round(value)));
            }
        }
        to += parts * TILE_ROWS * BLOCK_TERMS;
    }
}

LANES_INLINE void pack_rows(const struct region *r, const bool split)
{
    const struct product *p = r->p;
    if (p->a_depth == 1) {
        for (int64_t i = 0; i < r->rows; i++) pack_row(r, i, split);
        return;
    }
    uint32_t words[2 * BLOCK_WORDS];
    for (int64_t i = 0; i < r->rows; i += BLOCK_LINES) {
        for (int64_t block = 0; block < r->blocks; block++) {
            int64_t k = (r->first + block) * BLOCK_TERMS;
            struct block_source s = {.x = p->a + (r->row + i) * p->a_row + k * p->a_depth,
                                     .line = p->a_row,
                                     .term = p->a_depth,
                                     .lines = least(r->rows - i, BLOCK_LINES),
                                     .terms = least(p->depth - k, BLOCK_TERMS)};
            block_pack(words, &s, split, ORDER_LINES);
            place_rows(r, i, block, words, s.lines, split);
        }
    }
}

// One tile; one with absent columns is computed beside C.
static void region_tile(const struct region *r, struct tile *tile, int64_t row, int64_t col,
                        bool split)
{
    const struct product *p = r->p;
    float beside[TILE_ROWS * TILE_COLS], *c = p->c + row * p->c_row + col;
    int64_t rows = least(r->row + r->rows - row, TILE_ROWS), cols = least(p->cols - col, TILE_COLS);
    int64_t groups = (cols + LANES - 1) / LANES;
    bool whole = cols == groups * LANES;
    tile->c = whole ? c : beside;
    tile->c_row = whole ? p->c_row : TILE_COLS;
    for (int64_t i = 0; i < rows; i++) {
        if (r->starts)
            memset(tile->c + i * tile->c_row, 0, (size_t)(groups * LANES) * sizeof *c);
        else if (!whole)
            memcpy(beside + i * TILE_COLS, c + i * p->c_row, (size_t)cols * sizeof *c);
    }
    tile_table[groups - 1][rows - 1](tile, split);
    for (int64_t i = 0; !whole && i < rows; i++)
        memcpy(c + i * p->c_row, beside + i * TILE_COLS, (size_t)cols * sizeof *c);
    if (r->finishes) product_finish(p, row, rows, col, cols);
}

LANES_INLINE void region_run(const struct region *r, const bool split)
{
    const struct product *p = r->p;
    const int64_t parts = split ? 2 : 1;
    pack_rows(r, split);
    for (int64_t col = 0; col < p->cols; col += TILE_COLS) {
        struct tile tile = {.blocks = r->blocks};
        if (p->packed) {
            tile.b_group = packed_blocks(p) * parts * BLOCK_WORDS;
            tile.b = (const uint32_t *)p->packed + col / BLOCK_LINES * tile.b_group +
                     (packed_first(p) + r->first) * parts * BLOCK_WORDS;
        } else {
            tile.b_group = r->blocks * parts * BLOCK_WORDS;
            tile.b = r->b;
            for (int64_t g = 0; g < TILE_GROUPS && col + g * LANES < p->cols; g++)
                panel_pack(r->b + g * tile.b_group, p, col + g * LANES, r->first, r->blocks, split);
        }
        for (int64_t i = 0; i < r->rows; i += TILE_ROWS) {
            tile.a = r->a + i * r->blocks * parts * BLOCK_TERMS;
            region_tile(r, &tile, r->row + i, col, split);
        }
    }
}

LANES_INLINE void run(const struct product *p, void *scratch, const bool split)
{
    if (p->rows <= 0 || p->cols <= 0) return;
    const int64_t parts = split ? 2 : 1, most = DEPTH_BLOCKS / parts;
    struct region r = {.p = p, .b = scratch, .all_blocks = blocks_of(p->depth)};
    r.a = (float *)(r.b + TILE_GROUPS * DEPTH_BLOCKS * BLOCK_WORDS);
    if (r.all_blocks == 0) product_without_terms(p);
    for (; r.first < r.all_blocks; r.first += most) {
        r.blocks = least(r.all_blocks - r.first, most);
        r.starts = r.first == 0 && !p->accumulate;
        r.finishes = r.first + r.blocks == r.all_blocks && product_has_finish(p);
        for (r.row = 0; r.row < p->rows; r.row += ROW_BLOCK) {
            r.rows = least(p->rows - r.row, ROW_BLOCK);
            region_run(&r, split);
        }
    }
}

static size_t scratch_bytes(int64_t rows)
{
    int64_t padded = (least(rows, ROW_BLOCK) + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    return (size_t)(TILE_GROUPS * DEPTH_BLOCKS * BLOCK_WORDS) * sizeof(uint32_t) +
           (size_t)(padded * DEPTH_BLOCKS * BLOCK_TERMS) * sizeof(float);
}

#include "kernel/cpu/lanes/product_bf16_kernels.h"
