// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules against values worked out by hand.
#include "optim/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct schedule_config config_of(const char *name)
{
    struct schedule_config config = {.learning_rate = 1e-3,
                                     .min_learning_rate = 1e-4,
                                     .steps = 100,
                                     .factor = 0.5,
                                     .step_size = 10,
                                     .patience = 1};
    snprintf(config.name, sizeof config.name, "%s", name);
    return config;
}

static void expect(const struct schedule_config *config, int64_t step, double want)
{
    struct schedule_state state;
    schedule_start(&state);
    double got = schedule_rate(config, &state, step);
    if (!(fabs(got - want) <= 1e-15 + 1e-14 * want))
        fail_msg("%s, step %lld: %.17g, should be %.17g", config->name, (long long)step, got, want);
}

static void names_are_checked(void **state)
{
    (void)state;
    const char *const names[] = {"constant", "linear", "cosine", "inverse_sqrt",
                                 "step",     "wsd",    "plateau"};
    for (int i = 0; i < 7; i++) assert_int_equal(schedule_check(names[i]), STATUS_OK);
    assert_int_equal(schedule_check("cosin"), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "'cosin'"));
    for (int i = 0; i < 7; i++) assert_non_null(strstr(error_message(), names[i]));
    error_clear();
}

// From rate / (warmup + 1), in equal steps, as nanoGPT: step + 1 over warmup + 1; the whole rate at step `warmup`.
static void all_warm_up_alike(void **state)
{
    (void)state;
    const char *const names[] = {"constant", "linear", "cosine", "inverse_sqrt",
                                 "step",     "wsd",    "plateau"};
    for (int i = 0; i < 7; i++) {
        struct schedule_config config = config_of(names[i]);
        config.warmup = 9;
        expect(&config, 0, 1e-4);
        expect(&config, 4, 5e-4);
        expect(&config, 8, 9e-4);
        expect(&config, 9, 1e-3);
    }
}

static void constant_stays(void **state)
{
    (void)state;
    struct schedule_config config = config_of("constant");
    expect(&config, 0, 1e-3);
    expect(&config, 1000000, 1e-3);
}

static void linear_falls_to_the_least_rate(void **state)
{
    (void)state;
    struct schedule_config config = config_of("linear");
    config.warmup = 20;
    expect(&config, 20, 1e-3);
    expect(&config, 60, 5.5e-4);
    expect(&config, 80, 1e-4 + 0.25 * 9e-4);
    expect(&config, 100, 1e-4);
    expect(&config, 200, 1e-4);
    config.decay_steps = 40;
    expect(&config, 30, 5.5e-4);
    expect(&config, 40, 1e-4);
}

static void cosine_is_nanogpts(void **state)
{
    (void)state;
    struct schedule_config config = config_of("cosine");
    config.warmup = 10, config.steps = 70;
    expect(&config, 10, 1e-3);
    expect(&config, 25, 1e-4 + 0.5 * (1 + sqrt(0.5)) * 9e-4); // a quarter of the way
    expect(&config, 30, 1e-4 + 0.75 * 9e-4);                  // a third: cos = 1/2
    expect(&config, 40, 5.5e-4);
    expect(&config, 70, 1e-4);
    expect(&config, 71, 1e-4);
    config.decay_steps = 40;
    expect(&config, 25, 5.5e-4);
    expect(&config, 40, 1e-4);
}

static void inverse_sqrt_falls_as_one_over_the_root(void **state)
{
    (void)state;
    struct schedule_config config = config_of("inverse_sqrt");
    config.min_learning_rate = 0;
    expect(&config, 0, 1e-3);
    expect(&config, 1, 1e-3);
    expect(&config, 4, 5e-4);
    config.warmup = 25;
    expect(&config, 25, 1e-3);
    expect(&config, 100, 5e-4);
    expect(&config, 2500, 1e-4);
    config.min_learning_rate = 2e-4;
    expect(&config, 2500, 2e-4);
}

static void step_cuts_every_so_often(void **state)
{
    (void)state;
    struct schedule_config config = config_of("step");
    expect(&config, 9, 1e-3);
    expect(&config, 10, 5e-4);
    expect(&config, 29, 2.5e-4);
    expect(&config, 50, 1e-4); // 3.1e-5 is below the least rate
    config.step_size = 0;
    expect(&config, 50, 1e-3);
}

static void wsd_decays_at_the_end(void **state)
{
    (void)state;
    struct schedule_config config = config_of("wsd");
    expect(&config, 0, 1e-3);
    expect(&config, 90, 1e-3); // a tenth of 100 steps
    expect(&config, 95, 5.5e-4);
    expect(&config, 100, 1e-4);
    config.decay_steps = 50;
    expect(&config, 50, 1e-3);
    expect(&config, 75, 5.5e-4);
}

static void plateau_cuts_after_its_patience(void **unused)
{
    (void)unused;
    struct schedule_config config = config_of("plateau");
    struct schedule_state state;
    schedule_start(&state);
    const struct {
        double loss, rate;
    } seen[] = {
        {3, 1e-3},    {2, 1e-3},    {2.5, 1e-3}, {1.99999, 5e-4}, // not better by a ten-thousandth: the second in vain
        {2.1, 5e-4},  {1.9, 5e-4},  {2, 5e-4},   {NAN, 2.5e-4},   {INFINITY, 2.5e-4},
        {3, 1.25e-4}, {3, 1.25e-4}, {3, 1e-4},   {3, 1e-4}};
    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++) {
        schedule_observe(&config, &state, seen[i].loss);
        double rate = schedule_rate(&config, &state, 50);
        if (fabs(rate - seen[i].rate) > 1e-15)
            fail_msg("after evaluation %zu the rate is %g, should be %g", i, rate, seen[i].rate);
    }
    assert_true(state.best == 1.9);
}

static void plateau_survives_a_first_loss_below_zero(void **unused)
{
    (void)unused;
    struct schedule_config config = config_of("plateau");
    struct schedule_state state;
    schedule_start(&state);
    schedule_observe(&config, &state, -5);
    assert_true(state.best == -5);
    schedule_observe(&config, &state, -5.0001);
    assert_true(state.best == -5 && state.waited == 1);
    schedule_observe(&config, &state, -5.1);
    assert_true(state.best == -5.1 && state.waited == 0);
}

static void only_plateau_observes(void **unused)
{
    (void)unused;
    struct schedule_config config = config_of("cosine");
    struct schedule_state state;
    schedule_start(&state);
    for (int i = 0; i < 10; i++) schedule_observe(&config, &state, 1);
    assert_true(state.factor == 1 && isinf(state.best) && state.waited == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(all_warm_up_alike),
        cmocka_unit_test(constant_stays),
        cmocka_unit_test(linear_falls_to_the_least_rate),
        cmocka_unit_test(cosine_is_nanogpts),
        cmocka_unit_test(inverse_sqrt_falls_as_one_over_the_root),
        cmocka_unit_test(step_cuts_every_so_often),
        cmocka_unit_test(wsd_decays_at_the_end),
        cmocka_unit_test(plateau_cuts_after_its_patience),
        cmocka_unit_test(plateau_survives_a_first_loss_below_zero),
        cmocka_unit_test(only_plateau_observes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
