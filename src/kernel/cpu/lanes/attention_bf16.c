// SPDX-License-Identifier: Apache-2.0
// Self-attention and its gradient with bf16 operands and float32 sums: every product is product_bf16's, the softmax is float32.
//
// Keys and values of a head are packed once; a block of 64 queries meets them by chunks of KEYS. What is computed, for query i and
// the keys j that it sees (attention.c has the other names):
//   score     s = (q k, rounded to bf16) scale
//   forward   chunks of KEYS keys upwards, m the largest score so far; where it grows, sum and row are multiplied by
//             e^(m before - m); e^(s - m) in float32 goes into 16 lanes of the sum, key j in lane j % 16; rounded to bf16 it is
//             multiplied by the values, and a chunk is added to the row by blocks of 32 keys
//   backward  p = e^(s - lse), dp = dy v, D = lane reduction of dy y, ds = p (dp - D) scale in float32; dv += p dy and dk += ds q by
//             blocks of 32 queries upwards (of one head after the other), dq += ds k by blocks of 32 keys upwards
// Keys that a query does not see count as zeros. KEYS is part of the definition, the number of queries in a block is not.
#include "kernel/cpu/lanes/attention_head.h"
#include "kernel/cpu/lanes/bf16_arithmetic.h"

enum { KEYS = 512 };

static const struct arithmetic bf16 = ARITHMETIC(product_bf16, LANES_ISA);

struct work {
    const struct arithmetic *by;
    void *k_across, *v, *v_across, *k; // packed as B [size, keys], [keys, size], and so on
    float *p, *ds;                     // [BLOCK, KEYS]: scores, then probabilities; dp, then ds
    float *sum;                        // [BLOCK, 16] lanes of the sums of exponentials
    float *largest, *dot;              // [BLOCK]
    void *scratch;                     // of products
};

// Queries start … start + rows - 1 and keys from … from + count - 1.
struct meeting {
    int64_t start, rows, from, count;
};

// ---- scratch ----
static size_t product_bytes(const struct arithmetic *by, int64_t size)
{
    size_t most = by->scratch_bytes(BLOCK, KEYS, size);
    most = larger(most, by->scratch_bytes(BLOCK, size, KEYS));
    return line_up(larger(most, by->scratch_bytes(KEYS, size, BLOCK)));
}

// With scratch NULL only bytes are counted.
static size_t lay_out(struct work *w, int64_t keys, int64_t size, char *scratch)
{
    size_t across = line_up(w->by->packed_bytes(keys, size));
    size_t along = line_up(w->by->packed_bytes(size, keys));
    size_t floats = (2 * BLOCK * KEYS + BLOCK * LANES + 2 * BLOCK) * sizeof(float);
    if (scratch) {
        w->k_across = scratch;
        w->v_across = scratch + across;
        w->k = scratch + 2 * across;
        w->v = w->k; // forward and backward need one of them
        w->p = (float *)(scratch + 2 * across + along);
        w->ds = w->p + BLOCK * KEYS;
        w->sum = w->ds + BLOCK * KEYS;
        w->largest = w->sum + BLOCK * LANES;
        w->dot = w->largest + BLOCK;
        w->scratch = w->dot + BLOCK;
    }
    return 2 * across + along + line_up(floats) + product_bytes(w->by, size);
}

// ---- products ----
static void pack_across(const struct work *w, void *packed, const float *x, const struct head *h)
{
    struct product p = {
        .cols = h->keys, .depth = h->size, .b = x, .b_depth = 1, .b_col = h->kv_row};
    w->by->pack(packed, &p, 0, p.cols);
}
static void pack_along(const struct work *w, void *packed, const float *x, const struct head *h)
{
    struct product p = {
        .cols = h->size, .depth = h->keys, .b = x, .b_depth = h->kv_row, .b_col = 1};
    w->by->pack(packed, &p, 0, p.cols);
}

// c [BLOCK, KEYS] = rows of x times keys (or values), packed across.
static void multiply_across(const struct work *w, const struct head *h, const struct meeting *m,
                            float *c, const float *x, int64_t x_row, const void *packed)
{
    struct product p = {.rows = m->rows,
                        .cols = m->count,
                        .depth = h->size,
                        .a = x + m->start * x_row,
                        .a_row = x_row,
                        .a_depth = 1,
                        .packed = (const char *)packed + w->by->packed_bytes(m->from, h->size),
                        .c = c,
                        .c_row = KEYS};
    w->by->product(&p, w->scratch);
}

// Rows of y += a [BLOCK, KEYS] times keys (or values), packed along.
static void multiply_along(const struct work *w, const struct head *h, const struct meeting *m,
                           float *y, int64_t y_row, const float *a, const void *packed)
{
    struct product p = {.rows = m->rows,
                        .cols = h->size,
                        .depth = m->count,
                        .a = a,
                        .a_row = KEYS,
                        .a_depth = 1,
                        .packed = packed,
                        .packed_depth = h->keys,
                        .packed_first = m->from,
                        .c = y + m->start * y_row,
                        .c_row = y_row,
                        .accumulate = m->from > 0};
    w->by->product(&p, w->scratch);
}

// Rows of dk (or dv) += a [BLOCK, KEYS] transposed times the queries' rows of x.
static void multiply_turned(const struct work *w, const struct head *h, const struct meeting *m,
                            float *dk, const float *a, const float *x, int64_t x_row)
{
    struct product p = {.rows = m->count,
                        .cols = h->size,
                        .depth = m->rows,
                        .a = a,
                        .a_row = 1,
                        .a_depth = KEYS,
                        .b = x + m->start * x_row,
                        .b_depth = x_row,
                        .b_col = 1,
                        .c = dk + m->from * h->kv_row,
                        .c_row = h->kv_row,
                        .accumulate = true};
    w->by->product(&p, w->scratch);
}

// ---- rows ----
// Keys of the chunk that the query in row r sees: at least one, since chunks are whole blocks of queries.
static int64_t visible_keys(const struct head *h, const struct meeting *m, int64_t r)
{
    return smaller(seen_keys(h, m->start + r) - m->from, m->count);
}

// Random bits of the 64 keys that begin with the chunk's key j; without dropout all are kept.
LANES_INLINE void random_bits(const struct head *h, const struct meeting *m, int64_t r, int64_t j,
                              lanes_u32 bits[4])
{
    for (int i = 0; i < 4; i++) bits[i] = lanes_u32_set(h->threshold);
    if (h->drops)
        philox_block(h->at,
                     (uint32_t)(m->start + r) * h->row_blocks + (uint32_t)((m->from + j) / BLOCK),
                     bits);
}

// The largest score of a row, those of earlier chunks among them.
static float row_largest(const struct head *h, const float *s, int64_t visible, float before)
{
    lanes lowest = lanes_set(-INFINITY), most = lanes_set(before), scale = lanes_set(h->scale);
    for (int64_t v = 0; LANES * v < visible; v++) {
        lanes x = lanes_mul(lanes_load(s + LANES * v), scale);
        if (LANES * (v + 1) > visible) x = lanes_select(visible_lanes(visible, v), x, lowest);
        most = lanes_max(most, x);
    }
    return lanes_max_all(most);
}

// Scores of a row become probabilities (not yet divided by their sum), and what was summed shrinks.
static void row_exponentials(const struct work *w, const struct head *h, const struct meeting *m,
                             int64_t r)
{
    float *p = w->p + r * KEYS, *lane = w->sum + r * LANES, *y = h->y + (m->start + r) * h->y_row;
    int64_t visible = visible_keys(h, m, r);
    float before = m->from ? w->largest[r] : -INFINITY, most = row_largest(h, p, visible, before);
    lanes scale = lanes_set(h->scale), shift = lanes_set(most), kept = lanes_set(h->kept);
    lanes shrink = lanes_exp(lanes_sub(lanes_set(before), shift));
    lanes sum = m->from ? lanes_mul(lanes_load(lane), shrink) : lanes_zero();
    lanes_u32 bits[4], threshold = lanes_u32_set(h->threshold);
    w->largest[r] = most;
    for (int64_t j = 0; j < m->count; j += LANES) {
        if (j % BLOCK == 0) random_bits(h, m, r, j, bits);
        lanes x = lanes_exp(lanes_sub(lanes_mul(lanes_load(p + j), scale), shift));
        if (j + LANES > visible)
            x = lanes_select(visible_lanes(visible, j / LANES), x, lanes_zero());
        sum = lanes_add(sum, x);
        if (h->drops) x = dropout_apply(x, bits[j % BLOCK / LANES], threshold, kept);
        lanes_store(p + j, x);
    }
    lanes_store(lane, sum);
    for (int64_t d = 0; m->from && d < h->size; d += LANES) {
        int64_t n = lanes_left(d, h->size);
        lanes_store_some(y + d, lanes_mul(lanes_load_some(y + d, n), shrink), n);
    }
}

// Divides a row by its sum.
static void row_finish(const struct work *w, const struct head *h, int64_t start, int64_t r)
{
    float *y = h->y + (start + r) * h->y_row, logarithm[LANES];
    float sum = lanes_sum(lanes_load(w->sum + r * LANES));
    lanes inverse = lanes_set(1 / sum);
    for (int64_t d = 0; d < h->size; d += LANES) {
        int64_t n = lanes_left(d, h->size);
        lanes x = lanes_add(lanes_mul(lanes_load_some(y + d, n), inverse), lanes_zero());
        lanes_store_some(y + d, x, n);
    }
    if (!h->lse) return;
    lanes_store(logarithm, lanes_log(lanes_set(sum)));
    h->lse[start + r] = w->largest[r] + logarithm[0];
}

// Scores of a row become probabilities as the forward pass had them, and dp becomes ds.
static void row_gradients(const struct work *w, const struct head *h, const struct meeting *m,
                          int64_t r)
{
    float *p = w->p + r * KEYS, *ds = w->ds + r * KEYS;
    int64_t visible = visible_keys(h, m, r);
    lanes scale = lanes_set(h->scale), kept = lanes_set(h->kept);
    lanes lse = lanes_set(h->lse[m->start + r]), dot = lanes_set(w->dot[r]);
    lanes_u32 bits[4], threshold = lanes_u32_set(h->threshold);
    for (int64_t j = 0; j < m->count; j += LANES) {
        if (j % BLOCK == 0) random_bits(h, m, r, j, bits);
        lanes x = lanes_exp(lanes_sub(lanes_mul(lanes_load(p + j), scale), lse));
        lanes dp = lanes_load(ds + j), used = x;
        if (h->drops) {
            used = dropout_apply(x, bits[j % BLOCK / LANES], threshold, kept);
            dp = dropout_apply(dp, bits[j % BLOCK / LANES], threshold, kept);
        }
        lanes gradient = lanes_mul(lanes_mul(x, lanes_sub(dp, dot)), scale);
        if (j + LANES > visible) {
            lanes_mask seen = visible_lanes(visible, j / LANES);
            used = lanes_select(seen, used, lanes_zero());
            gradient = lanes_select(seen, gradient, lanes_zero());
        }
        lanes_store(p + j, used);
        lanes_store(ds + j, gradient);
    }
}

// ---- heads ----
// The next chunk of keys that queries of the block see; false behind the last.
static bool next_chunk(const struct head *h, struct meeting *m)
{
    int64_t seen = seen_keys(h, m->start + m->rows - 1);
    m->from += m->count;
    m->count = smaller(KEYS, seen - m->from);
    return m->count > 0;
}

static void forward_head(const struct work *w, const struct head *h, bool again)
{
    if (!again && h->keys > 0) {
        pack_across(w, w->k_across, h->k, h);
        pack_along(w, w->v, h->v, h);
    }
    for (int64_t start = 0; start < h->queries; start += BLOCK) {
        struct meeting m = {.start = start, .rows = smaller(BLOCK, h->queries - start)};
        while (next_chunk(h, &m)) {
            multiply_across(w, h, &m, w->p, h->q, h->q_row, w->k_across);
            for (int64_t r = 0; r < m.rows; r++) row_exponentials(w, h, &m, r);
            multiply_along(w, h, &m, h->y, h->y_row, w->p, w->v);
        }
        for (int64_t r = 0; r < m.rows; r++) row_finish(w, h, start, r);
    }
}

static void backward_head(const struct work *w, const struct head *h)
{
    for (int64_t start = 0; start < h->queries; start += BLOCK) {
        struct meeting m = {.start = start, .rows = smaller(BLOCK, h->queries - start)};
        row_dots(w->dot, h, start, m.rows);
        while (next_chunk(h, &m)) {
            multiply_across(w, h, &m, w->p, h->q, h->q_row, w->k_across);
            multiply_across(w, h, &m, w->ds, h->dy, h->y_row, w->v_across);
            for (int64_t r = 0; r < m.rows; r++) row_gradients(w, h, &m, r);
            multiply_along(w, h, &m, h->dq, h->q_row, w->ds, w->k);
            multiply_turned(w, h, &m, h->dv, w->p, h->dy, h->y_row);
            multiply_turned(w, h, &m, h->dk, w->ds, h->q, h->q_row);
        }
    }
}

static void forward(const struct arithmetic *by, const struct attention *a, int64_t from,
                    int64_t to, void *scratch)
{
    struct work w = {.by = by};
    lay_out(&w, a->tokens, a->head_size, scratch);
    for (int64_t i = from; i < to; i++) {
        struct head h = head_of(a, i / a->heads, i % a->heads);
        forward_head(&w, &h, i > from && i % (a->heads / a->kv_heads) != 0);
        clear_rows(h.y, h.y_row, h.queries, a->tokens, h.size);
        if (h.lse) clear_rows(h.lse, 1, h.queries, a->tokens, 1);
    }
}

static void backward(const struct arithmetic *by, const struct attention *a, int64_t from,
                     int64_t to, void *scratch)
{
    int64_t group = a->heads / a->kv_heads;
    struct work w = {.by = by};
    lay_out(&w, a->tokens, a->head_size, scratch);
    for (int64_t i = from; i < to; i++) {
        int64_t sequence = i / a->kv_heads, first = i % a->kv_heads * group;
        struct head h = head_of(a, sequence, first);
        // What is summed begins at 0, and so is what lies behind the sequence's end.
        clear_rows(h.dk, h.kv_row, 0, a->tokens, h.size);
        clear_rows(h.dv, h.kv_row, 0, a->tokens, h.size);
        clear_rows(h.dq, h.q_row, h.queries, a->tokens, group * h.size);
        if (h.keys == 0) continue;
        pack_across(&w, w.k_across, h.k, &h);
        pack_across(&w, w.v_across, h.v, &h);
        pack_along(&w, w.k, h.k, &h);
        for (int64_t member = 0; member < group; member++) {
            h = head_of(a, sequence, first + member);
            backward_head(&w, &h);
        }
    }
}

static size_t bytes_of(const struct arithmetic *by, int64_t keys, int64_t size)
{
    return lay_out(&(struct work){.by = by}, keys, size, NULL);
}

#define ATTENTION(isa, by)                                                                         \
    void LANES_PASTE(attention_bf16, isa)(const struct attention *a, int64_t from, int64_t to,     \
                                          void *scratch)                                           \
    {                                                                                              \
        forward(by, a, from, to, scratch);                                                         \
    }                                                                                              \
    void LANES_PASTE(attention_grad_bf16, isa)(const struct attention *a, int64_t from,            \
                                               int64_t to, void *scratch)                          \
    {                                                                                              \
        backward(by, a, from, to, scratch);                                                        \
    }                                                                                              \
    size_t LANES_PASTE(attention_bf16_scratch_bytes, isa)(int64_t queries, int64_t keys,           \
                                                          int64_t group, int64_t head_size)        \
    {                                                                                              \
        (void)queries, (void)group;                                                                \
        return bytes_of(by, keys, head_size);                                                      \
    }
ATTENTION(LANES_ISA, &bf16)
// AMX computes the products alone.
#if defined(LANES_avx512) && defined(HAVE_AMX)
static const struct arithmetic bf16_tiles = ARITHMETIC(product_bf16, amx);
ATTENTION(amx, &bf16_tiles)
#endif
