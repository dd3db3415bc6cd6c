// SPDX-License-Identifier: Apache-2.0
// Matrix product for any strides: packed panels, a tile of C in registers, one fma per term upwards in depth.
//
// Loops, outermost first: depth in blocks of DEPTH_BLOCK (C holds the running sums between blocks: a float
// stored and loaded again is the same float, so the chain just goes on), rows in blocks that keep packed A in
// the second-level cache, panels of TILE_COLS columns of B, packed one at a time, tiles of up to TILE_ROWS
// rows. So blocking never changes a bit. Of small products an operand with a dense dimension is read where it lies; what
// tiles need next is fetched while sums run. Source of the scheme: Goto and van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication".
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/fetch.h"
#include "kernel/cpu/lanes/product_finish.h"

// IN_PLACE_ROWS, IN_PLACE_DEPTH: up to so many rows or terms, B with dense columns is not packed. Narrow tiles read a packed panel
// from the first-level cache (AVX2, character model: 0.84 of peak packed, 0.73 in place), but packing for 20 rows is half of the time.
// Tiles fill the registers: 28 sums of 32 with AVX-512, 12 of 16 with AVX2, 24 of 32 with NEON.
#if defined(LANES_avx512)
enum { TILE_ROWS = 14, TILE_GROUPS = 2, DEPTH_BLOCK = 384, ROW_BLOCK = 336 };
enum { IN_PLACE_ROWS = 384, IN_PLACE_DEPTH = 384 };
#elif defined(LANES_avx2)
enum { TILE_ROWS = 6, TILE_GROUPS = 1, DEPTH_BLOCK = 256, ROW_BLOCK = 288 };
enum { IN_PLACE_ROWS = 24, IN_PLACE_DEPTH = 32 };
#elif defined(LANES_neon)
enum { TILE_ROWS = 6, TILE_GROUPS = 1, DEPTH_BLOCK = 256, ROW_BLOCK = 288 };
enum { IN_PLACE_ROWS = 0, IN_PLACE_DEPTH = 0 };
#else
enum { TILE_ROWS = 4, TILE_GROUPS = 1, DEPTH_BLOCK = 256, ROW_BLOCK = 288 };
enum { IN_PLACE_ROWS = 0, IN_PLACE_DEPTH = 0 };
#endif
enum {
    TILE_COLS = TILE_GROUPS * LANES,
    STREAM_ROWS = 2,               // up to so many rows, B is read where it lies
    STREAM_PANELS = 4,             // of packed B at a time with one row, half as many with two
    STREAM_GROUPS = 4,             // times four columns of B with dense depth at a time
    STREAM_SUMS = 4 * TILE_GROUPS, // of groups of columns of a small B at a time, with one row
    STREAM_DEPTH = 8,              // terms added while a group of sums is in a register
    FETCH_DEPTH = 32,              // terms between looks at what to fetch next
    FETCH_FROM = 128 * 1024,       // elements of B: fewer stay in the second-level cache
    KEPT_COLS = 1536,              // of B at most that are packed for all blocks of rows
    PACK_DEPTH = 64,               // terms of a panel that are packed before the next
    // Where an operand is read so few times, packing it costs more than strides do: A of 192 x 128 x 128 packed took
    // a tenth of the product's time; with 768 columns (bench/gemm, qkv, dy^T x) A in place is as slow or slower.
    IN_PLACE_COLS = 512 // up to so many columns, A is not packed
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- tiles ----
struct tile {
    int64_t depth;
    const float *a;        // packed, or where A lies
    int64_t a_row, a_step; // from row to row, from term to term; one of them is 1
    const float *b;        // its columns are dense; packed, or where B lies
    int64_t b_step;
    float *c; // [rows][groups * 16], all of them present
    int64_t c_row;
    bool continues;        // the sums go on from what C holds
    const float *bias;     // [groups * 16], added at the end, or NULL
    const float *residual; // added after it, or NULL; as far from row to row as C
    const float *next_c;   // the next tile's part of C, as far from row to row
    int64_t next_rows;     // of it, for FETCH_DEPTH terms
    struct fetch *next_b;
    int64_t next_lines; // of next_b, for FETCH_DEPTH terms
};

// The lines of some rows of C: one more where rows do not begin with a line.
LANES_INLINE const float *fetch_rows(const int groups, const float *c, int64_t c_row, int64_t rows)
{
    for (; rows > 0; rows--, c += c_row) {
        LANES_UNROLL for (int g = 0; g < groups; g++) __builtin_prefetch(c + g * LANES, 1, 3);
        __builtin_prefetch(c + groups * LANES - 1, 1, 3);
    }
    return c;
}

// turned: A's depth is dense.
LANES_INLINE void tile_run(const int rows, const int groups, const bool turned,
                           const struct tile *t)
{
    lanes sum[TILE_ROWS][TILE_GROUPS];
    if (t->continues) {
        LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
            sum[i][g] = lanes_load(t->c + i * t->c_row + g * LANES);
    } else {
        LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
            sum[i][g] = lanes_zero();
    }
    // Three rows an address: a processor adds one or two strides to it for nothing.
    const float *a = t->a, *b = t->b, *a3[(TILE_ROWS + 2) / 3];
    const float *next_c = t->next_c;
    const int64_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step;
    LANES_UNROLL for (int i = 0; i < rows; i += 3) a3[i / 3] = a + i * a_row;
    for (int64_t left = t->depth; left > 0; left -= FETCH_DEPTH) {
        next_c = fetch_rows(groups, next_c, t->c_row, t->next_rows);
        fetch_some(t->next_b, t->next_lines);
        for (int64_t k = least(left, FETCH_DEPTH); k > 0; k--) {
            lanes bs[TILE_GROUPS];
            LANES_UNROLL for (int g = 0; g < groups; g++) bs[g] = lanes_load(b + g * LANES);
            LANES_UNROLL for (int i = 0; i < rows; i++)
            {
                lanes ai = lanes_set(turned ? a3[i / 3][i % 3 * a_row] : a[i]);
                LANES_UNROLL for (int g = 0; g < groups; g++) sum[i][g] =
                    lanes_fma(ai, bs[g], sum[i][g]);
            }
            if (turned) {
                LANES_UNROLL for (int i = 0; i < rows; i += 3) a3[i / 3]++;
            }
            a += a_step;
            b += b_step;
        }
    }
    if (t->bias) {
        LANES_UNROLL for (int g = 0; g < groups; g++)
        {
            lanes bias = lanes_load(t->bias + g * LANES);
            LANES_UNROLL for (int i = 0; i < rows; i++) sum[i][g] = lanes_add(sum[i][g], bias);
        }
    }
    if (t->residual) {
        LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
            sum[i][g] = lanes_add(lanes_load(t->residual + i * t->c_row + g * LANES), sum[i][g]);
    }
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
        lanes_store(t->c + i * t->c_row + g * LANES, sum[i][g]);
}

#define TILE(rows, groups)                                                                         \
    static void tile_##rows##_##groups(const struct tile *t) { tile_run(rows, groups, false, t); } \
    static void turned_##rows##_##groups(const struct tile *t) { tile_run(rows, groups, true, t); }
typedef void (*tile_function)(const struct tile *t);
#define TO_4(x, g) x##_1_##g, x##_2_##g, x##_3_##g, x##_4_##g
#define TO_6(x, g) TO_4(x, g), x##_5_##g, x##_6_##g
#define TO_14(x, g)                                                                                \
    TO_6(x, g), x##_7_##g, x##_8_##g, x##_9_##g, x##_10_##g, x##_11_##g, x##_12_##g, x##_13_##g,   \
        x##_14_##g

TILE(1, 1)
TILE(2, 1)
TILE(3, 1)
TILE(4, 1)
#if defined(LANES_generic)
#    define TILES(x)                                                                               \
        {                                                                                          \
            {                                                                                      \
                TO_4(x, 1)                                                                         \
            }                                                                                      \
        }
#else
TILE(5, 1)
TILE(6, 1)
#    if !defined(LANES_avx512)
#        define TILES(x)                                                                           \
            {                                                                                      \
                {                                                                                  \
                    TO_6(x, 1)                                                                     \
                }                                                                                  \
            }
#    else
TILE(7, 1)
TILE(8, 1)
TILE(9, 1)
TILE(10, 1)
TILE(11, 1)
TILE(12, 1)
TILE(13, 1)
TILE(14, 1)
TILE(1, 2)
TILE(2, 2)
TILE(3, 2)
TILE(4, 2)
TILE(5, 2)
TILE(6, 2)
TILE(7, 2)
TILE(8, 2)
TILE(9, 2)
TILE(10, 2)
TILE(11, 2)
TILE(12, 2)
TILE(13, 2)
TILE(14, 2)
#        define TILES(x)                                                                           \
            {                                                                                      \
                {TO_14(x, 1)}, { TO_14(x, 2) }                                                     \
            }
#    endif
#endif
// [A's depth is dense][groups - 1][rows - 1]
static const tile_function tile_table[2][TILE_GROUPS][TILE_ROWS] = {TILES(tile), TILES(turned)};

// ---- packing: panel[k][j] = x[j * stride_j + k * stride_k] for j < n, k < depth ----
typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_index __attribute__((vector_size(16)));
#if defined(__clang__)
#    define QUAD_SHUFFLE(x, y, i, j, k, l) __builtin_shufflevector(x, y, i, j, k, l)
#else
#    define QUAD_SHUFFLE(x, y, i, j, k, l) __builtin_shuffle(x, y, (quad_index){i, j, k, l})
#endif

LANES_INLINE quad quad_load(const float *p)
{
    quad x;
    memcpy(&x, p, sizeof x);
    return x;
}

// y[k][j] = r[j][k]
LANES_INLINE void turn(quad y[4], quad r0, quad r1, quad r2, quad r3)
{
    quad low01 = QUAD_SHUFFLE(r0, r1, 0, 4, 1, 5), high01 = QUAD_SHUFFLE(r0, r1, 2, 6, 3, 7);
    quad low23 = QUAD_SHUFFLE(r2, r3, 0, 4, 1, 5), high23 = QUAD_SHUFFLE(r2, r3, 2, 6, 3, 7);
    y[0] = QUAD_SHUFFLE(low01, low23, 0, 1, 4, 5);
    y[1] = QUAD_SHUFFLE(low01, low23, 2, 3, 6, 7);
    y[2] = QUAD_SHUFFLE(high01, high23, 0, 1, 4, 5);
    y[3] = QUAD_SHUFFLE(high01, high23, 2, 3, 6, 7);
}

// Up to four rows that run along depth, turned: columns 0 … count - 1 of the panel.
LANES_INLINE void pack_rows(const int count, float *panel, int64_t width, const float *x,
                            int64_t stride, int64_t depth)
{
    const float *x0 = x, *x1 = count > 1 ? x + stride : x;
    const float *x2 = count > 2 ? x + 2 * stride : x, *x3 = count > 3 ? x + 3 * stride : x;
    int64_t k = 0;
    for (; k + 4 <= depth; k += 4) {
        quad y[4];
        turn(y, quad_load(x0 + k), quad_load(x1 + k), quad_load(x2 + k), quad_load(x3 + k));
        LANES_UNROLL for (int i = 0; i < 4; i++)
            memcpy(panel + (k + i) * width, &y[i], (size_t)count * sizeof *panel);
    }
    for (; k < depth; k++) {
        float y[4] = {x0[k], x1[k], x2[k], x3[k]};
        memcpy(panel + k * width, y, (size_t)count * sizeof *panel);
    }
}

// n < 16 floats, in pieces whose sizes are powers of two: masked moves are slow and memcpy() is a call.
LANES_INLINE void copy_some(float *to, const float *from, int64_t n)
{
    LANES_UNROLL for (int piece = 8; piece; piece /= 2)
    {
        if (!(n & piece)) continue;
        memcpy(to, from, (size_t)piece * sizeof *to);
        to += piece;
        from += piece;
    }
}

// Chunks of depth keep the part of the panel that four columns after four are written to in the first-level cache.
static void pack_turned(float *panel, int64_t width, const float *x, int64_t stride, int64_t n,
                        int64_t depth)
{
    for (int64_t k = 0; k < depth; k += PACK_DEPTH) {
        int64_t terms = least(depth - k, PACK_DEPTH), j = 0;
        for (; j + 4 <= n; j += 4) pack_rows(4, panel + j, width, x + j * stride, stride, terms);
        if (n - j == 3) pack_rows(3, panel + j, width, x + j * stride, stride, terms);
        if (n - j == 2) pack_rows(2, panel + j, width, x + j * stride, stride, terms);
        if (n - j == 1) pack_rows(1, panel + j, width, x + j * stride, stride, terms);
        panel += PACK_DEPTH * width;
        x += PACK_DEPTH;
    }
}

static void pack(float *panel, int64_t width, const float *x, int64_t stride_j, int64_t stride_k,
                 int64_t n, int64_t depth)
{
    if (stride_k == 1) {
        pack_turned(panel, width, x, stride_j, n, depth);
        return;
    }
    for (int64_t k = 0; k < depth; k++) {
        const float *from = x + k * stride_k;
        float *to = panel + k * width;
        int64_t j = 0;
        if (stride_j == 1) {
            for (; j + LANES <= n; j += LANES) lanes_store(to + j, lanes_load(from + j));
            // A whole load and store where the next term's place, written after, takes what is too much.
            if (k + 1 < depth && stride_k >= LANES && width * (depth - k) >= j + LANES)
                lanes_store(to + j, lanes_load(from + j));
            else
                copy_some(to + j, from + j, n - j);
        } else {
            for (; j < n; j++) to[j] = from[j * stride_j];
        }
    }
}

// ---- few rows: B is read where it lies, once, in order ----
// What is read next is fetched meanwhile, in the order in which it lies: rows or columns side by side, a few kilobytes long, are
// more streams than the processor foresees (doc/measured.md: GPT-2's vocabulary 17 GB/s without, 23 to 28 with).
// Dense columns of B: STREAM_DEPTH rows of it at a time are added to all of C.
static void stream_terms(const struct product *p, int64_t k, int terms, bool continues)
{
    const float *a = p->a + k * p->a_depth, *b = p->b + k * p->b_depth;
    struct fetch next = {.run = b + terms * p->b_depth,
                         .stride = p->b_depth,
                         .count = least(p->depth - k - terms, STREAM_DEPTH),
                         .lines = (p->cols + LANES - 1) / LANES};
    for (int64_t j = 0; j < p->cols; j += LANES) {
        int64_t n = lanes_left(j, p->cols);
        // As many lines as are read meanwhile.
        if (j % (2 * LANES) == 0) fetch_some(&next, 2 * STREAM_DEPTH);
        for (int64_t i = 0; i < p->rows; i++) {
            float *c = p->c + i * p->c_row + j;
            lanes sum = continues ? lanes_load_some(c, n) : lanes_zero();
            for (int d = 0; d < terms; d++) {
                lanes bs = lanes_load_some(b + d * p->b_depth + j, n);
                sum = lanes_fma(lanes_set(a[i * p->a_row + d * p->a_depth]), bs, sum);
            }
            lanes_store_some(c, sum, n);
        }
    }
}

// Groups of 16 dense columns of B, from `col` on, summed to the end in registers; the last one has n columns.
LANES_INLINE void stream_groups(const int rows, const int groups, const struct product *p,
                                int64_t col, int64_t n)
{
    lanes sum[STREAM_ROWS][STREAM_SUMS];
    const float *a = p->a, *b = p->b + col;
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
    {
        const float *c = p->c + i * p->c_row + col + g * LANES;
        sum[i][g] = p->accumulate ? lanes_load_some(c, g == groups - 1 ? n : LANES) : lanes_zero();
    }
    for (int64_t k = 0; k < p->depth; k++) {
        LANES_UNROLL for (int g = 0; g < groups; g++)
        {
            lanes bs = n < LANES && g == groups - 1 ? lanes_load_some(b + g * LANES, n)
                                                    : lanes_load(b + g * LANES);
            LANES_UNROLL for (int i = 0; i < rows; i++) sum[i][g] =
                lanes_fma(lanes_set(a[i * p->a_row]), bs, sum[i][g]);
        }
        a += p->a_depth;
        b += p->b_depth;
    }
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int g = 0; g < groups; g++)
        lanes_store_some(p->c + i * p->c_row + col + g * LANES, sum[i][g],
                         g == groups - 1 ? n : LANES);
}

// B stays in the second-level cache: it need not be read in order.
LANES_INLINE void stream_cached(const int rows, const struct product *p)
{
    const int groups = STREAM_SUMS / rows;
    int64_t col = 0;
    for (; col + groups * LANES <= p->cols; col += groups * LANES)
        stream_groups(rows, groups, p, col, LANES);
    for (; col < p->cols; col += LANES) stream_groups(rows, 1, p, col, lanes_left(col, p->cols));
    if (product_has_finish(p)) product_finish(p, 0, rows, 0, p->cols);
}

static void stream(const struct product *p)
{
    int64_t k = 0;
    if (p->cols * p->depth <= FETCH_FROM) {
        if (p->rows == 1)
            stream_cached(1, p);
        else
            stream_cached(2, p);
        return;
    }
    do {
        int64_t terms = p->depth - k < STREAM_DEPTH ? p->depth - k : STREAM_DEPTH;
        stream_terms(p, k, (int)terms, p->accumulate || k > 0);
        k += STREAM_DEPTH;
    } while (k < p->depth);
    if (product_has_finish(p)) product_finish(p, 0, p->rows, 0, p->cols);
}

LANES_INLINE quad quad_fma(float a, quad b, quad c)
{
    quad as = {a, a, a, a};
#if defined(LANES_avx2) || defined(LANES_avx512)
    return _mm_fmadd_ps(as, b, c);
#elif defined(LANES_neon)
    return vfmaq_f32(c, as, b);
#else
    return lanes_quarter_fma(as, b, c);
#endif
}

// Terms k … k + 3 of group g, whose four columns begin at x and lie at the strides.
LANES_INLINE void stream_four(const int rows, quad sum[STREAM_ROWS][STREAM_GROUPS], const int g,
                              const struct product *p, int64_t k, const float *x, int64_t stride1,
                              int64_t stride2, int64_t stride3)
{
    quad y[4];
    turn(y, quad_load(x + k), quad_load(x + k + stride1), quad_load(x + k + stride2),
         quad_load(x + k + stride3));
    LANES_UNROLL for (int i = 0; i < rows; i++) LANES_UNROLL for (int d = 0; d < 4; d++) sum[i][g] =
        quad_fma(p->a[i * p->a_row + k + d], y[d], sum[i][g]);
}

// Dense depth of B: `groups` times four columns run along depth side by side and are turned in registers. The
// last group has `count` columns that exist.
LANES_INLINE void stream_turned(const int rows, const int groups, const struct product *p,
                                int64_t col, int64_t count)
{
    quad sum[STREAM_ROWS][STREAM_GROUPS] = {{{0}}};
    const float *b = p->b + col * p->b_col, *x[STREAM_GROUPS];
    int64_t stride1 = count > 1 ? p->b_col : 0, stride2 = count > 2 ? 2 * p->b_col : 0;
    int64_t stride3 = count > 3 ? 3 * p->b_col : 0, k = 0;
    size_t last = (size_t)count * sizeof *b;
    struct fetch next = {.run = b + 4 * groups * p->b_col,
                         .stride = p->b_col,
                         .count = p->cols * p->depth <= FETCH_FROM
                                      ? 0
                                      : least(p->cols - col - 4 * groups, 4 * groups),
                         .lines = (p->depth + LANES - 1) / LANES};
    LANES_UNROLL for (int g = 0; g < groups; g++)
    {
        x[g] = b + 4 * g * p->b_col;
        if (!p->accumulate) continue;
        LANES_UNROLL for (int i = 0; i < rows; i++)
            memcpy(&sum[i][g], p->c + i * p->c_row + col + 4 * g, last);
    }
    for (; k + 4 <= p->depth; k += 4) {
        if (k % LANES == 0) fetch_some(&next, 4 * groups);
        LANES_UNROLL for (int g = 0; g < groups; g++)
            stream_four(rows, sum, g, p, k, x[g], stride1, stride2, stride3);
    }
    for (; k < p->depth; k++) {
        LANES_UNROLL for (int g = 0; g < groups; g++)
        {
            const float *at = x[g] + k;
            quad y = {at[0], at[stride1], at[stride2], at[stride3]};
            LANES_UNROLL for (int i = 0; i < rows; i++) sum[i][g] =
                quad_fma(p->a[i * p->a_row + k], y, sum[i][g]);
        }
    }
    LANES_UNROLL for (int g = 0; g < groups; g++) LANES_UNROLL for (int i = 0; i < rows; i++)
        memcpy(p->c + i * p->c_row + col + 4 * g, &sum[i][g], last);
}

LANES_INLINE void stream_all_turned(const int rows, const struct product *p)
{
    int64_t col = 0;
    for (; col + 4 * STREAM_GROUPS <= p->cols; col += 4 * STREAM_GROUPS)
        stream_turned(rows, STREAM_GROUPS, p, col, 4);
    for (; col < p->cols; col += 4) stream_turned(rows, 1, p, col, least(p->cols - col, 4));
    if (product_has_finish(p)) product_finish(p, 0, rows, 0, p->cols);
}

// ---- packed B: panels of TILE_COLS columns, each [depth][columns rounded up to 16] ----
static int64_t panel_width(int64_t cols, int64_t col)
{
    return (least(cols - col, TILE_COLS) + LANES - 1) / LANES * LANES;
}

size_t KERNEL_NAME(product_packed_bytes)(int64_t cols, int64_t depth)
{
    return (size_t)((cols + LANES - 1) / LANES * LANES * depth) * sizeof(float);
}

void KERNEL_NAME(product_pack)(void *packed, const struct product *p, int64_t first_col,
                               int64_t cols)
{
    int64_t end = least(first_col + cols, p->cols);
    for (int64_t col = first_col; col < end; col += TILE_COLS) {
        int64_t width = panel_width(p->cols, col), present = least(p->cols - col, TILE_COLS);
        float *panel = (float *)packed + col * p->depth;
        if (present < width) memset(panel, 0, (size_t)(width * p->depth) * sizeof *panel);
        pack(panel, width, p->b + col * p->b_col, p->b_col, p->b_depth, present, p->depth);
    }
}

// Few rows, B packed: `panels` panels of `groups` groups run along depth side by side, so that sums do not wait for
// each other. The last panel has `cols` columns that exist.
LANES_INLINE void stream_panels(const int rows, const int panels, const int groups,
                                const struct product *p, int64_t col, int64_t cols)
{
    lanes sum[STREAM_ROWS][STREAM_PANELS * TILE_GROUPS];
    const float *b = (const float *)p->packed + col * p->depth, *a = p->a;
    int64_t panel = groups * LANES * p->depth, last = (groups - 1) * LANES;
    LANES_UNROLL for (int i = 0; i < rows; i++)
        LANES_UNROLL for (int g = 0; g < panels * groups; g++)
    {
        const float *c = p->c + i * p->c_row + col + g * LANES;
        int64_t n = panels == 1 && g == groups - 1 ? cols - last : LANES;
        sum[i][g] = p->accumulate ? lanes_load_some(c, n) : lanes_zero();
    }
    for (int64_t k = 0; k < p->depth; k++) {
        LANES_UNROLL for (int g = 0; g < panels * groups; g++)
        {
            lanes bs = lanes_load(b + g / groups * panel + g % groups * LANES);
            LANES_UNROLL for (int i = 0; i < rows; i++) sum[i][g] =
                lanes_fma(lanes_set(a[i * p->a_row]), bs, sum[i][g]);
        }
        a += p->a_depth;
        b += groups * LANES;
    }
    LANES_UNROLL for (int i = 0; i < rows; i++)
        LANES_UNROLL for (int g = 0; g < panels * groups; g++)
    {
        float *c = p->c + i * p->c_row + col + g * LANES;
        lanes_store_some(c, sum[i][g], panels == 1 && g == groups - 1 ? cols - last : LANES);
    }
}

LANES_INLINE void stream_packed(const int rows, const struct product *p)
{
    const int panels = STREAM_PANELS / rows;
    int64_t col = 0;
    for (; col + panels * TILE_COLS <= p->cols; col += panels * TILE_COLS)
        stream_panels(rows, panels, TILE_GROUPS, p, col, TILE_COLS);
    for (; col < p->cols; col += TILE_COLS) {
        int64_t cols = least(p->cols - col, TILE_COLS);
        if (cols > (TILE_GROUPS - 1) * LANES)
            stream_panels(rows, 1, TILE_GROUPS, p, col, cols);
        else
            stream_panels(rows, 1, 1, p, col, cols);
    }
    if (product_has_finish(p)) product_finish(p, 0, rows, 0, p->cols);
}

// ---- blocks ---- Cuts `count` into as few parts of at most `most` as can be, of nearly equal size: the
// first `longer` have least + 1.
struct cut {
    int64_t parts, least, longer;
};
static struct cut cut(int64_t count, int64_t most)
{
    int64_t parts = (count + most - 1) / most;
    return (struct cut){parts, count / parts, count % parts};
}
static int64_t cut_size(const struct cut *c, int64_t part) { return c->least + (part < c->longer); }

// A block of the product: rows [row, row + rows), columns [col, last_col), terms [k, k + depth).
struct block {
    const struct product *p;
    int64_t row, rows, col, last_col, k, depth;
    struct cut tiles;
    float *a, *b; // packed: tiles one behind the other; a panel
    float *
        kept; // all panels of the columns, packed by the first rows' block; NULL where there is no second
    bool a_in_place, b_in_place;
    bool continues, finishes;
    struct fetch ahead;  // what the caller reads next, while no panel needs fetching
    int64_t ahead_lines; // of it, for FETCH_DEPTH terms
};

// How a panel of `cols` columns of B is read: packed before, where it lies, or packed now.
struct panel {
    const float *b;
    int64_t step;
};

static struct panel panel_of(const struct block *b, int64_t col, int64_t cols)
{
    const struct product *p = b->p;
    int64_t width = panel_width(p->cols, col);
    const float *from = p->packed ? NULL : p->b + col * p->b_col + b->k * p->b_depth;
    if (p->packed)
        return (struct panel){(const float *)p->packed + col * p->depth + b->k * width, width};
    if (b->b_in_place && cols == width) return (struct panel){from, p->b_depth};
    float *to = b->kept ? b->kept + (col - b->col) * b->depth : b->b;
    if (b->kept && b->row > 0) return (struct panel){to, width};
    if (cols < width) memset(to, 0, (size_t)(width * b->depth) * sizeof *to);
    pack(to, width, from, p->b_col, p->b_depth, cols, b->depth);
    return (struct panel){to, width};
}

static struct fetch fetch_panel(const struct block *b, int64_t col)
{
    const struct product *p = b->p;
    int64_t cols = least(b->last_col - col, TILE_COLS);
    if (cols <= 0 || p->cols * p->depth <= FETCH_FROM) return (struct fetch){0};
    bool kept = b->kept && b->row > 0;
    if (p->packed || kept) {
        int64_t width = panel_width(p->cols, col);
        const float *panel = kept ? b->kept + (col - b->col) * b->depth
                                  : (const float *)p->packed + col * p->depth + b->k * width;
        return (struct fetch){panel, 0, 1, width * b->depth / CACHE_LINE, 0};
    }
    const float *from = p->b + col * p->b_col + b->k * p->b_depth;
    if (p->b_depth == 1) return (struct fetch){from, p->b_col, cols, b->depth / CACHE_LINE + 1, 0};
    return (struct fetch){from, p->b_depth, b->depth, cols / CACHE_LINE + 1, 0};
}

// One tile, as `tile` says but for its place in C. A tile with absent columns is computed beside C.
static void block_tile(const struct block *b, struct tile *tile, int64_t row, int64_t height,
                       int64_t col, int64_t cols)
{
    const struct product *p = b->p;
    float beside[TILE_ROWS * TILE_COLS], *c = p->c + row * p->c_row + col;
    int64_t groups = (cols + LANES - 1) / LANES;
    bool whole = cols == groups * LANES;
    bool plain = b->finishes && whole && !p->before && p->activation == ACTIVATION_NONE;
    tile->bias = plain && p->bias ? p->bias + col : NULL;
    tile->residual = plain && p->residual ? p->residual + row * p->c_row + col : NULL;
    for (int64_t i = 0; tile->residual && i < height; i++) // it is there when the sums are
        for (int64_t g = 0; g <= groups; g++)
            __builtin_prefetch(tile->residual + i * p->c_row + g * LANES - (g == groups), 0, 3);
    tile->c = whole ? c : beside;
    tile->c_row = whole ? p->c_row : TILE_COLS;
    if (!whole) tile->next_rows = 0;
    for (int64_t i = 0; !whole && b->continues && i < height; i++)
        memcpy(beside + i * TILE_COLS, c + i * p->c_row, (size_t)cols * sizeof *c);
    tile_table[tile->a_step == 1 && tile->a_row != 1][groups - 1][height - 1](tile);
    for (int64_t i = 0; !whole && i < height; i++)
        memcpy(c + i * p->c_row, beside + i * TILE_COLS, (size_t)cols * sizeof *c);
    if (b->finishes && !plain) product_finish(p, row, height, col, cols);
}

static void block_panel(struct block *b, int64_t col)
{
    const struct product *p = b->p;
    int64_t cols = least(p->cols - col, TILE_COLS), row = b->row;
    struct panel panel = panel_of(b, col, cols);
    struct fetch next_b = fetch_panel(b, col + TILE_COLS);
    int64_t looks = (b->depth + FETCH_DEPTH - 1) / FETCH_DEPTH,
            panel_looks = b->tiles.parts * looks;
    struct tile tile = {.depth = b->depth,
                        .a = b->a,
                        .b = panel.b,
                        .b_step = panel.step,
                        .continues = b->continues,
                        .next_b = &next_b,
                        .next_lines =
                            panel_looks ? next_b.count * next_b.lines / panel_looks + 1 : 0};
    if (next_b.count <= 0) {
        tile.next_b = &b->ahead;
        tile.next_lines = b->ahead_lines;
    }
    for (int64_t t = 0; t < b->tiles.parts; t++) {
        int64_t height = cut_size(&b->tiles, t), after = row + height;
        bool last = t + 1 == b->tiles.parts;
        int64_t next = last ? cut_size(&b->tiles, 0) : height;
        tile.next_c = p->c + (last ? b->row * p->c_row + col + TILE_COLS : after * p->c_row + col);
        if (last && col + TILE_COLS >= b->last_col) next = 0;
        tile.next_rows = looks ? (next + looks - 1) / looks : 0;
        if (b->a_in_place) {
            tile.a = p->a + row * p->a_row + b->k * p->a_depth;
            tile.a_row = p->a_row;
            tile.a_step = p->a_depth;
        } else {
            tile.a_row = 1;
            tile.a_step = height;
        }
        block_tile(b, &tile, row, height, col, cols);
        tile.a += height * b->depth;
        row = after;
    }
}

static void block_run(struct block *b)
{
    const struct product *p = b->p;
    float *to = b->a;
    b->tiles = cut(b->rows, TILE_ROWS);
    for (int64_t t = 0, row = b->row; t < b->tiles.parts && !b->a_in_place; t++) {
        int64_t height = cut_size(&b->tiles, t);
        pack(to, height, p->a + row * p->a_row + b->k * p->a_depth, p->a_row, p->a_depth, height,
             b->depth);
        to += height * b->depth;
        row += height;
    }
    for (int64_t col = b->col; col < b->last_col; col += TILE_COLS) block_panel(b, col);
}

// Whether `depth` lines at a stride lie in enough sets of the first-level cache (64 of them) to be read where they are.
static bool spreads(int64_t stride) { return stride % 256 != 0 || stride < 1024; }

// Floats of packed tiles of A and of a panel of B, and behind them of the panels that are kept.
static int64_t packed_floats(int64_t rows, int64_t depth)
{
    int64_t floats = (least(rows, ROW_BLOCK) + TILE_COLS) * least(depth, DEPTH_BLOCK);
    return (floats + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static int64_t kept_floats(int64_t rows, int64_t cols, int64_t depth)
{
    if (rows <= 2 * ROW_BLOCK) return 0;
    return (least(cols, KEPT_COLS) + TILE_COLS) * least(depth, DEPTH_BLOCK);
}

size_t KERNEL_NAME(product_scratch_bytes)(int64_t rows, int64_t cols, int64_t depth)
{
    return (size_t)(packed_floats(rows, depth) + kept_floats(rows, cols, depth)) * sizeof(float) +
           64;
}

// Spreads what the caller reads next over all tiles.
static void fetch_ahead(struct block *b)
{
    const struct product *p = b->p;
    int64_t lines = (p->ahead_cols + CACHE_LINE - 1) / CACHE_LINE;
    int64_t tiles = (p->rows + TILE_ROWS - 1) / TILE_ROWS * ((p->cols + TILE_COLS - 1) / TILE_COLS);
    int64_t looks = tiles * ((p->depth + FETCH_DEPTH - 1) / FETCH_DEPTH);
    b->ahead = (struct fetch){p->ahead, p->ahead_row, p->ahead_rows, lines, 0};
    b->ahead_lines = looks ? p->ahead_rows * lines / looks + 1 : 0;
}

static void block_rows(struct block *b, const struct cut *rows)
{
    b->row = 0;
    for (int64_t part = 0; part < rows->parts; part++) {
        b->rows = cut_size(rows, part);
        block_run(b);
        b->row += b->rows;
    }
}

void KERNEL_NAME(product)(const struct product *p, void *scratch)
{
    if (p->rows <= 0 || p->cols <= 0) return;
    if (p->rows <= STREAM_ROWS && p->packed) {
        if (p->rows == 1)
            stream_packed(1, p);
        else
            stream_packed(2, p);
        return;
    }
    if (p->rows <= STREAM_ROWS && p->b_col == 1) {
        stream(p);
        return;
    }
    // Columns a multiple of 2,048 bytes apart would evict each other from the first-level cache: those are packed.
    if (p->rows <= STREAM_ROWS && p->a_depth == 1 && p->b_depth == 1 && p->b_col % 512 != 0) {
        if (p->rows == 1)
            stream_all_turned(1, p);
        else
            stream_all_turned(2, p);
        return;
    }
    struct cut cut_rows = cut(p->rows, ROW_BLOCK);
    struct block b = {
        .p = p,
        .b = scratch,
        .a_in_place = p->cols <= IN_PLACE_COLS && ((p->a_row == 1 && spreads(p->a_depth)) ||
                                                   (p->a_depth == 1 && p->a_row % 1024 != 0)),
        .b_in_place = p->b_col == 1 && spreads(p->b_depth) &&
                      (p->rows <= IN_PLACE_ROWS || p->depth <= IN_PLACE_DEPTH),
    };
    // Panels are packed once for all blocks of rows, where there are more than two: keeping them costs what it saves with
    // two. For so many columns at a time that A's tiles, packed for each, cost little.
    bool kept = cut_rows.parts > 2 && !p->packed && !b.b_in_place;
    struct cut cut_cols =
        cut((p->cols + TILE_COLS - 1) / TILE_COLS, kept ? KEPT_COLS / TILE_COLS : p->cols);
    if (kept) b.kept = b.b + packed_floats(p->rows, p->depth);
    if (p->ahead_rows > 0) fetch_ahead(&b);
    do {
        b.depth = least(p->depth - b.k, DEPTH_BLOCK);
        b.a = b.b + TILE_COLS * b.depth;
        b.continues = p->accumulate || b.k > 0;
        b.finishes = b.k + b.depth == p->depth && product_has_finish(p);
        b.last_col = 0;
        for (int64_t part = 0; part < cut_cols.parts; part++) {
            b.col = b.last_col;
            b.last_col = least(b.col + cut_size(&cut_cols, part) * TILE_COLS, p->cols);
            block_rows(&b, &cut_rows);
        }
        b.k += DEPTH_BLOCK;
    } while (b.k < p->depth);
}
