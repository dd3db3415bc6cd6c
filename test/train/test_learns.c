// SPDX-License-Identifier: Apache-2.0
// It learns: a tiny text is known by heart after some hundred steps, and the loss starts where it must.
#include "support.h"

#include <math.h>

static void a_tiny_text_is_learnt_by_heart(void **state)
{
    (void)state;
    static const char text[] = "of arms and the man I sing, who first from the shores of Troy, "
                               "exiled by fate, came to Italy. ";
    struct run_config config = small_run("heart");
    char path[300];
    snprintf(path, sizeof path, "%s/tiny.txt", test_folder);
    assert_int_equal(file_replace(path, text, sizeof text - 1), STATUS_OK);
    snprintf(config.data.train, sizeof config.data.train, "%s", path);
    config.data.valid_fraction = 0;
    config.dropout = 0;
    config.steps = 400;
    config.schedule.learning_rate = 1e-2;
    config.schedule.warmup = 20;
    config.optimizer.clip = 1;
    config.parallel.workers = 2;

    struct trainer *trainer = NULL;
    struct step_report report = {0};
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    double vocabulary = (double)trainer_config(trainer)->model.vocabulary;
    for (int64_t step = 1; step <= config.steps; step++) {
        assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
        assert_int_equal(report.step, step);
        // Small initial weights say nothing yet about the next character.
        if (step == 1) assert_true(fabs(report.loss - log(vocabulary)) < 0.2);
        assert_int_equal(report.tokens, config.batch * config.model.context);
        assert_true(report.gradient_norm > 0 && report.learning_rate > 0);
    }
    assert_true(report.loss < 0.2);
    assert_true(report.epoch > 10);

    // Without held-out text, evaluation says what to set.
    double loss;
    int64_t tokens;
    assert_int_equal(trainer_evaluate(trainer, &loss, &tokens), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "data.valid"));
    error_clear();
    trainer_destroy(trainer);
}

static void held_out_text_gets_more_probable(void **state)
{
    (void)state;
    struct run_config config = small_run("valid");
    config.dropout = 0;
    config.parallel.workers = 3;
    config.eval_windows = 7;
    struct trainer *trainer = NULL;
    struct step_report report = {0};
    double before = 0, after = 0;
    int64_t tokens = 0;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    assert_int_equal(trainer_evaluate(trainer, &before, &tokens), STATUS_OK);
    assert_int_equal(tokens, 7 * config.model.context);
    for (int step = 0; step < 60; step++)
        assert_int_equal(trainer_step(trainer, &report), STATUS_OK);
    assert_int_equal(trainer_evaluate(trainer, &after, &tokens), STATUS_OK);
    assert_true(after < before - 0.5);
    trainer_destroy(trainer);
}

static void all_held_out_ids_but_the_first_are_targets(void **state)
{
    (void)state;
    struct run_config config = small_run("targets");
    char path[300];
    snprintf(path, sizeof path, "%s/valid.txt", test_folder);
    write_text(path, 333, 5);
    snprintf(config.data.valid, sizeof config.data.valid, "%s", path);
    snprintf(config.data.tokenizer, sizeof config.data.tokenizer, "byte");
    struct trainer *trainer = NULL;
    double loss = 0;
    int64_t tokens = 0;
    char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    assert_int_equal(trainer_evaluate(trainer, &loss, &tokens), STATUS_OK);
    assert_int_equal(file_read(path, 1 << 20, &text, &bytes), STATUS_OK);
    assert_int_equal(tokens, bytes - 1);
    assert_true(fabs(loss - log(256)) < 0.2);
    free(text);
    trainer_destroy(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tiny_text_is_learnt_by_heart),
        cmocka_unit_test(held_out_text_gets_more_probable),
        cmocka_unit_test(all_held_out_ids_but_the_first_are_targets),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
