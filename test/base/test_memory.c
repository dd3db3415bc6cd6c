// SPDX-License-Identifier: Apache-2.0
// Memory: zeroed, checked, counted; every allocation can be made to fail.
#include "base/memory.h"

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

static int clear(void **state)
{
    (void)state;
    error_clear();
    return 0;
}

static void allocations_are_zeroed(void **state)
{
    (void)state;
    int64_t *numbers;
    assert_int_equal(memory_allocate(1001, sizeof *numbers, "numbers", &numbers), STATUS_OK);
    for (int i = 0; i < 1001; i++) assert_int_equal(numbers[i], 0);
    free(numbers);
    char *nothing = NULL;
    assert_int_equal(memory_allocate(0, 8, "nothing", &nothing), STATUS_OK);
    assert_non_null(nothing);
    free(nothing);
}

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    char *pointer = (char *)state;
    assert_int_equal(checked_multiply(3, 5), 15);
    assert_true(checked_multiply(SIZE_MAX / 2, 3) == SIZE_MAX);
    assert_true(checked_multiply(SIZE_MAX, 0) == 0);
    assert_int_equal(memory_allocate(SIZE_MAX / 4, 8, "a bomb", &pointer), STATUS_MEMORY);
    assert_ptr_equal(pointer, state);
    assert_non_null(strstr(error_message(), "a bomb"));
    error_clear();
    assert_int_equal(memory_allocate(SIZE_MAX, 1, "a bomb", &pointer), STATUS_MEMORY);
}

static void growing_keeps_contents_and_failing_keeps_the_pointer(void **state)
{
    (void)state;
    int *numbers = NULL;
    assert_int_equal(memory_grow(&numbers, 4, sizeof *numbers, "numbers"), STATUS_OK);
    for (int i = 0; i < 4; i++) numbers[i] = i * i;
    assert_int_equal(memory_grow(&numbers, 4000, sizeof *numbers, "numbers"), STATUS_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(numbers[i], i * i);
    int *before = numbers;
    assert_int_equal(memory_grow(&numbers, SIZE_MAX / 2, sizeof *numbers, "numbers"),
                     STATUS_MEMORY);
    assert_ptr_equal(numbers, before);
    assert_int_equal(numbers[3], 9);
    free(numbers);
}

static void strings_are_copied(void **state)
{
    (void)state;
    char text[] = "众声", *copy;
    assert_int_equal(memory_copy_string(text, &copy), STATUS_OK);
    text[0] = 'x';
    assert_string_equal(copy, "众声");
    free(copy);
}

static void large_blocks_begin_at_huge_pages(void **state)
{
    (void)state;
    const size_t huge = (size_t)2 << 20, sizes[] = {2 * huge, 2 * huge + 1, 7 * huge - 5};
    for (int i = 0; i < 6; i++) {
        struct block block = {0};
        size_t bytes = sizes[i / 2];
        if (i % 2) setenv("STENTOR_HUGE_PAGES", "off", 1);
        assert_int_equal(block_create(bytes, "weights", &block), STATUS_OK);
        unsetenv("STENTOR_HUGE_PAGES");
#if defined(__linux__)
        if (i % 2 == 0) assert_int_equal((uintptr_t)block.data % huge, 0);
#endif
        assert_int_equal(block.bytes, bytes);
        unsigned char *data = block.data;
        for (size_t b = 0; b < bytes; b += 4001) assert_int_equal(data[b]++, 0);
        data[bytes - 1] = 1;
        block_destroy(&block);
    }
}

static void blocks_are_zeroed_aligned_and_counted(void **state)
{
    (void)state;
    size_t before = block_total_bytes();
    struct block block = {0};
    assert_int_equal(block_create(1000003, "weights", &block), STATUS_OK);
    assert_int_equal((uintptr_t)block.data % 64, 0);
    for (size_t i = 0; i < 1000003; i += 997) assert_int_equal(((char *)block.data)[i], 0);
    assert_int_equal(block_total_bytes(), before + block.bytes);
    assert_true(block.bytes >= 1000003);
    block_destroy(&block);
    assert_null(block.data);
    assert_int_equal(block_total_bytes(), before);
    block_destroy(&block);
    assert_int_equal(block_create(SIZE_MAX, "too much", &block), STATUS_MEMORY);
    assert_null(block.data);
}

static void arenas_give_zeroed_memory_of_any_size(void **state)
{
    (void)state;
    struct arena *arena;
    assert_int_equal(arena_create(&arena), STATUS_OK);
    unsigned char *previous = NULL;
    for (size_t bytes = 1; bytes < 300000; bytes = bytes * 3 + 1) {
        unsigned char *memory = arena_take(arena, bytes);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 16, 0);
        for (size_t i = 0; i < bytes; i++) assert_int_equal(memory[i], 0);
        memset(memory, 0xff, bytes);
        if (previous) assert_int_equal(previous[0], 0xff);
        previous = memory;
    }
    assert_null(arena_take(arena, SIZE_MAX));
    assert_null(arena_take(arena, SIZE_MAX - 7));
    assert_string_equal(arena_print(arena, "h.%d.%s", 11, "attn"), "h.11.attn");
    char long_words[70000];
    memset(long_words, 'a', sizeof long_words);
    long_words[sizeof long_words - 1] = 0;
    assert_string_equal(arena_print(arena, "%s", long_words), long_words);
    arena_destroy(arena);
    arena_destroy(NULL);
}

// STENTOR_FAIL_ALLOC is read once in a process, so a child runs this program again.
static int run_failing(const char *number)
{
    pid_t child = fork();
    if (child == 0) {
        setenv("STENTOR_FAIL_ALLOC", number, 1);
        execl("/proc/self/exe", "test_memory", "allocate-four", (char *)NULL);
        _exit(100);
    }
    int result = 0;
    waitpid(child, &result, 0);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

// The number of the first allocation that failed, 0 when none did.
static int allocate_four(void)
{
    int failed = 0;
    char *memory = NULL, *copy = NULL;
    struct block block = {0};
    struct arena *arena = NULL;
    if (memory_allocate(1, 10, "one", &memory))
        failed = 1;
    else if (memory_copy_string("two", &copy))
        failed = 2;
    else if (block_create(100, "three", &block))
        failed = 3;
    else if (arena_create(&arena))
        failed = 4;
    free(memory);
    free(copy);
    block_destroy(&block);
    arena_destroy(arena);
    return failed;
}

static void the_nth_allocation_fails_on_demand(void **state)
{
    (void)state;
    if (access("/proc/self/exe", X_OK)) {
        print_message("# SKIP the system has no /proc/self/exe\n");
        skip();
    }
    assert_int_equal(run_failing("1"), 1);
    assert_int_equal(run_failing("2"), 2);
    assert_int_equal(run_failing("3"), 3);
    assert_int_equal(run_failing("4"), 4);
    assert_int_equal(run_failing("5"), 0);
    assert_int_equal(run_failing("0"), 0);
}

static void allocations_are_counted(void **state)
{
    (void)state;
    uint64_t before = memory_allocations();
    assert_int_equal(allocate_four(), 0);
    assert_int_equal(memory_allocations() - before, 4);
}

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "allocate-four") == 0) return allocate_four();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(allocations_are_zeroed, clear),
        cmocka_unit_test_setup(products_that_overflow_are_refused, clear),
        cmocka_unit_test_setup(growing_keeps_contents_and_failing_keeps_the_pointer, clear),
        cmocka_unit_test_setup(strings_are_copied, clear),
        cmocka_unit_test_setup(large_blocks_begin_at_huge_pages, clear),
        cmocka_unit_test_setup(blocks_are_zeroed_aligned_and_counted, clear),
        cmocka_unit_test_setup(arenas_give_zeroed_memory_of_any_size, clear),
        cmocka_unit_test_setup(the_nth_allocation_fails_on_demand, clear),
        cmocka_unit_test_setup(allocations_are_counted, clear),
    };
    return cmocka_run_group_tests_name("base/memory", tests, NULL, NULL);
}
