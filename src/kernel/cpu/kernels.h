// SPDX-License-Identifier: Apache-2.0
// CPU kernels: pure functions on raw pointers. No graph, no allocation, no global state.
//
// Each is written once over 16 float lanes (lanes/lanes.h) in lanes/<name>.c and compiled for every instruction set, as
// <name>_generic, <name>_avx2, <name>_avx512, <name>_neon; a few have an AMX form beside it in amx/. All give the same bits: the arithmetic is defined, not the code:
//   - a product's element adds its terms upwards in depth, one fma each, starting from 0 (or from C when it accumulates);
//   - a reduction over n elements keeps 16 lanes, element i in lane i % 16, upwards; then lanes add as the tree
//     l += l + 8, l + 4, l + 2, l + 1. Absent elements of the last group leave their lane untouched;
//   - exp, tanh, log, erf are the polynomials of lanes/functions.h; 1/x is a division, 1/sqrt a division by sqrt;
//   - denormals are zero (cpu_flush_to_zero in every computing thread).
// Sizes are element counts. Pointers may be unaligned; outputs never overlap inputs unless a line says so.
#ifndef STN_KERNEL_CPU_KERNELS_H
#define STN_KERNEL_CPU_KERNELS_H

#include "base/numeric.h"
#include "base/team.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#    define KERNEL(type, name, ...)                                                                \
        type name##_generic(__VA_ARGS__);                                                          \
        type name##_avx2(__VA_ARGS__);                                                             \
        type name##_avx512(__VA_ARGS__);
#elif defined(__aarch64__)
#    define KERNEL(type, name, ...)                                                                \
        type name##_generic(__VA_ARGS__);                                                          \
        type name##_neon(__VA_ARGS__);
#else
#    define KERNEL(type, name, ...) type name##_generic(__VA_ARGS__);
#endif
// Those that are also written for tiles (amx/), as <name>_amx; the processor has AVX-512 then.
#if defined(HAVE_AMX)
#    define TILE_KERNEL(type, name, ...) KERNEL(type, name, __VA_ARGS__) type name##_amx(__VA_ARGS__);
#else
#    define TILE_KERNEL KERNEL
#endif

// ---- product.c: C[row, col] = activation((accumulate ? C : 0) + sum over k upwards of A[row, k] B[k, col] + bias[col]) ----
struct product {
    int64_t rows, cols, depth;
    const float *a;
    int64_t a_row, a_depth; // strides of A in elements
    const float *b;
    int64_t b_depth, b_col;
    const void *packed; // (optional) B as product_pack wrote it: then b is not read, and the bits are the same
    int64_t packed_depth, packed_first; // bf16 only: packed B has packed_depth terms (0: depth), of which from packed_first on, a multiple of 32, are read
    float *c;      // dense columns
    int64_t c_row; // stride of C's rows
    bool accumulate;
    const float *bias;  // [cols] or NULL; added (one rounding) after the sum
    float *before;      // (optional) what goes into the activation, laid out as C
    enum activation activation;
    const float *residual; // (optional) laid out as C and apart from it; added last (one rounding)
    // (optional) [ahead_rows, ahead_cols], ahead_row apart: what the caller reads next, fetched meanwhile; float32 only
    const float *ahead;
    int64_t ahead_row, ahead_rows, ahead_cols;
};
KERNEL(void, product, const struct product *p, void *scratch)
KERNEL(size_t, product_scratch_bytes, int64_t rows, int64_t cols, int64_t depth)
// Packed B, for operands that several products read: its layout is the instruction set's own. The columns from c on, where
// c is a multiple of PRODUCT_PANEL, lie at product_packed_bytes(c, depth); so a product of part of the columns finds its own.
enum { PRODUCT_PANEL = 64 };
KERNEL(size_t, product_packed_bytes, int64_t cols, int64_t depth)
// Writes columns [first_col, first_col + cols) of B (b, b_depth, b_col, depth and cols of p) to their place in `packed`, 64-byte
// aligned memory of product_packed_bytes(p->cols, p->depth). first_col is a multiple of PRODUCT_PANEL, and so is cols or it
// reaches the end: several threads may pack parts of one B. Zeros fill its columns up to a multiple of 16; a product may read them, too.
KERNEL(void, product_pack, void *packed, const struct product *p, int64_t first_col, int64_t cols)

// ---- product_bf16.c, amx/product_bf16.c: the same product of operands rounded to bf16, as Intel's TDPBF16PS means it ----
// For each block of 32 terms, upwards in depth, the last one filled up with zeros: a sum of the even terms and one of the odd
// ones, each from +0, upwards, one fma a term; even + odd; and that is added to C, which begins at +0 unless it accumulates.
// Operands: to nearest even; NaN stays NaN, denormals are zeros. Relative error about 2^-8 for each operand.
TILE_KERNEL(void, product_bf16, const struct product *p, void *scratch)
TILE_KERNEL(size_t, product_bf16_scratch_bytes, int64_t rows, int64_t cols, int64_t depth)
TILE_KERNEL(size_t, product_bf16_packed_bytes, int64_t cols, int64_t depth)
TILE_KERNEL(void, product_bf16_pack, void *packed, const struct product *p, int64_t first_col, int64_t cols)
// Writes the places of elements [first, last) of a B without gaps, counted as they lie in memory; what is absent of a B that ends inside
// of a block is left as product_bf16_pack wrote it. Several threads may write apart ranges of one B. Fast for whole bands: those
// elements, from a multiple of their number on, whose places no other element lies between.
TILE_KERNEL(void, product_bf16_pack_range, void *packed, const struct product *p, int64_t first, int64_t last)
static inline int64_t product_bf16_band(const struct product *p) { return p->b_col == 1 ? 32 * p->cols : 16 * p->depth; }
// Nearly a float32 product: x = high + low, high = bf16(x), low = bf16(x - high); for each block three such sums are added to
// C: A high B low, A high B high, A low B high. Infinite and very large x: lanes/bf16_blocks.h.
TILE_KERNEL(void, product_bf16x3, const struct product *p, void *scratch)
TILE_KERNEL(size_t, product_bf16x3_scratch_bytes, int64_t rows, int64_t cols, int64_t depth)
TILE_KERNEL(size_t, product_bf16x3_packed_bytes, int64_t cols, int64_t depth)
TILE_KERNEL(void, product_bf16x3_pack, void *packed, const struct product *p, int64_t first_col, int64_t cols)
TILE_KERNEL(void, product_bf16x3_pack_range, void *packed, const struct product *p, int64_t first, int64_t last)

// ---- elementwise.c ----
KERNEL(void, add, float *y, const float *a, const float *b, int64_t n)     // y may be a or b
KERNEL(void, scale, float *y, const float *x, float s, int64_t n)          // y may be x
KERNEL(float, dot, const float *a, const float *b, int64_t n)
KERNEL(void, activation, float *y, const float *x, int64_t n, enum activation activation) // y may be x
KERNEL(void, activation_grad, float *dx, const float *x, const float *dy, int64_t n, enum activation activation) // dx may be dy
KERNEL(void, column_sum, float *y, const float *x, int64_t x_row, int64_t rows, int64_t cols) // rows, x_row apart, add in order

// ---- swiglu.c: y = silu(a) b ----
KERNEL(void, swiglu, float *y, const float *a, const float *b, int64_t n) // y may be a or b
KERNEL(void, swiglu_grad, float *da, float *db, const float *a, const float *b, const float *dy, int64_t n) // db may be NULL; da may be any input

// ---- functions.c: what lanes/functions.h computes, over an array; y may be x ----
enum lanes_function { FUNCTION_EXP, FUNCTION_LOG, FUNCTION_TANH, FUNCTION_ERF, FUNCTION_SIGMOID };
KERNEL(void, function_values, float *y, const float *x, int64_t n, enum lanes_function function)

// ---- roof.c: what a core can do at most; measured by backend/cpu/roof.h ----
// `terms` multiply-adds in each of several independent chains of 16 lanes, in registers; x [16]: read and written, so that
// nothing is left out. Returns the operations done (an fma is two).
KERNEL(double, fma_chains, float x[16], int64_t terms)
// The same of products of whole tiles of bf16, in amx/ only; x as floats that make pairs of bf16, x[0] > 0.
#if defined(HAVE_AMX)
double tile_chains_amx(float x[16], int64_t terms);
#endif
KERNEL(void, triad, float *y, const float *a, const float *b, float s, int64_t n) // y = a + s b past the caches; y 64-byte aligned

// ---- embedding.c ----
KERNEL(void, embedding, float *y, const float *table, const int32_t *ids, int64_t rows, int64_t width)
struct embedding_grad {
    float *dtable;     // [vocabulary, width] sum, plus in each row the sum of the rows of dy with its id, which add in order
    const float *sum;  // dtable itself: rows without an id are not touched; or NULL: 0
    const int32_t *ids; // [rows] below vocabulary
    const float *dy;   // [rows, width]
    int64_t rows, width, vocabulary;
};
// Columns [first, last) of dtable.
KERNEL(void, embedding_grad, const struct embedding_grad *e, int64_t first, int64_t last, void *scratch)
KERNEL(size_t, embedding_grad_scratch_bytes, int64_t rows, int64_t vocabulary)

// ---- norm.c: x [rows, width]; bias, dgain, dbias may be NULL; mean and variance (two passes) are lane reductions ----
KERNEL(void, layer_norm, float *y, const float *x, const float *gain, const float *bias, int64_t rows, int64_t width, float epsilon)
KERNEL(void, rms_norm, float *y, const float *x, const float *gain, int64_t rows, int64_t width, float epsilon)
struct norm_grad {
    float *dx, *dgain, *dbias; // dgain, dbias: rows add in order
    const float *x, *gain, *dy;
    int64_t rows, width;
    float epsilon;
};
// All parts call it with the same scratch, and meet inside.
KERNEL(void, layer_norm_grad, const struct norm_grad *n, void *scratch, const struct part *part)
KERNEL(void, rms_norm_grad, const struct norm_grad *n, void *scratch, const struct part *part) // dbias is NULL
KERNEL(size_t, norm_grad_scratch_bytes, int64_t rows, int parts)

// ---- recurrent.c: a layer over time; order of gates and blocks: base/numeric.h ----
struct recurrent {
    int64_t batch, tokens, hidden; // gates and kept are blocks of `hidden` columns
    enum cell kind;
    bool reverse;           // the last token (of its length) of a sequence comes first
    const int32_t *lengths; // [batch] 0 <= length <= tokens, or NULL: all. Positions behind are 0 in y, kept and gradients
    const float *z;         // [batch, tokens, gates] what the inputs give
    const float *w, *bias;  // [gates, hidden]; [gates] or NULL
    const float *h0, *c0;   // [batch, hidden] or NULL: 0
    float *y;               // [batch, tokens, hidden]
    float *kept;            // [batch, tokens, kept] or NULL; read (backward)
    float *last_h, *last_c; // [batch, hidden] or NULL; may be h0 and c0
    const float *previous;  // backward, GRU: [batch, tokens, hidden] the state that a position began with
    const float *dy;        // backward
    float *da, *dz;         // backward: [batch, tokens, gates] gradients of h w + bias, and of z (NULL, or the same but for GRU)
    float *dh0, *dc0;       // backward: [batch, hidden] or NULL
};
// Sequences [from, to). An element of h w is one chain over h from 0; bias is added to it, and that to z.
KERNEL(void, recurrent, const struct recurrent *r, int64_t from, int64_t to, void *scratch)
KERNEL(void, recurrent_grad, const struct recurrent *r, int64_t from, int64_t to, void *scratch)
KERNEL(size_t, recurrent_scratch_bytes, enum cell kind, int64_t batch, int64_t hidden) // enough for both

// ---- dropout.c: base/philox.h says which bits an element gets ----
struct dropout {
    double rate;
    uint32_t stream;      // philox_stream(PHILOX_DROPOUT, operation)
    const uint32_t *random; // [4] seed low, seed high, step, first sequence
};
// Blocks [first, last) of 64 elements, counted through all sequences, each of which begins a block. y may be x.
KERNEL(void, dropout, float *y, const float *x, const struct dropout *d, int64_t per_sequence, int64_t first, int64_t last)

// ---- attention.c ----
struct attention {
    int64_t batch, tokens, heads, kv_heads, head_size; // head h reads the keys and values of head h / (heads / kv_heads)
    bool bidirectional;     // else causal
    const int32_t *lengths; // [batch] tokens that are there, 0 <= length <= tokens, or NULL: all
    const float *qkv;      // [batch, tokens, heads + 2 kv_heads, head_size]
    float *y;              // [batch, tokens, heads, head_size]
    float *lse;            // [batch, heads, tokens] or NULL (forward); read (backward)
    const struct dropout *dropout; // NULL or rate 0: none. Stream of head h: stream + h
    const float *dy;       // backward
    float *dqkv;           // backward
};
// Heads [from, to) of the batch * heads.
KERNEL(void, attention, const struct attention *a, int64_t from, int64_t to, void *scratch)
// Heads of keys and values [from, to) of the batch * kv_heads, with the queries that they serve. y: forward's output, read.
KERNEL(void, attention_grad, const struct attention *a, int64_t from, int64_t to, void *scratch)
// Enough for all three; group: heads / kv_heads. Cached: as many keys as the context.
KERNEL(size_t, attention_scratch_bytes, int64_t queries, int64_t keys, int64_t group, int64_t head_size)
// The first two with products by product_bf16 and the softmax in float32 (attention_bf16.c).
TILE_KERNEL(void, attention_bf16, const struct attention *a, int64_t from, int64_t to, void *scratch)
TILE_KERNEL(void, attention_grad_bf16, const struct attention *a, int64_t from, int64_t to, void *scratch)
TILE_KERNEL(size_t, attention_bf16_scratch_bytes, int64_t queries, int64_t keys, int64_t group, int64_t head_size)
struct attention_cached {
    int64_t tokens, context, heads, kv_heads, head_size;
    const float *qkv;  // [tokens, heads + 2 kv_heads, head_size]
    float *cache;      // [2, context, kv_heads * head_size]
    int64_t position;  // tokens already in the cache; position + tokens <= context
    float *y;          // [tokens, heads * head_size]
};
// Heads of keys and values [from, to), with the queries that they serve.
KERNEL(void, attention_cached, const struct attention_cached *a, int64_t from, int64_t to, void *scratch)
struct attention_beams {
    int64_t context, heads, kv_heads, head_size;
    const float *qkv;       // [rows, heads + 2 kv_heads, head_size] of one token each
    float *cache;           // [rows, 2, context, kv_heads * head_size]
    int64_t position;       // tokens before, below context
    const int32_t *origins; // [rows, context] the row of the cache that holds a position before
    float *y;               // [rows, heads * head_size]
};
// Rows [from, to).
KERNEL(void, attention_beams, const struct attention_beams *a, int64_t from, int64_t to, void *scratch)

// ---- cross_attention.c ----
struct cross_attention {
    int64_t batch, queries, keys, heads, size;
    float scale;
    const int32_t *lengths; // [batch] keys that are there, or NULL: all
    const float *q, *kv;    // [batch, queries, heads, size]; [batch, keys, 2, heads, size]
    float *y;               // as q
    float *p;               // [batch, heads, queries, keys] or NULL (forward); read (backward)
    const float *dy;        // backward
    float *dq, *dkv;        // backward; dkv may be NULL
};
// Heads [from, to) of the batch * heads.
KERNEL(void, cross_attention, const struct cross_attention *a, int64_t from, int64_t to, void *scratch)
KERNEL(void, cross_attention_grad, const struct cross_attention *a, int64_t from, int64_t to, void *scratch)
KERNEL(size_t, cross_attention_scratch_bytes, int64_t queries, int64_t keys, int64_t size)

// A mean of vectors under the softmax of given scores, in the same file and with the same scratch (keys, width).
struct mix {
    int64_t batch, queries, keys, width;
    const int32_t *lengths;             // as above
    const float *scores, *memory;       // [batch, queries, keys]; [batch, keys, width]
    float *y, *p;                       // [batch, queries, width]; [batch, queries, keys] or NULL (forward), read (backward)
    const float *dy;                    // backward
    float *ds, *dmemory;                // backward; dmemory may be NULL
};
// Sequences [from, to).
KERNEL(void, mix, const struct mix *m, int64_t from, int64_t to, void *scratch)
KERNEL(void, mix_grad, const struct mix *m, int64_t from, int64_t to, void *scratch)

// ---- additive_scores.c ----
struct additive_scores {
    int64_t batch, queries, keys, width;
    const float *q, *k, *v; // [batch, queries, width], [batch, keys, width], [width]
    float *y;               // [batch, queries, keys]
    const float *dy;        // backward
    float *dq, *dk, *dv;    // backward; dk and dv may be NULL
};
KERNEL(void, additive_scores, const struct additive_scores *a, int64_t from, int64_t to)          // rows of the batch * queries
KERNEL(void, additive_scores_grad, const struct additive_scores *a, int64_t first, int64_t last)  // columns

// ---- score_loss.c ----
struct score_loss_call {
    enum score_loss loss;
    int64_t rows, cols;
    float smoothing;
    const float *scores;    // [rows, cols]
    const int32_t *labels;  // [rows], negative: ignored; or NULL, and
    const float *goals;     // [rows, cols]
    const float *weights;   // [rows] or NULL
    float *total;           // [1]
    float *dscores, *dgoals; // [rows, cols] or NULL
    float *losses;          // [rows] or NULL
};
KERNEL(void, score_loss, const struct score_loss_call *c)
// y = x - (m + log(lane reduction of e^(x - m))) in each row, m the largest. y may be x.
KERNEL(void, log_softmax, float *y, const float *x, int64_t rows, int64_t cols)

// ---- output_loss.c ----
struct output_loss {
    int64_t rows, width, vocabulary;
    int64_t room; // rows that scratch was counted for, at least `rows`; 0: as many
    const float *x, *w;       // [rows, width], [vocabulary, width]
    const int32_t *targets;   // [rows], negative: ignored
    float smoothing;
    float *loss;   // [1] sum over rows (a lane reduction over the rows' losses)
    float *losses; // [rows] or NULL
    float *dx, *dw; // both or none are NULL
    // bf16 and bf16x3 (optional): w packed as an operand B, of logits [width, vocabulary] and of dx [vocabulary, width].
    const void *packed_across, *packed;
};
// All parts call it with the same scratch, and meet inside.
KERNEL(void, output_loss, const struct output_loss *o, void *scratch, const struct part *part)
KERNEL(size_t, output_loss_scratch_bytes, int64_t rows, int64_t width, int64_t vocabulary, int parts)
// With products by product_bf16 and product_bf16x3, which make the logits twice; the sum of a row adds tile by tile of 256 entries.
TILE_KERNEL(void, output_loss_bf16, const struct output_loss *o, void *scratch, const struct part *part)
TILE_KERNEL(size_t, output_loss_bf16_scratch_bytes, int64_t rows, int64_t width, int64_t vocabulary, int parts)
TILE_KERNEL(void, output_loss_bf16x3, const struct output_loss *o, void *scratch, const struct part *part)
TILE_KERNEL(size_t, output_loss_bf16x3_scratch_bytes, int64_t rows, int64_t width, int64_t vocabulary, int parts)

// ---- update.c: the owner's work on a slice ----
// y = the sum of `count` arrays along a program of the batch tree: op[i] >= 0 pushes array op[i], -1 adds the two topmost
// (lower + upper). operations of them; stack depth <= 32. y may be one of the arrays. Returns nothing.
KERNEL(void, tree_sum, float *y, const float *const *array, const int16_t *op, int operations, int64_t n)
// Sum of squares of g * scale, as doubles: one double partial per 1,024 elements (16 double lanes, then the tree), partial[i] for elements 1024 i ...
// g is g + more where more is not NULL (here and in struct update): a sum of two nodes need not be written to be used.
KERNEL(void, square_sums, double *partial, const float *g, const float *more, double scale, int64_t n)
KERNEL(float, max_magnitude, const float *g, int64_t n) // NaN when an element is NaN
// Gradients on their way: rounded to bf16 (to nearest even; a NaN stays one), and back without loss.
KERNEL(void, round_bf16, uint16_t *y, const float *x, int64_t n)
KERNEL(void, widen_bf16, float *y, const uint16_t *x, int64_t n)
struct update {
    float gradient_scale;  // 1 / tokens times the clip factor
    float clip_value;      // elements of the scaled gradient are limited to +-clip_value; 0: not
    float learning_rate;
    float l1, l2;          // added to the gradient: l1 sign(w) + l2 w
    float decay;           // decoupled: w -= learning_rate * decay * w, before the step
    float momentum;        // sgd; rmsprop
    bool nesterov;         // sgd
    float beta1, beta2, epsilon; // adam; rmsprop uses beta2 as its smoothing
    float rest1, rest2;          // 1 - beta1, 1 - beta2, rounded once (1 - 0.999f is wrong in the fifth digit)
    float correction1, correction2; // 1 - beta1^t, 1 - beta2^t
    const float *more;     // NULL, or [n]: the gradient is g + more
};
// w, state arrays and gradient g of n elements; one element's new value depends on that element alone.
KERNEL(void, update_sgd, float *w, float *velocity, const float *g, const struct update *u, int64_t n) // velocity NULL without momentum
KERNEL(void, update_rmsprop, float *w, float *square, float *velocity, const float *g, const struct update *u, int64_t n) // velocity NULL without momentum
KERNEL(void, update_adam, float *w, float *mean, float *square, const float *g, const struct update *u, int64_t n) // adam and adamw

// ---- normal.c: w[i] = (float)(deviation * stable_normal() of element first + i of the stream), as nn/parameters.c draws it ----
KERNEL(void, normal, float *w, uint64_t seed, uint32_t stream, int64_t first, int64_t n, double deviation)
#endif
