// SPDX-License-Identifier: Apache-2.0
// Operations: one file each (op/<name>.c) with shape rule, gradient, plain reference kernel, cost
// and test cases.
//
// One operation is what one good kernel computes. To add one: a new file here, its lines below, one
// line in registry.c (doc/adding-an-operation.md). Tests come from the table: every operation is
// shape-checked, its gradient is checked in double, and every backend's kernels are compared with
// its reference over its `cases`.
//
// Conventions: x, w inputs, y output, dy the gradient with respect to y. F32 unless said.
// [rows.., n] means any leading dimensions.
#ifndef STN_OP_OP_H
#define STN_OP_OP_H

#include "graph/operation.h"
#include "op/attributes.h"

// What a kernel gets: pointers, and the value for shapes and attributes.
struct op_call {
    const struct value *value;
    void *output[1 + MAX_AUX]; // [0] y; [1 + i] auxiliary output i, NULL when nobody asked for it
    const void *input[MAX_INPUTS]; // NULL where an optional input is absent
    void *scratch;                 // 64-byte aligned, of the size the kernel row asked for
};

struct cost {
    double flops;
    double bytes; // read and written, each once
};

// One test case: shapes, dtypes and attributes. I32 inputs are filled with 0..integer_limit-1, some
// of them -1 when `negative` is set. An input of rank -1 is absent.
struct op_case {
    int inputs;
    struct shape input[MAX_INPUTS];
    enum dtype dtype[MAX_INPUTS];
    int integer_limit;
    bool negative;
    const void *attributes;
};

// For operations without a gradient: records STATUS_UNSUPPORTED when a backward pass comes through.
void vjp_none(struct graph *g, struct value *y, struct value *dy, struct value **dx);

// All operations, ending with NULL.
extern const struct op *const op_registry[];
const struct op *op_find(const char *name); // NULL when there is none

// ---- arithmetic ----
extern const struct op add_op, add_row_op, scale_op, multiply_op, dot_op, ones_op;
// a + b, equal shapes.
struct value *op_add(struct graph *g, struct value *a, struct value *b);
// The same row [cols] to all rows of x [rows.., cols]. Gradient: both.
struct value *op_add_row(struct graph *g, struct value *x, struct value *row);
// x * s, s of shape [1]. Returns x itself when s is op_ones().
struct value *op_scale(struct graph *g, struct value *x, struct value *s);
// x * factor. Gradient: x.
struct value *op_multiply(struct graph *g, struct value *x, double factor);
// Sum of a * b, shape [1].
struct value *op_dot(struct graph *g, struct value *a, struct value *b);
// The number 1, shape [1]: the seed of the backward pass.
struct value *op_ones(struct graph *g);

// ---- embedding ----
extern const struct op embedding_op, embedding_grad_op;
// Rows of table [vocabulary, width] at ids [rows..] I32 (0 <= id < vocabulary) -> [rows.., width].
// Gradient: table.
struct value *op_embedding(struct graph *g, struct value *table, struct value *ids);
// Scatter of dy [rows.., width] onto [vocabulary, width]; rows of one id add in order. With a third
// input, a sum that it goes on from: their sum is added to its row.
struct value *op_embedding_grad(struct graph *g, struct value *ids, struct value *dy,
                                int64_t vocabulary);

// ---- linear ----
extern const struct op linear_op, linear_grad_input_op, linear_grad_weight_op, column_sum_op;
// activation(x · w + bias): x [rows.., in]; w [out, in] (LAYOUT_OUT_IN, PyTorch's Linear) or
// [in, out] (LAYOUT_IN_OUT, GPT-2's Conv1D); bias [out] or NULL -> [rows.., out]. Auxiliary output
// 0: what goes into the activation. Gradient: x, w, bias.
struct value *op_linear(struct graph *g, struct value *x, struct value *w, struct value *bias,
                        enum activation activation, enum layout layout);
// residual + (x · w + bias), the bits of op_add of the two: residual [rows.., out]. Gradient: it, too.
struct value *op_linear_add(struct graph *g, struct value *x, struct value *w, struct value *bias,
                            struct value *residual, enum layout layout);
struct value *op_linear_grad_input(struct graph *g, struct value *dy, struct value *w,
                                   enum layout layout);
// dw in the layout of w; rows add upwards.
struct value *op_linear_grad_weight(struct graph *g, struct value *x, struct value *dy,
                                    enum layout layout);
// Sum over rows: [rows.., n] -> [n]; rows add in order.
struct value *op_column_sum(struct graph *g, struct value *x);

// ---- activation ----
extern const struct op activation_op, activation_grad_op;
struct value *op_activation(struct graph *g, struct value *x, enum activation activation);
struct value *op_activation_grad(struct graph *g, struct value *x, struct value *dy,
                                 enum activation activation);

// ---- gated MLP ----
extern const struct op swiglu_op, swiglu_grad_op;
// silu(a) * b, equal shapes. Gradient: both. Source: Shazeer 2020, arXiv:2002.05202.
struct value *op_swiglu(struct graph *g, struct value *a, struct value *b);
// da; auxiliary output 0: db.
struct value *op_swiglu_grad(struct graph *g, struct value *a, struct value *b, struct value *dy);

// ---- normalisation ----
extern const struct op layer_norm_op, layer_norm_grad_op, rms_norm_op, rms_norm_grad_op;
// (x - mean) / sqrt(variance + epsilon) * gain + bias over the last dimension; bias may be NULL.
// Source: Ba et al. 2016, arXiv:1607.06450.
struct value *op_layer_norm(struct graph *g, struct value *x, struct value *gain,
                            struct value *bias, double epsilon);
// dx; auxiliary outputs 0: dgain [width], 1: dbias [width].
struct value *op_layer_norm_grad(struct graph *g, struct value *x, struct value *gain,
                                 struct value *dy, double epsilon);
// x / sqrt(mean(x^2) + epsilon) * gain. Source: Zhang and Sennrich 2019, arXiv:1910.07467.
struct value *op_rms_norm(struct graph *g, struct value *x, struct value *gain, double epsilon);
// dx; auxiliary output 0: dgain [width].
struct value *op_rms_norm_grad(struct graph *g, struct value *x, struct value *gain,
                               struct value *dy, double epsilon);

extern const struct op batch_norm_op, batch_norm_grad_op, batch_norm_running_op, drift_op;
// (x - mean) / sqrt(variance + epsilon) * gain + bias with mean and variance (over n) of each column over all rows. Inputs: x
// [rows.., n], gain, bias, running mean, running variance [n] (the last two may be NULL). Auxiliary outputs 0, 1: mean and
// variance (over n - 1, as PyTorch's running one) [n]. Gradient: x, gain, bias; of the running ones op_drift, which is no
// gradient but what they have to move by. Source: Ioffe and Szegedy 2015, arXiv:1502.03167.
struct value *op_batch_norm(struct graph *g, struct value *const input[5], double epsilon);
// dx; auxiliary outputs 0: dgain, 1: dbias.
struct value *op_batch_norm_grad(struct graph *g, struct value *x, struct value *gain,
                                 struct value *dy, double epsilon);
// The same with the running statistics. No gradient.
struct value *op_batch_norm_running(struct graph *g, struct value *const input[5], double epsilon);
// (running - now) * rows: divided by all rows of a step, subtracting a tenth of it is a running mean of momentum 0.1. No gradient.
struct value *op_drift(struct graph *g, struct value *running, struct value *now, int64_t rows);

// ---- dropout ----
extern const struct op dropout_op;
// Zeroes elements with probability rate, scales the rest by 1 / (1 - rate). x [sequences, ..];
// `random` U32 [4] is (seed low, seed high, step, number of the first sequence in the global
// batch); sequence s draws at philox address (seed, stream of operation `operation`, step, first +
// s), elements counted inside the sequence; those with bits below dropout_threshold(rate)
// are dropped. rate 0 or random NULL returns x. Its gradient is itself applied to dy.
struct value *op_dropout(struct graph *g, struct value *x, struct value *random, double rate,
                         uint32_t operation);
// The same with masks that positions or micro-batches share.
struct value *op_dropout_shared(struct graph *g, struct value *x, struct value *random,
                                const struct dropout_attributes *attributes);

// ---- attention ----
extern const struct op attention_op, attention_grad_op, attention_cached_op;
// Self-attention: qkv [batch, tokens, (heads + 2 * kv_heads) * head_size] (all q, then all k, then
// all v; heads outermost inside each) -> [batch, tokens, heads * head_size]; causal unless
// `bidirectional`; scores scaled by 1 / sqrt(head_size); the score matrix is never stored. kv_heads
// divides heads: query head h reads the keys and values of head h / (heads / kv_heads). lengths I32
// [batch] (0 <= length <= tokens), or NULL for whole sequences: tokens beyond are padding, which no
// token sees, and whose output, lse and gradient are 0. Dropout on the probabilities as op_dropout
// with operation + head, element (query, key) at counter block query * ceil(tokens / 64) + key /
// 64; random may be NULL. Auxiliary output 0: log of the sum of exponentials [batch, heads,
// tokens]. Source: Vaswani et al. 2017; Dao 2023, arXiv:2307.08691; Ainslie et al. 2023,
// arXiv:2305.13245 (grouped heads).
struct value *op_attention(struct graph *g, struct value *qkv, struct value *random,
                           struct value *lengths, const struct attention_attributes *attributes);
// dqkv. Inputs: qkv, random, lengths, y, lse, dy.
struct value *op_attention_grad(struct graph *g, struct value *const input[6],
                                const struct attention_attributes *attributes);
// Causal attention for `tokens` new positions of one sequence: qkv [1, tokens, (heads + 2 *
// kv_heads) * head_size]; cache (state) [2, context, kv_heads * head_size] holds keys, then values;
// position I32 [1] is the number of positions in the cache. Writes the new keys and values into the
// cache, then attends. No gradient.
struct value *op_attention_cached(struct graph *g, struct value *qkv, struct value *cache,
                                  struct value *position, int heads, int kv_heads);

extern const struct op attention_beams_op;
// Causal attention of one new token of each of batch * beams rows. Inputs: qkv [batch, beams, (heads + 2 * kv_heads) * head_size];
// cache (STATE) [rows, 2, context, kv_heads * head_size], keys, then values, of each row; position I32 [1]: tokens before; origins I32
// [rows, context]: the row of the cache in which a row finds each position before. Writes the new keys and values into the row's own
// cache, then attends, with the bits of op_attention over the whole sequence. No gradient.
struct value *op_attention_beams(struct graph *g, struct value *const input[4], int heads,
                                 int kv_heads);

extern const struct op cross_attention_op, cross_attention_grad_op;
// Attention over another sequence: q [batch, queries, width], kv [batch, keys, 2 * width] (keys, then values; heads outermost
// inside each), lengths I32 [batch] of the keys, or NULL -> [batch, queries, width]. A sequence without keys gives 0. Auxiliary
// output 0: probabilities [batch, heads, queries, keys]. Gradient: q, kv. With one head and scale 1 it is Luong's dot score
// (arXiv:1508.04025).
struct value *op_cross_attention(struct graph *g, struct value *q, struct value *kv,
                                 struct value *lengths,
                                 const struct cross_attention_attributes *attributes);
// dq; auxiliary output 0: dkv. Inputs: q, kv, lengths, p, dy.
struct value *op_cross_attention_grad(struct graph *g, struct value *const input[5],
                                      const struct cross_attention_attributes *attributes);

extern const struct op additive_scores_op, additive_scores_grad_op, mix_op, mix_grad_op;
// Sum over columns of v tanh(q + k) for every query and key: q [batch, queries, width], k [batch, keys, width], v [width] ->
// [batch, queries, keys]. Gradient: all. Source: Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2.
struct value *op_additive_scores(struct graph *g, struct value *q, struct value *k,
                                 struct value *v);
// dq; auxiliary outputs 0: dk, 1: dv.
struct value *op_additive_scores_grad(struct graph *g, struct value *q, struct value *k,
                                      struct value *v, struct value *dy);
// softmax(scores) memory: scores [batch, queries, keys], memory [batch, keys, width], lengths I32 [batch] or NULL -> [batch,
// queries, width]; 0 without keys. Auxiliary output 0: probabilities. Gradient: scores, memory.
struct value *op_mix(struct graph *g, struct value *scores, struct value *memory,
                     struct value *lengths);
// dscores; auxiliary output 0: dmemory.
struct value *op_mix_grad(struct graph *g, struct value *p, struct value *memory,
                          struct value *lengths, struct value *dy);

// ---- positions ----
extern const struct op sinusoid_op;
// Column 2 i of a position p: sin(p / 10000^(2 i / width)), column 2 i + 1 its cosine: I32 [rows..] -> [rows.., width]. No gradient.
// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
struct value *op_sinusoid(struct graph *g, struct value *positions, int64_t width);

// ---- sequences to vectors ----
extern const struct op pool_op, pool_grad_op, window_op, window_grad_op;
// Mean, largest, first, last or sum of the positions of each sequence: x [batch, tokens, width], lengths I32 [batch] or NULL ->
// [batch, width]; a length of more than `tokens` is all of them; 0 for an empty sequence. Gradient: x; of several largest the
// first has it.
struct value *op_pool(struct graph *g, struct value *x, struct value *lengths, enum pool pool);
struct value *op_pool_grad(struct graph *g, struct value *x, struct value *lengths,
                           struct value *dy, enum pool pool);
// Row t is x[t] .. x[t + size - 1] behind one another: [batch, tokens, width] -> [batch, tokens - size + 1, size * width]. A
// linear layer over it is a convolution. Gradient: x.
struct value *op_window(struct graph *g, struct value *x, int64_t size);
struct value *op_window_grad(struct graph *g, struct value *dy, int64_t size);

// ---- recurrent layers ----
extern const struct op recurrent_op, recurrent_grad_op, recurrent_previous_op, recurrent_cached_op;
// A layer over time, with the equations, order of gates and names of weights of PyTorch's LSTM, GRU and RNN. Inputs: z [batch,
// tokens, gates * hidden], what x gives (weight_ih, bias_ih: op_linear over all positions); w (weight_hh) [gates * hidden, hidden];
// bias (bias_hh) or NULL; h0, c0 [batch, hidden] or NULL: 0 (c0: LSTM alone); lengths I32 [batch] or NULL. -> h [batch, tokens,
// hidden]; behind the end of a sequence 0. Auxiliary outputs 0: what the backward pass reads; 1, 2: the last h and c [batch, hidden],
// which gradients do not flow through. Products with w are float32 whatever the precision. Gradient: all but lengths.
// Sources: enum cell (base/numeric.h).
struct value *op_recurrent(struct graph *g, struct value *const input[6],
                           const struct recurrent_attributes *attributes);
// da [batch, tokens, gates * hidden], the gradient of h w + bias. Inputs: kept (auxiliary output 0; TANH: y), w, dy, previous
// (GRU, else NULL will do), c0, lengths. Auxiliary outputs 0: dh0, 1: dc0, 2: dz, which is da but for GRU.
struct value *op_recurrent_grad(struct graph *g, struct value *const input[6],
                                const struct recurrent_attributes *attributes);
// The states that positions began with: y of the position before (after, in reverse), h0 or 0 at the first; 0 behind the end.
// No gradient.
struct value *op_recurrent_previous(struct graph *g, struct value *y, struct value *h0,
                                    struct value *lengths, bool reverse);
// The same layer for new tokens of one sequence. Inputs: z [1, tokens, gates * hidden], w, bias, state (STATE) [2, hidden]: h, then c,
// read (0 where position is 0) and written; position I32 [1], tokens so far; length I32 [1], how many of the tokens are there.
// No gradient.
struct value *op_recurrent_cached(struct graph *g, struct value *const input[6], enum cell kind);

// ---- columns of the last dimension ----
extern const struct op concat_op, slice_op, place_op;
// a [rows.., n], b [rows.., m] -> [rows.., n + m]. Gradient: both.
struct value *op_concat(struct graph *g, struct value *a, struct value *b);
// Columns first .. first + count - 1. Gradient: x.
struct value *op_slice(struct graph *g, struct value *x, int64_t first, int64_t count);
// x at column `first` of [rows.., width], 0 around it. Gradient: x.
struct value *op_place(struct graph *g, struct value *x, int64_t first, int64_t width);

// ---- shape ----
extern const struct op reshape_op;
// The same elements in another shape of as many. Gradient: x.
struct value *op_reshape(struct graph *g, struct value *x, struct shape shape);

// ---- probabilities ----
extern const struct op log_softmax_op;
// x less the log of the sum of e^x over the last dimension. No gradient.
struct value *op_log_softmax(struct graph *g, struct value *x);

// ---- loss ----
extern const struct op output_loss_op;
// Cross-entropy fused with the output layer, summed over rows: x [rows.., width], w
// [vocabulary, width], targets [rows..] I32 (negative: the row is ignored) -> [1]. Logits of all
// rows never exist at once. With smoothing s the target distribution is (1 - s) on the target plus
// s / vocabulary on every entry. Auxiliary outputs 0: dx, 1: dw (gradients of the sum), 2: losses
// [rows..].
struct value *op_output_loss(struct graph *g, struct value *x, struct value *w,
                             struct value *targets, double smoothing);

extern const struct op score_loss_op, class_loss_op;
// Sum over rows of weight * (sum over columns of the loss) of scores against goals [rows, n] (BINARY .. SQUARED_HINGE); weights [rows] or
// NULL: 1, and 0 is padding -> [1]. Auxiliary outputs 0: dscores, 1: losses of rows without their weights, 2: dgoals. Gradient: all.
struct value *op_score_loss(struct graph *g, struct value *scores, struct value *goals,
                            struct value *weights, enum score_loss loss);
// The same for one of n classes: labels I32 [rows], negative: ignored; SOFTMAX (with smoothing as op_output_loss), HINGE or
// SQUARED_HINGE. Weights of classes are weights of rows. Gradient: scores, weights.
struct value *op_class_loss(struct graph *g, struct value *scores, struct value *labels,
                            struct value *weights, enum score_loss loss, double smoothing);

// ---- the place of the caller, for messages: definitions are written (op_add)(...) ----
#define op_add(g, ...)                  PLACED(g, op_add(g, __VA_ARGS__))
#define op_add_row(g, ...)              PLACED(g, op_add_row(g, __VA_ARGS__))
#define op_scale(g, ...)                PLACED(g, op_scale(g, __VA_ARGS__))
#define op_multiply(g, ...)             PLACED(g, op_multiply(g, __VA_ARGS__))
#define op_dot(g, ...)                  PLACED(g, op_dot(g, __VA_ARGS__))
#define op_ones(g)                      PLACED(g, op_ones(g))
#define op_embedding(g, ...)            PLACED(g, op_embedding(g, __VA_ARGS__))
#define op_embedding_grad(g, ...)       PLACED(g, op_embedding_grad(g, __VA_ARGS__))
#define op_linear(g, ...)               PLACED(g, op_linear(g, __VA_ARGS__))
#define op_linear_add(g, ...)           PLACED(g, op_linear_add(g, __VA_ARGS__))
#define op_linear_grad_input(g, ...)    PLACED(g, op_linear_grad_input(g, __VA_ARGS__))
#define op_linear_grad_weight(g, ...)   PLACED(g, op_linear_grad_weight(g, __VA_ARGS__))
#define op_column_sum(g, ...)           PLACED(g, op_column_sum(g, __VA_ARGS__))
#define op_activation(g, ...)           PLACED(g, op_activation(g, __VA_ARGS__))
#define op_activation_grad(g, ...)      PLACED(g, op_activation_grad(g, __VA_ARGS__))
#define op_swiglu(g, ...)               PLACED(g, op_swiglu(g, __VA_ARGS__))
#define op_swiglu_grad(g, ...)          PLACED(g, op_swiglu_grad(g, __VA_ARGS__))
#define op_layer_norm(g, ...)           PLACED(g, op_layer_norm(g, __VA_ARGS__))
#define op_layer_norm_grad(g, ...)      PLACED(g, op_layer_norm_grad(g, __VA_ARGS__))
#define op_rms_norm(g, ...)             PLACED(g, op_rms_norm(g, __VA_ARGS__))
#define op_rms_norm_grad(g, ...)        PLACED(g, op_rms_norm_grad(g, __VA_ARGS__))
#define op_dropout(g, ...)              PLACED(g, op_dropout(g, __VA_ARGS__))
#define op_dropout_shared(g, ...)       PLACED(g, op_dropout_shared(g, __VA_ARGS__))
#define op_attention(g, ...)            PLACED(g, op_attention(g, __VA_ARGS__))
#define op_attention_grad(g, ...)       PLACED(g, op_attention_grad(g, __VA_ARGS__))
#define op_attention_cached(g, ...)     PLACED(g, op_attention_cached(g, __VA_ARGS__))
#define op_attention_beams(g, ...)      PLACED(g, op_attention_beams(g, __VA_ARGS__))
#define op_reshape(g, ...)              PLACED(g, op_reshape(g, __VA_ARGS__))
#define op_log_softmax(g, ...)          PLACED(g, op_log_softmax(g, __VA_ARGS__))
#define op_recurrent(g, ...)            PLACED(g, op_recurrent(g, __VA_ARGS__))
#define op_recurrent_grad(g, ...)       PLACED(g, op_recurrent_grad(g, __VA_ARGS__))
#define op_recurrent_previous(g, ...)   PLACED(g, op_recurrent_previous(g, __VA_ARGS__))
#define op_recurrent_cached(g, ...)     PLACED(g, op_recurrent_cached(g, __VA_ARGS__))
#define op_concat(g, ...)               PLACED(g, op_concat(g, __VA_ARGS__))
#define op_slice(g, ...)                PLACED(g, op_slice(g, __VA_ARGS__))
#define op_place(g, ...)                PLACED(g, op_place(g, __VA_ARGS__))
#define op_batch_norm(g, ...)           PLACED(g, op_batch_norm(g, __VA_ARGS__))
#define op_batch_norm_grad(g, ...)      PLACED(g, op_batch_norm_grad(g, __VA_ARGS__))
#define op_batch_norm_running(g, ...)   PLACED(g, op_batch_norm_running(g, __VA_ARGS__))
#define op_drift(g, ...)                PLACED(g, op_drift(g, __VA_ARGS__))
#define op_cross_attention(g, ...)      PLACED(g, op_cross_attention(g, __VA_ARGS__))
#define op_cross_attention_grad(g, ...) PLACED(g, op_cross_attention_grad(g, __VA_ARGS__))
#define op_pool(g, ...)                 PLACED(g, op_pool(g, __VA_ARGS__))
#define op_pool_grad(g, ...)            PLACED(g, op_pool_grad(g, __VA_ARGS__))
#define op_window(g, ...)               PLACED(g, op_window(g, __VA_ARGS__))
#define op_window_grad(g, ...)          PLACED(g, op_window_grad(g, __VA_ARGS__))
#define op_score_loss(g, ...)           PLACED(g, op_score_loss(g, __VA_ARGS__))
#define op_class_loss(g, ...)           PLACED(g, op_class_loss(g, __VA_ARGS__))
#define op_sinusoid(g, ...)             PLACED(g, op_sinusoid(g, __VA_ARGS__))
#define op_additive_scores(g, ...)      PLACED(g, op_additive_scores(g, __VA_ARGS__))
#define op_additive_scores_grad(g, ...) PLACED(g, op_additive_scores_grad(g, __VA_ARGS__))
#define op_mix(g, ...)                  PLACED(g, op_mix(g, __VA_ARGS__))
#define op_mix_grad(g, ...)             PLACED(g, op_mix_grad(g, __VA_ARGS__))
#define op_output_loss(g, ...)          PLACED(g, op_output_loss(g, __VA_ARGS__))
#endif
