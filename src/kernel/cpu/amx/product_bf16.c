// SPDX-License-Identifier: Apache-2.0
// The products of lanes/product_bf16.c on AMX tiles: the same bits, the same packed B.
//
// C is computed in squares of 32 × 32: four tiles of sums, two of A, two of B, so that there is one load for each tile
// product, of bf16x3 two for three. Blocks of depth keep the two panels of B in the first-level cache (32 KiB of 48) and
// the rows of A in a quarter of a second-level cache of 2 MiB. Sizes follow from the caches; they were not
// tuned on a machine with tiles.
#include "kernel/cpu/amx/tiles.h"
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/bf16_blocks.h"
#include "kernel/cpu/lanes/product_finish.h"

enum {
    SQUARE = 2 * BLOCK_LINES,
    DEPTH_BLOCKS = 16, // 512 terms
    ROW_BLOCK = 512,
    TILE_ROW_BYTES = BLOCK_PAIRS * 4
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- squares: tiles 0 1 / 2 3 of C, 4 and 5 of A, 6 and 7 of B ----
struct square {
    int64_t blocks;
    const uint32_t *a, *b;    // [blocks][parts] blocks by lines, by pairs
    int64_t a_below, b_right; // where the second tile of rows, of columns begins
    float *c[2][2];           // whole tiles, here or beside
    int64_t c_bytes[2][2];    // from row to row
    bool starts;
};

#define LOAD_C(tile, i, j)                                                                         \
    do {                                                                                           \
        if (s->starts)                                                                             \
            TILE_ZERO(tile);                                                                       \
        else                                                                                       \
            TILE_LOAD(tile, s->c[i][j], s->c_bytes[i][j]);                                         \
    } while (0)
#define STORE_C(tile, i, j) TILE_STORE(tile, s->c[i][j], s->c_bytes[i][j])

// rows and columns of tiles: constants, 1 or 2.
LANES_INLINE void square_load(const struct square *s, const int rows, const int cols)
{
    LOAD_C(0, 0, 0);
    if (cols > 1) LOAD_C(1, 0, 1);
    if (rows > 1) LOAD_C(2, 1, 0);
    if (rows > 1 && cols > 1) LOAD_C(3, 1, 1);
}
LANES_INLINE void square_store(const struct square *s, const int rows, const int cols)
{
    STORE_C(0, 0, 0);
    if (cols > 1) STORE_C(1, 0, 1);
    if (rows > 1) STORE_C(2, 1, 0);
    if (rows > 1 && cols > 1) STORE_C(3, 1, 1);
}
LANES_INLINE void square_load_a(const struct square *s, const uint32_t *a, const int rows)
{
    TILE_LOAD(4, a, TILE_ROW_BYTES);
    if (rows > 1) TILE_LOAD(5, a + s->a_below, TILE_ROW_BYTES);
}
LANES_INLINE void square_load_b(const struct square *s, const uint32_t *b, const int cols)
{
    TILE_LOAD(6, b, TILE_ROW_BYTES);
    if (cols > 1) TILE_LOAD(7, b + s->b_right, TILE_ROW_BYTES);
}
LANES_INLINE void square_multiply(const int rows, const int cols)
{
    TILE_PRODUCT(0, 4, 6);
    if (cols > 1) TILE_PRODUCT(1, 4, 7);
    if (rows > 1) TILE_PRODUCT(2, 5, 6);
    if (rows > 1 && cols > 1) TILE_PRODUCT(3, 5, 7);
}

LANES_INLINE void square_run(const struct square *s, const int rows, const int cols,
                             const bool split)
{
    const uint32_t *a = s->a, *b = s->b;
    square_load(s, rows, cols);
    for (int64_t block = 0; block < s->blocks; block++) {
        square_load_a(s, a, rows);
        if (split) {
            square_load_b(s, b + BLOCK_WORDS, cols);
            square_multiply(rows, cols);
        }
        square_load_b(s, b, cols);
        square_multiply(rows, cols);
        if (split) {
            square_load_a(s, a + BLOCK_WORDS, rows);
            square_multiply(rows, cols);
        }
        a += block_words(split);
        b += block_words(split);
    }
    square_store(s, rows, cols);
}

static void square_dispatch(const struct square *s, int rows, int cols, bool split)
{
    switch (rows * 2 + cols + (split ? 8 : 0)) {
    case 2 + 1:
        square_run(s, 1, 1, false);
        break;
    case 2 + 2:
        square_run(s, 1, 2, false);
        break;
    case 4 + 1:
        square_run(s, 2, 1, false);
        break;
    case 4 + 2:
        square_run(s, 2, 2, false);
        break;
    case 10 + 1:
        square_run(s, 1, 1, true);
        break;
    case 10 + 2:
        square_run(s, 1, 2, true);
        break;
    case 12 + 1:
        square_run(s, 2, 1, true);
        break;
    case 12 + 2:
        square_run(s, 2, 2, true);
        break;
    }
}

// ---- regions: rows [row, row + rows), blocks of terms [first, first + blocks) ----
struct region {
    const struct product *p;
    int64_t row, rows, first, blocks, all_blocks;
    uint32_t *a; // [tiles of rows][blocks][parts]
    uint32_t *b; // [2][blocks][parts] when B is not packed
    bool starts, finishes;
};

LANES_INLINE void pack_rows(const struct region *r, const bool split)
{
    const struct product *p = r->p;
    uint32_t *to = r->a;
    for (int64_t i = 0; i < r->rows; i += BLOCK_LINES) {
        for (int64_t block = 0; block < r->blocks; block++) {
            int64_t k = (r->first + block) * BLOCK_TERMS;
            struct block_source s = {.x = p->a + (r->row + i) * p->a_row + k * p->a_depth,
                                     .line = p->a_row,
                                     .term = p->a_depth,
                                     .lines = least(r->rows - i, BLOCK_LINES),
                                     .terms = least(p->depth - k, BLOCK_TERMS)};
            block_pack(to, &s, split, ORDER_LINES);
            to += block_words(split);
        }
    }
}

// A tile of C that is not all there is computed beside C. Copies between the two.
struct cut_tile {
    float beside[BLOCK_LINES * BLOCK_LINES];
    float *c;
    int64_t c_row, rows, cols;
};
static void cut_tile_read(struct cut_tile *t)
{
    for (int64_t i = 0; i < t->rows; i++)
        memcpy(t->beside + i * BLOCK_LINES, t->c + i * t->c_row, (size_t)t->cols * sizeof *t->c);
}
static void cut_tile_write(const struct cut_tile *t)
{
    for (int64_t i = 0; i < t->rows; i++)
        memcpy(t->c + i * t->c_row, t->beside + i * BLOCK_LINES, (size_t)t->cols * sizeof *t->c);
}

static void region_square(const struct region *r, struct square s, int64_t row, int64_t col,
                          bool split)
{
    const struct product *p = r->p;
    struct cut_tile cut[2][2];
    int64_t rows = least(r->row + r->rows - row, SQUARE), cols = least(p->cols - col, SQUARE);
    int tile_rows = rows > BLOCK_LINES ? 2 : 1, tile_cols = cols > BLOCK_LINES ? 2 : 1;
    s.starts = r->starts;
    for (int64_t i = 0; i < tile_rows; i++) {
        for (int64_t j = 0; j < tile_cols; j++) {
            struct cut_tile *t = &cut[i][j];
            t->c = p->c + (row + i * BLOCK_LINES) * p->c_row + col + j * BLOCK_LINES;
            t->c_row = p->c_row;
            t->rows = least(rows - i * BLOCK_LINES, BLOCK_LINES);
            t->cols = least(cols - j * BLOCK_LINES, BLOCK_LINES);
            bool whole = t->rows == BLOCK_LINES && t->cols == BLOCK_LINES;
            s.c[i][j] = whole ? t->c : t->beside;
            s.c_bytes[i][j] = (whole ? p->c_row : BLOCK_LINES) * (int64_t)sizeof(float);
            if (!whole && !r->starts) {
                memset(t->beside, 0, sizeof t->beside);
                cut_tile_read(t);
            }
        }
    }
    square_dispatch(&s, tile_rows, tile_cols, split);
    for (int i = 0; i < tile_rows; i++)
        for (int j = 0; j < tile_cols; j++)
            if (s.c[i][j] == cut[i][j].beside) cut_tile_write(&cut[i][j]);
    if (r->finishes) product_finish(p, row, rows, col, cols);
}

LANES_INLINE void region_run(const struct region *r, const bool split)
{
    const struct product *p = r->p;
    const int64_t parts = split ? 2 : 1, panel = r->blocks * parts * BLOCK_WORDS;
    pack_rows(r, split);
    for (int64_t col = 0; col < p->cols; col += SQUARE) {
        struct square s = {.blocks = r->blocks, .a_below = panel, .b = r->b, .b_right = panel};
        if (p->packed) {
            s.b_right = packed_blocks(p) * parts * BLOCK_WORDS;
            s.b = (const uint32_t *)p->packed + col / BLOCK_LINES * s.b_right +
                  (packed_first(p) + r->first) * parts * BLOCK_WORDS;
        } else {
            for (int64_t j = col; j < least(col + SQUARE, p->cols); j += BLOCK_LINES)
                panel_pack(r->b + (j - col) / BLOCK_LINES * panel, p, j, r->first, r->blocks,
                           split);
        }
        for (int64_t i = 0; i < r->rows; i += SQUARE) {
            s.a = r->a + i / BLOCK_LINES * panel;
            region_square(r, s, r->row + i, col, split);
        }
    }
}

LANES_INLINE void run(const struct product *p, void *scratch, const bool split)
{
    if (p->rows <= 0 || p->cols <= 0) return;
    const int64_t most = DEPTH_BLOCKS / (split ? 2 : 1);
    struct region r = {.p = p, .b = scratch, .all_blocks = blocks_of(p->depth)};
    r.a = r.b + (int64_t)2 * DEPTH_BLOCKS * BLOCK_WORDS;
    if (r.all_blocks == 0) product_without_terms(p);
    tiles_begin();
    for (; r.first < r.all_blocks; r.first += most) {
        r.blocks = least(r.all_blocks - r.first, most);
        r.starts = r.first == 0 && !p->accumulate;
        r.finishes = r.first + r.blocks == r.all_blocks && product_has_finish(p);
        for (r.row = 0; r.row < p->rows; r.row += ROW_BLOCK) {
            r.rows = least(p->rows - r.row, ROW_BLOCK);
            region_run(&r, split);
        }
    }
    tiles_end();
}

static size_t scratch_bytes(int64_t rows)
{
    int64_t tiles = (least(rows, ROW_BLOCK) + BLOCK_LINES - 1) / BLOCK_LINES;
    return (size_t)((2 + tiles) * DEPTH_BLOCKS * BLOCK_WORDS) * sizeof(uint32_t);
}

#include "kernel/cpu/lanes/product_bf16_kernels.h"
