// SPDX-License-Identifier: Apache-2.0
// A number that is not finite stops the run before it touches a weight, and the message says where it came from.
#include "support.h"
#include "train/internal.h"

#include <math.h>

static void no_weight_changes(void **state)
{
    (void)state;
    struct run_config config = small_run("diverged");
    config.parallel.workers = 3;
    struct trainer *trainer = NULL;
    struct step_report report = {.step = -7};
    char before[65], after[65];
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    for (int step = 0; step < 3; step++)
        assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
    struct run_position position = *trainer_position(trainer);
    // The position table's first row is part of every sequence.
    float *weight = (float *)trainer->weights.data + trainer->parameters.list[1].offset,
          saved = *weight;
    *weight = NAN;
    assert_int_equal(trainer_digest(trainer, before), STATUS_OK);
    report.step = -7;
    assert_int_equal(trainer_step(trainer, &report), STATUS_DIVERGED);
    assert_int_equal(trainer_digest(trainer, after), STATUS_OK);
    assert_string_equal(before, after);
    assert_memory_equal(&position, trainer_position(trainer), sizeof position);
    assert_int_equal(report.step, -7); // written only on success
    assert_non_null(strstr(error_message(), "step 4: the loss is not finite"));
    assert_non_null(strstr(error_message(), "0-1 (samples 72-73), 2-3"));
    assert_non_null(strstr(error_message(), "and 8 more"));
    assert_non_null(strstr(error_message(), "train.learning_rate"));
    error_clear();
    // Nothing is lost: with the cause gone, training goes on.
    *weight = saved;
    assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
    assert_int_equal(report.step, 4);
    trainer_destroy(trainer);
}

// A token that only one micro-batch holds gets a row of weights so large that its gradient overflows, or its loss does.
static void the_sequences_are_named(void **state)
{
    (void)state;
    struct run_config config = small_run("named");
    char path[300], text[3001];
    snprintf(path, sizeof path, "%s/rare.txt", test_folder);
    for (int i = 0; i < 3000; i++) text[i] = (char)('a' + i % 7);
    text[1000] = 'Z';
    assert_int_equal(file_replace(path, text, 3000), STATUS_OK);
    snprintf(config.data.train, sizeof config.data.train, "%s", path);
    config.data.valid_fraction = 0;
    config.dropout = 0;
    config.parallel.workers = 2;
    struct trainer *trainer = NULL;
    struct step_report report;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    float *table = trainer->weights.data;
    int64_t width = config.model.width;
    for (int64_t i = 0; i < width; i++) table[i] = i % 2 ? -INFINITY : INFINITY; // id 0 is 'Z'
    // The rows of all tokens are in the output layer, so every loss is lost; a gradient alone is lost where Z is an input.
    enum status status = trainer_step(trainer, &report);
    assert_int_equal(status, STATUS_DIVERGED);
    assert_non_null(strstr(error_message(), "the loss is not finite (nan), from sequences 0-1 "
                                            "(samples 0-1), 2-3 (samples 2-3)"));
    error_clear();
    trainer_destroy(trainer);
}

static void one_sequence_is_named_alone(void **state)
{
    (void)state;
    struct run_config config = small_run("alone");
    config.batch = 1;
    config.micro_batch = 1;
    config.leaves = 1;
    struct trainer *trainer = NULL;
    struct step_report report;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    ((float *)trainer->weights.data)[0] = INFINITY;
    trainer_position(trainer)->samples = 40;
    assert_int_equal(trainer_step(trainer, &report), STATUS_DIVERGED);
    assert_non_null(strstr(error_message(), ", from sequence 0 (sample 40) of the batch; "));
    error_clear();
    trainer_destroy(trainer);
}

static void gradients_that_overflow_are_found(void **state)
{
    (void)state;
    struct run_config config = small_run("gradient");
    config.dropout = 0;
    config.parallel.workers = 2;
    struct trainer *trainer = NULL;
    struct step_report report;
    char before[65], after[65];
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    // The loss stays finite: layer norm brings any scale back. Its gradient times the next layer's does not.
    const struct parameters *parameters = &trainer->parameters;
    int gain = parameters_find(parameters, "transformer.ln_f.weight");
    int table = parameters_find(parameters, "transformer.wte.weight");
    assert_true(gain >= 0 && table >= 0);
    float *w = trainer->weights.data;
    for (int64_t i = 0; i < parameters->list[gain].count; i++)
        w[parameters->list[gain].offset + i] = 5e37f;
    for (int64_t i = 0; i < parameters->list[table].count; i++)
        w[parameters->list[table].offset + i] *= 1e-34f;
    assert_int_equal(trainer_digest(trainer, before), STATUS_OK);
    enum status status = trainer_step(trainer, &report);
    assert_int_equal(trainer_digest(trainer, after), STATUS_OK);
    if (status == STATUS_OK) fail_msg("norm %g loss %g", report.gradient_norm, report.loss);
    assert_int_equal(status, STATUS_DIVERGED);
    assert_non_null(strstr(error_message(), "step 1: the gradient is not finite"));
    assert_non_null(strstr(error_message(), "0-1 (samples 0-1)"));
    assert_string_equal(before, after);
    error_clear();
    trainer_destroy(trainer);
}

static void a_rate_that_is_too_high_ends_in_a_message(void **state)
{
    (void)state;
    struct run_config config = small_run("rate");
    config.schedule.learning_rate = 1e5;
    config.schedule.warmup = 0;
    snprintf(config.optimizer.name, sizeof config.optimizer.name, "sgd");
    config.optimizer.clip = 0;
    config.steps = 200;
    struct trainer *trainer = NULL;
    struct train_result result;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    assert_int_equal(train_run(trainer, NULL, &result), STATUS_DIVERGED);
    assert_non_null(strstr(error_message(), "train.clip: 1"));
    error_clear();
    trainer_destroy(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_weight_changes),
        cmocka_unit_test(the_sequences_are_named),
        cmocka_unit_test(one_sequence_is_named_alone),
        cmocka_unit_test(gradients_that_overflow_are_found),
        cmocka_unit_test(a_rate_that_is_too_high_ends_in_a_message),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
