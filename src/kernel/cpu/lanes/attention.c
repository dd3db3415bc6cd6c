// SPDX-License-Identifier: Apache-2.0
// Self-attention in blocks of 64 queries by 64 keys; the matrix of scores is never whole, and causal
// blocks that nobody sees are passed over.
//
// A head's rows are copied, block by block, into dense panels whose columns are filled up with
// zeros to a multiple of 16 (keys also transposed); everything is then one small product: four rows
// by up to four groups of 16 columns in registers, each element one chain of fma upwards in depth.
// What is computed, for query i and each key j that it sees (j <= i, or every j in the sequence):
//   score     s = (sum over d upwards of q[d] k[d]) scale
//   forward   blocks of keys upwards; m is the largest score so far; where it grows, sum and row
//             are multiplied by e^(m before - m); the sum of e^(s - m) is kept in 16 lanes, key j in
//             lane j % 16; the row is a chain upwards in j
//   backward  p = e^(s - lse), D = lane reduction of dy y, ds = p (dp - D) scale; dv and dk are
//             chains upwards in the query (all queries of the first head that a head of keys
//             serves, then those of the second, …), dq upwards in the key
// Tokens beyond a sequence's length are left out as if the sequence ended there; what belongs to them
// is written as 0.
// Rows go in strips of 16: at the diagonal a strip ends with its last query, and the masked keys
// before that count as zeros, which change nothing but perhaps the sign of a zero, and every zero is
// written as +0. So attention_cached gives the bits of the whole, however many tokens come at once.
// Source: Dao et al. 2022, arXiv:2205.14135; Dao 2023, arXiv:2307.08691.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"
#include "kernel/cpu/lanes/philox_lanes.h"

#include <math.h>

enum {
    BLOCK = 64,
    STRIP = LANES,
    TILE_ROWS = 4, // divides STRIP
#if defined(LANES_avx512)
    TILE_VECTORS = 4,
#else
    TILE_VECTORS = 1, // two or four registers each
#endif
};
_Static_assert((int)BLOCK == (int)PHILOX_BLOCK,
               "one block of random bits is one query's row of a block");

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- products of panels ----
struct panel {
    const float *a;
    int64_t a_row, a_depth; // strides
    const float *b;
    int64_t b_depth; // columns are dense
    int64_t depth;
};

// c[TILE_ROWS, 16 * vectors] = (accumulate ? c : 0) + a b
LANES_INLINE void multiply_tile(float *c, int64_t c_row, const struct panel *p, const float *a,
                                const float *b, bool accumulate, const int vectors)
{
    lanes sum[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 4
    for (int r = 0; r < TILE_ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = accumulate ? lanes_load(c + r * c_row + LANES * v) : lanes_zero();
    for (int64_t k = 0; k < p->depth; k++, a += p->a_depth, b += p->b_depth) {
        lanes right[TILE_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) right[v] = lanes_load(b + LANES * v);
#pragma GCC unroll 4
        for (int r = 0; r < TILE_ROWS; r++) {
            lanes left = lanes_set(a[r * p->a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[r][v] = lanes_fma(left, right[v], sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < TILE_ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) lanes_store(c + r * c_row + LANES * v, sum[r][v]);
}

// The same for `rows` rows, rounded up to TILE_ROWS (memory behind them is there), and 16 * vectors columns.
static void multiply(float *c, int64_t c_row, const struct panel *p, int64_t rows, int64_t vectors,
                     bool accumulate)
{
    for (int64_t v = 0; v < vectors; v += TILE_VECTORS)
        for (int64_t r = 0; r < rows; r += TILE_ROWS) {
            float *corner = c + r * c_row + LANES * v;
            const float *a = p->a + r * p->a_row, *b = p->b + LANES * v;
            switch (smaller(vectors - v, TILE_VECTORS)) {
#if defined(LANES_avx512)
            case 4:
                multiply_tile(corner, c_row, p, a, b, accumulate, 4);
                break;
            case 3:
                multiply_tile(corner, c_row, p, a, b, accumulate, 3);
                break;
            case 2:
                multiply_tile(corner, c_row, p, a, b, accumulate, 2);
                break;
#endif
            default:
                multiply_tile(corner, c_row, p, a, b, accumulate, 1);
                break;
            }
        }
}

// ---- panels ----
// Copies `rows` rows of `size` floats; fills columns up to `width`, and rows up to `padded`, with zeros.
static void pack_rows(float *panel, int64_t width, int64_t padded, const float *x, int64_t x_row,
                      int64_t rows, int64_t size)
{
    for (int64_t r = 0; r < rows; r++) {
        float *to = panel + r * width;
        const float *from = x + r * x_row;
        for (int64_t d = 0; d < width; d += LANES)
            lanes_store(to + d, d + LANES <= size ? lanes_load(from + d)
                                                  : lanes_load_some(from + d, size - d));
    }
    memset(panel + rows * width, 0, (size_t)((padded - rows) * width) * sizeof *panel);
}

static void unpack_rows(float *x, int64_t x_row, const float *panel, int64_t width, int64_t rows,
                        int64_t size)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(x + r * x_row, panel + r * width, (size_t)size * sizeof *x);
}

typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
#if defined(__clang__)
#    define QUAD_PICK(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t quad_order __attribute__((vector_size(16)));
#    define QUAD_PICK(a, b, i, j, k, l) __builtin_shuffle(a, b, (quad_order){i, j, k, l})
#endif

// panel[d, r] = x[r, d], r filled up to BLOCK with zeros.
static void pack_transposed(float *panel, const float *x, int64_t x_row, int64_t rows, int64_t size)
{
    int64_t whole_rows = rows / 4 * 4, whole_size = size / 4 * 4;
    for (int64_t r = 0; r < whole_rows; r += 4) {
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

// ---- one head of one sequence ----
struct head {
    const float *q, *k, *v; // rows of `size` floats
    int64_t q_row, kv_row;
    float *y; // written forward, read backward
    int64_t y_row;
    float *lse;    // one per query, or NULL
    int64_t first; // position of query 0
    int64_t queries, keys, size;
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

static void head_set_dropout(struct head *h, const struct attention *a, int64_t sequence,
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

static struct head head_of(const struct attention *a, int64_t sequence, int64_t index)
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

// Rows from, …, to - 1 of `size` floats become 0.
static void clear_rows(float *x, int64_t x_row, int64_t from, int64_t to, int64_t size)
{
    for (int64_t r = from; r < to; r++) memset(x + r * x_row, 0, (size_t)size * sizeof *x);
}

// The first `visible` of the 16 keys of group `v`.
LANES_INLINE lanes_mask visible_lanes(int64_t visible, int64_t v)
{
    int64_t n = visible - LANES * v;
    return lanes_first(n < 0 ? 0 : n > LANES ? LANES : n);
}

// ---- forward ----
struct forward {
    float *q, *y;   // [BLOCK, width]
    float *k, *v;   // [size, BLOCK], [BLOCK, width]
    float *p;       // [BLOCK, BLOCK]: scores, then probabilities
    float *sum;     // [BLOCK, 16] lanes of the sums of exponentials
    float *largest; // [BLOCK]
    float *shrink;  // [BLOCK] e^(largest before - largest)
};

static float *take(char **place, int64_t count)
{
    float *taken = (float *)*place;
    *place += (size_t)round_up(count, LANES) * sizeof(float);
    return taken;
}

// Raises the largest scores of a strip's rows to those of this block, and says by what the rows shrink.
static void raise_largest(const struct forward *f, const struct head *h, int64_t row, int64_t rows,
                          int64_t position, int64_t block, int64_t vectors)
{
    float *before = f->largest + row, found[STRIP];
    lanes lowest = lanes_set(-INFINITY);
    for (int64_t r = 0; r < rows; r++) {
        const float *s = f->p + (row + r) * BLOCK;
        int64_t visible = seen_keys(h, position + r) - block;
        lanes most = lowest;
        for (int64_t v = 0; v < vectors; v++) {
            lanes x = lanes_mul(lanes_load(s + LANES * v), lanes_set(h->scale));
            if (LANES * (v + 1) > visible) x = lanes_select(visible_lanes(visible, v), x, lowest);
            most = lanes_max(most, x);
        }
        found[r] = lanes_max_all(most);
    }
    lanes old = block ? lanes_load_some(before, rows) : lowest,
          new = lanes_max(old, lanes_load_some(found, rows));
    lanes_store_some(before, new, rows);
    lanes_store_some(f->shrink + row, lanes_exp(lanes_sub(old, new)), rows);
}

// Scores of a strip's rows become probabilities (not yet divided by their sum).
static void exponentials(const struct forward *f, const struct head *h, int64_t row, int64_t rows,
                         int64_t position, int64_t block, int64_t vectors)
{
    lanes scale = lanes_set(h->scale), kept = lanes_set(h->kept);
    lanes_u32 threshold = lanes_u32_set(h->threshold);
    for (int64_t r = 0; r < rows; r++) {
        float *p = f->p + (row + r) * BLOCK, *lane = f->sum + (row + r) * LANES;
        int64_t visible = seen_keys(h, position + r) - block;
        lanes most = lanes_set(f->largest[row + r]);
        lanes sum =
            block ? lanes_mul(lanes_load(lane), lanes_set(f->shrink[row + r])) : lanes_zero();
        lanes_u32 bits[4] = {threshold, threshold, threshold, threshold};
        if (h->drops)
            philox_block(
                h->at, (uint32_t)(position + r) * h->row_blocks + (uint32_t)(block / BLOCK), bits);
        for (int64_t v = 0; v < vectors; v++) {
            lanes x = lanes_exp(lanes_sub(lanes_mul(lanes_load(p + LANES * v), scale), most));
            if (LANES * (v + 1) > visible)
                x = lanes_select(visible_lanes(visible, v), x, lanes_zero());
            sum = lanes_add(sum, x);
            if (h->drops) x = dropout_apply(x, bits[v], threshold, kept);
            lanes_store(p + LANES * v, x);
        }
        lanes_store(lane, sum);
    }
}

static void shrink_rows(const struct forward *f, int64_t row, int64_t rows, int64_t width)
{
    for (int64_t r = row; r < row + rows; r++) {
        if (f->shrink[r] == 1) continue;
        lanes shrink = lanes_set(f->shrink[r]);
        for (float *y = f->y + r * width; y < f->y + (r + 1) * width; y += LANES)
            lanes_store(y, lanes_mul(lanes_load(y), shrink));
    }
}

// Divides by the sums and writes rows and lse.
static void finish_rows(const struct forward *f, const struct head *h, int64_t start, int64_t rows,
                        int64_t width)
{
    float sums[BLOCK];
    for (int64_t r = 0; r < rows; r++) {
        sums[r] = lanes_sum(lanes_load(f->sum + r * LANES));
        lanes inverse = lanes_set(1 / sums[r]);
        float *y = h->y + (start + r) * h->y_row;
        for (int64_t d = 0; d < h->size; d += LANES) {
            lanes x = lanes_add(lanes_mul(lanes_load(f->y + r * width + d), inverse), lanes_zero());
            lanes_store_some(y + d, x, lanes_left(d, h->size));
        }
    }
    if (!h->lse) return;
    for (int64_t r = 0; r < rows; r += LANES) {
        int64_t n = lanes_left(r, rows);
        lanes log_sum = lanes_log(lanes_load_some(sums + r, n));
        lanes_store_some(h->lse + start + r, lanes_add(lanes_load_some(f->largest + r, n), log_sum),
                         n);
    }
}

// Queries start … start + rows - 1, at most BLOCK of them.
static void forward_queries(const struct forward *f, const struct head *h, int64_t start,
                            int64_t rows)
{
    int64_t width = round_up(h->size, LANES), position = h->first + start;
    pack_rows(f->q, width, round_up(rows, TILE_ROWS), h->q + start * h->q_row, h->q_row, rows,
              h->size);
    int64_t seen = seen_keys(h, position + rows - 1);
    for (int64_t block = 0; block < seen; block += BLOCK) {
        int64_t keys = smaller(BLOCK, h->keys - block);
        pack_transposed(f->k, h->k + block * h->kv_row, h->kv_row, keys, h->size);
        pack_rows(f->v, width, keys, h->v + block * h->kv_row, h->kv_row, keys, h->size);
        for (int64_t row = 0; row < rows; row += STRIP) {
            int64_t count = smaller(STRIP, rows - row);
            // Keys that the strip's last row sees.
            int64_t reach = smaller(seen_keys(h, position + row + count - 1) - block, BLOCK);
            if (reach <= 0) continue;
            int64_t vectors = (reach + LANES - 1) / LANES;
            struct panel scores = {f->q + row * width, width, 1, f->k, BLOCK, h->size};
            multiply(f->p + row * BLOCK, BLOCK, &scores, count, vectors, false);
            raise_largest(f, h, row, count, position + row, block, vectors);
            exponentials(f, h, row, count, position + row, block, vectors);
            if (block) shrink_rows(f, row, count, width);
            struct panel mix = {f->p + row * BLOCK, BLOCK, 1, f->v, width, reach};
            multiply(f->y + row * width, width, &mix, count, width / LANES, block > 0);
        }
    }
    finish_rows(f, h, start, rows, width);
}

static void forward_head(const struct head *h, void *scratch)
{
    char *place = scratch;
    int64_t width = round_up(h->size, LANES);
    struct forward f = {.q = take(&place, BLOCK * width),
                        .y = take(&place, BLOCK * width),
                        .k = take(&place, BLOCK * width),
                        .v = take(&place, BLOCK * width),
                        .p = take(&place, BLOCK * BLOCK),
                        .sum = take(&place, BLOCK * LANES),
                        .largest = take(&place, BLOCK),
                        .shrink = take(&place, BLOCK)};
    for (int64_t start = 0; start < h->queries; start += BLOCK)
        forward_queries(&f, h, start, smaller(BLOCK, h->queries - start));
}

void KERNEL_NAME(attention)(const struct attention *a, int64_t from, int64_t to, void *scratch)
{
    for (int64_t i = from; i < to; i++) {
        struct head h = head_of(a, i / a->heads, i % a->heads);
        forward_head(&h, scratch);
        clear_rows(h.y, h.y_row, h.queries, a->tokens, h.size);
        if (h.lse) clear_rows(h.lse, 1, h.queries, a->tokens, 1);
    }
}

void KERNEL_NAME(attention_cached)(const struct attention_cached *a, int64_t from, int64_t to,
                                   void *scratch)
{
    int64_t size = a->head_size, group = a->heads / a->kv_heads;
    int64_t width = a->heads * size, kv_width = a->kv_heads * size, row = width + 2 * kv_width;
    const float *new_k = a->qkv + width;
    for (int64_t half = 0; half < 2; half++)
        for (int64_t t = 0; t < a->tokens; t++)
            memcpy(a->cache + (half * a->context + a->position + t) * kv_width + from * size,
                   new_k + t * row + half * kv_width + from * size,
                   (size_t)((to - from) * size) * sizeof *a->cache);
    for (int64_t index = from * group; index < to * group; index++) {
        struct head h = {.q = a->qkv + index * size,
                         .k = a->cache + index / group * size,
                         .v = a->cache + a->context * kv_width + index / group * size,
                         .q_row = row,
                         .kv_row = kv_width,
                         .y = a->y + index * size,
                         .y_row = width,
                         .first = a->position,
                         .queries = a->tokens,
                         .keys = a->position + a->tokens,
                         .size = size,
                         .scale = 1 / sqrtf((float)size)};
        forward_head(&h, scratch);
    }
}

// ---- backward ----
struct backward {
    float *q, *dy, *dq;         // [BLOCK, width]
    float *k, *dk, *dv;         // [BLOCK, width]
    float *k_across, *v_across; // [size, BLOCK]
    float *p, *ds;              // [BLOCK, BLOCK]: scores, then probabilities; dp, then ds
    float *row_dot;             // [BLOCK] D
};

static void row_dots(float *out, const struct head *h, int64_t start, int64_t rows)
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

// Turns a strip's scores into probabilities (dropped ones as the forward pass dropped them) and dp into ds.
static void score_gradients(const struct backward *b, const struct head *h, int64_t start,
                            int64_t row, int64_t rows, int64_t block, int64_t vectors)
{
    lanes scale = lanes_set(h->scale), kept = lanes_set(h->kept);
    lanes_u32 threshold = lanes_u32_set(h->threshold);
    for (int64_t r = row; r < row + rows; r++) {
        float *p = b->p + r * BLOCK, *ds = b->ds + r * BLOCK;
        int64_t visible = seen_keys(h, start + r) - block;
        lanes lse = lanes_set(h->lse[start + r]), dot = lanes_set(b->row_dot[r]);
        lanes_u32 bits[4] = {threshold, threshold, threshold, threshold};
        if (h->drops)
            philox_block(h->at, (uint32_t)(start + r) * h->row_blocks + (uint32_t)(block / BLOCK),
                         bits);
        for (int64_t v = 0; v < vectors; v++) {
            lanes x = lanes_exp(lanes_sub(lanes_mul(lanes_load(p + LANES * v), scale), lse));
            lanes dp = lanes_load(ds + LANES * v), used = x;
            if (h->drops) {
                used = dropout_apply(x, bits[v], threshold, kept);
                dp = dropout_apply(dp, bits[v], threshold, kept);
            }
            lanes gradient = lanes_mul(lanes_mul(x, lanes_sub(dp, dot)), scale);
            if (LANES * (v + 1) > visible) {
                lanes_mask seen = visible_lanes(visible, v);
                used = lanes_select(seen, used, lanes_zero());
                gradient = lanes_select(seen, gradient, lanes_zero());
            }
            lanes_store(p + LANES * v, used);
            lanes_store(ds + LANES * v, gradient);
        }
    }
}

// What queries start … start + rows - 1 and the keys from `block` have to do with each other. The
// `first` of these queries begin the sums of these keys.
static void backward_block(const struct backward *b, const struct head *h, int64_t start,
                           int64_t rows, int64_t block, int64_t keys, bool first)
{
    int64_t width = round_up(h->size, LANES), padded = round_up(rows, TILE_ROWS);
    bool diagonal = start == block && !h->bidirectional;
    pack_rows(b->q, width, padded, h->q + start * h->q_row, h->q_row, rows, h->size);
    pack_rows(b->dy, width, padded, h->dy + start * h->y_row, h->y_row, rows, h->size);
    if (block) pack_rows(b->dq, width, padded, h->dq + start * h->q_row, h->q_row, rows, h->size);
    row_dots(b->row_dot, h, start, rows);
    for (int64_t row = 0; row < rows; row += STRIP) {
        int64_t count = smaller(STRIP, rows - row), reach = diagonal ? row + count : keys;
        int64_t vectors = (reach + LANES - 1) / LANES;
        struct panel scores = {b->q + row * width, width, 1, b->k_across, BLOCK, h->size};
        multiply(b->p + row * BLOCK, BLOCK, &scores, count, vectors, false);
        struct panel dp = {b->dy + row * width, width, 1, b->v_across, BLOCK, h->size};
        multiply(b->ds + row * BLOCK, BLOCK, &dp, count, vectors, false);
        score_gradients(b, h, start, row, count, block, vectors);
        struct panel dq = {b->ds + row * BLOCK, BLOCK, 1, b->k, width, reach};
        multiply(b->dq + row * width, width, &dq, count, width / LANES, block > 0);
    }
    for (int64_t key = 0; key < keys; key += STRIP) {
        int64_t count = smaller(STRIP, keys - key), from = diagonal ? key : 0;
        struct panel dv = {b->p + from * BLOCK + key, 1,     BLOCK,
                           b->dy + from * width,      width, rows - from};
        multiply(b->dv + key * width, width, &dv, count, width / LANES, !first);
        struct panel dk = {b->ds + from * BLOCK + key, 1,     BLOCK,
                           b->q + from * width,        width, rows - from};
        multiply(b->dk + key * width, width, &dk, count, width / LANES, !first);
    }
    unpack_rows(h->dq + start * h->q_row, h->q_row, b->dq, width, rows, h->size);
}

// `group` heads of queries, `index` the first, over one head of keys and values.
static void backward_group(const struct attention *a, int64_t sequence, int64_t index,
                           int64_t group, void *scratch)
{
    struct head first = head_of(a, sequence, index), *h = &first;
    char *place = scratch;
    int64_t width = round_up(h->size, LANES);
    struct backward b = {.q = take(&place, BLOCK * width),
                         .dy = take(&place, BLOCK * width),
                         .dq = take(&place, BLOCK * width),
                         .k = take(&place, BLOCK * width),
                         .dk = take(&place, BLOCK * width),
                         .dv = take(&place, BLOCK * width),
                         .k_across = take(&place, BLOCK * width),
                         .v_across = take(&place, BLOCK * width),
                         .p = take(&place, BLOCK * BLOCK),
                         .ds = take(&place, BLOCK * BLOCK),
                         .row_dot = take(&place, BLOCK)};
    for (int64_t block = 0; block < h->keys; block += BLOCK) {
        int64_t keys = smaller(BLOCK, h->keys - block);
        pack_rows(b.k, width, keys, h->k + block * h->kv_row, h->kv_row, keys, h->size);
        pack_transposed(b.k_across, h->k + block * h->kv_row, h->kv_row, keys, h->size);
        pack_transposed(b.v_across, h->v + block * h->kv_row, h->kv_row, keys, h->size);
        for (int64_t member = 0; member < group; member++) {
            struct head head = head_of(a, sequence, index + member);
            int64_t start = h->bidirectional ? 0 : block;
            for (bool begins = member == 0; start < h->queries; start += BLOCK, begins = false)
                backward_block(&b, &head, start, smaller(BLOCK, h->queries - start), block, keys,
                               begins);
        }
        unpack_rows(h->dk + block * h->kv_row, h->kv_row, b.dk, width, keys, h->size);
        unpack_rows(h->dv + block * h->kv_row, h->kv_row, b.dv, width, keys, h->size);
    }
    clear_rows(h->dq, h->q_row, h->queries, a->tokens, group * h->size);
    clear_rows(h->dk, h->kv_row, h->keys, a->tokens, h->size);
    clear_rows(h->dv, h->kv_row, h->keys, a->tokens, h->size);
}

void KERNEL_NAME(attention_grad)(const struct attention *a, int64_t from, int64_t to, void *scratch)
{
    int64_t group = a->heads / a->kv_heads;
    for (int64_t i = from; i < to; i++)
        backward_group(a, i / a->kv_heads, i % a->kv_heads * group, group, scratch);
}

size_t KERNEL_NAME(attention_scratch_bytes)(int64_t head_size)
{
    int64_t width = round_up(head_size, LANES);
    return (size_t)(8 * BLOCK * width + 2 * BLOCK * BLOCK + BLOCK * LANES + 2 * BLOCK) *
           sizeof(float);
}
