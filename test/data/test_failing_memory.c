// SPDX-License-Identifier: Apache-2.0
// Every allocation fails once while a corpus is made: always a clear message, never a crash, a leak (under ASan) or a half-made file.
// The program calls itself with STENTOR_FAIL_ALLOC=n until it succeeds.
#include "data/corpus.h"
#include "text_files.h"

#include <sys/wait.h>

static const char *program;

// The child: makes tokenizer and corpus of a folder, in a cache; 0, or the status.
static int open_once(const char *folder, const char *cache, int workers)
{
    struct corpus_source source = source_of(folder);
    struct tokenizer *tokenizer = NULL;
    struct corpus *corpus = NULL;
    log_set_level(LOG_QUIET);
    enum status status = corpus_char_tokenizer(&source, 1, workers, &tokenizer);
    if (!status) status = corpus_open(&source, tokenizer, cache, workers, &corpus);
    bool told = strstr(error_message(), "not enough memory") != NULL;
    corpus_close(corpus);
    tokenizer_destroy(tokenizer);
    if (status && !told) printf("status %d: %s\n", status, error_message());
    return status == STATUS_OK ? 0 : status == STATUS_MEMORY && told ? 10 : 20;
}

static void every_failing_allocation_is_told(void **state)
{
    (void)state;
    assert_int_equal(directory_create(scratch_path("in")), STATUS_OK);
    put_text("in/a.txt", "some text");
    put_text("in/b.jsonl", "{\"text\":\"a line\"}\n");
    for (int workers = 1; workers <= 3; workers += 2) {
        int n = 0, result = 10;
        while (result == 10 && n++ < 300) {
            char command[4096], number[32], **names;
            int count = 0;
            assert_int_equal(directory_remove(scratch_path("out")), STATUS_OK);
            snprintf(number, sizeof number, "%d", n);
            assert_int_equal(setenv("STENTOR_FAIL_ALLOC", number, 1), 0);
            snprintf(command, sizeof command, "'%s' open '%s' '%s' %d >&2", program,
                     scratch_path("in"), scratch_path("out"), workers);
            int code = system(command);
            unsetenv("STENTOR_FAIL_ALLOC");
            assert_true(WIFEXITED(code));
            result = WEXITSTATUS(code);
            if (result == 0 || !directory_exists(scratch_path("out"))) continue;
            assert_int_equal(directory_list(scratch_path("out"), &names, &count), STATUS_OK);
            names_free(names, count);
            assert_int_equal(count, 0);
        }
        assert_int_equal(result, 0);
        assert_true(n > 15);
    }
}

int main(int count, char **arguments)
{
    if (count == 5) return open_once(arguments[2], arguments[3], atoi(arguments[4]));
    program = arguments[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_failing_allocation_is_told, clear)};
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
