// SPDX-License-Identifier: Apache-2.0
// Running a program allocates nothing: malloc and its kin and mmap are counted while it runs.
#include "backend/registry.h"
#include "pass/gpt_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static long calls; // of any allocator, while `counting`
static bool counting;

// Sanitizers have allocators of their own; there, and without glibc, only the house's counters are
// looked at.
#if defined(__GLIBC__) && !defined(SANITIZED)
#    define HOOKED 1
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    calls += counting;
    return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes)
{
    calls += counting;
    return __libc_calloc(count, bytes);
}
void *realloc(void *old, size_t bytes)
{
    calls += counting;
    return __libc_realloc(old, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes)
{
    calls += counting;
    return __libc_memalign(alignment, bytes);
}
void *mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset)
{
    calls += counting;
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, file, offset);
}
#else
#    define HOOKED 0
#endif

static void running_allocates_nothing(void **state)
{
    (void)state;
    struct gpt_sizes n = {.batch = 2,
                          .tokens = 70,
                          .width = 48,
                          .layers = 2,
                          .heads = 3,
                          .vocabulary = 300,
                          .dropout = 0.1,
                          .gradient = true};
    const struct backend *backends[] = {&cpu_backend, &reference_backend};
    for (int b = 0; b < 2; b++) {
        struct gpt_run run;
        if (gpt_run_create(&run, backends[b], n, true)) fail_msg("%s", error_message());
        uint64_t before = memory_allocations();
        size_t bytes = block_total_bytes();
        calls = 0;
        counting = true;
        for (int i = 0; i < 3; i++) program_run(run.program, gpt_receive, &run);
        counting = false;
        assert_int_equal(memory_allocations(), before);
        assert_int_equal(block_total_bytes(), bytes);
        assert_int_equal(calls, 0);
        gpt_run_destroy(&run);
    }
}

static void the_counter_counts(void **state)
{
    (void)state;
    calls = 0;
    counting = true;
    void *volatile memory = malloc(100);
    struct block block;
    enum status status = block_create(1 << 20, "a block", &block);
    counting = false;
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(calls, HOOKED ? 2 : 0);
    if (!HOOKED) print_message("# malloc is not hooked in this build\n");
    free(memory);
    block_destroy(&block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_allocates_nothing),
        cmocka_unit_test(the_counter_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
