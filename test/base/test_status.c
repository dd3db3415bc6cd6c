// SPDX-License-Identifier: Apache-2.0
// Errors: the first one wins, its trail grows, threads do not see each other's.
#include "base/status.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static enum status decide(int number) { FAIL(STATUS_INPUT, "line %d is empty", number); }

static enum status forward(int number)
{
    TRY(decide(number));
    return STATUS_OK;
}

static int clear(void **state)
{
    (void)state;
    error_clear();
    return 0;
}

static void message_and_code_come_from_the_first_fail(void **state)
{
    (void)state;
    assert_int_equal(decide(7), STATUS_INPUT);
    assert_string_equal(error_message(), "line 7 is empty");
}

static void try_forwards_and_adds_a_frame(void **state)
{
    (void)state;
    assert_int_equal(forward(3), STATUS_INPUT);
    assert_string_equal(error_message(), "line 3 is empty");
    const char *first = strstr(error_trail(), "test_status.c:");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, " < "));
    assert_non_null(strstr(first + 1, "test_status.c:"));
}

static void later_errors_do_not_replace_the_first(void **state)
{
    (void)state;
    assert_int_equal(decide(1), STATUS_INPUT);
    assert_int_equal(error_at(STATUS_DISK, "x.c", 1, "disk full"), STATUS_DISK);
    assert_string_equal(error_message(), "line 1 is empty");
    error_clear();
    assert_string_equal(error_message(), "");
    assert_string_equal(error_trail(), "");
    assert_int_equal(decide(2), STATUS_INPUT);
    assert_string_equal(error_message(), "line 2 is empty");
}

static void long_messages_and_trails_are_cut_not_overrun(void **state)
{
    (void)state;
    char words[5000];
    memset(words, 'x', sizeof words);
    words[sizeof words - 1] = 0;
    assert_int_equal(error_at(STATUS_INPUT, "a.c", 1, "%s", words), STATUS_INPUT);
    assert_true(strlen(error_message()) > 1000 && strlen(error_message()) < sizeof words);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(error_trace(STATUS_INPUT, "quite/a/long/name.c", i), STATUS_INPUT);
    assert_true(strlen(error_trail()) < 4096);
}

// Characters of one to four bytes.
static const char mixed[] = "a\u00e4\u4f17\U0001f600b\u00e9\u58f0\U0001f601";

static bool is_whole(const char *text, size_t bytes)
{
    return bytes == sizeof mixed - 1 || ((unsigned char)text[bytes] & 0xC0) != 0x80;
}

static void values_are_cut_between_characters(void **state)
{
    (void)state;
    for (size_t most = 0; most < sizeof mixed + 2; most++) {
        size_t bytes = (size_t)text_cut(mixed, most);
        assert_true(bytes <= most && is_whole(mixed, bytes));
        assert_true(bytes + 4 > most || bytes == sizeof mixed - 1); // no more than a character less
        assert_int_equal(bytes, text_cut_bytes(mixed, sizeof mixed - 1, most));
        char text[32];
        if (most == 0 || most > sizeof text) continue;
        text_print(text, most, "%s", mixed);
        assert_int_equal(strlen(text), text_cut(mixed, most - 1));
    }
    // What is no UTF-8 stays: nothing is lost of a name in Latin-1.
    assert_int_equal(text_cut("caf\xe9", 4), 4);
    assert_int_equal(text_cut("caf\xe9", 9), 4);
    assert_int_equal(text_cut("\x80\x80\x80\x80\x80\x80", 5), 5);
    assert_int_equal(text_cut("", 3), 0);
    assert_int_equal(text_cut(mixed, 0), 0);
}

static void messages_are_cut_between_characters(void **state)
{
    (void)state;
    static char words[6001];
    for (size_t shift = 0; shift < 3; shift++) {
        error_clear();
        memset(words, 'x', shift);
        for (size_t i = 0; i < 1900; i++) memcpy(words + shift + 3 * i, "\u4f17", 3);
        words[shift + 5700] = 0;
        assert_int_equal(error_at(STATUS_INPUT, "a.c", 1, "%s", words), STATUS_INPUT);
        size_t bytes = strlen(error_message());
        assert_true(bytes > 1000 && (bytes - shift) % 3 == 0);
        char copy[100];
        error_copy(copy, sizeof copy);
        assert_true(strlen(copy) > 90 && (strlen(copy) - shift) % 3 == 0);
    }
}

static void *fail_elsewhere(void *message)
{
    if (error_message()[0] || decide(99) != STATUS_INPUT) return NULL;
    snprintf(message, 64, "%s", error_message());
    return message;
}

static void threads_have_errors_of_their_own(void **state)
{
    (void)state;
    char message[64] = "";
    pthread_t thread;
    void *result;
    assert_int_equal(decide(5), STATUS_INPUT);
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, message), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, message);
    assert_string_equal(message, "line 99 is empty");
    assert_string_equal(error_message(), "line 5 is empty");
}

static void adopted_errors_keep_their_code_and_text(void **state)
{
    (void)state;
    assert_int_equal(error_adopt(STATUS_PEER, "worker 2 is lost"), STATUS_PEER);
    assert_string_equal(error_message(), "worker 2 is lost");
}

static void exit_codes_are_those_of_the_manual(void **state)
{
    (void)state;
    assert_int_equal(status_exit_code(STATUS_OK), 0);
    assert_int_equal(status_exit_code(STATUS_USAGE), 2);
    assert_int_equal(status_exit_code(STATUS_INPUT), 3);
    assert_int_equal(status_exit_code(STATUS_MEMORY), 4);
    assert_int_equal(status_exit_code(STATUS_DISK), 4);
    assert_int_equal(status_exit_code(STATUS_SHAPE), 1);
    assert_int_equal(status_exit_code(STATUS_UNSUPPORTED), 1);
    assert_int_equal(status_exit_code(STATUS_PEER), 5);
    assert_int_equal(status_exit_code(STATUS_DIVERGED), 1);
    assert_int_equal(status_exit_code(STATUS_INTERRUPTED), 75);
}

static void a_broken_invariant_aborts_with_its_text(void **state)
{
    (void)state;
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        INVARIANT(1 + 1 == 2, "arithmetic works");
        INVARIANT(pipe_ends[0] < 0, "descriptor %d", pipe_ends[0]);
        _exit(0);
    }
    close(pipe_ends[1]);
    char text[512] = "";
    ssize_t got, used = 0;
    while ((got = read(pipe_ends[0], text + used, sizeof text - 1 - (size_t)used)) > 0) used += got;
    close(pipe_ends[0]);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result) && WTERMSIG(result) == 6);
    assert_non_null(strstr(text, "pipe_ends[0] < 0"));
    assert_non_null(strstr(text, "descriptor "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(message_and_code_come_from_the_first_fail, clear),
        cmocka_unit_test_setup(try_forwards_and_adds_a_frame, clear),
        cmocka_unit_test_setup(later_errors_do_not_replace_the_first, clear),
        cmocka_unit_test_setup(long_messages_and_trails_are_cut_not_overrun, clear),
        cmocka_unit_test_setup(values_are_cut_between_characters, clear),
        cmocka_unit_test_setup(messages_are_cut_between_characters, clear),
        cmocka_unit_test_setup(threads_have_errors_of_their_own, clear),
        cmocka_unit_test_setup(adopted_errors_keep_their_code_and_text, clear),
        cmocka_unit_test_setup(exit_codes_are_those_of_the_manual, clear),
        cmocka_unit_test_setup(a_broken_invariant_aborts_with_its_text, clear),
    };
    return cmocka_run_group_tests_name("base/status", tests, NULL, NULL);
}
