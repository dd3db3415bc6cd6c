// SPDX-License-Identifier: Apache-2.0
// Modules and the parameter registry. Models are written with these; they know no device and no transport.
//
// One registry serves every graph of a model (training, evaluation, decoding): the first graph declares
// parameters in order, later ones find them by name. Parameters lie in one flat block, each at a multiple of
// 16 elements, in order of declaration.
#ifndef STN_NN_NN_H
#define STN_NN_NN_H

#include "op/op.h"

enum init { INIT_ZERO, INIT_ONE, INIT_NORMAL };

struct parameter {
    char *name; // Hugging Face's name: "transformer.h.0.attn.c_attn.weight"
    struct shape shape;
    int64_t offset, count; // elements in the block
    enum init init;
    double deviation; // of INIT_NORMAL
    bool
        running; // a statistic: the backward pass yields op_drift's way to go, which no optimizer may touch
    bool decay;  // weight decay, L1 and L2 apply (matrices and embeddings; not biases and norms)
    bool frozen; // a constant: graphs compute no gradient for it. Set before they are built
};

struct parameters {
    struct parameter *list;
    int count, capacity;
    int64_t elements; // of the block, padding included
    bool closed;      // no more declarations: a name that is missing is an error
};
void parameters_init(struct parameters *parameters);
void parameters_release(struct parameters *parameters);
int parameters_find(const struct parameters *parameters, const char *name); // index or -1
int64_t parameters_total(const struct parameters *parameters); // elements without padding
// Initial weights: element i of parameter p is drawn at philox (seed, PHILOX_INIT stream of p, 0, 0, i).
// block: [elements]; padding becomes 0.
void parameters_initialise(const struct parameters *parameters, uint64_t seed, float *block);
// How normal deviates are drawn: elements [first, first + n) of the stream, times `deviation`.
typedef void (*normal_function)(float *w, uint64_t seed, uint32_t stream, int64_t first, int64_t n,
                                double deviation);
// The same weights for elements [first, last) of the block alone, for workers that share the drawing; `normal` (kernel/cpu) draws
// the bits that parameters_initialise draws.
void parameters_initialise_range(const struct parameters *parameters, uint64_t seed, int64_t first,
                                 int64_t last, normal_function normal, float *block);

// What module functions need while a graph is built.
struct builder {
    struct graph *g;
    struct parameters *parameters;
    struct value *random; // U32 [4] input of op_dropout; NULL: no dropout (evaluation)
    uint32_t operations;  // dropout operations handed out so far
    char prefix[128];     // of parameter names, "transformer.h.0."
    bool training;        // batch norm takes the statistics of the rows, not the running ones
    int end[8], depth;    // where the prefix ended before each prefix_push
};
// Appends a part and a dot to the prefix, and opens a scope of the part's name in the graph.
void prefix_push(struct builder *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void prefix_pop(struct builder *b); // takes the last prefix_push back

// Declares or finds prefix + name; a graph has one value for a parameter however often it is asked for.
// deviation is for INIT_NORMAL; decay is true for rank >= 2. Errors stick in the graph: another shape than
// declared, a name that a closed registry lacks.
struct value *nn_parameter(struct builder *b, const char *name, struct shape shape, enum init init,
                           double deviation);
// x [.., in] -> [.., out], parameters name.weight (in `layout`) and name.bias when `bias`. Normal(0,
// deviation); bias 0.
struct value *nn_linear(struct builder *b, struct value *x, const char *name, int64_t out,
                        bool bias, enum activation activation, enum layout layout,
                        double deviation);
// residual [.., out] + the same without activation, as one operation; residual NULL: nothing is added.
struct value *nn_linear_add(struct builder *b, struct value *x, struct value *residual,
                            const char *name, int64_t out, bool bias, enum layout layout,
                            double deviation);
struct value *nn_layer_norm(struct builder *b, struct value *x, const char *name, bool bias,
                            double epsilon);
struct value *nn_rms_norm(struct builder *b, struct value *x, const char *name, double epsilon);
// down(silu(gate(x)) up(x)) through `hidden`: linear layers name.gate_proj, name.up_proj, name.down_proj (Hugging
// Face's names of Llama), in LAYOUT_OUT_IN; the last starts with down_deviation.
struct value *nn_gated_mlp(struct builder *b, struct value *x, const char *name, int64_t hidden,
                           bool bias, double deviation, double down_deviation);

// Self-attention between two linear layers: `qkv` makes queries, keys and values in one product, `out` goes back
// to the width of x. Zeros are what most models want.
struct attention_module {
    const char *qkv, *out; // names of the layers
    enum layout layout;
    bool bias;
    double deviation, out_deviation;
    int heads, kv_heads;            // kv_heads 0: as many as heads
    int64_t head_size;              // 0: width / heads
    bool bidirectional;             // else causal
    struct value *residual;         // (optional) added to the result
    double dropout;                 // of probabilities
    struct value *lengths;          // (optional) I32 [batch], of padded sequences
    struct value *cache, *position; // decoding (op_attention_cached), else NULL
    struct value *origins;          // (optional) of beams, with the two before (op_attention_beams)
};
struct value *nn_attention(struct builder *b, struct value *x, const struct attention_module *a);
// One recurrent layer in one direction, with PyTorch's names: name.weight_ih_l<layer>, weight_hh_l, bias_ih_l, bias_hh_l, and
// "_reverse" behind them. Weights are drawn with deviation 1 / sqrt(3 hidden), that of PyTorch's uniform numbers.
struct recurrent_module {
    const char *name;
    int layer;
    enum cell cell;
    int64_t hidden;
    bool bias, reverse;
    double weight_drop;              // of weight_hh: one mask for all micro-batches of a step
    struct value *h0, *c0, *lengths; // (optional) as op_recurrent
    struct value **last_h, **last_c; // (optional) where the states that sequences end with shall be
    struct value *state, *position;  // decoding (op_recurrent_cached, with lengths), else NULL
};
struct value *nn_recurrent(struct builder *b, struct value *x, const struct recurrent_module *r);
// Attention of x over another sequence, with linear layers name.q, name.kv and name.out (LAYOUT_OUT_IN).
struct cross_module {
    const char *name;
    struct value *memory, *lengths; // [batch, keys, width], I32 [batch] or NULL
    struct value *kv;               // nn_cross_keys of the memory, which is NULL then; else NULL
    struct value *residual;         // [batch, tokens, width] to add the result to, or NULL
    int heads;
    bool bias;
    double deviation, out_deviation;
};
struct value *nn_cross_attention(struct builder *b, struct value *x, const struct cross_module *c);
// The keys and values that it makes of the memory: [batch, keys, 2 * width].
struct value *nn_cross_keys(struct builder *b, const struct cross_module *c);
// Batch norm over all rows: name.weight, name.bias, name.running_mean, name.running_var (op_batch_norm; doc/op.md).
struct value *nn_batch_norm(struct builder *b, struct value *x, const char *name, double epsilon);
// table name.weight [rows, width]; returns the table, for op_embedding and a tied output layer.
struct value *nn_embedding_table(struct builder *b, const char *name, int64_t rows, int64_t width,
                                 double deviation);
// Takes `count` fresh dropout operation numbers, the same at every build of the model.
uint32_t nn_operation(struct builder *b, uint32_t count);
struct value *nn_dropout(struct builder *b, struct value *x, double rate);
// Whether that changes anything: never outside of training.
bool nn_drops(const struct builder *b, double rate);
// The same for x [batch, positions, width] with one mask for all positions of a sequence.
// Source: Gal and Ghahramani 2016, arXiv:1512.05287.
struct value *nn_variational_dropout(struct builder *b, struct value *x, double rate);
#endif
