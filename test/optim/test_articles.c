// SPDX-License-Identifier: Apache-2.0
// The worked numbers of article 4 (attention, clipping, accumulated gradients), with the arithmetic done right. doc/articles.md says
// where the article errs.
#include "op/op.h"
#include "optim/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 2e-6)) fail_msg("%.9g, should be %.9g", got, want);
}

// Queries times `factor`, with keys and values of the three words (1 0), (0 1), (1 1).
static void attend(double factor, float y[6])
{
    static const float q[6] = {0, 1, 1, 0, 1, 1}, x[6] = {1, 0, 0, 1, 1, 1};
    float qkv[18], lse[3];
    struct graph *g;
    assert_int_equal(graph_create(&g), STATUS_OK);
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < 2; i++) {
            qkv[t * 6 + i] = (float)factor * q[t * 2 + i];
            qkv[t * 6 + 2 + i] = qkv[t * 6 + 4 + i] = x[t * 2 + i];
        }
    struct value *in = graph_input(g, "qkv", F32, shape_of(3, 1, 3, 6));
    const struct attention_attributes attributes = {
        .heads = 1, .kv_heads = 1, .bidirectional = true};
    struct op_call call = {
        .value = op_attention(g, in, NULL, NULL, &attributes), .input = {qkv}, .output = {y, lse}};
    attention_op.reference(&call);
    graph_destroy(g);
}

static void attention(void **state)
{
    (void)state;
    // Scores Q K' = (0 1 1), (1 0 1), (1 1 2), over sqrt(2) as the formula has it.
    static const double scaled[6] = {0.5988879, 0.8022242, 0.8022242,
                                     0.5988879, 0.7517449, 0.7517449};
    // The same without that, as the example goes on.
    static const double plain[6] = {0.5776812, 0.8446376, 0.8446376,
                                    0.5776812, 0.7880584, 0.7880584};
    float y[6];
    attend(1, y);
    for (int i = 0; i < 6; i++) near((double)y[i], scaled[i]);
    attend(sqrt(2), y);
    for (int i = 0; i < 6; i++) near((double)y[i], plain[i]);
}

// What a step of rate 1 takes away from weights of 0.
static void step(const struct optimizer_config *config, double scale, const float g[4],
                 double taken[4])
{
    const struct optimizer_step step = {.step = 1, .learning_rate = 1, .gradient_scale = scale};
    float w[4] = {0}, *const state[2] = {NULL, NULL};
    optimizer_update(config, &step, ISA_GENERIC, w, state, g, 4);
    for (int i = 0; i < 4; i++) taken[i] = -(double)w[i];
}

static void clipping(void **state)
{
    (void)state;
    static const float gradient[4] = {2, -3, 1, 4};
    static const double cut[4] = {2, -2, 1, 2};
    struct optimizer_config by_value = {.name = "sgd", .clip_value = 2};
    struct optimizer_config by_norm = {.name = "sgd", .clip = 2};
    double taken[4], norm = sqrt(2 * 2 + 3 * 3 + 1 + 4 * 4);
    step(&by_value, 1, gradient, taken);
    for (int i = 0; i < 4; i++) near(taken[i], cut[i]);
    step(&by_norm, clip_factor(&by_norm, norm, 4), gradient, taken);
    for (int i = 0; i < 4; i++) near(taken[i], (double)gradient[i] * 2 / norm);
}

static void accumulation(void **state)
{
    (void)state;
    float sum[4] = {0};
    double taken[4];
    for (int t = 0; t < 5; t++)
        for (int i = 0; i < 4; i++) sum[i] += (float)(1 + 4 * t + i);
    step(&(struct optimizer_config){.name = "sgd"}, 0.2, sum, taken);
    for (int i = 0; i < 4; i++) near(taken[i], 9 + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(attention), cmocka_unit_test(clipping),
                                       cmocka_unit_test(accumulation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
