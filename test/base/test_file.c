// SPDX-License-Identifier: Apache-2.0
// Files and folders: whole or not at all, bounded, regular, with a clear message; every failing call leaves the old file.
#include "base/file.h"
#include "base/file_fault.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

static int clear(void **state)
{
    (void)state;
    error_clear();
    file_fault_set(NULL, NULL);
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

// ---- reading ----
static void reads_whole_files_with_a_nul_behind(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 400000; bytes = bytes * 5 + 1) {
        char *text = malloc(bytes + 1);
        for (size_t i = 0; i < bytes; i++) text[i] = (char)(i * 31);
        const char *path = put_file(scratch_path("whole"), text, bytes);
        char *data;
        size_t got;
        assert_int_equal(file_read(path, bytes, &data, &got), STATUS_OK);
        assert_int_equal(got, bytes);
        assert_int_equal(data[bytes], 0);
        assert_memory_equal(data, text, bytes);
        free(data);
        free(text);
    }
}

static void refuses_what_is_no_file_or_too_large(void **state)
{
    (void)state;
    char *data = NULL;
    size_t bytes = 77;
    assert_int_equal(file_read(scratch_path("absent"), 10, &data, &bytes), STATUS_INPUT);
    assert_true(error_says("absent: No such file"));
    assert_int_equal(file_read(scratch(), 10, &data, &bytes), STATUS_INPUT);
    assert_true(error_says("is a folder"));
    assert_int_equal(file_read("/dev/zero", 10, &data, &bytes), STATUS_INPUT);
    assert_true(error_says("is a device"));
    const char *fifo = scratch_path("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(file_read(fifo, 10, &data, &bytes), STATUS_INPUT);
    assert_true(error_says("is a pipe"));
    const char *large = put_file(scratch_path("large"), "12345678901", 11);
    assert_int_equal(file_read(large, 10, &data, &bytes), STATUS_INPUT);
    assert_true(error_says("has 11 bytes; at most 10"));
    assert_null(data);
    assert_int_equal(bytes, 77);
}

static void a_file_without_a_size_is_bounded_too(void **state)
{
    (void)state;
    char *data = NULL;
    size_t bytes = 0;
    if (access("/proc/self/status", R_OK)) {
        print_message("# SKIP the system has no /proc/self/status\n");
        skip();
    }
    assert_int_equal(file_read("/proc/self/status", 1 << 20, &data, &bytes), STATUS_OK);
    assert_true(bytes > 10);
    free(data);
    assert_int_equal(file_read("/proc/self/status", 10, &data, &bytes), STATUS_INPUT);
    assert_true(error_says("more than 10 bytes"));
}

static void links_are_followed_only_when_asked(void **state)
{
    (void)state;
    const char *path = put_file(scratch_path("target"), "abc", 3),
               *link_path = scratch_path("link");
    assert_int_equal(symlink(path, link_path), 0);
    int file = -1;
    uint64_t bytes = 0;
    assert_int_equal(file_open(link_path, true, &file, &bytes), STATUS_OK);
    assert_int_equal(bytes, 3);
    file_close(file);
    assert_int_equal(file_open(link_path, false, &file, &bytes), STATUS_INPUT);
    assert_true(error_says("is a link"));
    assert_int_equal(file_create(link_path, &file), STATUS_DISK);
    error_clear();
    assert_true(file_exists(path));
}

static void read_at_says_where_a_file_ends(void **state)
{
    (void)state;
    const char *path = put_file(scratch_path("short"), "0123456789", 10);
    int file;
    uint64_t size;
    char part[8] = "";
    assert_int_equal(file_open(path, false, &file, &size), STATUS_OK);
    assert_int_equal(file_read_at(file, part, 3, 4, path), STATUS_OK);
    assert_memory_equal(part, "456", 3);
    assert_int_equal(file_read_at(file, part, 5, 7, path), STATUS_INPUT);
    assert_true(error_says("ends at byte 10; 12 were expected"));
    file_close(file);
}

static void maps_show_the_bytes_and_nothing_for_empty_files(void **state)
{
    (void)state;
    void *data;
    size_t bytes;
    assert_int_equal(file_map(put_file(scratch_path("map"), "mapped", 6), &data, &bytes),
                     STATUS_OK);
    assert_int_equal(bytes, 6);
    assert_memory_equal(data, "mapped", 6);
    file_unmap(data, bytes);
    assert_int_equal(file_map(put_file(scratch_path("none"), "", 0), &data, &bytes), STATUS_OK);
    assert_null(data);
    assert_int_equal(bytes, 0);
    file_unmap(data, bytes);
    assert_int_equal(file_map(scratch(), &data, &bytes), STATUS_INPUT);
    assert_true(error_says("is a folder"));
}

// ---- faults ----
struct plan {
    int number; // of the call that fails, counted from 1; 0 none
    int seen;
    int cause;              // errno
    enum file_call last;    // the last call seen
    bool only, every_short; // only calls of kind `kind`; transfers move one byte
    enum file_call kind;
};

static int fail_by_plan(void *context, enum file_call call, size_t *bytes)
{
    struct plan *plan = context;
    plan->last = call;
    if (plan->every_short && *bytes > 1) *bytes = 1;
    if (call == FILE_CALL_REMOVE || (plan->only && call != plan->kind)) return 0;
    return ++plan->seen == plan->number ? plan->cause : 0;
}

static void short_and_interrupted_transfers_lose_nothing(void **state)
{
    (void)state;
    struct plan plan = {.every_short = true};
    file_fault_set(fail_by_plan, &plan);
    const char *path = scratch_path("drip");
    assert_int_equal(file_replace(path, "drop by drop", 12), STATUS_OK);
    char *data;
    size_t bytes;
    assert_int_equal(file_read(path, 100, &data, &bytes), STATUS_OK);
    assert_string_equal(data, "drop by drop");
    free(data);
    enum file_call kinds[] = {FILE_CALL_READ, FILE_CALL_WRITE, FILE_CALL_SYNC, FILE_CALL_CLOSE};
    for (int i = 0; i < 4; i++) {
        plan = (struct plan){.number = 1, .cause = EINTR, .only = true, .kind = kinds[i]};
        assert_int_equal(file_replace(path, "again", 5), STATUS_OK);
        assert_int_equal(file_read(path, 100, &data, &bytes), STATUS_OK);
        assert_string_equal(data, "again");
        assert_true(plan.seen >= 1);
        free(data);
    }
}

static int count_names(const char *folder)
{
    char **names;
    int count;
    assert_int_equal(directory_list(folder, &names, &count), STATUS_OK);
    names_free(names, count);
    return count;
}

static void replace_is_all_or_nothing_at_every_call(void **state)
{
    (void)state;
    const char *folder = scratch_path("replace"), *path = scratch_path("replace/file");
    assert_int_equal(directory_create(folder), STATUS_OK);
    assert_int_equal(file_replace(path, "old", 3), STATUS_OK);
    int failures = 0;
    for (int number = 1;; number++) {
        struct plan plan = {.number = number, .cause = number % 2 ? ENOSPC : EIO};
        file_fault_set(fail_by_plan, &plan);
        enum status status = file_replace(path, "new!", 4);
        file_fault_set(NULL, NULL);
        char *data;
        size_t bytes;
        assert_int_equal(file_read(path, 100, &data, &bytes), STATUS_OK);
        assert_int_equal(count_names(folder), 1);
        bool renamed = strcmp(data, "new!") == 0;
        free(data);
        if (!status) {
            assert_true(renamed);
            break;
        }
        failures++;
        assert_int_equal(status, STATUS_DISK);
        assert_true(error_says(plan.cause == ENOSPC ? "No space left" : "Input/output error"));
        // After the rename only the folder's fsync can fail: then the new file is there, whole.
        assert_true(renamed == (plan.last == FILE_CALL_SYNC && failures > 4));
    }
    assert_int_equal(failures, 6); // open, write, fsync, close, rename, fsync of the folder
}

static void put_old(const char *path, bool old)
{
    const struct timespec times[2] = {{time(NULL) - 120, 0}, {time(NULL) - 120, 0}};
    put_file(path, "half", 4);
    if (old) assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

// What a killed process has left goes; what is new, is being written, or has another name stays.
static void leftovers_are_removed_and_nothing_else(void **state)
{
    (void)state;
    static const char *const names[] = {"left/file.tmp-999999-0",  "left/file.tmp-999999-1",
                                        "left/file.tmp-999998-7",  "left/file.tmp-notes",
                                        "left/other.tmp-999999-0", "left/file.tmp-1-2-3"};
    assert_int_equal(directory_create(scratch_path("left")), STATUS_OK);
    for (int i = 0; i < 6; i++) put_old(scratch_path(names[i]), i != 1);
    int writer = open(scratch_path(names[2]), O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(writer, LOCK_EX), 0);
    assert_int_equal(file_replace(scratch_path("left/file"), "x", 1), STATUS_OK);
    assert_false(file_exists(scratch_path(names[0])));
    for (int i = 1; i < 6; i++) assert_true(file_exists(scratch_path(names[i])));
    // Its writer has been killed meanwhile.
    close(writer);
    assert_int_equal(file_replace(scratch_path("left/file"), "y", 1), STATUS_OK);
    assert_false(file_exists(scratch_path(names[2])));
    assert_int_equal(count_names(scratch_path("left")), 5);
}

static void a_failed_fsync_is_not_tried_again(void **state)
{
    (void)state;
    struct plan plan = {.number = 1, .cause = EIO, .only = true, .kind = FILE_CALL_SYNC};
    file_fault_set(fail_by_plan, &plan);
    assert_int_equal(file_replace(scratch_path("gate"), "x", 1), STATUS_DISK);
    assert_int_equal(plan.seen, 1);
    assert_false(file_exists(scratch_path("gate")));
}

static void a_size_limit_of_the_system_is_an_error_not_a_signal(void **state)
{
    (void)state;
    const char *path = scratch_path("limit");
    assert_int_equal(file_replace(path, "old", 3), STATUS_OK);
    pid_t child = fork();
    if (child == 0) {
        char data[5000] = "";
        struct rlimit limit = {4096, 4096};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        enum status status = file_replace(path, data, sizeof data);
        _exit(status == STATUS_DISK && strstr(error_message(), "File too large") ? 0 : 1);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    char *data;
    size_t bytes;
    assert_int_equal(file_read(path, 10, &data, &bytes), STATUS_OK);
    assert_string_equal(data, "old");
    free(data);
}

static void places_that_cannot_be_written_are_named(void **state)
{
    (void)state;
    put_file(scratch_path("plain"), "x", 1);
    assert_int_equal(file_replace(scratch_path("plain/below"), "x", 1), STATUS_DISK);
    assert_true(error_says("plain/below"));
    assert_int_equal(file_replace(scratch_path("no/such/folder"), "x", 1), STATUS_DISK);
    assert_true(error_says("No such file"));
    char long_name[5000];
    memset(long_name, 'n', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    assert_int_equal(file_replace(long_name, "x", 1), STATUS_USAGE);
    assert_true(error_says("too long"));
}

// ---- folders ----
static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    assert_int_equal(directory_create(scratch_path("a/b//c/")), STATUS_OK);
    assert_true(directory_exists(scratch_path("a/b/c")));
    assert_int_equal(directory_create(scratch_path("a/b/c")), STATUS_OK);
    put_file(scratch_path("a/file"), "x", 1);
    assert_int_equal(directory_create(scratch_path("a/file/d/e")), STATUS_DISK);
    assert_true(error_says("a/file: Not a directory"));
    assert_int_equal(directory_create(scratch_path("a/file")), STATUS_DISK);
    assert_true(error_says("Not a directory"));
    assert_int_equal(directory_create(""), STATUS_USAGE);
}

static void lists_are_in_byte_order(void **state)
{
    (void)state;
    static const char *const names[] = {"step-10", "step-9", ".hidden", "é", "Z", "a"};
    static const char *const sorted[] = {".hidden", "Z", "a", "step-10", "step-9", "é"};
    assert_int_equal(directory_create(scratch_path("list")), STATUS_OK);
    for (int i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "list/%s", names[i]);
        put_file(scratch_path(name), "", 0);
    }
    char **found;
    int count;
    assert_int_equal(directory_list(scratch_path("list"), &found, &count), STATUS_OK);
    assert_int_equal(count, 6);
    for (int i = 0; i < 6; i++) assert_string_equal(found[i], sorted[i]);
    names_free(found, count);
    assert_int_equal(directory_list(scratch_path("list/a"), &found, &count), STATUS_INPUT);
}

static void removing_a_folder_does_not_follow_links(void **state)
{
    (void)state;
    assert_int_equal(directory_create(scratch_path("keep")), STATUS_OK);
    put_file(scratch_path("keep/precious"), "x", 1);
    assert_int_equal(directory_create(scratch_path("drop/deep/deeper")), STATUS_OK);
    put_file(scratch_path("drop/deep/deeper/file"), "x", 1);
    assert_int_equal(symlink(scratch_path("keep"), scratch_path("drop/link")), 0);
    assert_int_equal(symlink(scratch_path("keep/precious"), scratch_path("drop/deep/link")), 0);
    assert_int_equal(directory_remove(scratch_path("drop")), STATUS_OK);
    assert_false(directory_exists(scratch_path("drop")));
    assert_true(file_exists(scratch_path("keep/precious")));
    assert_int_equal(directory_remove(scratch_path("drop")), STATUS_OK);
    assert_int_equal(symlink(scratch_path("keep"), scratch_path("outer")), 0);
    assert_int_equal(directory_remove(scratch_path("outer")), STATUS_OK);
    assert_true(file_exists(scratch_path("keep/precious")));
}

static void joining_paths(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(path_join(out, sizeof out, "a/b", "c"), STATUS_OK);
    assert_string_equal(out, "a/b/c");
    assert_int_equal(path_join(out, sizeof out, "a/", "c"), STATUS_OK);
    assert_string_equal(out, "a/c");
    assert_int_equal(path_join(out, sizeof out, "", "c"), STATUS_OK);
    assert_string_equal(out, "c");
    assert_int_equal(path_join(out, sizeof out, "1234567890", "1234"), STATUS_OK);
    assert_int_equal(path_join(out, sizeof out, "1234567890", "12345"), STATUS_USAGE);
    assert_true(error_says("too long"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(reads_whole_files_with_a_nul_behind, clear),
        cmocka_unit_test_setup(refuses_what_is_no_file_or_too_large, clear),
        cmocka_unit_test_setup(a_file_without_a_size_is_bounded_too, clear),
        cmocka_unit_test_setup(links_are_followed_only_when_asked, clear),
        cmocka_unit_test_setup(read_at_says_where_a_file_ends, clear),
        cmocka_unit_test_setup(maps_show_the_bytes_and_nothing_for_empty_files, clear),
        cmocka_unit_test_setup(short_and_interrupted_transfers_lose_nothing, clear),
        cmocka_unit_test_setup(replace_is_all_or_nothing_at_every_call, clear),
        cmocka_unit_test_setup(leftovers_are_removed_and_nothing_else, clear),
        cmocka_unit_test_setup(a_failed_fsync_is_not_tried_again, clear),
        cmocka_unit_test_setup(a_size_limit_of_the_system_is_an_error_not_a_signal, clear),
        cmocka_unit_test_setup(places_that_cannot_be_written_are_named, clear),
        cmocka_unit_test_setup(folders_are_made_with_their_parents, clear),
        cmocka_unit_test_setup(lists_are_in_byte_order, clear),
        cmocka_unit_test_setup(removing_a_folder_does_not_follow_links, clear),
        cmocka_unit_test_setup(joining_paths, clear),
    };
    return cmocka_run_group_tests_name("base/file", tests, NULL, remove_scratch);
}
