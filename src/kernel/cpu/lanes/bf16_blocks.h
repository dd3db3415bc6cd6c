// SPDX-License-Identifier: Apache-2.0
// Operands of bf16 products: how a float becomes bf16, and blocks of 32 terms as tiles read them.
//
// A block is 32 terms of 16 rows of A, or of 16 columns of B, as words of two bf16: an even term in the
// lower half and the odd one after it in the upper. Absent terms, rows and columns are +0. Two orders:
// by line (the 16 words of a row, then the next row: a tile of A) and by pair (one word of each of 16
// columns, then the next pair of terms: a tile of B).
//
// Rounding is to nearest even; a NaN stays one; denormals are zeros of their sign. bf16x3 splits a float into
// high = bf16(x) and low = bf16(x - high), but a finite x never becomes an infinite high (it is cut there), and an
// infinite x has high 1 of its sign and low x: so infinity times a finite number is infinity, as with floats,
// where high = infinity would meet zeros among the low parts of the other operand.
#ifndef STN_KERNEL_CPU_LANES_BF16_BLOCKS_H
#define STN_KERNEL_CPU_LANES_BF16_BLOCKS_H

#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/lanes.h"

enum {
    BLOCK_TERMS = 32,
    BLOCK_LINES = 16, // rows of A, columns of B
    BLOCK_PAIRS = BLOCK_TERMS / 2,
    BLOCK_WORDS = BLOCK_LINES * BLOCK_PAIRS // 1 KiB
};
// Of one block with all its parts.
static inline int64_t block_words(bool split) { return split ? 2 * BLOCK_WORDS : BLOCK_WORDS; }
enum block_order { ORDER_LINES, ORDER_PAIRS };

// ---- rounding: bf16 as the upper half of each lane, the lower half 0 ----
LANES_INLINE lanes_u32 bf16_round(lanes x)
{
    lanes_u32 bits = lanes_bits(x), upper = lanes_u32_set(0xffff0000);
    lanes_u32 odd = lanes_u32_and(lanes_u32_right(bits, 16), lanes_u32_set(1));
    lanes_u32 rounded = lanes_u32_add(lanes_u32_add(bits, lanes_u32_set(0x7fff)), odd);
    lanes_u32 quiet = lanes_u32_or(bits, lanes_u32_set(0x400000));
    rounded = lanes_u32_and(lanes_u32_select(lanes_is_nan(x), quiet, rounded), upper);
    lanes_mask denormal =
        lanes_u32_equal(lanes_u32_and(bits, lanes_u32_set(0x7f800000)), lanes_u32_set(0));
    return lanes_u32_select(denormal, lanes_u32_and(bits, lanes_u32_set(0x80000000)), rounded);
}

struct bf16_split {
    lanes_u32 high, low;
};
LANES_INLINE struct bf16_split bf16_split(lanes x)
{
    lanes_u32 bits = lanes_bits(x), size = lanes_u32_and(bits, lanes_u32_set(0x7fffffff));
    // From here on bf16_round() gives infinity.
    lanes_mask large = lanes_u32_less(lanes_u32_set(0x7f7f7fff), size);
    large = lanes_mask_and(large, lanes_u32_less(size, lanes_u32_set(0x7f800000)));
    lanes_u32 cut = lanes_u32_and(bits, lanes_u32_set(0xffff0000));
    lanes_u32 one =
        lanes_u32_or(lanes_u32_and(bits, lanes_u32_set(0x80000000)), lanes_u32_set(0x3f800000));
    lanes_mask infinite = lanes_u32_equal(size, lanes_u32_set(0x7f800000));
    lanes_u32 high = lanes_u32_select(large, cut, bf16_round(x));
    high = lanes_u32_select(infinite, one, high);
    return (struct bf16_split){high, bf16_round(lanes_sub(x, lanes_from_bits(high)))};
}

// ---- 16 × 16 words turned ----
typedef uint32_t word_quad __attribute__((vector_size(16)));
#if defined(__clang__)
#    define WORD_SHUFFLE(x, y, i, j, k, l) __builtin_shufflevector(x, y, i, j, k, l)
#else
#    define WORD_SHUFFLE(x, y, i, j, k, l) __builtin_shuffle(x, y, (word_quad){i, j, k, l})
#endif

LANES_INLINE word_quad word_quad_load(const uint32_t *p)
{
    word_quad x;
    memcpy(&x, p, sizeof x);
    return x;
}

// to[j][i] = from[i][j]; the two are apart.
static inline void block_turn(uint32_t *to, const uint32_t *from)
{
    for (int64_t i = 0; i < 16; i += 4) {
        for (int64_t j = 0; j < 16; j += 4) {
            const uint32_t *x = from + i * 16 + j;
            word_quad r0 = word_quad_load(x), r1 = word_quad_load(x + 16);
            word_quad r2 = word_quad_load(x + 32), r3 = word_quad_load(x + 48);
            word_quad low01 = WORD_SHUFFLE(r0, r1, 0, 4, 1, 5);
            word_quad high01 = WORD_SHUFFLE(r0, r1, 2, 6, 3, 7);
            word_quad low23 = WORD_SHUFFLE(r2, r3, 0, 4, 1, 5);
            word_quad high23 = WORD_SHUFFLE(r2, r3, 2, 6, 3, 7);
            word_quad y[4] = {
                WORD_SHUFFLE(low01, low23, 0, 1, 4, 5), WORD_SHUFFLE(low01, low23, 2, 3, 6, 7),
                WORD_SHUFFLE(high01, high23, 0, 1, 4, 5), WORD_SHUFFLE(high01, high23, 2, 3, 6, 7)};
            for (int64_t d = 0; d < 4; d++) memcpy(to + (j + d) * 16 + i, &y[d], sizeof y[d]);
        }
    }
}

// ---- blocks ----
// Where a block's numbers lie: line i, term k at x[i * line + k * term]; `lines` <= 16 and `terms` <= 32 exist.
struct block_source {
    const float *x;
    int64_t line, term, lines, terms;
};

// Lines lie side by side: pairs of terms as they come. low NULL: bf16, else bf16x3's two parts.
LANES_INLINE void block_pairs(uint32_t *high, uint32_t *low, const struct block_source *s)
{
    for (int64_t pair = 0; pair < BLOCK_PAIRS; pair++) {
        int64_t k = 2 * pair;
        lanes even = k < s->terms ? lanes_load_some(s->x + k * s->term, s->lines) : lanes_zero();
        lanes odd =
            k + 1 < s->terms ? lanes_load_some(s->x + (k + 1) * s->term, s->lines) : lanes_zero();
        if (low) {
            struct bf16_split a = bf16_split(even), b = bf16_split(odd);
            lanes_u32_store(high + pair * 16, lanes_u32_or(lanes_u32_right(a.high, 16), b.high));
            lanes_u32_store(low + pair * 16, lanes_u32_or(lanes_u32_right(a.low, 16), b.low));
        } else {
            lanes_u32 a = lanes_u32_right(bf16_round(even), 16);
            lanes_u32_store(high + pair * 16, lanes_u32_or(a, bf16_round(odd)));
        }
    }
}

// The upper halves of 32 lanes as 16 words.
LANES_INLINE void words_of(uint32_t words[BLOCK_PAIRS], lanes_u32 first, lanes_u32 second)
{
    uint32_t bits[BLOCK_TERMS];
    uint16_t halves[BLOCK_TERMS];
    lanes_u32_store(bits, first);
    lanes_u32_store(bits + LANES, second);
    for (int i = 0; i < BLOCK_TERMS; i++) halves[i] = (uint16_t)(bits[i] >> 16);
    memcpy(words, halves, sizeof halves);
}

// Line after line; terms lie side by side or anyhow.
LANES_INLINE void block_lines(uint32_t *high, uint32_t *low, const struct block_source *s)
{
    int64_t first = s->terms < LANES ? s->terms : LANES, second = s->terms - first;
    for (int64_t i = 0; i < BLOCK_LINES; i++) {
        lanes a = lanes_zero(), b = lanes_zero();
        if (i < s->lines && s->term == 1) {
            a = lanes_load_some(s->x + i * s->line, first);
            b = lanes_load_some(s->x + i * s->line + first, second);
        } else if (i < s->lines) {
            float terms[BLOCK_TERMS] = {0};
            for (int64_t k = 0; k < s->terms; k++) terms[k] = s->x[i * s->line + k * s->term];
            a = lanes_load(terms);
            b = lanes_load(terms + LANES);
        }
        if (low) {
            struct bf16_split u = bf16_split(a), v = bf16_split(b);
            words_of(high + i * 16, u.high, v.high);
            words_of(low + i * 16, u.low, v.low);
        } else {
            words_of(high + i * 16, bf16_round(a), bf16_round(b));
        }
    }
}

// One block, in the order wanted: `to` is its high part; with `split` the low part stands BLOCK_WORDS behind it.
LANES_INLINE void block_pack(uint32_t *to, const struct block_source *s, const bool split,
                             enum block_order order)
{
    uint32_t beside[2 * BLOCK_WORDS];
    enum block_order natural = s->line == 1 ? ORDER_PAIRS : ORDER_LINES;
    uint32_t *high = natural == order ? to : beside;
    uint32_t *low = split ? high + BLOCK_WORDS : NULL;
    if (natural == ORDER_PAIRS)
        block_pairs(high, low, s);
    else
        block_lines(high, low, s);
    if (natural == order) return;
    block_turn(to, high);
    if (split) block_turn(to + BLOCK_WORDS, low);
}

// ---- packed B: panels of 16 columns, each block after block, by pairs; with `split` each block's two parts ----
static inline int64_t blocks_of(int64_t depth) { return (depth + BLOCK_TERMS - 1) / BLOCK_TERMS; }

// Blocks of a panel of a product's packed B, and the first one that the product reads.
static inline int64_t packed_blocks(const struct product *p)
{
    return blocks_of(p->packed_depth ? p->packed_depth : p->depth);
}
static inline int64_t packed_first(const struct product *p)
{
    return p->packed_first / BLOCK_TERMS;
}

static inline size_t panels_bytes(int64_t cols, int64_t depth, bool split)
{
    int64_t panels = (cols + BLOCK_LINES - 1) / BLOCK_LINES;
    return (size_t)(panels * blocks_of(depth) * BLOCK_WORDS * (split ? 2 : 1)) * sizeof(uint32_t);
}

// `count` blocks from block `first` on of the 16 columns from col on.
LANES_INLINE void panel_pack(uint32_t *to, const struct product *p, int64_t col, int64_t first,
                             int64_t count, const bool split)
{
    int64_t cols = p->cols - col < BLOCK_LINES ? p->cols - col : BLOCK_LINES;
    for (int64_t block = first; block < first + count; block++) {
        int64_t k = block * BLOCK_TERMS, left = p->depth - k;
        struct block_source s = {.x = p->b + col * p->b_col + k * p->b_depth,
                                 .line = p->b_col,
                                 .term = p->b_depth,
                                 .lines = cols,
                                 .terms = left < BLOCK_TERMS ? left : BLOCK_TERMS};
        block_pack(to, &s, split, ORDER_PAIRS);
        to += block_words(split);
    }
}

// As product_pack() says.
LANES_INLINE void panels_pack(void *packed, const struct product *p, int64_t first_col,
                              int64_t cols, const bool split)
{
    int64_t end = first_col + cols < p->cols ? first_col + cols : p->cols;
    for (int64_t col = first_col; col < end; col += BLOCK_LINES)
        panel_pack((uint32_t *)packed + panels_bytes(col, p->depth, split) / sizeof(uint32_t), p,
                   col, 0, blocks_of(p->depth), split);
}

// ---- packed B, element by element of B as it lies in memory: its terms or its columns side by side, without gaps ----
// Elements [first, last). What is absent in a block is not touched.
LANES_INLINE void elements_pack(void *packed, const struct product *p, int64_t first, int64_t last,
                                const bool split)
{
    bool by_terms = p->b_col == 1;
    int64_t line = by_terms ? p->cols : p->depth, panel = blocks_of(p->depth) * block_words(split);
    for (int64_t i = first, n; i < last; i += n) {
        uint32_t high[LANES], low[LANES] = {0};
        n = line - i % line < last - i ? line - i % line : last - i;
        if (n > LANES) n = LANES;
        lanes x = lanes_load_some(p->b + i, n);
        if (split) {
            struct bf16_split parts = bf16_split(x);
            lanes_u32_store(high, parts.high);
            lanes_u32_store(low, parts.low);
        } else {
            lanes_u32_store(high, bf16_round(x));
        }
        for (int64_t j = 0; j < n; j++) {
            int64_t across = i / line, along = i % line + j;
            int64_t k = by_terms ? across : along, col = by_terms ? along : across;
            int64_t word = col / BLOCK_LINES * panel + k / BLOCK_TERMS * block_words(split) +
                           k % BLOCK_TERMS / 2 * BLOCK_LINES + col % BLOCK_LINES;
            uint16_t halves[2] = {(uint16_t)(high[j] >> 16), (uint16_t)(low[j] >> 16)};
            char *to = (char *)packed + word * 4 + k % 2 * 2; // the odd term in the upper half
            memcpy(to, &halves[0], sizeof *halves);
            if (split) memcpy(to + (size_t)BLOCK_WORDS * 4, &halves[1], sizeof *halves);
        }
    }
}

// As product_bf16_pack_range() says.
LANES_INLINE void range_pack(void *packed, const struct product *p, int64_t first, int64_t last,
                             const bool split)
{
    bool by_terms = p->b_col == 1;
    int64_t band = product_bf16_band(p), blocks = blocks_of(p->depth), all = p->cols * p->depth;
    int64_t from = (first + band - 1) / band * band, to = last == all ? all : last / band * band;
    if (from >= to) {
        elements_pack(packed, p, first, last, split);
        return;
    }
    elements_pack(packed, p, first, from, split);
    for (int64_t at = from; at < to; at += band) {
        uint32_t *words = packed;
        if (by_terms)
            for (int64_t col = 0; col < p->cols; col += BLOCK_LINES)
                panel_pack(words + (col / BLOCK_LINES * blocks + at / band) * block_words(split), p,
                           col, at / band, 1, split);
        else
            panel_pack(words + at / band * blocks * block_words(split), p, at / band * BLOCK_LINES,
                       0, blocks, split);
    }
    elements_pack(packed, p, to, last, split);
}
#endif
