// SPDX-License-Identifier: Apache-2.0
// Optimizers against steps worked out by hand; the same bits on every instruction set.
// With the argument "trace" it prints 50 steps of every optimizer for torch_optimizers.py to repeat.
#include "base/philox.h"
#include "optim/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct optimizer_config usual = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};

static struct optimizer_config config_of(const char *name)
{
    struct optimizer_config config = usual;
    snprintf(config.name, sizeof config.name, "%s", name);
    return config;
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 2e-7 * (fabs(want) + 0.01)))
        fail_msg("%.9g, should be %.9g", got, want);
}

// One step of one weight with scale 0.5 and rate 0.1 on the generic kernels; the new weight.
static double step_of(const struct optimizer_config *config, int64_t number, bool decay,
                      double weight, double gradient, float *state0, float *state1)
{
    struct optimizer_step step = {
        .step = number, .learning_rate = 0.1, .gradient_scale = 0.5, .decay = decay};
    float w = (float)weight, g = (float)(2 * gradient);
    float *const states[2] = {state0, state1};
    optimizer_update(config, &step, ISA_GENERIC, &w, states, &g, 1);
    return (double)w;
}

static void names_and_states(void **unused)
{
    (void)unused;
    const struct optimizer *found;
    struct optimizer_config config = usual;
    assert_int_equal(optimizer_find("sgd", &found), STATUS_OK);
    assert_int_equal(found->states(&config), 0);
    config.momentum = 0.9;
    assert_int_equal(found->states(&config), 1);
    assert_string_equal(found->state_name[0], "velocity");
    assert_int_equal(optimizer_find("rmsprop", &found), STATUS_OK);
    assert_int_equal(found->states(&config), 2);
    assert_string_equal(found->state_name[0], "square");
    assert_string_equal(found->state_name[1], "velocity");
    config.momentum = 0;
    assert_int_equal(found->states(&config), 1);
    assert_int_equal(optimizer_find("adam", &found), STATUS_OK);
    assert_int_equal(optimizer_find("adamw", &found), STATUS_OK);
    assert_string_equal(found->name, "adamw");
    assert_int_equal(found->states(&config), 2);
    assert_string_equal(found->state_name[0], "mean");
    assert_string_equal(found->state_name[1], "square");
    const struct optimizer *before = found;
    assert_int_equal(optimizer_find("lion", &found), STATUS_USAGE);
    assert_ptr_equal(found, before);
    assert_non_null(strstr(error_message(), "'lion'"));
    assert_non_null(strstr(error_message(), "sgd, rmsprop, adam, adamw, count"));
    error_clear();
}

static void sgd_by_hand(void **unused)
{
    (void)unused;
    struct optimizer_config config = config_of("sgd");
    near(step_of(&config, 1, true, 1, 2, NULL, NULL), 0.8);
    config.weight_decay = 0.5; // 1 - 0.1 * 0.5 - 0.2
    near(step_of(&config, 1, true, 1, 2, NULL, NULL), 0.75);
    near(step_of(&config, 1, false, 1, 2, NULL, NULL), 0.8);
    config.weight_decay = 0, config.l1 = 1, config.l2 = 3; // gradient 2 - 1 - 6
    near(step_of(&config, 1, true, -2, 2, NULL, NULL), -2 + 0.5);
    near(step_of(&config, 1, false, -2, 2, NULL, NULL), -2.2);
    config.clip_value = 0.5; // before the penalties: 0.5 - 1 - 6
    near(step_of(&config, 1, true, -2, 2, NULL, NULL), -2 + 0.65);
}

static void momentum_by_hand(void **unused)
{
    (void)unused;
    struct optimizer_config config = config_of("sgd");
    config.momentum = 0.5;
    float velocity = 0;
    double w = step_of(&config, 1, true, 1, 2, &velocity, NULL);
    near(w, 0.8);
    w = step_of(&config, 2, true, w, 2, &velocity, NULL); // velocity 3
    near(w, 0.5);
    near((double)velocity, 3);
    config.nesterov = true; // velocity 3.5, step 2 + 1.75
    near(step_of(&config, 3, true, w, 2, &velocity, NULL), 0.5 - 0.375);
}

static void rmsprop_by_hand(void **unused)
{
    (void)unused;
    struct optimizer_config config = config_of("rmsprop");
    config.beta2 = 0.75, config.epsilon = 1;
    float square = 0, velocity = 0;
    near(step_of(&config, 1, true, 1, 2, &square, NULL), 1 - 0.1 * 2 / (1 + 1)); // square 1
    near((double)square, 1);
    square = 0, config.momentum = 0.5;
    double w = step_of(&config, 1, true, 1, 2, &square, &velocity);
    near(w, 0.9);
    near((double)velocity, 1);
    w = step_of(&config, 2, true, w, 0, &square, &velocity);
    near(w, 0.85);
    near((double)square, 0.75);
}

static void adam_by_hand(void **unused)
{
    (void)unused;
    struct optimizer_config config = config_of("adam");
    float mean = 0, square = 0;
    double w = step_of(&config, 1, true, 1, 3, &mean,
                       &square); // the first step is the rate, whatever the gradient
    near(w, 0.9);
    near((double)mean, 0.3);
    near((double)square, 0.009);
    w = step_of(&config, 2, true, w, -3, &mean,
                &square); // mean -0.03, corrected by 0.19; square 0.017991, by 0.001999
    near(w, 0.9 + 0.1 * (0.03 / 0.19) / sqrt(0.017991 / 0.001999));
}

// Without a gradient adam's decay acts through the moments, adamw's directly.
static void decay_is_l2_for_adam_and_decoupled_for_adamw(void **unused)
{
    (void)unused;
    struct optimizer_config adam = config_of("adam"), adamw = config_of("adamw");
    adam.weight_decay = adamw.weight_decay = 0.5;
    float mean = 0, square = 0;
    near(step_of(&adam, 1, true, 4, 0, &mean, &square), 3.9);
    near((double)mean, 0.2);
    mean = square = 0;
    near(step_of(&adamw, 1, true, 4, 0, &mean, &square), 4 - 0.1 * 0.5 * 4);
    assert_true(mean == 0 && square == 0);
    near(step_of(&adam, 1, false, 4, 0, &mean, &square), 4);
    near(step_of(&adamw, 1, false, 4, 0, &mean, &square), 4);
}

static void clip_factors(void **unused)
{
    (void)unused;
    struct optimizer_config config = usual;
    assert_true(clip_factor(&config, 1000, 1000) == 1);
    config.clip = 1;
    assert_true(clip_factor(&config, 0.5, 100) == 1);
    assert_true(clip_factor(&config, 4, 100) == 1 / (4 + 1e-6));
    config.clip_infinity = 0.1;
    assert_true(clip_factor(&config, 0.5, 0.05) == 1);
    assert_true(clip_factor(&config, 0.5, 0.2) == 0.1 / (0.2 + 1e-6));
    assert_true(clip_factor(&config, 100, 0.2) == 1 / (100 + 1e-6)); // the smaller of the two
    assert_true(isnan(clip_factor(&config, NAN, 0.2)));
}

// ---- runs of 50 steps ----
struct run {
    const char *name;
    struct optimizer_config config;
};
static const struct run runs[] = {
    {"sgd", {.name = "sgd", .l2 = 0.1}},
    {"momentum", {.name = "sgd", .momentum = 0.9, .l2 = 0.1}},
    {"nesterov", {.name = "sgd", .momentum = 0.9, .nesterov = true}},
    {"rmsprop", {.name = "rmsprop", .beta2 = 0.99, .epsilon = 1e-8, .l2 = 0.01}},
    {"rmsprop_momentum", {.name = "rmsprop", .beta2 = 0.99, .epsilon = 1e-8, .momentum = 0.9}},
    {"adam", {.name = "adam", .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.1}},
    {"adamw", {.name = "adamw", .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1}},
};
enum { RUNS = sizeof runs / sizeof runs[0], WEIGHTS = 101, STEPS = 50 };
static const double run_rate = 0.003;

static void gradient_of(int step, float *g)
{
    struct philox_address at = {
        .seed = 1, .stream = philox_stream(PHILOX_TEST, 4), .step = (uint32_t)step};
    for (int i = 0; i < WEIGHTS; i++) g[i] = (float)(2 * philox_uniform(at, (uint64_t)i) - 0.7);
}

static void print_row(const char *name, const float *x)
{
    printf("%s", name);
    for (int i = 0; i < WEIGHTS; i++) printf(" %a", (double)x[i]);
    printf("\n");
}

static void run_steps(const struct run *run, enum isa isa, bool print, float *w)
{
    float state0[WEIGHTS] = {0}, state1[WEIGHTS] = {0}, g[WEIGHTS];
    float *const states[2] = {state0, state1};
    gradient_of(0, w);
    if (print) {
        const struct optimizer_config *c = &run->config;
        printf("case %s optimizer=%s lr=%g momentum=%g nesterov=%d beta1=%g beta2=%g epsilon=%g "
               "weight_decay=%g l2=%g\n",
               run->name, c->name, run_rate, c->momentum, c->nesterov, c->beta1, c->beta2,
               c->epsilon, c->weight_decay, c->l2);
        print_row("weights", w);
    }
    for (int t = 1; t <= STEPS; t++) {
        struct optimizer_step step = {
            .step = t, .learning_rate = run_rate, .gradient_scale = 1, .decay = true};
        gradient_of(t, g);
        if (print) print_row("gradient", g);
        optimizer_update(&run->config, &step, isa, w, states, g, WEIGHTS);
    }
    if (print) print_row("result", w);
}

static void every_instruction_set_gives_the_same_bits(void **unused)
{
    (void)unused;
    for (int r = 0; r < RUNS; r++) {
        float first[WEIGHTS], w[WEIGHTS];
        run_steps(&runs[r], ISA_GENERIC, false, first);
        for (enum isa isa = 1; isa < ISA_COUNT; isa++) {
            if (!isa_available(isa)) continue;
            run_steps(&runs[r], isa, false, w);
            assert_memory_equal(w, first, sizeof w);
        }
    }
}

int main(int count, char **arguments)
{
    cpu_flush_to_zero();
    if (count == 2 && strcmp(arguments[1], "trace") == 0) {
        for (int r = 0; r < RUNS; r++) {
            float w[WEIGHTS];
            run_steps(&runs[r], ISA_GENERIC, true, w);
        }
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_states),
        cmocka_unit_test(sgd_by_hand),
        cmocka_unit_test(momentum_by_hand),
        cmocka_unit_test(rmsprop_by_hand),
        cmocka_unit_test(adam_by_hand),
        cmocka_unit_test(decay_is_l2_for_adam_and_decoupled_for_adamw),
        cmocka_unit_test(clip_factors),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
