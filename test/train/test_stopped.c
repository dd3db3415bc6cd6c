// SPDX-License-Identifier: Apache-2.0
// A wish to stop in work that is long: reading the data, counting, evaluating, decoding. It is given up, nothing half made stays, and what comes
// next is what would have come.
#include "replicas.h"
#include "train/internal.h"

#include <math.h>

struct seen {
    int steps, evaluations;
    int64_t stop_at, stop_after; // a step; an evaluation
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
    (void)report, (void)best;
    seen->evaluations++;
    if (step == seen->stop_after) train_request_stop();
}

// at_once: the wish comes when the run is prepared.
static enum status run(const struct run_config *config, bool resume, bool at_once,
                       struct seen *seen, char digest[65])
{
    struct trainer *trainer = NULL;
    struct train_result result;
    const struct train_observer observer = {seen, see_step, see_evaluation, NULL};
    enum status status = trainer_create(config, NULL, &trainer);
    if (!status) status = trainer_prepare(trainer, resume);
    if (!status && at_once) train_request_stop();
    if (!status) status = train_run(trainer, &observer, &result);
    if (!status) status = trainer_digest(trainer, digest);
    trainer_destroy(trainer);
    return status;
}

static void path_in(const struct run_config *config, const char *name, char path[RUN_PATH + 64])
{
    assert_in_range(snprintf(path, RUN_PATH + 64, "%s/%s", config->out, name), 1, RUN_PATH + 63);
}

static char *read_out(const struct run_config *config, const char *name, size_t *bytes)
{
    char path[RUN_PATH + 64], *text = NULL;
    path_in(config, name, path);
    assert_int_equal(file_read(path, 1 << 24, &text, bytes), STATUS_OK);
    return text;
}

static int lines_with(const struct run_config *config, const char *word)
{
    size_t bytes;
    char *text = read_out(config, "log.jsonl", &bytes);
    int count = 0;
    for (const char *at = text; (at = strstr(at, word)); at++) count++;
    free(text);
    return count;
}

// ---- evaluation ----

// Evaluations decide the learning rate: one that is lost would show.
static struct run_config evaluated_run(const char *out, int workers)
{
    struct run_config config = small_run(out);
    snprintf(config.schedule.name, sizeof config.schedule.name, "plateau");
    config.schedule.learning_rate = 0.02;
    config.schedule.factor = 0.5;
    config.schedule.patience = 1;
    config.eval_every = 2;
    config.parallel.workers = workers;
    return config;
}

static void an_evaluation_is_given_up_and_comes_first_next_time(void **state)
{
    (void)state;
    struct run_config whole = evaluated_run("whole", 1), config = evaluated_run("cut", 3);
    struct seen seen = {0};
    char digest[2][65], path[RUN_PATH + 64];
    assert_int_equal(run(&whole, false, false, &seen, digest[0]), STATUS_OK);
    assert_int_equal(seen.evaluations, 10);

    seen = (struct seen){.stop_at = 8};
    assert_int_equal(run(&config, false, false, &seen, digest[1]), STATUS_INTERRUPTED);
    assert_non_null(strstr(error_message(), "stopped after step 8 of 20; its checkpoint"));
    error_clear();
    assert_int_equal(seen.steps, 8);
    assert_int_equal(seen.evaluations, 3);
    path_in(&config, "checkpoints/step-8", path);
    assert_true(directory_exists(path));
    // Stopped again before it is done.
    seen = (struct seen){0};
    assert_int_equal(run(&config, true, true, &seen, digest[1]), STATUS_INTERRUPTED);
    error_clear();
    assert_int_equal(seen.steps + seen.evaluations, 0);
    // Stopped when it is done: it is not due any more.
    seen = (struct seen){.stop_after = 8};
    assert_int_equal(run(&config, true, false, &seen, digest[1]), STATUS_INTERRUPTED);
    error_clear();
    assert_int_equal(seen.steps, 0);
    assert_int_equal(seen.evaluations, 1);
    seen = (struct seen){0};
    config.parallel.workers = 2;
    assert_int_equal(run(&config, true, false, &seen, digest[1]), STATUS_OK);
    assert_int_equal(seen.steps, 12);
    assert_int_equal(seen.evaluations, 6);
    assert_string_equal(digest[0], digest[1]);
    assert_int_equal(lines_with(&config, "val/loss"), 10);

    size_t bytes[2];
    char *best[2] = {read_out(&whole, "best/model.safetensors", &bytes[0]),
                     read_out(&config, "best/model.safetensors", &bytes[1])};
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(best[0], best[1], bytes[0]);
    free(best[0]);
    free(best[1]);
}

// The last evaluation, whether it is one of the schedule's or not: the steps are done, and their model is there.
static void the_end_is_given_up_too(void **state)
{
    (void)state;
    for (int scheduled = 0; scheduled < 2; scheduled++) {
        struct run_config config = evaluated_run(scheduled ? "end-scheduled" : "end", 2);
        struct seen seen = {.stop_at = 20};
        char digest[65];
        size_t bytes[2];
        config.eval_every = scheduled ? 20 : 1000;
        assert_int_equal(run(&config, false, false, &seen, digest), STATUS_INTERRUPTED);
        assert_non_null(strstr(error_message(), "last evaluation: all 20 steps are taken"));
        error_clear();
        assert_int_equal(seen.evaluations, 0);
        char *early = read_out(&config, "model.safetensors", &bytes[0]);
        seen = (struct seen){0};
        assert_int_equal(run(&config, true, false, &seen, digest), STATUS_OK);
        assert_int_equal(seen.steps, 0);
        assert_int_equal(seen.evaluations, 1);
        char *late = read_out(&config, "model.safetensors", &bytes[1]);
        assert_int_equal(bytes[0], bytes[1]);
        assert_memory_equal(early, late, bytes[0]);
        free(early);
        free(late);
    }
}

static void run_replica(const struct run_config *config, void *context, struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct train_result trained;
    bool resume = *(const bool *)context;
    struct seen seen = {.stop_at = resume || own_net->rank != 1 ? -1 : 8};
    const struct train_observer observer = {&seen, see_step, see_evaluation, NULL};
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, resume);
    if (!status) status = train_run(trainer, &observer, &trained);
    if (!status) status = trainer_digest(trainer, result->digest);
    if (status) fill_failure(result, status);
    result->step = seen.evaluations;
    trainer_destroy(trainer);
}

// One of three is asked, by each way that they may be together.
static void replicas_give_up_together(void **state)
{
    (void)state;
    static const char *const ways[] = {"direct", "server", "local-sgd"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct child_result result[MOST_REPLICAS];
        struct run_config config = evaluated_run(ways[i], 1);
        bool resume = false;
        snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s", ways[i]);
        config.parallel.sync_every = 2;
        run_replicas(&config, 3, NULL, run_replica, &resume, result);
        for (int r = 0; r < 3; r++) {
            assert_int_equal(result[r].status, STATUS_INTERRUPTED);
            assert_int_equal(result[r].step, result[0].step);
        }
        assert_in_range(result[0].step, 3, 4);
        resume = true;
        run_replicas(&config, 3, NULL, run_replica, &resume, result);
        for (int r = 0; r < 3; r++) {
            assert_fine(&result[r]);
            assert_string_equal(result[r].digest, result[0].digest);
        }
        assert_int_equal(lines_with(&config, "val/loss"), 10);
    }
}

// ---- reading and counting ----

static void the_text_is_read_no_further(void **state)
{
    (void)state;
    static const char *const tokenizers[] = {"byte", "char", "word", "bpe"};
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++) {
        struct run_config config = small_run("early");
        struct seen seen = {0};
        char digest[65], **name = NULL;
        int count = 0;
        snprintf(config.data.tokenizer, sizeof config.data.tokenizer, "%s", tokenizers[i]);
        snprintf(config.data.cache, sizeof config.data.cache, "%s/cache-%zu", test_folder, i);
        snprintf(config.out, sizeof config.out, "%s/early-%zu", test_folder, i);
        train_request_stop();
        assert_int_equal(run(&config, false, false, &seen, digest), STATUS_INTERRUPTED);
        assert_string_equal(error_message(), "stopped while the text was read, before the first "
                                             "step: the same command starts again");
        error_clear();
        if (directory_exists(config.data.cache))
            assert_int_equal(directory_list(config.data.cache, &name, &count), STATUS_OK);
        names_free(name, count);
        assert_int_equal(count, 0);
        // The wish has been followed.
        config.steps = 1;
        assert_int_equal(run(&config, false, false, &seen, digest), STATUS_OK);
    }
}

static struct run_config counting_run(const char *out)
{
    struct run_config config = small_run(out);
    char path[300];
    snprintf(path, sizeof path, "%s/rows.csv", test_folder);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 100; i++) fprintf(file, "a%d b%d,%d\n", i % 7, i % 5, i % 3);
    assert_int_equal(fclose(file), 0);
    snprintf(config.task, sizeof config.task, "classify");
    snprintf(config.model.type, sizeof config.model.type, "linear");
    snprintf(config.data.train, sizeof config.data.train, "%s", path);
    snprintf(config.data.tokenizer, sizeof config.data.tokenizer, "word");
    snprintf(config.optimizer.name, sizeof config.optimizer.name, "count");
    config.dropout = 0;
    return config;
}

static void rows_are_read_and_counted_no_further(void **state)
{
    (void)state;
    struct run_config config = counting_run("counted");
    struct trainer *trainer = NULL;
    struct step_report report;
    struct seen seen = {0};
    char digest[65];
    train_request_stop();
    assert_int_equal(run(&config, false, false, &seen, digest), STATUS_INTERRUPTED);
    assert_non_null(strstr(error_message(), "stopped while the rows were read, before the first"));
    error_clear();
    assert_int_equal(trainer_create(&config, NULL, &trainer), STATUS_OK);
    assert_int_equal(trainer_prepare(trainer, false), STATUS_OK);
    train_request_stop();
    assert_int_equal(trainer_step(trainer, &report), STATUS_INTERRUPTED);
    assert_non_null(strstr(error_message(), "stopped while the rows were counted: nothing is"));
    error_clear();
    train_forget_stop();
    trainer_destroy(trainer);
    assert_int_equal(run(&config, false, false, &seen, digest), STATUS_OK);
}

// ---- a lost worker ----

// Whoever computes for long sees it.
static void work_is_given_up(const struct run_config *config, void *context,
                             struct child_result *result)
{
    struct trainer *trainer = NULL;
    atomic_int *prepared = context;
    double loss;
    enum status status = trainer_create(config, own_net, &trainer);
    if (!status) status = trainer_prepare(trainer, false);
    atomic_fetch_add(prepared, 1);
    while (!status && atomic_load(prepared) < 3) usleep(1000);
    if (!status && own_net->rank == 2) {
        comm_abandon(own_net);
    } else if (!status) {
        while (!comm_is_lost(own_net)) usleep(1000);
        status = trainer->stop.asked(trainer) ? trainer_evaluate(trainer, &loss, &result->step)
                                              : STATUS_OK;
        if (trainer->tokens[groups_before(trainer, own_net->rank)] != -1) status = STATUS_OK;
    }
    if (status) fill_failure(result, status);
    trainer_destroy(trainer);
}

static void an_evaluation_ends_when_a_worker_is_lost(void **state)
{
    (void)state;
    struct child_result result[MOST_REPLICAS];
    struct run_config config = evaluated_run("lost", 1);
    atomic_int prepared = 0;
    run_replicas(&config, 3, NULL, work_is_given_up, &prepared, result);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(result[r].status, STATUS_PEER);
        assert_non_null(strstr(result[r].message, "worker 2 of 3 has given up"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_evaluation_is_given_up_and_comes_first_next_time),
        cmocka_unit_test(the_end_is_given_up_too),
        cmocka_unit_test(replicas_give_up_together),
        cmocka_unit_test(the_text_is_read_no_further),
        cmocka_unit_test(rows_are_read_and_counted_no_further),
        cmocka_unit_test(an_evaluation_ends_when_a_worker_is_lost),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
