// SPDX-License-Identifier: Apache-2.0
// What the tests of train/ share: a folder of their own, a small text, a small run, and runs in a child process.
#ifndef STN_TEST_TRAIN_SUPPORT_H
#define STN_TEST_TRAIN_SUPPORT_H

#include "base/file.h"
#include "base/log.h"
#include "base/philox.h"
#include "train/trainer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char test_folder[256];

// Words of a little language, drawn by `seed`.
static inline void write_text(const char *path, int words, uint64_t seed)
{
    static const char *const word[] = {"the ",    "herald ", "called ", "with ",  "a ",
                                       "voice ",  "of ",     "fifty ",  "men.\n", "bronze, ",
                                       "before ", "Troy, ",  "and ",    "all ",   "heard "};
    struct philox_address at = {seed, philox_stream(PHILOX_TEST, 9), 0, 0};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < words; i++) fputs(word[philox_bits(at, (uint64_t)i) % 15], file);
    fclose(file);
}

static inline int make_folder(void **state)
{
    (void)state;
    char text[300];
    const char *root = getenv("TMPDIR");
    snprintf(test_folder, sizeof test_folder, "%s/stentor-test-XXXXXX", root ? root : "/tmp");
    if (!mkdtemp(test_folder)) return 1;
    snprintf(text, sizeof text, "%s/text.txt", test_folder);
    write_text(text, 4000, 1);
    log_set_level(LOG_QUIET);
    return 0;
}

static inline int remove_folder(void **state)
{
    (void)state;
    return directory_remove(test_folder) != STATUS_OK;
}

// A run of a few seconds at most: 12 micro-batches in 5 leaves, dropout, clipping. `out` is below the test's folder.
static inline struct run_config small_run(const char *out)
{
    struct run_config config;
    run_config_defaults(&config);
    config.model.layers = 2;
    config.model.heads = 2;
    config.model.width = 32;
    config.model.context = 16;
    config.dropout = 0.1;
    config.batch = 24;
    config.micro_batch = 2;
    config.leaves = 5;
    config.steps = 20;
    config.schedule.learning_rate = 3e-3;
    config.schedule.warmup = 4;
    config.optimizer.clip = 0.5;
    config.eval_every = 0;
    config.save_every = 0;
    config.parallel.workers = 1;
    snprintf(config.parallel.balance, sizeof config.parallel.balance, "none");
    snprintf(config.data.tokenizer, sizeof config.data.tokenizer, "char");
    snprintf(config.data.train, sizeof config.data.train, "%s/text.txt", test_folder);
    snprintf(config.data.cache, sizeof config.data.cache, "%s/cache", test_folder);
    snprintf(config.out, sizeof config.out, "%s/%s", test_folder, out);
    return config;
}

// What a child process reports.
struct child_result {
    enum status status;
    char message[1024];
    char digest[65];
    double loss, evaluation;
    int64_t evaluation_tokens, step;
};

typedef void (*child_work)(const struct run_config *config, void *context,
                           struct child_result *result);

static inline void fill_failure(struct child_result *result, enum status status)
{
    result->status = status;
    snprintf(result->message, sizeof result->message, "%s", error_message());
}

// Runs `work` in a child with STENTOR_ISA set (NULL: as it is), since instruction sets and processes' limits are chosen once.
static inline struct child_result in_child(const char *isa, child_work work,
                                           const struct run_config *config, void *context)
{
    struct child_result result = {.status = STATUS_PEER};
    int pipe_ends[2], how = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (isa) setenv("STENTOR_ISA", isa, 1);
        memset(&result, 0, sizeof result);
        work(config, context, &result);
        _exit(write(pipe_ends[1], &result, sizeof result) != sizeof result);
    }
    close(pipe_ends[1]);
    ssize_t bytes = read(pipe_ends[0], &result, sizeof result);
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &how, 0), child);
    if (bytes != sizeof result || !WIFEXITED(how) || WEXITSTATUS(how)) {
        snprintf(result.message, sizeof result.message, "the child died (%d)", how);
        result.status = STATUS_PEER;
    }
    return result;
}

// Steps until config->steps without writing anything; with a context, from the newest checkpoint until `stop`, where it saves.
struct portion {
    int64_t stop;
};
static inline void train_steps_in(struct comm *net, const struct run_config *config, void *context,
                                  struct child_result *result)
{
    struct trainer *trainer = NULL;
    struct step_report report = {0};
    const struct portion *part = context;
    int64_t stop = part ? part->stop : config->steps;
    enum status status = trainer_create(config, net, &trainer);
    if (!status) status = trainer_prepare(trainer, part != NULL);
    while (!status && trainer_position(trainer)->step < stop)
        status = trainer_step(trainer, &report);
    result->loss = report.loss;
    if (!status && trainer_position(trainer)->step > 0 && config->data.valid_fraction > 0)
        status = trainer_evaluate(trainer, &result->evaluation, &result->evaluation_tokens);
    if (!status && part) status = trainer_save(trainer);
    if (!status) status = trainer_digest(trainer, result->digest);
    if (status)
        fill_failure(result, status);
    else
        result->step = trainer_position(trainer)->step;
    trainer_destroy(trainer);
}

static inline void train_steps(const struct run_config *config, void *context,
                               struct child_result *result)
{
    train_steps_in(NULL, config, context, result);
}

static inline void assert_fine(const struct child_result *result)
{
    if (result->status) fail_msg("status %d: %s", (int)result->status, result->message);
}
#endif
