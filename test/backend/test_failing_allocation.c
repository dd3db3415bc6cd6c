// SPDX-License-Identifier: Apache-2.0
// The n-th allocation fails, for every n: building a graph, its gradient, its plan and its program
// ends with STATUS_MEMORY and a message, and everything is released (leaks show under ASan).
#include "backend/registry.h"
#include "pass/gpt_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKED = 40, FAILED_WELL, FAILED_BADLY };

// In a child of its own, because the number is read once a process.
static int attempt(int number)
{
    struct gpt_sizes n = {.batch = 1,
                          .tokens = 5,
                          .width = 8,
                          .layers = 6,
                          .heads = 2,
                          .vocabulary = 9,
                          .dropout = 0.1,
                          .recompute = true,
                          .gradient = true};
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    setenv("STENTOR_FAIL_ALLOC", text, 1);
    struct gpt_run run;
    enum status status = gpt_run_create(&run, &cpu_backend, n, true);
    if (!status) program_run(run.program, gpt_receive, &run);
    bool told = strstr(error_message(), "not enough memory") != NULL;
    gpt_run_destroy(&run);
    if (!status) return WORKED;
    return status == STATUS_MEMORY && told ? FAILED_WELL : FAILED_BADLY;
}

static void every_failing_allocation_is_an_error(void **state)
{
    (void)state;
    int number = 1, code = FAILED_WELL;
    for (; code != WORKED; number++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) exit(attempt(number));
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        if (code != WORKED && code != FAILED_WELL)
            fail_msg("allocation %d failing ends with %d", number, code);
        assert_true(number < 1000);
    }
    print_message("# %d allocations\n", number - 2);
    assert_true(number > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
