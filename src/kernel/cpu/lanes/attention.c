// SPDX-License-Identifier: Apache-2.0
// Self-attention in blocks of 64 queries by 64 keys; the matrix of scores is never whole, and causal
// blocks that nobody sees are passed over.
//
// Right operands of products are copied into dense panels whose columns are filled up with zeros to a
// multiple of 16 (keys also transposed), once for a head where that fits; left operands are read
// where they lie. Everything is then one small product: a tile of sums in registers, each element one
// chain of fma upwards in depth. Rows of a head lie so far apart that they have to be fetched ahead.
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
// Rows go in strips of 8: at the diagonal a strip ends with its last query, and the masked keys
// before that count as zeros, which change nothing but perhaps the sign of a zero, and every zero is
// written as +0. So attention_cached gives the bits of the whole, however many tokens come at once.
// Source: Dao et al. 2022, arXiv:2205.14135; Dao 2023, arXiv:2307.08691.
#include "kernel/cpu/lanes/attention_head.h"

struct forward {
    float *y;       // [BLOCK, width]
    float *k, *v;   // [size, BLOCK], [BLOCK, width] of a block of keys; of all, where they are kept
    float *p;       // [BLOCK, BLOCK]: scores, then probabilities
    float *sum;     // [BLOCK, 16] lanes of the sums of exponentials
    float *largest; // [BLOCK]
    float *shrink;  // [BLOCK] e^(largest before - largest)
};

// Raises the largest scores of a strip's rows to those of this block, and says by what the rows shrink.
static void raise_largest(const struct forward *f, const struct head *h, int64_t row, int64_t rows,
                          int64_t position, int64_t block, int64_t vectors)
{
    // At least what a whole load reads: compilers do not know that rows are at most STRIP.
    float *before = f->largest + row, found[LANES];
    _Static_assert((int)STRIP <= (int)LANES, "a strip's rows fill one vector");
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
    float sums[BLOCK], inverses[BLOCK];
    for (int64_t r = 0; r < rows; r++) sums[r] = lanes_sum(lanes_load(f->sum + r * LANES));
    for (int64_t r = 0; r < rows; r += LANES) {
        int64_t n = lanes_left(r, rows);
        lanes_store_some(inverses + r, lanes_div(lanes_set(1), lanes_load_some(sums + r, n)), n);
    }
    for (int64_t r = 0; r < rows; r++) {
        lanes inverse = lanes_set(inverses[r]);
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

// Queries start … start + rows - 1, at most BLOCK of them. Keys before `packed` are packed already.
static void forward_queries(const struct forward *f, const struct head *h, const struct head *next,
                            int64_t start, int64_t rows, int64_t packed)
{
    int64_t width = round_up(h->size, LANES), position = h->first + start;
    int64_t seen = seen_keys(h, position + rows - 1);
    bool kept = h->keys <= h->room;
    for (int64_t block = 0; block < seen; block += BLOCK) {
        int64_t keys = smaller(BLOCK, h->keys - block);
        float *k = f->k + (kept ? block * width : 0), *v = f->v + (kept ? block * width : 0);
        if (!kept || block >= packed) {
            pack_transposed(k, h->k + block * h->kv_row, h->kv_row, keys, h->size);
            pack_rows(v, width, h->v + block * h->kv_row, h->kv_row, keys, h->size);
        }
        for (int64_t row = 0; row < rows; row += STRIP) {
            int64_t count = smaller(STRIP, rows - row);
            // Keys that the strip's last row sees.
            int64_t reach = smaller(seen_keys(h, position + row + count - 1) - block, BLOCK);
            if (block == 0) fetch_strip(h, next, start, row);
            if (reach <= 0) continue;
            int64_t vectors = (reach + LANES - 1) / LANES;
            struct panel scores = {h->q + (start + row) * h->q_row, h->q_row, 1, k, BLOCK, h->size};
            multiply(f->p + row * BLOCK, BLOCK, &scores, count, vectors, false);
            raise_largest(f, h, row, count, position + row, block, vectors);
            exponentials(f, h, row, count, position + row, block, vectors);
            if (block) shrink_rows(f, row, count, width);
            struct panel mix = {f->p + row * BLOCK, BLOCK, 1, v, width, reach};
            multiply(f->y + row * width, width, &mix, count, width / LANES, block > 0);
        }
    }
    finish_rows(f, h, start, rows, width);
}

// `again`: the keys and values are those of the head before.
static void forward_head(const struct head *h, const struct head *next, bool again, void *scratch)
{
    char *place = scratch;
    int64_t width = round_up(h->size, LANES);
    struct forward f = {.y = take(&place, BLOCK * width),
                        .p = take(&place, BLOCK * BLOCK),
                        .sum = take(&place, BLOCK * LANES),
                        .largest = take(&place, BLOCK),
                        .shrink = take(&place, BLOCK),
                        .k = take(&place, h->room * width),
                        .v = take(&place, h->room * width)};
    int64_t packed = again ? h->keys : 0;
    for (int64_t start = 0; start < h->queries; start += BLOCK) {
        int64_t rows = smaller(BLOCK, h->queries - start);
        forward_queries(&f, h, next, start, rows, packed);
        int64_t seen = seen_keys(h, h->first + start + rows - 1);
        if (seen > packed) packed = round_up(seen, BLOCK);
    }
}

void KERNEL_NAME(attention)(const struct attention *a, int64_t from, int64_t to, void *scratch)
{
    int64_t group = a->heads / a->kv_heads;
    for (int64_t i = from; i < to; i++) {
        struct head h = head_of(a, i / a->heads, i % a->heads), next;
        if (i + 1 < to) next = head_of(a, (i + 1) / a->heads, (i + 1) % a->heads);
        forward_head(&h, i + 1 < to ? &next : NULL, i > from && i % group != 0, scratch);
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
                         .room = a->tokens > BLOCK ? room_for(a->context) : BLOCK,
                         .scale = 1 / sqrtf((float)size)};
        forward_head(&h, NULL, false, scratch);
    }
}

// The keys (half 0) or values of a head that a row sees, gathered from the rows of the cache that they lie in.
static void gather_keys(const struct attention_beams *a, int64_t row, int64_t half, int64_t column,
                        float *to)
{
    int64_t width = a->kv_heads * a->head_size;
    const int32_t *origins = a->origins + row * a->context;
    for (int64_t key = 0; key <= a->position; key++) {
        int64_t origin = key < a->position ? origins[key] : row;
        memcpy(to + key * a->head_size,
               a->cache + ((origin * 2 + half) * a->context + key) * width + column,
               (size_t)a->head_size * sizeof *to);
    }
}

void KERNEL_NAME(attention_beams)(const struct attention_beams *a, int64_t from, int64_t to,
                                  void *scratch)
{
    int64_t size = a->head_size, group = a->heads / a->kv_heads;
    int64_t width = a->heads * size, kv_width = a->kv_heads * size, all = width + 2 * kv_width;
    char *place = scratch;
    float *k = take(&place, a->context * size), *v = take(&place, a->context * size);
    for (int64_t row = from; row < to; row++) {
        const float *q = a->qkv + row * all;
        for (int64_t half = 0; half < 2; half++)
            memcpy(a->cache + ((row * 2 + half) * a->context + a->position) * kv_width,
                   q + width + half * kv_width, (size_t)kv_width * sizeof *q);
        for (int64_t index = 0; index < a->heads; index++) {
            if (index % group == 0) {
                gather_keys(a, row, 0, index / group * size, k);
                gather_keys(a, row, 1, index / group * size, v);
            }
            struct head h = {.q = q + index * size,
                             .k = k,
                             .v = v,
                             .q_row = all,
                             .kv_row = size,
                             .y = a->y + row * width + index * size,
                             .y_row = width,
                             .first = a->position,
                             .queries = 1,
                             .keys = a->position + 1,
                             .size = size,
                             .room = BLOCK,
                             .scale = 1 / sqrtf((float)size)};
            forward_head(&h, NULL, false, place);
        }
    }
}

size_t KERNEL_NAME(attention_scratch_bytes)(int64_t queries, int64_t keys, int64_t group,
                                            int64_t head_size)
{
    int64_t width = round_up(head_size, LANES);
    int64_t forward = 2 * (queries > BLOCK ? room_for(keys) : BLOCK) * width + BLOCK * width +
                      BLOCK * BLOCK + BLOCK * LANES + 2 * BLOCK;
    int64_t room = room_for(group * round_up(queries, BLOCK));
    int64_t backward = room * (3 * width + 1) + 5 * BLOCK * width + 2 * BLOCK * BLOCK;
    return (size_t)(forward > backward ? forward : backward) * sizeof(float);
}
