// SPDX-License-Identifier: Apache-2.0
// The table of operations, shape rules case by case, costs, and what the definitions promise beyond
// their gradients.
#include "base/philox.h"
#include "op/fill_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct graph *new_graph(void)
{
    struct graph *g;
    assert_int_equal(graph_create(&g), STATUS_OK);
    return g;
}

// ---- the table ----
static void every_operation_is_complete(void **state)
{
    (void)state;
    int count = 0;
    for (int i = 0; op_registry[i]; i++) {
        const struct op *op = op_registry[i];
        assert_ptr_equal(op_find(op->name), op); // names are unique
        assert_true(op->infer && op->vjp && op->reference && op->cost && op->cases &&
                    op->case_count > 0);
        assert_true(op->aux_count >= 0 && op->aux_count <= MAX_AUX &&
                    (op->aux_count == 0 || op->infer_aux));
        for (int c = 0; c < op->case_count; c++) {
            assert_true((op->cases[c].attributes != NULL) == (op->attribute_bytes > 0));
            for (int k = 0; k < op->cases[c].inputs; k++)
                if (op->cases[c].dtype[k] == I32) assert_true(op->cases[c].integer_limit > 0);
        }
        count++;
    }
    assert_true(count >= 21);
    assert_null(op_find("nothing"));
}

static void costs_are_positive_and_count_asked_outputs(void **state)
{
    (void)state;
    for (int i = 0; op_registry[i]; i++) {
        const struct op *op = op_registry[i];
        struct graph *g = new_graph();
        struct value *leaf[MAX_INPUTS];
        case_leaves(g, op, &op->cases[0], false, leaf);
        struct value *y = graph_append(g, op, leaf, op->cases[0].inputs, op->cases[0].attributes,
                                       op->attribute_bytes);
        struct cost cost = op->cost(y);
        assert_true(cost.bytes > 0 && cost.flops >= 0 && isfinite(cost.flops));
        graph_destroy(g);
    }
    // GPT-2's first linear layer: 2 · 1024 · 768 · 2304 operations.
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, 1024, 768)),
                 *w = graph_input(g, "w", F32, shape_of(2, 768, 2304));
    struct value *y = op_linear(g, x, w, NULL, ACTIVATION_NONE, LAYOUT_IN_OUT);
    assert_true(linear_op.cost(y).flops == 2.0 * 1024 * 768 * 2304);
    assert_true(linear_op.cost(y).bytes == 4.0 * (1024 * 768 + 768 * 2304 + 1024 * 2304));
    graph_destroy(g);
}

// ---- shape rules ----
struct leaves {
    struct graph *g;
    struct value *m23, *m34, *m43, *v3, *v4, *ids, *random, *cube, *scalar;
};

static struct leaves leaves_create(void)
{
    struct graph *g = new_graph();
    return (struct leaves){.g = g,
                           .m23 = graph_input(g, "m23", F32, shape_of(2, 2, 3)),
                           .m34 = graph_input(g, "m34", F32, shape_of(2, 3, 4)),
                           .m43 = graph_input(g, "m43", F32, shape_of(2, 4, 3)),
                           .v3 = graph_input(g, "v3", F32, shape_of(1, 3)),
                           .v4 = graph_input(g, "v4", F32, shape_of(1, 4)),
                           .ids = graph_input(g, "ids", I32, shape_of(1, 2)),
                           .random = graph_input(g, "random", U32, shape_of(1, 4)),
                           .cube = graph_input(g, "cube", F32, shape_of(3, 2, 5, 12)),
                           .scalar = graph_input(g, "scalar", F32, shape_of(0))};
}

// Each builds one operation that does not fit.
static void bad_add(struct leaves l) { op_add(l.g, l.m23, l.m34); }
static void bad_add_scalar(struct leaves l) { op_add(l.g, l.scalar, l.scalar); }
static void bad_scale(struct leaves l) { op_scale(l.g, l.m23, l.v3); }
static void bad_dot(struct leaves l) { op_dot(l.g, l.v3, l.v4); }
static void bad_table(struct leaves l) { op_embedding(l.g, l.v3, l.ids); }
static void bad_ids(struct leaves l) { op_embedding(l.g, l.m23, l.v3); }
static void bad_scatter(struct leaves l) { op_embedding_grad(l.g, l.ids, l.m34, 9); }
static void bad_vocabulary(struct leaves l) { op_embedding_grad(l.g, l.ids, l.m23, 0); }
static void bad_linear(struct leaves l)
{
    op_linear(l.g, l.m23, l.m34, NULL, ACTIVATION_NONE, LAYOUT_OUT_IN);
}
static void bad_bias(struct leaves l)
{
    op_linear(l.g, l.m23, l.m34, l.v3, ACTIVATION_NONE, LAYOUT_IN_OUT);
}
static void bad_layout(struct leaves l)
{
    op_linear(l.g, l.m23, l.m34, NULL, ACTIVATION_NONE, (enum layout)5);
}
static void bad_kind(struct leaves l)
{
    op_linear(l.g, l.m23, l.m34, NULL, (enum activation)9, LAYOUT_IN_OUT);
}
static void bad_dx(struct leaves l) { op_linear_grad_input(l.g, l.m23, l.m34, LAYOUT_IN_OUT); }
static void bad_dw(struct leaves l) { op_linear_grad_weight(l.g, l.m23, l.m34, LAYOUT_IN_OUT); }
static void bad_sum(struct leaves l) { op_column_sum(l.g, l.scalar); }
static void bad_activation(struct leaves l) { op_activation(l.g, l.m23, (enum activation) - 1); }
static void bad_slope(struct leaves l) { op_activation_grad(l.g, l.m23, l.m34, ACTIVATION_RELU); }
static void bad_gain(struct leaves l) { op_layer_norm(l.g, l.m23, l.v4, NULL, 1e-5); }
static void bad_norm_bias(struct leaves l) { op_layer_norm(l.g, l.m23, l.v3, l.v4, 1e-5); }
static void bad_epsilon(struct leaves l) { op_layer_norm(l.g, l.m23, l.v3, NULL, -1); }
static void nan_epsilon(struct leaves l) { op_rms_norm(l.g, l.m23, l.v3, (double)NAN); }
static void bad_norm_dy(struct leaves l) { op_rms_norm_grad(l.g, l.m23, l.v3, l.m34, 1e-5); }
static void bad_rate(struct leaves l) { op_dropout(l.g, l.m23, l.random, 1, 0); }
static void nan_rate(struct leaves l) { op_dropout(l.g, l.m23, l.random, (double)NAN, 0); }
static void bad_random(struct leaves l) { op_dropout(l.g, l.m23, l.ids, 0.5, 0); }
static struct value *attend(struct leaves l, struct value *qkv, struct value *lengths, int heads,
                            int kv_heads)
{
    return op_attention(l.g, qkv, NULL, lengths,
                        &(struct attention_attributes){.heads = heads, .kv_heads = kv_heads});
}
static void bad_heads(struct leaves l) { attend(l, l.cube, NULL, 3, 3); }
static void no_heads(struct leaves l) { attend(l, l.cube, NULL, 0, 0); }
static void bad_group(struct leaves l) { attend(l, l.cube, NULL, 3, 2); }
static void many_kv_heads(struct leaves l) { attend(l, l.cube, NULL, 2, 4); }
static void bad_qkv(struct leaves l) { attend(l, l.m23, NULL, 1, 1); }
static void bad_lengths(struct leaves l)
{
    attend(l, l.cube, graph_input(l.g, "lengths", I32, shape_of(1, 3)), 2, 2);
}
static void float_lengths(struct leaves l) { attend(l, l.cube, l.v3, 2, 2); }
static void bad_cache(struct leaves l)
{
    struct value *cache = graph_state(l.g, "cache", F32, shape_of(3, 2, 4, 4)),
                 *qkv = graph_input(l.g, "q", F32, shape_of(3, 1, 5, 12));
    op_attention_cached(l.g, qkv, cache, graph_input(l.g, "at", I32, shape_of(1, 1)), 2, 2);
}
static void bad_loss(struct leaves l) { op_output_loss(l.g, l.m23, l.m34, l.ids, 0); }
static void bad_targets(struct leaves l) { op_output_loss(l.g, l.m34, l.m34, l.ids, 0); }
static void bad_smoothing(struct leaves l) { op_output_loss(l.g, l.m23, l.m43, l.ids, 1); }

static void what_does_not_fit_is_refused_with_the_sizes(void **state)
{
    (void)state;
    const struct {
        void (*build)(struct leaves);
        const char *text;
    } bad[] = {
        {bad_add, "add: b is f32 [3, 4], but [2, 3] fits the other inputs"},
        {bad_add_scalar, "add: a is f32 [], but has to have at least 1 dimension"},
        {bad_scale, "scale: s is f32 [3], but [1] fits"},
        {bad_dot, "dot: b is f32 [4], but [3] fits"},
        {bad_table, "embedding: table is f32 [3], but has to have 2 dimensions"},
        {bad_ids, "embedding: ids is f32 [3], but has to be i32"},
        {bad_scatter, "embedding_grad: dy is f32 [3, 4], but [2, 4] fits"},
        {bad_vocabulary, "a vocabulary of 0"},
        {bad_linear,
         "linear: x [2, 3] does not fit w [3, 4] (out, in): the last dimension has to be 4"},
        {bad_bias, "linear: bias is f32 [3], but [4] fits"},
        {bad_layout, "there is no layout 5"},
        {bad_kind, "there is no activation 9"},
        {bad_dx, "linear_grad_input: dy [2, 3] does not fit w [3, 4] (in, out): the last dimension "
                 "has to be 4"},
        {bad_dw, "x [2, 3] and dy [3, 4] may differ in the last dimension only"},
        {bad_sum, "column_sum: x is f32 []"},
        {bad_activation, "there is no activation -1"},
        {bad_slope, "activation_grad: dy is f32 [3, 4], but [2, 3] fits"},
        {bad_gain, "layer_norm: gain is f32 [4], but [3] fits"},
        {bad_norm_bias, "layer_norm: bias is f32 [4], but [3] fits"},
        {bad_epsilon, "layer_norm: epsilon is -1"},
        {nan_epsilon, "rms_norm: epsilon is"},
        {bad_norm_dy, "rms_norm_grad: dy is f32 [3, 4], but [2, 3] fits"},
        {bad_rate, "dropout: a dropout rate of 1; it has to be at least 0 and below 1"},
        {nan_rate, "dropout: a dropout rate of"},
        {bad_random, "dropout: random is i32 [2], but has to be u32"},
        {bad_heads, "attention: the last dimension of qkv [2, 5, 12] cannot be cut into 3 + 2 * 3 "
                    "heads"},
        {no_heads, "attention: 0 heads of queries over 0 of keys and values"},
        {bad_group, "attention: 3 heads of queries over 2 of keys and values; the latter have to "
                    "divide the former"},
        {many_kv_heads, "attention: 2 heads of queries over 4"},
        {bad_lengths, "attention: lengths is i32 [3], but [2] fits"},
        {float_lengths, "attention: lengths is f32 [3], but has to be i32"},
        {bad_qkv, "attention: qkv is f32 [2, 3], but has to have 3 dimensions"},
        {bad_cache, "attention_cached: 5 tokens do not fit a cache of 4"},
        {bad_loss, "output_loss: x [2, 3] and w [3, 4] have to agree in the last dimension"},
        {bad_targets, "output_loss: targets is i32 [2], but [3] fits"},
        {bad_smoothing, "output_loss: a smoothing of 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct leaves l = leaves_create();
        bad[i].build(l);
        assert_int_not_equal(graph_status(l.g), STATUS_OK);
        if (!strstr(error_message(), bad[i].text))
            fail_msg("'%s' does not say '%s'", error_message(), bad[i].text);
        assert_non_null(strstr(error_message(), "test_op.c:"));
        error_clear();
        graph_destroy(l.g);
    }
}

static void builders_leave_out_what_does_nothing(void **state)
{
    (void)state;
    struct leaves l = leaves_create();
    assert_ptr_equal(op_dropout(l.g, l.m23, l.random, 0, 0), l.m23);
    assert_ptr_equal(op_dropout(l.g, l.m23, NULL, 0.5, 0), l.m23);
    assert_ptr_equal(op_scale(l.g, l.m23, op_ones(l.g)), l.m23);
    struct value *y =
        op_attention(l.g, l.cube, NULL, NULL,
                     &(struct attention_attributes){.heads = 2, .kv_heads = 2, .rate = 0.5});
    assert_true(((const struct attention_attributes *)y->attributes)->rate == 0);
    graph_destroy(l.g);
}

// ---- definitions ----
static void dropout_draws_what_the_address_says(void **state)
{
    (void)state;
    enum { SEQUENCES = 3, EACH = 500 };
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "x", F32, shape_of(2, SEQUENCES, EACH)),
                 *random = graph_input(g, "random", U32, shape_of(1, 4));
    struct value *y = op_dropout(g, x, random, 0.25, 77);
    static real in[SEQUENCES * EACH], out[SEQUENCES * EACH], shifted[SEQUENCES * EACH];
    for (int i = 0; i < SEQUENCES * EACH; i++) in[i] = 3;
    uint32_t key[4] = {0x12345678, 0x9abcdef0, 19, 40};
    struct op_call call = {.value = y, .input = {in, key}, .output = {out}};
    dropout_op.reference(&call);
    int dropped = 0;
    for (int s = 0; s < SEQUENCES; s++)
        for (int i = 0; i < EACH; i++) {
            struct philox_address at = {0x9abcdef012345678u, (uint32_t)PHILOX_DROPOUT << 24 | 77,
                                        19, 40 + (uint32_t)s};
            bool zero = philox_bits(at, (uint64_t)i) < 0x40000000u;
            assert_true(out[s * EACH + i] == (zero ? 0 : 4));
            dropped += zero;
        }
    assert_true(abs(dropped - SEQUENCES * EACH / 4) < 100);
    // A worker that begins one sequence later draws the same for the same sequence.
    key[3] = 41;
    call.output[0] = shifted;
    dropout_op.reference(&call);
    assert_memory_equal(out + EACH, shifted, (SEQUENCES - 1) * EACH * sizeof(real));
    graph_destroy(g);
}

// Attention written down once more, with the score matrix, in double.
static void plain_attention(const real *qkv, const uint32_t *key, int tokens, int heads, int size,
                            double rate, double *y)
{
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < tokens; i++) {
            double p[64], sum = 0;
            const real *row = qkv + h * size;
            for (int j = 0; j <= i; j++) {
                double dot = 0;
                for (int e = 0; e < size; e++)
                    dot += (double)row[i * 3 * heads * size + e] *
                           (double)row[(j * 3 + 1) * heads * size + e];
                sum += p[j] = exp(dot / sqrt(size));
            }
            for (int e = 0; e < size; e++) y[(i * heads + h) * size + e] = 0;
            for (int j = 0; j <= i; j++) {
                struct philox_address at = {key[0] | (uint64_t)key[1] << 32,
                                            philox_stream(PHILOX_DROPOUT, 5 + (uint32_t)h), key[2],
                                            key[3]};
                bool drop =
                    philox_bits(at, (uint64_t)((i * ((tokens + 63) / 64) + j / 64) * 64 + j % 64)) <
                    dropout_threshold(rate);
                for (int e = 0; e < size && !drop; e++)
                    y[(i * heads + h) * size + e] +=
                        p[j] / sum / (1 - rate) * (double)row[(j * 3 + 2) * heads * size + e];
            }
        }
}

static void attention_is_what_it_is_defined_as(void **state)
{
    (void)state;
    enum { TOKENS = 9, HEADS = 2, SIZE = 3, WIDTH = HEADS * SIZE };
    real qkv[TOKENS * 3 * WIDTH], y[TOKENS * WIDTH], lse[HEADS * TOKENS];
    double plain[TOKENS * WIDTH];
    uint32_t key[4] = {7, 8, 9, 10};
    for (int i = 0; i < TOKENS * 3 * WIDTH; i++) qkv[i] = test_number(1, (uint64_t)i);
    for (int dropped = 0; dropped < 2; dropped++) {
        struct graph *g = new_graph();
        struct value *x = graph_input(g, "qkv", F32, shape_of(3, 1, TOKENS, 3 * WIDTH)),
                     *random = graph_input(g, "random", U32, shape_of(1, 4));
        struct attention_attributes attributes = {HEADS, HEADS, false, dropped ? 0.3 : 0, 5};
        struct op_call call = {.value = op_attention(g, x, random, NULL, &attributes),
                               .input = {qkv, key},
                               .output = {y, lse}};
        if (!dropped) call.input[1] = NULL;
        attention_op.reference(&call);
        plain_attention(qkv, key, TOKENS, HEADS, SIZE, dropped ? 0.3 : 0, plain);
        for (int i = 0; i < TOKENS * WIDTH; i++) assert_true(fabs((double)y[i] - plain[i]) < 1e-6);
        graph_destroy(g);
    }
}

static void a_cache_gives_what_the_whole_gives(void **state)
{
    (void)state;
    enum { TOKENS = 9, HEADS = 2, WIDTH = 6 };
    real qkv[TOKENS * 3 * WIDTH], whole[TOKENS * WIDTH], parts[TOKENS * WIDTH],
        cache[2 * 16 * WIDTH] = {0};
    for (int i = 0; i < TOKENS * 3 * WIDTH; i++) qkv[i] = test_number(1, (uint64_t)i);
    struct graph *g = new_graph();
    struct value *x = graph_input(g, "qkv", F32, shape_of(3, 1, TOKENS, 3 * WIDTH));
    struct op_call call = {
        .value = op_attention(g, x, NULL, NULL,
                              &(struct attention_attributes){.heads = HEADS, .kv_heads = HEADS}),
        .input = {qkv},
        .output = {whole}};
    attention_op.reference(&call);
    const int runs[] = {4, 1, 3, 1};
    for (int32_t r = 0, position = 0; r < 4; position += runs[r++]) {
        struct value *part = graph_input(g, "part", F32, shape_of(3, 1, runs[r], 3 * WIDTH));
        struct value *memory = graph_state(g, "cache", F32, shape_of(3, 2, 16, WIDTH)),
                     *at = graph_input(g, "at", I32, shape_of(1, 1));
        struct op_call cached = {.value = op_attention_cached(g, part, memory, at, HEADS, HEADS),
                                 .input = {qkv + position * 3 * WIDTH, cache, &position},
                                 .output = {parts + position * WIDTH}};
        attention_cached_op.reference(&cached);
    }
    for (int i = 0; i < TOKENS * WIDTH; i++)
        assert_true(fabs((double)(whole[i] - parts[i])) < 1e-6);
    graph_destroy(g);
}

static void ignored_rows_cost_nothing(void **state)
{
    (void)state;
    enum { ROWS = 3, WIDTH = 4, VOCABULARY = 5 };
    real x[ROWS * WIDTH], w[VOCABULARY * WIDTH], loss, dx[ROWS * WIDTH], dw[VOCABULARY * WIDTH],
        losses[ROWS];
    int32_t targets[ROWS] = {-1, 2, -100};
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = test_number(1, (uint64_t)i);
    for (int i = 0; i < VOCABULARY * WIDTH; i++) w[i] = test_number(2, (uint64_t)i);
    struct graph *g = new_graph();
    struct value *y = op_output_loss(g, graph_input(g, "x", F32, shape_of(2, ROWS, WIDTH)),
                                     graph_input(g, "w", F32, shape_of(2, VOCABULARY, WIDTH)),
                                     graph_input(g, "targets", I32, shape_of(1, ROWS)), 0);
    struct op_call call = {.value = y, .input = {x, w, targets}, .output = {&loss, dx, dw, losses}};
    output_loss_op.reference(&call);
    double sum = 0, target = 0;
    for (int j = 0; j < VOCABULARY; j++) {
        double logit = 0;
        for (int i = 0; i < WIDTH; i++) logit += (double)x[WIDTH + i] * (double)w[j * WIDTH + i];
        sum += exp(logit);
        if (j == 2) target = logit;
    }
    assert_true(fabs((double)loss - (log(sum) - target)) < 1e-6 && losses[1] == loss &&
                losses[0] == 0 && losses[2] == 0);
    for (int i = 0; i < WIDTH; i++)
        assert_true(dx[i] == 0 && dx[2 * WIDTH + i] == 0 && dx[WIDTH + i] != 0);
    graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_complete),
        cmocka_unit_test(costs_are_positive_and_count_asked_outputs),
        cmocka_unit_test(what_does_not_fit_is_refused_with_the_sizes),
        cmocka_unit_test(builders_leave_out_what_does_nothing),
        cmocka_unit_test(dropout_draws_what_the_address_says),
        cmocka_unit_test(attention_is_what_it_is_defined_as),
        cmocka_unit_test(a_cache_gives_what_the_whole_gives),
        cmocka_unit_test(ignored_rows_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
