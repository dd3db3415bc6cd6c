// SPDX-License-Identifier: Apache-2.0
// Attention of one sequence over another, head by head: products of the queries with all keys, a softmax over each row, a product with
// the values. Scores are chains upwards in depth; p = e^(s scale - max) / sum, the sum a lane reduction; rows of y chains
// upwards in keys.
#include "kernel/cpu/kernels.h"
#include "kernel/cpu/lanes/functions.h"

#include <math.h>

static size_t line_up(size_t bytes) { return (bytes + 63) / 64 * 64; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// A product of any of the shapes, and a matrix of scores.
size_t KERNEL_NAME(cross_attention_scratch_bytes)(int64_t queries, int64_t keys, int64_t size)
{
    int64_t most = larger(larger(queries, keys), size);
    return line_up(KERNEL_NAME(product_scratch_bytes)(most, most, most)) +
           line_up((size_t)(queries * keys) * sizeof(float));
}

struct head {
    const float *q, *k, *v; // rows `width` and 2 width apart
    float *p;               // [queries, keys]
    int64_t width, length, at;
    void *scratch;
};

static struct head head_of(const struct cross_attention *a, int64_t number, void *scratch)
{
    int64_t b = number / a->heads, h = number % a->heads, width = a->heads * a->size;
    struct head head = {
        .width = width, .scratch = scratch, .length = a->lengths ? a->lengths[b] : a->keys};
    head.at = b * a->queries * width + h * a->size;
    head.q = a->q + head.at;
    head.k = a->kv + b * a->keys * 2 * width + h * a->size;
    head.v = head.k + width;
    int64_t most = larger(larger(a->queries, a->keys), a->size);
    float *own =
        (float *)((char *)scratch + line_up(KERNEL_NAME(product_scratch_bytes)(most, most, most)));
    head.p = a->p ? a->p + number * a->queries * a->keys : own;
    return head;
}

// Row of scores -> probabilities; what lies behind the length is 0.
static void softmax_row(float *p, int64_t length, int64_t keys, float scale)
{
    lanes most = lanes_set(-INFINITY), sum = lanes_zero(), factor = lanes_set(scale);
    for (int64_t j = 0; j < length; j += LANES) {
        int64_t some = lanes_left(j, length);
        lanes s = lanes_mul(lanes_load_some(p + j, some), factor);
        most = lanes_keep(lanes_max(most, s), most, some);
        lanes_store_some(p + j, s, some);
    }
    most = lanes_set(lanes_max_all(most));
    for (int64_t j = 0; j < length; j += LANES) {
        int64_t some = lanes_left(j, length);
        lanes e = lanes_exp(lanes_sub(lanes_load_some(p + j, some), most));
        sum = lanes_keep(lanes_add(sum, e), sum, some);
        lanes_store_some(p + j, e, some);
    }
    sum = lanes_set(lanes_sum(sum));
    for (int64_t j = 0; j < length; j += LANES) {
        int64_t some = lanes_left(j, length);
        lanes_store_some(p + j, lanes_div(lanes_load_some(p + j, some), sum), some);
    }
    if (length < keys) memset(p + length, 0, (size_t)(keys - length) * sizeof *p);
}

// ds = p (dp - mean) scale, in place of dp; the mean, of p dp, a lane reduction.
static void softmax_back(float *row, const float *p, int64_t length, float scale)
{
    lanes sum = lanes_zero(), factor = lanes_set(scale);
    for (int64_t j = 0; j < length; j += LANES) {
        int64_t some = lanes_left(j, length);
        lanes next = lanes_fma(lanes_load_some(p + j, some), lanes_load_some(row + j, some), sum);
        sum = lanes_keep(next, sum, some);
    }
    lanes mean = lanes_set(lanes_sum(sum));
    for (int64_t j = 0; j < length; j += LANES) {
        int64_t some = lanes_left(j, length);
        lanes d = lanes_sub(lanes_load_some(row + j, some), mean);
        lanes_store_some(row + j, lanes_mul(lanes_mul(lanes_load_some(p + j, some), d), factor),
                         some);
    }
}

static void clear_rows(float *y, int64_t rows, int64_t row, int64_t size)
{
    for (int64_t i = 0; i < rows; i++) memset(y + i * row, 0, (size_t)size * sizeof *y);
}

// s = q k^T, or dp = dy v^T
static void scores(const struct cross_attention *a, const struct head *h, const float *left,
                   const float *right, float *s)
{
    const struct product product = {.rows = a->queries,
                                    .cols = h->length,
                                    .depth = a->size,
                                    .a = left,
                                    .a_row = h->width,
                                    .a_depth = 1,
                                    .b = right,
                                    .b_depth = 1,
                                    .b_col = 2 * h->width,
                                    .c = s,
                                    .c_row = a->keys};
    KERNEL_NAME(product)(&product, h->scratch);
}

// y = p v, or dq = ds k
static void gather(const struct cross_attention *a, const struct head *h, const float *p,
                   const float *right, float *y)
{
    const struct product product = {.rows = a->queries,
                                    .cols = a->size,
                                    .depth = h->length,
                                    .a = p,
                                    .a_row = a->keys,
                                    .a_depth = 1,
                                    .b = right,
                                    .b_depth = 2 * h->width,
                                    .b_col = 1,
                                    .c = y,
                                    .c_row = h->width};
    KERNEL_NAME(product)(&product, h->scratch);
}

// dv = p^T dy, or dk = ds^T q
static void scatter(const struct cross_attention *a, const struct head *h, const float *p,
                    const float *left, float *y)
{
    const struct product product = {.rows = h->length,
                                    .cols = a->size,
                                    .depth = a->queries,
                                    .a = p,
                                    .a_row = 1,
                                    .a_depth = a->keys,
                                    .b = left,
                                    .b_depth = h->width,
                                    .b_col = 1,
                                    .c = y,
                                    .c_row = 2 * h->width};
    KERNEL_NAME(product)(&product, h->scratch);
    clear_rows(y + h->length * 2 * h->width, a->keys - h->length, 2 * h->width, a->size);
}

void KERNEL_NAME(cross_attention)(const struct cross_attention *a, int64_t from, int64_t to,
                                  void *scratch)
{
    for (int64_t i = from; i < to; i++) {
        struct head h = head_of(a, i, scratch);
        if (h.length > 0) scores(a, &h, h.q, h.k, h.p);
        for (int64_t t = 0; t < a->queries; t++)
            softmax_row(h.p + t * a->keys, h.length, a->keys, a->scale);
        if (h.length > 0)
            gather(a, &h, h.p, h.v, a->y + h.at);
        else
            clear_rows(a->y + h.at, a->queries, h.width, a->size);
    }
}

void KERNEL_NAME(cross_attention_grad)(const struct cross_attention *a, int64_t from, int64_t to,
                                       void *scratch)
{
    int64_t most = larger(larger(a->queries, a->keys), a->size);
    float *ds =
        (float *)((char *)scratch + line_up(KERNEL_NAME(product_scratch_bytes)(most, most, most)));
    for (int64_t i = from; i < to; i++) {
        struct head h = head_of(a, i, scratch);
        float *dk = a->dkv ? a->dkv + (h.k - a->kv) : NULL;
        if (h.length > 0) scores(a, &h, a->dy + h.at, h.v, ds);
        for (int64_t t = 0; t < a->queries; t++)
            softmax_back(ds + t * a->keys, h.p + t * a->keys, h.length, a->scale);
        if (h.length > 0)
            gather(a, &h, ds, h.k, a->dq + h.at);
        else
            clear_rows(a->dq + h.at, a->queries, h.width, a->size);
        if (!dk) continue;
        if (h.length > 0) {
            scatter(a, &h, ds, h.q, dk);
            scatter(a, &h, h.p, a->dy + h.at, dk + h.width);
        } else {
            clear_rows(dk, a->keys, 2 * h.width, a->size);
            clear_rows(dk + h.width, a->keys, 2 * h.width, a->size);
        }
    }
}

// ---- a mean of vectors under the softmax of given scores ----
void KERNEL_NAME(mix)(const struct mix *m, int64_t from, int64_t to, void *scratch)
{
    int64_t most = larger(larger(m->queries, m->keys), m->width);
    float *own =
        (float *)((char *)scratch + line_up(KERNEL_NAME(product_scratch_bytes)(most, most, most)));
    for (int64_t b = from; b < to; b++) {
        int64_t length = m->lengths ? m->lengths[b] : m->keys, at = b * m->queries * m->keys;
        float *p = m->p ? m->p + at : own, *y = m->y + b * m->queries * m->width;
        memcpy(p, m->scores + at, (size_t)(m->queries * m->keys) * sizeof *p);
        for (int64_t t = 0; t < m->queries; t++) softmax_row(p + t * m->keys, length, m->keys, 1);
        const struct product product = {.rows = m->queries,
                                        .cols = m->width,
                                        .depth = length,
                                        .a = p,
                                        .a_row = m->keys,
                                        .a_depth = 1,
                                        .b = m->memory + b * m->keys * m->width,
                                        .b_depth = m->width,
                                        .b_col = 1,
                                        .c = y,
                                        .c_row = m->width};
        if (length > 0)
            KERNEL_NAME(product)(&product, scratch);
        else
            clear_rows(y, m->queries, m->width, m->width);
    }
}

void KERNEL_NAME(mix_grad)(const struct mix *m, int64_t from, int64_t to, void *scratch)
{
    for (int64_t b = from; b < to; b++) {
        int64_t length = m->lengths ? m->lengths[b] : m->keys, at = b * m->queries * m->keys;
        const float *p = m->p + at, *dy = m->dy + b * m->queries * m->width,
                    *memory = m->memory + b * m->keys * m->width;
        float *ds = m->ds + at;
        const struct product dp = {.rows = m->queries,
                                   .cols = length,
                                   .depth = m->width,
                                   .a = dy,
                                   .a_row = m->width,
                                   .a_depth = 1,
                                   .b = memory,
                                   .b_depth = 1,
                                   .b_col = m->width,
                                   .c = ds,
                                   .c_row = m->keys};
        if (length > 0) KERNEL_NAME(product)(&dp, scratch);
        for (int64_t t = 0; t < m->queries; t++) {
            softmax_back(ds + t * m->keys, p + t * m->keys, length, 1);
            memset(ds + t * m->keys + length, 0, (size_t)(m->keys - length) * sizeof *ds);
        }
        if (!m->dmemory) continue;
        float *dm = m->dmemory + b * m->keys * m->width;
        const struct product back = {.rows = length,
                                     .cols = m->width,
                                     .depth = m->queries,
                                     .a = p,
                                     .a_row = 1,
                                     .a_depth = m->keys,
                                     .b = dy,
                                     .b_depth = m->width,
                                     .b_col = 1,
                                     .c = dm,
                                     .c_row = m->width};
        if (length > 0) KERNEL_NAME(product)(&back, scratch);
        clear_rows(dm + length * m->width, m->keys - length, m->width, m->width);
    }
}
