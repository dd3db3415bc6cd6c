// SPDX-License-Identifier: Apache-2.0
// The public API alone: a run, its callback, stop and resume to the same bits, a model opened, text generated and scored, and
// wrong calls that come back with a message.
#include "scratch.h"
#include "stentor.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <math.h>

#define assert_stn(call)                                                                           \
    do {                                                                                           \
        enum stn_status status_ = (call);                                                          \
        if (status_) fail_msg("%s: %d: %s", #call, (int)status_, stn_error());                     \
    } while (0)

static const char *text_path(void)
{
    static char path[SCRATCH_PATH + 64];
    if (path[0]) return path;
    static char text[30000];
    size_t used = 0;
    for (int i = 0; used + 64 < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "the cat %d sat on the mat; ",
                                 i % 50);
    snprintf(path, sizeof path, "%s", put_file(scratch_path("text.txt"), text, used));
    return path;
}

static struct stn_config *small_config(const char *out, const char *steps)
{
    struct stn_config *config;
    assert_stn(stn_config_create(&config));
    const char *const set[][2] = {
        {"data.train", text_path()}, {"out", out},          {"train.steps", steps},
        {"model.layers", "2"},       {"model.heads", "2"},  {"model.width", "16"},
        {"model.context", "16"},     {"train.batch", "8"},  {"train.micro_batch", "2"},
        {"model.dropout", "0.1"},    {"train.warmup", "2"}, {"train.eval_every", "10"},
    };
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        assert_stn(stn_config_set(config, set[i][0], set[i][1]));
    return config;
}

struct seen {
    int64_t steps, stop_at;
    double first_loss, last_loss;
};
static bool see_step(void *context, const struct stn_step *step)
{
    struct seen *seen = context;
    seen->steps++;
    assert_int_equal(step->tokens, 8 * 16);
    assert_true(isfinite(step->loss) && step->gradient_norm > 0 && step->learning_rate > 0 &&
                step->seconds > 0);
    if (seen->steps == 1) seen->first_loss = step->loss;
    seen->last_loss = step->loss;
    return step->step != seen->stop_at;
}

static enum stn_status train(struct stn_config *config, bool resume, struct seen *seen,
                             struct stn_result *result)
{
    struct stn_trainer *trainer;
    assert_stn(stn_trainer_create(config, &trainer));
    struct stn_memory memory = stn_trainer_memory(trainer);
    assert_true(memory.total == memory.weights + memory.optimizer_state + memory.gradients +
                                    memory.activations + memory.data + memory.other);
    assert_true(stn_trainer_parameters(trainer) > 1000);
    assert_true(memory.weights >= 4 * (size_t)stn_trainer_parameters(trainer));
    enum stn_status status = stn_trainer_run(trainer, resume, see_step, seen, result);
    if (status == STN_OK) { // once for each trainer
        assert_int_equal(stn_trainer_run(trainer, true, NULL, NULL, NULL), STN_USAGE);
        assert_non_null(strstr(stn_error(), "has run already"));
    }
    stn_trainer_destroy(trainer);
    return status;
}

static void a_run_learns_and_a_stopped_one_goes_on_to_the_same_bits(void **state)
{
    (void)state;
    struct seen whole = {0}, first = {.stop_at = 13}, second = {0};
    struct stn_result a, b;
    char out[2][SCRATCH_PATH + 16];
    for (int i = 0; i < 2; i++)
        snprintf(out[i], sizeof out[i], "%s", scratch_path(i ? "stopped" : "whole"));
    struct stn_config *config = small_config(out[0], "30");
    assert_stn(train(config, false, &whole, &a));
    stn_config_destroy(config);
    assert_int_equal(whole.steps, 30);
    assert_int_equal(a.steps, 30);
    assert_true(whole.last_loss < whole.first_loss);
    assert_true(isfinite(a.validation_loss) && a.best_validation_loss <= a.validation_loss);
    assert_true(a.training_loss == whole.last_loss && !a.stopped_early);

    config = small_config(out[1], "30");
    assert_stn(stn_config_set(config, "parallel.workers", "2"));
    assert_int_equal(train(config, false, &first, &b), STN_INTERRUPTED);
    assert_non_null(strstr(stn_error(), "13"));
    assert_int_equal(first.steps, 13);
    assert_stn(stn_config_set(config, "parallel.workers", "3"));
    assert_stn(train(config, true, &second, &b));
    stn_config_destroy(config);
    assert_int_equal(second.steps, 17);
    assert_string_equal(a.sha256, b.sha256);
    assert_true(a.validation_loss == b.validation_loss);
}

// A wish at the last step is that run's alone.
static void a_stop_that_comes_too_late_stops_no_other(void **state)
{
    (void)state;
    struct seen last = {.stop_at = 5}, other = {0};
    struct stn_result result;
    struct stn_config *config = small_config(scratch_path("late"), "5");
    assert_stn(stn_config_set(config, "data.valid_fraction", "0"));
    assert_stn(train(config, false, &last, &result));
    assert_stn(stn_config_set(config, "out", scratch_path("other")));
    assert_stn(train(config, false, &other, &result));
    assert_int_equal(other.steps, 5);
    stn_config_destroy(config);
}

static void a_stop_reaches_all_runs_and_no_later_one(void **state)
{
    (void)state;
    enum { TRAINERS = 3 };
    struct stn_trainer *trainer[TRAINERS];
    struct stn_config *config;
    for (int i = 0; i < TRAINERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "one-of-%d", i);
        config = small_config(scratch_path(name), "3");
        assert_stn(stn_trainer_create(config, &trainer[i]));
        stn_config_destroy(config);
        if (i == TRAINERS - 2) stn_trainer_stop();
    }
    // The last one was created behind the wish.
    for (int i = 0; i < TRAINERS; i++) {
        enum stn_status expected = i < TRAINERS - 1 ? STN_INTERRUPTED : STN_OK;
        assert_int_equal(stn_trainer_run(trainer[i], false, NULL, NULL, NULL), expected);
        stn_trainer_destroy(trainer[i]);
    }
    stn_trainer_stop();
    config = small_config(scratch_path("afterwards"), "3");
    assert_stn(stn_trainer_create(config, &trainer[0]));
    assert_stn(stn_trainer_run(trainer[0], false, NULL, NULL, NULL));
    stn_trainer_destroy(trainer[0]);
    stn_config_destroy(config);
}

static void a_second_run_in_the_folder_is_refused(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct stn_result result;
    struct stn_config *config = small_config(scratch_path("whole"), "30");
    assert_int_equal(train(config, false, &seen, &result), STN_USAGE);
    assert_non_null(strstr(stn_error(), "whole"));
    assert_int_equal(seen.steps, 0);
    stn_config_destroy(config);
}

// ---- models ----
static struct stn_model *open_whole(void)
{
    struct stn_model *model;
    assert_stn(stn_model_open(scratch_path("whole"), &model));
    return model;
}

struct collected {
    char text[4096];
    size_t used;
    int calls, stop_after;
};
static bool collect(void *context, const char *text, size_t bytes)
{
    struct collected *c = context;
    assert_true(c->used + bytes < sizeof c->text);
    memcpy(c->text + c->used, text, bytes);
    c->used += bytes;
    return ++c->calls != c->stop_after;
}

static void text_is_generated(void **state)
{
    (void)state;
    struct stn_model *model = open_whole();
    struct stn_generation g;
    struct collected a = {.used = 0}, b = {.used = 0}, c = {.stop_after = 3};
    char buffer[4096], small[8];
    size_t length;
    int64_t tokens;
    assert_int_equal(stn_model_context(model), 16);
    assert_true(stn_model_vocabulary(model) > 10 && stn_model_parameters(model) > 1000);
    stn_generation_defaults(&g);
    assert_int_equal(g.max_tokens, 200);
    g.max_tokens = 100;
    g.seed = 5;
    assert_stn(stn_generate(model, "the cat", 7, &g, collect, &a, &tokens));
    assert_int_equal(tokens, 100);
    assert_int_equal(a.used, 100); // one byte a character here
    assert_stn(stn_generate(model, "the cat", 7, &g, collect, &b, NULL));
    assert_memory_equal(a.text, b.text, 100); // the same seed
    assert_stn(stn_generate_text(model, "the cat", &g, buffer, sizeof buffer, &length));
    assert_int_equal(length, 100);
    assert_memory_equal(a.text, buffer, 101);
    assert_stn(stn_generate_text(model, "the cat", &g, small, sizeof small, &length));
    assert_int_equal(length, 7);
    assert_memory_equal(small, buffer, 7);
    assert_int_equal(small[7], 0);
    assert_stn(stn_generate(model, "the cat", 7, &g, collect, &c, &tokens));
    assert_int_equal(c.calls, 3);
    g.temperature = 0;
    const char *const stop[] = {"a", NULL};
    g.stop = stop;
    assert_stn(stn_generate_text(model, "", &g, buffer, sizeof buffer, NULL));
    assert_null(strchr(buffer, 'a'));
    assert_stn(stn_generate_text(model, "the", NULL, buffer, sizeof buffer, &length));
    assert_int_equal(length, 200);
    stn_model_close(model);
}

static void a_text_is_scored_alike_by_any_number_of_workers(void **state)
{
    (void)state;
    struct stn_model *model = open_whole();
    struct stn_evaluation one, many;
    assert_stn(stn_evaluate(model, text_path(), 1, &one));
    assert_true(one.loss > 0 && one.loss < 4);
    assert_true(fabs(one.perplexity - exp(one.loss)) < 1e-9);
    assert_true(fabs(one.bits_per_byte - one.loss / log(2)) < 1e-9); // one byte a token
    assert_int_equal(one.tokens, one.bytes);
    for (int workers = 0; workers <= 7; workers++) {
        assert_stn(stn_evaluate(model, text_path(), workers, &many));
        assert_true(one.loss == many.loss && one.tokens == many.tokens);
    }
    stn_model_close(model);
}

static struct stn_evaluation evaluate_text(struct stn_model *model, const char *text, int bytes)
{
    struct stn_evaluation evaluation;
    put_file(scratch_path("short.txt"), text, (size_t)bytes);
    assert_stn(stn_evaluate(model, scratch_path("short.txt"), 1, &evaluation));
    assert_int_equal(evaluation.tokens, bytes - 1);
    return evaluation;
}

// The model reads 16 characters: of 21 the last four targets are a window of their own.
static void a_text_shorter_than_the_context_is_scored(void **state)
{
    (void)state;
    static const char text[] = "the cat 1 sat on the mat";
    struct stn_model *model = open_whole();
    struct stn_evaluation whole = evaluate_text(model, text, 21);
    struct stn_evaluation first = evaluate_text(model, text, 17);
    struct stn_evaluation last = evaluate_text(model, text + 16, 5);
    assert_true(fabs(20 * whole.loss - 16 * first.loss - 4 * last.loss) < 1e-4);
    evaluate_text(model, text, 16);
    evaluate_text(model, text, 2);
    put_file(scratch_path("short.txt"), "t", 1);
    assert_int_equal(stn_evaluate(model, scratch_path("short.txt"), 1, &whole), STN_INPUT);
    assert_non_null(strstr(stn_error(), "short.txt has 1 token; a loss needs 2 or more"));
    stn_model_close(model);
}

static void copy_file(const char *from, const char *to)
{
    char *data;
    size_t bytes;
    assert_int_equal(file_read(from, 1 << 24, &data, &bytes), 0);
    assert_int_equal(file_replace(to, data, bytes), 0);
    free(data);
}

static void weights_that_are_no_numbers_fail(void **state)
{
    (void)state;
    struct stn_model *model;
    struct stn_evaluation evaluation = {.tokens = -1};
    uint64_t header;
    const float nan = NAN;
    assert_int_equal(directory_create(scratch_path("nan")), 0);
    copy_file(scratch_path("whole/config.json"), scratch_path("nan/config.json"));
    copy_file(scratch_path("whole/tokenizer.json"), scratch_path("nan/tokenizer.json"));
    copy_file(scratch_path("whole/model.safetensors"), scratch_path("nan/model.safetensors"));
    FILE *file = fopen(scratch_path("nan/model.safetensors"), "r+b");
    assert_non_null(file);
    assert_int_equal(fread(&header, sizeof header, 1, file), 1);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long end = ftell(file);
    assert_int_equal(fseek(file, (long)(sizeof header + header), SEEK_SET), 0);
    while (ftell(file) < end) assert_int_equal(fwrite(&nan, sizeof nan, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    assert_stn(stn_model_open(scratch_path("nan"), &model));
    assert_int_equal(stn_evaluate(model, text_path(), 1, &evaluation), STN_FAILED);
    assert_non_null(strstr(stn_error(), "text.txt: the loss is not finite"));
    assert_int_equal(evaluation.tokens, -1);
    stn_model_close(model);
}

// ---- wrong calls ----
static void wrong_calls_come_back_with_a_message(void **state)
{
    (void)state;
    struct stn_config *config;
    struct stn_trainer *trainer;
    struct stn_model *model;
    struct stn_evaluation evaluation;
    char buffer[100], *text;
    assert_stn(stn_config_create(&config));
    assert_string_equal(stn_error(), "");
    assert_int_equal(stn_config_set(config, "train.stepz", "5"), STN_USAGE);
    assert_non_null(strstr(stn_error(), "train.steps"));
    assert_int_equal(stn_config_set(config, "train.steps", "-5"), STN_USAGE);
    assert_int_equal(stn_config_set(config, NULL, "5"), STN_USAGE);
    assert_int_equal(stn_config_read(config, "/nonexistent/run.yaml"), STN_INPUT);
    assert_int_equal(stn_config_print(config, &text), STN_USAGE); // no text yet
    assert_non_null(strstr(stn_error(), "data.train"));
    assert_int_equal(stn_trainer_create(config, &trainer), STN_USAGE);
    assert_stn(stn_config_set(config, "data.train", "/nonexistent/text"));
    assert_stn(stn_config_set(config, "out", scratch_path("none")));
    assert_int_equal(stn_trainer_create(config, &trainer), STN_INPUT);
    assert_non_null(strstr(stn_error(), "/nonexistent/text"));
    assert_stn(stn_config_print(config, &text));
    assert_non_null(strstr(text, "train: /nonexistent/text"));
    stn_free(text);
    assert_stn(stn_config_set(config, "model.heads", "5"));
    assert_int_equal(stn_config_print(config, &text), STN_USAGE);
    assert_memory_equal(stn_error(), "stn_config_set: model.heads: 5 ", 31);
    stn_config_destroy(config);
    assert_int_equal(stn_model_open("/nonexistent", &model), STN_INPUT);
    assert_int_equal(stn_model_open(NULL, &model), STN_USAGE);
    model = open_whole();
    assert_int_equal(stn_generate_text(model, "@", NULL, buffer, sizeof buffer, NULL), STN_INPUT);
    assert_non_null(strstr(stn_error(), "@"));
    assert_int_equal(stn_generate_text(model, "t", NULL, buffer, 0, NULL), STN_USAGE);
    struct stn_generation g;
    stn_generation_defaults(&g);
    g.temperature = NAN;
    assert_int_equal(stn_generate_text(model, "t", &g, buffer, sizeof buffer, NULL), STN_USAGE);
    assert_int_equal(stn_evaluate(model, "/nonexistent", 1, &evaluation), STN_INPUT);
    assert_int_equal(stn_evaluate(model, text_path(), -1, &evaluation), STN_USAGE);
    stn_model_close(model);
    stn_model_close(NULL);
    stn_trainer_destroy(NULL);
    stn_config_destroy(NULL);
    stn_free(NULL);
    assert_non_null(stn_version());
}

static int teardown(void **state)
{
    (void)state;
    return scratch_remove();
}

int main(void)
{
    stn_set_verbosity(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_learns_and_a_stopped_one_goes_on_to_the_same_bits),
        cmocka_unit_test(a_stop_that_comes_too_late_stops_no_other),
        cmocka_unit_test(a_stop_reaches_all_runs_and_no_later_one),
        cmocka_unit_test(a_second_run_in_the_folder_is_refused),
        cmocka_unit_test(text_is_generated),
        cmocka_unit_test(a_text_is_scored_alike_by_any_number_of_workers),
        cmocka_unit_test(a_text_shorter_than_the_context_is_scored),
        cmocka_unit_test(weights_that_are_no_numbers_fail),
        cmocka_unit_test(wrong_calls_come_back_with_a_message),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, teardown);
}
