// SPDX-License-Identifier: Apache-2.0
// The oracle itself against finite differences, so that a mistake common to it and the graph would have to
// be made twice.
#include "model/gpt2_plain.c"
#include "model/small_model.h"

static void gradients_agree_with_finite_differences(struct plain_config c)
{
    enum { BATCH = 2, LENGTH = 5 };
    int tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    small_batch(3, c.vocabulary, BATCH * LENGTH, tokens, targets);
    targets[0] = -1;
    long count = plain_count(&c);
    double *block = calloc((size_t)count, sizeof *block),
           *gradients = calloc((size_t)count, sizeof *gradients);
    struct philox_address at = {.seed = 5, .stream = philox_stream(PHILOX_TEST, 1)};
    for (long i = 0; i < count; i++) block[i] = philox_uniform(at, (uint64_t)i) - 0.5;
    plain_step(&c, block, tokens, targets, BATCH, LENGTH, gradients, NULL);
    double worst = 0, largest = 0;
    for (long i = 0; i < count; i++) {
        double kept = block[i], h = 1e-5;
        block[i] = kept + h;
        double above = plain_step(&c, block, tokens, targets, BATCH, LENGTH, NULL, NULL);
        block[i] = kept - h;
        double below = plain_step(&c, block, tokens, targets, BATCH, LENGTH, NULL, NULL);
        block[i] = kept;
        worst = fmax(worst, fabs((above - below) / (2 * h) - gradients[i]));
        largest = fmax(largest, fabs(gradients[i]));
    }
    printf("# %ld parameters: largest difference %.2g of largest gradient %.3g\n", count, worst,
           largest);
    assert_true(worst <= 1e-7 * largest);
    free(block);
    free(gradients);
}

static void with_bias(void **state)
{
    (void)state;
    gradients_agree_with_finite_differences((struct plain_config){.vocabulary = 7,
                                                                  .context = 6,
                                                                  .width = 6,
                                                                  .layers = 2,
                                                                  .heads = 3,
                                                                  .hidden = 5,
                                                                  .bias = true,
                                                                  .epsilon = 1e-5});
}

static void without_bias_with_smoothing(void **state)
{
    (void)state;
    gradients_agree_with_finite_differences((struct plain_config){.vocabulary = 5,
                                                                  .context = 5,
                                                                  .width = 4,
                                                                  .layers = 1,
                                                                  .heads = 1,
                                                                  .hidden = 8,
                                                                  .epsilon = 1e-5,
                                                                  .smoothing = 0.1});
}

static void the_map_fills_the_block(void **state)
{
    (void)state;
    for (int bias = 0; bias < 2; bias++) {
        struct plain_config c = {.vocabulary = 7,
                                 .context = 6,
                                 .width = 6,
                                 .layers = 2,
                                 .heads = 3,
                                 .hidden = 5,
                                 .bias = bias};
        double *block = calloc((size_t)plain_count(&c), sizeof *block);
        struct plain_weights w;
        plain_map(&c, block, &w);
        double *end = bias ? w.ln_f_bias : w.ln_f_weight;
        assert_int_equal(end + c.width - block, plain_count(&c));
        free(block);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_bias),
        cmocka_unit_test(without_bias_with_smoothing),
        cmocka_unit_test(the_map_fills_the_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
