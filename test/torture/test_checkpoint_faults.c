// SPDX-License-Identifier: Apache-2.0
// The disk fails at every single call of a save, and of a load: what was there stays whole, nothing is left over.
#include "base/file_fault.h"
#include "base/log.h"
#include "scratch.h"
#include "store/checkpoint.h"
#include "store/small_content.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

// As many tensors as make a save take more than 500 calls.
enum { PARAMETERS = 170, ROWS = 3 };

static struct small_run saved, loaded;

static const char *folder(void) { return scratch_path("checkpoints"); }

static void stay_silent(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    (void)line;
}

static int start(void **state)
{
    (void)state;
    error_clear();
    log_set_sink(stay_silent, NULL);
    small_run_init(&saved, PARAMETERS, ROWS);
    small_run_init(&loaded, PARAMETERS, ROWS);
    return directory_remove(folder()) != STATUS_OK;
}

static int stop(void **state)
{
    (void)state;
    file_fault_set(NULL, NULL);
    small_run_release(&saved);
    small_run_release(&loaded);
    log_set_sink(NULL, NULL);
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

// ---- the faulty disk ----
enum manner { ONCE, FROM_THEN_ON };
struct fault {
    int64_t number; // of the call that fails, counted from 1
    int64_t seen;
    int cause;
    enum manner manner;
    bool writes_only; // what a save does: not reads, not removals
    bool short_transfers;
};

static int strike(void *context, enum file_call call, size_t *bytes)
{
    struct fault *fault = context;
    if (fault->writes_only && (call == FILE_CALL_READ || call == FILE_CALL_REMOVE)) return 0;
    if (fault->short_transfers && *bytes > 3 && (call == FILE_CALL_READ || call == FILE_CALL_WRITE))
        *bytes = 1 + *bytes % 3;
    fault->seen++;
    bool hit = fault->manner == ONCE ? fault->seen == fault->number : fault->seen >= fault->number;
    return hit ? fault->cause : 0;
}

static enum status save_with(struct fault *fault, int64_t step, int keep)
{
    small_run_set(&saved, step);
    file_fault_set(strike, fault);
    enum status status = checkpoint_save(folder(), &saved.content, keep, -1);
    file_fault_set(NULL, NULL);
    return status;
}

static void save(int64_t step, int keep)
{
    struct fault none = {0};
    enum status status = save_with(&none, step, keep);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
}

static int64_t calls_of_a_save(int64_t step, int keep)
{
    struct fault none = {.writes_only = true};
    assert_int_equal(save_with(&none, step, keep), STATUS_OK);
    return none.seen;
}

static bool is_left_over(const char *name)
{
    return strncmp(name, ".tmp-", 5) == 0 || strstr(name, ".tmp") != NULL;
}

static int left_over(void)
{
    char **names;
    int count, found = 0;
    assert_int_equal(directory_list(folder(), &names, &count), STATUS_OK);
    for (int i = 0; i < count; i++) found += is_left_over(names[i]);
    names_free(names, count);
    return found;
}

static bool loads(int64_t step)
{
    bool found = false;
    enum status status = checkpoint_load_newest(folder(), &loaded.content, &found);
    if (status) fprintf(stderr, "# %s\n", error_message());
    error_clear();
    return !status && found && small_run_is(&loaded, step);
}

static const int causes[] = {ENOSPC, EIO, EDQUOT, EROFS, EFBIG};

// ---- saving ----
static void a_failing_call_of_a_save_leaves_the_old_checkpoint(void **state)
{
    const enum manner manner = *state ? FROM_THEN_ON : ONCE;
    int64_t calls;
    int failed = 0, late = 0;
    save(1, 3);
    calls = calls_of_a_save(2, 3);
    assert_true(calls >= 500);
    assert_int_equal(directory_remove(scratch_path("checkpoints/step-2")), STATUS_OK);
    for (int64_t number = 1; number <= calls; number++) {
        struct fault fault = {
            .number = number, .cause = causes[number % 5], .manner = manner, .writes_only = true};
        enum status status = save_with(&fault, 2, 3);
        assert_int_equal(checkpoint_verify(scratch_path("checkpoints/step-1")), STATUS_OK);
        bool committed = directory_exists(scratch_path("checkpoints/step-2"));
        if (status != STATUS_DISK || !error_message()[0])
            fail_msg("call %d: status %d", (int)number, status);
        error_clear();
        if (left_over()) fail_msg("call %d leaves something", (int)number);
        // After the rename only the folder's fsync and the file `latest` can fail: then the new one is whole.
        if (!loads(committed ? 2 : 1)) fail_msg("call %d loses the checkpoint", (int)number);
        failed++;
        late += committed;
        assert_int_equal(directory_remove(scratch_path("checkpoints/step-2")), STATUS_OK);
    }
    print_message("# %d of %d failing saves kept the old checkpoint and left nothing (%d failed "
                  "after the commit)\n",
                  failed, (int)calls, late);
    assert_int_equal(failed, calls);
    assert_true(late >= 1 && late <= 8);
    save(2, 3);
    assert_true(loads(2));
}

// With keep 1 and the same step again: the old and the new content trade places, and one of them is always there.
static void a_failing_replacement_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    save(4, 1);
    int64_t calls = calls_of_a_save(4, 1);
    int old = 0, new = 0;
    for (int64_t number = 1; number <= calls; number++) {
        struct fault fault = {.number = number, .cause = causes[number % 5], .writes_only = true};
        small_run_set(&saved, 5);
        saved.content.position.step = 4;
        file_fault_set(strike, &fault);
        enum status status = checkpoint_save(folder(), &saved.content, 1, -1);
        file_fault_set(NULL, NULL);
        assert_int_equal(status, STATUS_DISK);
        error_clear();
        assert_int_equal(left_over(), 0);
        bool found = false;
        assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
        assert_true(found);
        if (small_run_is(&loaded, 4)) {
            old++;
            continue;
        }
        loaded.content.position.step = 5;
        assert_true(small_run_is(&loaded, 5));
        new ++;
        save(4, 1);
    }
    print_message("# %d times the old, %d times the new content\n", old, new);
    assert_true(old >= 500 && new >= 1);
}

// Removing and renaming old checkpoints may fail too; the new one is there all the same.
static void a_failing_prune_keeps_the_new_checkpoint(void **state)
{
    (void)state;
    for (int64_t number = 1;; number++) {
        assert_int_equal(directory_remove(folder()), STATUS_OK);
        save(1, 9);
        save(2, 9);
        struct fault before = {0};
        assert_int_equal(save_with(&before, 3, 9), STATUS_OK);
        // Calls beyond those of a save that prunes nothing belong to pruning.
        struct fault fault = {.number = before.seen + number, .cause = EIO};
        assert_int_equal(directory_remove(scratch_path("checkpoints/step-3")), STATUS_OK);
        enum status status = save_with(&fault, 3, 1);
        assert_int_equal(status, STATUS_OK);
        assert_true(loads(3));
        if (fault.seen < fault.number) break;
        save(4, 1);
        assert_int_equal(left_over(), 0);
        assert_true(loads(4));
        assert_true(number < 2000);
    }
}

static void interrupted_and_short_transfers_change_nothing(void **state)
{
    (void)state;
    save(1, 3);
    int64_t calls = calls_of_a_save(2, 3);
    for (int64_t number = 1; number <= calls; number++) {
        struct fault fault = {.number = number,
                              .cause = EINTR,
                              .writes_only = true,
                              .short_transfers = number % 16 == 0};
        enum status status = save_with(&fault, 2, 3);
        // open, mkdir and rename of a local disk are not interrupted; if they are, that is an error like others.
        if (status) error_clear();
        assert_int_equal(left_over(), 0);
        if (!loads(directory_exists(scratch_path("checkpoints/step-2")) ? 2 : 1))
            fail_msg("call %d", (int)number);
    }
    struct fault drip = {.short_transfers = true};
    assert_int_equal(save_with(&drip, 2, 3), STATUS_OK);
    file_fault_set(strike, &drip);
    bool found;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    file_fault_set(NULL, NULL);
    assert_true(small_run_is(&loaded, 2));
}

static void a_failed_fsync_fails_the_save_and_is_not_repeated(void **state)
{
    (void)state;
    save(1, 3);
    struct fault count = {0};
    assert_int_equal(save_with(&count, 2, 3), STATUS_OK);
    assert_int_equal(directory_remove(scratch_path("checkpoints/step-2")), STATUS_OK);
    // Covered call by call above; here: the same save right afterwards writes all files anew and succeeds.
    for (int64_t number = 1; number < 40; number++) {
        struct fault fault = {.number = number * 13, .cause = EIO};
        if (save_with(&fault, 2, 3)) error_clear();
        save(2, 3);
        assert_true(loads(2));
        assert_int_equal(directory_remove(scratch_path("checkpoints/step-2")), STATUS_OK);
    }
}

// ---- loading ----
static void a_failing_read_falls_back_or_is_an_error(void **state)
{
    (void)state;
    save(1, 3);
    save(2, 3);
    struct fault count = {0};
    bool found;
    file_fault_set(strike, &count);
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    file_fault_set(NULL, NULL);
    int older = 0, errors = 0;
    for (int64_t number = 1; number <= count.seen; number++) {
        struct fault fault = {.number = number, .cause = EIO};
        found = false;
        loaded.content.position.step = 99;
        file_fault_set(strike, &fault);
        enum status status = checkpoint_load_newest(folder(), &loaded.content, &found);
        file_fault_set(NULL, NULL);
        if (status) {
            assert_int_equal(status, STATUS_INPUT);
            assert_non_null(strstr(error_message(), "Input/output error"));
            assert_int_equal(loaded.content.position.step, 99);
            assert_false(found);
            error_clear();
            errors++;
            continue;
        }
        assert_true(small_run_is(&loaded, 1));
        older++;
    }
    print_message("# %d failing reads: %d times the older checkpoint, %d times an error\n",
                  (int)count.seen, older, errors);
    assert_true(older >= 5 && errors > 10);
    assert_true(loads(2));
}

// ---- real disks ----
static int save_in_child(int64_t step, rlim_t most_bytes)
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {most_bytes, most_bytes};
        signal(SIGXFSZ, SIG_IGN);
        if (most_bytes && setrlimit(RLIMIT_FSIZE, &limit)) _exit(99);
        small_run_set(&saved, step);
        enum status status = checkpoint_save(folder(), &saved.content, 3, -1);
        if (status && !strstr(error_message(), "File too large") &&
            !strstr(error_message(), "No space left"))
            _exit(98);
        _exit((int)status);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

static void a_limit_on_file_sizes_leaves_the_old_checkpoint(void **state)
{
    (void)state;
    save(1, 3);
    int failed = 0;
    for (rlim_t bytes = 1; bytes < 1 << 20; bytes *= 3) {
        int status = save_in_child(2, bytes);
        assert_int_equal(left_over(), 0);
        if (status == STATUS_OK) break;
        assert_int_equal(status, STATUS_DISK);
        assert_true(loads(1));
        failed++;
    }
    assert_true(failed >= 5);
    assert_true(loads(2));
}

static void a_full_disk_leaves_the_old_checkpoint(void **state)
{
    (void)state;
    assert_int_equal(directory_create(folder()), STATUS_OK);
    if (mount("tmpfs", folder(), "tmpfs", 0, "size=1m")) {
        print_message("# SKIP a small tmpfs needs a user who may mount: %s\n", strerror(errno));
        skip();
    }
    save(1, 3);
    // Fills what is left but for a part, which grows until the save fits.
    bool fitted = false;
    for (int spare = 0; spare < 256 && !fitted; spare += 8) {
        char *filler = calloc(1, 1 << 20);
        int file = open(scratch_path("checkpoints/filler"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        while (write(file, filler, 4096) == 4096) continue;
        struct stat about;
        assert_int_equal(fstat(file, &about), 0);
        assert_int_equal(
            ftruncate(file, about.st_size > spare * 1024 ? about.st_size - spare * 1024 : 0), 0);
        close(file);
        free(filler);
        small_run_set(&saved, 2);
        enum status status = checkpoint_save(folder(), &saved.content, 3, -1);
        fitted = !status;
        if (status) assert_int_equal(status, STATUS_DISK);
        if (status) assert_true(error_says("No space left"));
        assert_int_equal(left_over(), 0);
        assert_true(loads(directory_exists(scratch_path("checkpoints/step-2")) ? 2 : 1));
    }
    assert_true(fitted);
    assert_int_equal(umount(folder()), 0);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    put_file(scratch_path("plain"), "x", 1);
    small_run_set(&saved, 1);
    assert_int_equal(checkpoint_save(scratch_path("plain/checkpoints"), &saved.content, 3, -1),
                     STATUS_DISK);
    assert_true(error_says("plain: Not a directory"));
    if (access("/proc/self", X_OK) == 0) {
        assert_int_equal(checkpoint_save("/proc/self/checkpoints", &saved.content, 3, -1),
                         STATUS_DISK);
        assert_true(error_says("cannot make the folder /proc/self/checkpoints"));
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    static int from_then_on;
    const struct CMUnitTest tests[] = {
        {"each_of_the_calls_of_a_save_fails_once",
         a_failing_call_of_a_save_leaves_the_old_checkpoint, start, stop, NULL},
        {"the_disk_is_dead_from_each_of_the_calls_on",
         a_failing_call_of_a_save_leaves_the_old_checkpoint, start, stop, &from_then_on},
        CASE(a_failing_replacement_leaves_the_old_or_the_new),
        CASE(a_failing_prune_keeps_the_new_checkpoint),
        CASE(interrupted_and_short_transfers_change_nothing),
        CASE(a_failed_fsync_fails_the_save_and_is_not_repeated),
        CASE(a_failing_read_falls_back_or_is_an_error),
        CASE(a_limit_on_file_sizes_leaves_the_old_checkpoint),
        CASE(a_full_disk_leaves_the_old_checkpoint),
        CASE(a_folder_that_cannot_be_made_is_named),
    };
    return cmocka_run_group_tests_name("torture/checkpoint_faults", tests, NULL, remove_scratch);
}
