// SPDX-License-Identifier: Apache-2.0
// The gradient of attention, a block of keys at a time over all queries that see it; attention.c says what is
// computed.
#include "kernel/cpu/lanes/attention_head.h"

struct backward {
    float *q, *dy, *dq; // [BLOCK, width]; of all queries that the keys serve, where they are kept
    bool kept;
    float *k, *dk, *dv;         // [BLOCK, width]
    float *k_across, *v_across; // [size, BLOCK]
    float *p, *ds;              // [BLOCK, BLOCK]: scores, then probabilities; dp, then ds
    float *row_dot;             // D, as many rows as q
};

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
// `first` of these queries begin the sums of these keys, and the `last` of these keys end those of the
// queries.
static void backward_block(const struct backward *b, const struct head *h, int64_t start,
                           int64_t rows, int64_t block, int64_t keys, bool first, bool last)
{
    int64_t width = round_up(h->size, LANES);
    bool diagonal = start == block && !h->bidirectional;
    if (!b->kept || block == 0) {
        pack_rows(b->q, width, h->q + start * h->q_row, h->q_row, rows, h->size);
        pack_rows(b->dy, width, h->dy + start * h->y_row, h->y_row, rows, h->size);
        row_dots(b->row_dot, h, start, rows);
    }
    if (!b->kept && block)
        pack_rows(b->dq, width, h->dq + start * h->q_row, h->q_row, rows, h->size);
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
    if (!b->kept || last)
        unpack_rows(h->dq + start * h->q_row, h->q_row, b->dq, width, rows, h->size);
}

// One head of queries over the keys from `block`; `member` of its group. next: as for fetch_strip.
static void backward_head(const struct backward *b, const struct head *h, const struct head *next,
                          int64_t member, int64_t block, int64_t keys)
{
    int64_t width = round_up(h->size, LANES), start = h->bidirectional ? 0 : block;
    for (bool first = member == 0; start < h->queries; start += BLOCK, first = false) {
        int64_t rows = smaller(BLOCK, h->queries - start);
        int64_t at = b->kept ? member * round_up(h->queries, BLOCK) + start : 0;
        struct backward part = *b;
        part.q += at * width;
        part.dy += at * width;
        part.dq += at * width;
        part.row_dot += at;
        bool last = h->bidirectional ? block + keys == h->keys : start == block;
        for (int64_t row = 0; block == 0 && row < rows; row += STRIP)
            fetch_strip(h, next, start, row);
        backward_block(&part, h, start, rows, block, keys, first, last);
    }
}

// `group` heads of queries, `index` the first, over one head of keys and values. next: the head after
// these, or NULL.
static void backward_group(const struct attention *a, int64_t sequence, int64_t index,
                           int64_t group, const struct head *next, void *scratch)
{
    struct head first = head_of(a, sequence, index), *h = &first;
    char *place = scratch;
    int64_t width = round_up(h->size, LANES), room = room_for(group * round_up(a->tokens, BLOCK));
    struct backward b = {.kept = group * round_up(h->queries, BLOCK) <= room,
                         .k = take(&place, BLOCK * width),
                         .dk = take(&place, BLOCK * width),
                         .dv = take(&place, BLOCK * width),
                         .k_across = take(&place, BLOCK * width),
                         .v_across = take(&place, BLOCK * width),
                         .p = take(&place, BLOCK * BLOCK),
                         .ds = take(&place, BLOCK * BLOCK),
                         .row_dot = take(&place, room),
                         .q = take(&place, room * width),
                         .dy = take(&place, room * width),
                         .dq = take(&place, room * width)};
    for (int64_t block = 0; block < h->keys; block += BLOCK) {
        int64_t keys = smaller(BLOCK, h->keys - block);
        pack_rows(b.k, width, h->k + block * h->kv_row, h->kv_row, keys, h->size);
        pack_transposed(b.k_across, h->k + block * h->kv_row, h->kv_row, keys, h->size);
        pack_transposed(b.v_across, h->v + block * h->kv_row, h->kv_row, keys, h->size);
        for (int64_t member = 0; member < group; member++) {
            struct head head = head_of(a, sequence, index + member), after;
            bool more = member + 1 < group;
            if (more) after = head_of(a, sequence, index + member + 1);
            backward_head(&b, &head, more ? &after : next, member, block, keys);
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
    for (int64_t i = from; i < to; i++) {
        struct head next;
        bool more = i + 1 < to;
        if (more) next = head_of(a, (i + 1) / a->kv_heads, (i + 1) % a->kv_heads * group);
        backward_group(a, i / a->kv_heads, i % a->kv_heads * group, group, more ? &next : NULL,
                       scratch);
    }
}
