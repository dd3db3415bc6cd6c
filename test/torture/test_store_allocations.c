// SPDX-License-Identifier: Apache-2.0
// Every allocation of the store fails once, in saving and in loading: a clear error, no crash, no leak (MODE=asan), nothing harmed.
// STENTOR_FAIL_ALLOC is read once in a process, so this program runs itself again for every number.
#include "base/json.h"
#include "base/log.h"
#include "scratch.h"
#include "store/checkpoint.h"
#include "store/model_directory.h"
#include "store/small_content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { PARAMETERS = 6, ROWS = 2, LIMIT = 3000, EXIT_FAILED = 11, EXIT_WRONG = 12 };

static void stay_silent(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    (void)line;
}

static const struct model_config config = {
    .type = "gpt2",
    .vocabulary = 256,
    .context = 4,
    .width = 4,
    .layers = 1,
    .heads = 1,
    .hidden = 16,
    .activation = ACTIVATION_GELU,
    .norm_epsilon = 1e-5,
    .init_deviation = 0.02,
    .bias = false,
};

// ---- what is tried; each gives STATUS_OK or an error, and releases all it took ----
static enum status save_checkpoint(const char *folder)
{
    struct small_run run;
    small_run_init(&run, PARAMETERS, ROWS);
    small_run_set(&run, 2);
    enum status status = checkpoint_save(folder, &run.content, 2, -1);
    small_run_release(&run);
    return status;
}

static enum status load_checkpoint(const char *folder)
{
    struct small_run run;
    bool found = false;
    small_run_init(&run, PARAMETERS, ROWS);
    enum status status = checkpoint_load_newest(folder, &run.content, &found);
    if (!status && !(found && small_run_is(&run, 2))) status = STATUS_PEER; // not what was saved
    small_run_release(&run);
    return status;
}

static enum status save_model(const char *folder)
{
    struct parameters parameters;
    struct tokenizer *tokenizer = NULL;
    float *weights = NULL;
    parameters_init(&parameters);
    enum status status = model_declare(&config, &parameters);
    if (!status) status = tokenizer_byte_create(&tokenizer);
    if (!status) {
        weights = calloc((size_t)parameters.elements, sizeof *weights);
        status = model_directory_save(folder, &config, &parameters, weights, tokenizer);
    }
    free(weights);
    tokenizer_destroy(tokenizer);
    parameters_release(&parameters);
    return status;
}

static enum status load_model(const char *folder)
{
    struct loaded_model *model;
    enum status status = model_directory_load(folder, &model);
    if (!status) loaded_model_destroy(model);
    return status;
}

static const struct task {
    const char *name;
    enum status (*run)(const char *folder);
} tasks[] = {{"save-checkpoint", save_checkpoint},
             {"load-checkpoint", load_checkpoint},
             {"save-model", save_model},
             {"load-model", load_model}};

// ---- one number at a time ----
static int judge(enum status status)
{
    if (status == STATUS_OK) return 0;
    if (status != STATUS_MEMORY || !error_message()[0])
        fprintf(stderr, "# status %d: %s\n", status, error_message());
    return status == STATUS_MEMORY && error_message()[0] ? EXIT_FAILED : EXIT_WRONG;
}

static int run_task(const char *name, const char *folder)
{
    log_set_sink(stay_silent, NULL);
    for (int i = 0; i < 4; i++)
        if (strcmp(tasks[i].name, name) == 0) return judge(tasks[i].run(folder));
    return EXIT_WRONG;
}

static int run_again(const struct task *task, const char *folder, int number)
{
    pid_t child = fork();
    if (child == 0) {
        char text[16];
        snprintf(text, sizeof text, "%d", number);
        setenv("STENTOR_FAIL_ALLOC", text, 1);
        execl("/proc/self/exe", "test_store_allocations", task->name, folder, (char *)NULL);
        _exit(100);
    }
    int result = 0;
    waitpid(child, &result, 0);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

static void prepare(const char *folder)
{
    struct small_run run;
    small_run_init(&run, PARAMETERS, ROWS);
    small_run_set(&run, 1);
    assert_int_equal(checkpoint_save(folder, &run.content, 2, -1), STATUS_OK);
    small_run_release(&run);
    assert_int_equal(save_checkpoint(folder), STATUS_OK);
    assert_int_equal(save_model(folder), STATUS_OK);
}

static void each_allocation_fails_once(void **state)
{
    const struct task *task = *state;
    const char *folder = scratch_path(task->name);
    if (access("/proc/self/exe", X_OK)) {
        print_message("# SKIP the system has no /proc/self/exe\n");
        skip();
    }
    prepare(folder);
    int number = 1, code;
    while ((code = run_again(task, folder, number)) == EXIT_FAILED && number < LIMIT) number++;
    if (code) fail_msg("%s with allocation %d failing ends with %d", task->name, number, code);
    print_message("# %s: %d allocations failed, one by one\n", task->name, number - 1);
    assert_true(number > 10);
    assert_int_equal(load_checkpoint(folder), STATUS_OK);
    assert_int_equal(load_model(folder), STATUS_OK);
}

// ---- jansson's own ----
// Only where documents are built: jansson 2.14's parser itself asserts when memory fails (load.c, lex_scan_string).
static int json_left;

static void *allocate_or_fail(size_t bytes)
{
    if (json_left > 0 && --json_left == 0) return NULL;
    return malloc(bytes);
}

static void each_allocation_of_jansson_fails_once(void **state)
{
    const struct task *task = *state;
    const char *folder = scratch_path(task->name);
    prepare(folder);
    json_set_alloc_funcs(allocate_or_fail, free);
    log_set_sink(stay_silent, NULL);
    int number = 1;
    for (;; number++) {
        json_left = number;
        enum status status = task->run(folder);
        bool spent = json_left == 0;
        json_left = 0;
        if (!status && !spent) break;
        if (status) assert_int_equal(judge(status), EXIT_FAILED);
        error_clear();
        assert_true(number < LIMIT);
    }
    json_set_alloc_funcs(malloc, free);
    print_message("# %s: %d allocations of jansson failed, one by one\n", task->name, number - 1);
    assert_int_equal(load_checkpoint(folder), STATUS_OK);
    assert_int_equal(load_model(folder), STATUS_OK);
    log_set_sink(NULL, NULL);
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

int main(int count, char **words)
{
    if (count == 3) return run_task(words[1], words[2]);
#define TASK(title, function, index)                                                               \
    {                                                                                              \
        title, function, NULL, NULL, (void *)&tasks[index]                                         \
    }
    const struct CMUnitTest tests[] = {
        TASK("saving_a_checkpoint", each_allocation_fails_once, 0),
        TASK("loading_a_checkpoint", each_allocation_fails_once, 1),
        TASK("saving_a_model", each_allocation_fails_once, 2),
        TASK("loading_a_model", each_allocation_fails_once, 3),
        TASK("saving_a_checkpoint_without_memory_for_json", each_allocation_of_jansson_fails_once,
             0),
        TASK("saving_a_model_without_memory_for_json", each_allocation_of_jansson_fails_once, 2),
    };
    return cmocka_run_group_tests_name("torture/store_allocations", tests, NULL, remove_scratch);
}
