// SPDX-License-Identifier: Apache-2.0
// The whole run: what lies in its folder, what stops it, what goes on after kill -9, and who may not write there.
#include "store/model_directory.h"
#include "support.h"

#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

struct seen {
    int steps, evaluations, best, saved;
    int64_t stop_at;
};
static void see_step(void *context, const struct step_report *report)
{
    struct seen *seen = context;
    seen->steps++;
    if (report->step == seen->stop_at) train_request_stop();
}
static void see_evaluation(void *context, int64_t step, const struct evaluation_report *report,
                           bool best)
{
    struct seen *seen = context;
    (void)step;
    assert_true(isfinite(report->loss));
    seen->evaluations++;
    seen->best += best;
}
static void see_saved(void *context, int64_t step)
{
    struct seen *seen = context;
    (void)step;
    seen->saved++;
}

static enum status run(const struct run_config *config, bool resume, struct seen *seen,
                       struct train_result *result, char digest[65])
{
    struct trainer *trainer = NULL;
    struct train_observer observer = {seen, see_step, see_evaluation, see_saved};
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, resume);
    if (!status) status = train_run(trainer, &observer, result);
    if (!status && digest) status = trainer_digest(trainer, digest);
    trainer_destroy(trainer);
    return status;
}

static bool out_has(const struct run_config *config, const char *name)
{
    char path[RUN_PATH + 64];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", config->out, name);
    return stat(path, &about) == 0;
}

static void a_run_leaves_a_model_and_its_record(void **state)
{
    (void)state;
    struct run_config config = small_run("record");
    struct seen seen = {0};
    struct train_result result;
    config.parallel.workers = 2;
    config.eval_every = 6;
    config.save_every = 8;
    config.keep = 2;
    assert_int_equal(run(&config, false, &seen, &result, NULL), STATUS_OK);
    assert_int_equal(seen.steps, 20);
    assert_int_equal(seen.evaluations, 4); // 6, 12, 18 and the end
    assert_int_equal(seen.saved, 3);       // 8, 16 and the end
    assert_int_equal(result.steps, 20);
    assert_false(result.stopped_early);
    assert_true(result.best_loss <= result.last_loss);
    static const char *const file[] = {
        "config.json", "model.safetensors",   "tokenizer.json",        "run.yaml",
        "log.jsonl",   "checkpoints/step-20", "best/model.safetensors"};
    for (size_t i = 0; i < sizeof file / sizeof *file; i++)
        if (!out_has(&config, file[i])) fail_msg("no %s", file[i]);
    assert_false(out_has(&config, "checkpoints/step-8"));

    struct loaded_model *model = NULL;
    assert_int_equal(model_directory_load(config.out, &model), STATUS_OK);
    assert_int_equal(model->config.width, config.model.width);
    loaded_model_destroy(model);

    // A second run into the same folder is refused, unless it goes on.
    assert_int_equal(run(&config, false, &seen, &result, NULL), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "--resume"));
    error_clear();
    assert_int_equal(run(&config, true, &seen, &result, NULL), STATUS_OK);
    assert_int_equal(seen.steps, 20);
}

static void a_stop_writes_a_checkpoint_and_resume_goes_on(void **state)
{
    (void)state;
    struct run_config config = small_run("whole");
    struct seen seen = {0};
    struct train_result result;
    char whole[65], parts[65];
    config.eval_every = 4;
    config.save_every = 7;
    assert_int_equal(run(&config, false, &seen, &result, whole), STATUS_OK);

    config = small_run("stopped");
    config.eval_every = 4;
    config.save_every = 7;
    config.parallel.workers = 3;
    seen = (struct seen){.stop_at = 9};
    assert_int_equal(run(&config, false, &seen, &result, parts), STATUS_INTERRUPTED);
    assert_int_equal(seen.steps, 9);
    assert_int_equal(status_exit_code(STATUS_INTERRUPTED), 75);
    assert_true(out_has(&config, "checkpoints/step-9"));
    error_clear();
    config.parallel.workers = 5;
    seen = (struct seen){0};
    assert_int_equal(run(&config, true, &seen, &result, parts), STATUS_OK);
    assert_int_equal(seen.steps, 11);
    assert_string_equal(parts, whole);
}

static void patience_ends_a_run_early(void **state)
{
    (void)state;
    struct run_config config = small_run("patience");
    struct seen seen = {0};
    struct train_result result;
    config.schedule.learning_rate = 0; // nothing ever improves after the first evaluation
    config.schedule.min_learning_rate = 0;
    config.eval_every = 1;
    config.patience = 3;
    assert_int_equal(run(&config, false, &seen, &result, NULL), STATUS_OK);
    assert_true(result.stopped_early);
    assert_int_equal(result.steps, 4);
    assert_int_equal(seen.best, 1);
}

static void the_plateau_schedule_outlives_a_stop(void **state)
{
    (void)state;
    struct train_result result;
    char digest[2][65];
    for (int parts = 0; parts < 2; parts++) {
        struct run_config config = small_run(parts ? "plateau2" : "plateau1");
        snprintf(config.schedule.name, sizeof config.schedule.name, "plateau");
        config.schedule.learning_rate = 0.02;
        config.schedule.factor = 0.5;
        config.schedule.patience = 1;
        config.eval_every = 1;
        struct seen seen = {.stop_at = parts ? 11 : -1};
        enum status status = run(&config, false, &seen, &result, digest[parts]);
        error_clear();
        if (parts) {
            assert_int_equal(status, STATUS_INTERRUPTED);
            seen.stop_at = -1;
            status = run(&config, true, &seen, &result, digest[parts]);
        }
        assert_int_equal(status, STATUS_OK);
    }
    assert_string_equal(digest[0], digest[1]);
}

static void train_to_the_end(const struct run_config *config, void *context,
                             struct child_result *result)
{
    (void)context;
    struct seen seen = {0};
    struct train_result train_result;
    fill_failure(result, run(config, true, &seen, &train_result, result->digest));
}

static long microseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// Kills the run at random moments, each time going on with another number of workers.
static void killed_anywhere_it_ends_with_the_same_bits(void **state)
{
    (void)state;
    struct run_config config = small_run("unkilled");
    config.steps = 60;
    config.save_every = 2;
    config.eval_every = 10;
    long begin = microseconds_now();
    struct child_result wanted = in_child(NULL, train_to_the_end, &config, NULL);
    long whole = microseconds_now() - begin;
    assert_fine(&wanted);
    snprintf(config.out, sizeof config.out, "%s/killed", test_folder);
    struct philox_address at = {17, philox_stream(PHILOX_TEST, 8), 0, 0};
    int killed = 0, how = 0;
    for (uint64_t round = 0;; round++) {
        config.parallel.workers = 1 + philox_bits(at, 2 * round) % 6;
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct child_result ignored;
            train_to_the_end(&config, NULL, &ignored);
            _exit(ignored.status != STATUS_OK);
        }
        // Parts of what the whole run takes here, longer from round to round, so that it comes through in the end.
        uint64_t longest = (uint64_t)(whole / 16 + whole / 128 * (long)round + 1);
        long microseconds = whole / 64 + (long)(philox_bits(at, 2 * round + 1) % longest);
        for (long waited = 0; waited < microseconds && waitpid(child, &how, WNOHANG) == 0;
             waited += 1000)
            usleep(1000);
        if (kill(child, SIGKILL) != 0) break; // it had ended, and waitpid has seen it
        waitpid(child, &how, 0);
        if (WIFEXITED(how)) break;
        killed++;
    }
    assert_int_equal(WEXITSTATUS(how), 0);
    print_message("# killed %d times\n", killed);
    assert_true(killed >= 3);
    struct child_result result = in_child(NULL, train_to_the_end, &config, NULL);
    assert_fine(&result);
    assert_string_equal(result.digest, wanted.digest);
}

static void try_to_prepare(const struct run_config *config, void *context,
                           struct child_result *result)
{
    (void)context;
    struct trainer *trainer = NULL;
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, true);
    fill_failure(result, status);
    trainer_destroy(trainer);
}

static void two_runs_do_not_share_a_folder(void **state)
{
    (void)state;
    struct run_config config = small_run("shared");
    struct trainer *trainer = NULL;
    char number[32];
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    struct child_result result = in_child(NULL, try_to_prepare, &config, NULL);
    assert_int_equal(result.status, STATUS_USAGE);
    snprintf(number, sizeof number, "process %ld", (long)getpid());
    assert_non_null(strstr(result.message, "in use by another run"));
    assert_non_null(strstr(result.message, number));
    trainer_destroy(trainer);
    result = in_child(NULL, try_to_prepare, &config, NULL);
    assert_fine(&result);
}

static void a_folder_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        // root may write anywhere but below a file.
        struct run_config config = small_run("text.txt/out");
        struct trainer *trainer = NULL;
        assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
        assert_int_equal(trainer_prepare(trainer, false), STATUS_DISK);
        assert_non_null(strstr(error_message(), "text.txt"));
        error_clear();
        trainer_destroy(trainer);
        return;
    }
    struct run_config config = small_run("closed");
    struct trainer *trainer = NULL;
    assert_int_equal(mkdir(config.out, 0555), 0);
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_DISK);
    error_clear();
    trainer_destroy(trainer);
    chmod(config.out, 0755);
}

static void another_run_cannot_be_continued(void **state)
{
    (void)state;
    struct run_config config = small_run("record");
    struct trainer *trainer = NULL;
    config.model.width = 64;
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, true), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "model.width: 64, but the checkpoint "));
    assert_non_null(strstr(error_message(), " was made with 32; set it back"));
    error_clear();
    trainer_destroy(trainer);
    config = small_run("record");
    snprintf(config.precision, sizeof config.precision, "bf16");
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, true), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "train.precision: bf16, but the checkpoint "));
    assert_non_null(strstr(error_message(), " was made with float32; set it back"));
    error_clear();
    trainer_destroy(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_leaves_a_model_and_its_record),
        cmocka_unit_test(a_stop_writes_a_checkpoint_and_resume_goes_on),
        cmocka_unit_test(patience_ends_a_run_early),
        cmocka_unit_test(the_plateau_schedule_outlives_a_stop),
        cmocka_unit_test(killed_anywhere_it_ends_with_the_same_bits),
        cmocka_unit_test(two_runs_do_not_share_a_folder),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_named),
        cmocka_unit_test(another_run_cannot_be_continued),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
