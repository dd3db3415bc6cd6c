// SPDX-License-Identifier: Apache-2.0
// Every allocation fails once: a program calls itself with STENTOR_FAIL_ALLOC=n, which is read once in a process, until it succeeds.
#ifndef STN_TEST_ALLOCATIONS_H
#define STN_TEST_ALLOCATIONS_H

#include "base/status.h"
#include "scratch.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

// cmocka.h wants the others before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

enum { CHILD_FAILED = 10, CHILD_WRONG = 20 };

// A child's exit code: a failure must be one of memory, and say so.
static inline int child_code(enum status status)
{
    bool told = strstr(error_message(), "not enough memory") != NULL;
    if (status && !told) printf("status %d: %s\n", status, error_message());
    return status == STATUS_OK ? 0 : status == STATUS_MEMORY && told ? CHILD_FAILED : CHILD_WRONG;
}

static const char *own_program;

// This program with the one argument is the child. More than `least` allocations are made.
static inline void fail_each_allocation(const char *argument, int least)
{
    int n = 0, result = CHILD_FAILED;
    while (result == CHILD_FAILED && n++ < 2000) {
        char command[2048], number[32];
        snprintf(number, sizeof number, "%d", n);
        assert_int_equal(setenv("STENTOR_FAIL_ALLOC", number, 1), 0);
        snprintf(command, sizeof command, "'%s' '%s' >&2", own_program, argument);
        int code = system(command);
        unsetenv("STENTOR_FAIL_ALLOC");
        assert_true(WIFEXITED(code));
        result = WEXITSTATUS(code);
        if (result != CHILD_FAILED && result != 0)
            print_error("allocation %d: exit %d\n", n, result);
    }
    assert_int_equal(result, 0);
    assert_true(n > least);
    print_message("# %d allocations\n", n - 1);
}

static inline int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

// main(): the child, or the one test that calls fail_each_allocation.
static inline int allocations_main(int count, char **arguments, int (*child)(const char *argument),
                                   CMUnitTestFunction every_failing_allocation_is_told)
{
    if (count == 2) return child(arguments[1]);
    own_program = arguments[0];
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failing_allocation_is_told)};
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
#endif
