// SPDX-License-Identifier: Apache-2.0
// The run's log: lines that are JSON, what a resumed run keeps, TensorBoard records checked by a second CRC
// (by TensorBoard itself: test_tensorboard.sh), and disks that fail.
#include "base/json.h"
#include "base/log.h"
#include "scratch.h"
#include "train/event_file.h"
#include "train/run_log.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int warnings;
static void count_warning(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)line;
    warnings += level == LOG_WARNING;
}

// A fresh folder below the scratch folder.
static const char *fresh(void)
{
    static char path[8][SCRATCH_PATH + 32];
    static int number;
    char *at = path[number % 8];
    snprintf(at, sizeof path[0], "%s/run-%d", scratch(), number++);
    return at;
}

static char *read_lines(const char *out, size_t *bytes_p)
{
    char path[SCRATCH_PATH + 64], *text;
    snprintf(path, sizeof path, "%s/log.jsonl", out);
    assert_int_equal(file_read(path, 1 << 24, &text, bytes_p), STATUS_OK);
    return text;
}

static struct run_log *open_log(const char *out, int64_t steps_done, double before)
{
    struct run_log *log;
    if (run_log_open(out, steps_done, before, &log)) fail_msg("%s", error_message());
    return log;
}

static void write_steps(struct run_log *log, int64_t first, int64_t last)
{
    for (int64_t step = first; step <= last; step++) {
        struct measure m[] = {{"train/loss", 1.0 / (double)step}, {"train/lr", 1e-3}};
        run_log_write(log, step, m, 2);
        if (step % 5 == 0) run_log_write(log, step, &(struct measure){"val/loss", 2}, 1);
    }
}

// The steps in log.jsonl, in order; every line must be a JSON object.
static int steps_in_log(const char *out, int64_t *step, int most)
{
    size_t bytes;
    char *text = read_lines(out, &bytes), *at = text;
    int count = 0;
    while (*at && count < most) {
        size_t length = strcspn(at, "\n");
        assert_int_equal(at[length], '\n');
        json_t *line;
        if (json_parse(at, length, "log.jsonl", &line)) fail_msg("%s", error_message());
        step[count++] = json_integer_value(json_object_get(line, "_step"));
        assert_true(json_is_number(json_object_get(line, "_time")));
        assert_true(json_is_number(json_object_get(line, "_runtime")));
        json_decref(line);
        at += length + 1;
    }
    free(text);
    return count;
}

static void lines_hold_the_measures_to_the_bit(void **state)
{
    (void)state;
    const char *out = fresh();
    struct run_log *log = open_log(out, 0, 100);
    struct measure m[] = {
        {"train/loss", 1.0 / 3}, {"train/grad_norm", NAN}, {"train/lr", INFINITY}, {"x", 5e-324}};
    run_log_write(log, 7, m, 4);
    run_log_close(log);
    size_t bytes;
    char *text = read_lines(out, &bytes);
    json_t *line;
    assert_int_equal(json_parse(text, bytes - 1, "log.jsonl", &line), STATUS_OK);
    assert_int_equal(json_integer_value(json_object_get(line, "_step")), 7);
    assert_true(json_real_value(json_object_get(line, "train/loss")) == 1.0 / 3);
    assert_true(json_is_null(json_object_get(line, "train/grad_norm")));
    assert_true(json_is_null(json_object_get(line, "train/lr")));
    assert_true(json_real_value(json_object_get(line, "x")) == 5e-324);
    double runtime = json_number_value(json_object_get(line, "_runtime"));
    assert_true(runtime >= 100 && runtime < 130);
    json_decref(line);
    free(text);
}

static void a_resumed_run_repeats_no_step(void **state)
{
    (void)state;
    for (int torn = 0; torn < 2; torn++) {
        const char *out = fresh();
        struct run_log *log = open_log(out, 0, 0);
        write_steps(log, 1, 23);
        run_log_close(log);
        if (torn) { // killed inside a write
            char path[SCRATCH_PATH + 64];
            snprintf(path, sizeof path, "%s/log.jsonl", out);
            FILE *file = fopen(path, "a");
            fputs("{\"_step\": 2", file);
            fclose(file);
        }
        log = open_log(out, 15, 3); // from a checkpoint at step 15
        write_steps(log, 16, 30);
        run_log_close(log);
        int64_t step[100];
        int count = steps_in_log(out, step, 100), at = 0;
        for (int64_t s = 1; s <= 30; s++) {
            assert_int_equal(step[at++], s);
            if (s % 5 == 0) assert_int_equal(step[at++], s);
        }
        assert_int_equal(at, count);
    }
}

static void a_torn_last_line_goes_even_when_its_step_is_done(void **state)
{
    (void)state;
    const char *out = fresh();
    struct run_log *log = open_log(out, 0, 0);
    write_steps(log, 1, 3);
    run_log_close(log);
    char path[SCRATCH_PATH + 64];
    snprintf(path, sizeof path, "%s/log.jsonl", out);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(truncate(path, about.st_size - 5), 0);
    log = open_log(out, 3, 0);
    run_log_close(log);
    int64_t step[10];
    assert_int_equal(steps_in_log(out, step, 10), 2);
}

static void a_fresh_run_replaces_the_log(void **state)
{
    (void)state;
    const char *out = fresh();
    struct run_log *log = open_log(out, 0, 0);
    write_steps(log, 1, 20);
    run_log_close(log);
    log = open_log(out, 0, 0);
    write_steps(log, 1, 2);
    run_log_close(log);
    int64_t step[100];
    assert_int_equal(steps_in_log(out, step, 100), 2);
}

// ---- TensorBoard ----
// The most significant bit first, bit by bit, over reflected bytes: nothing shared with the table in event_file.c.
static uint32_t second_crc32c(const uint8_t *data, size_t bytes)
{
    uint32_t c = 0xFFFFFFFFu;
    for (size_t i = 0; i < bytes; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t in = (uint32_t)(data[i] >> bit & 1);
            uint32_t out = c >> 31;
            c = c << 1 ^ ((in ^ out) ? 0x1EDC6F41u : 0);
        }
    uint32_t reflected = 0;
    for (int bit = 0; bit < 32; bit++) reflected |= (c >> bit & 1) << (31 - bit);
    return ~reflected;
}

static uint64_t little_endian(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static uint32_t unmask(uint32_t masked)
{
    uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

// The only event file of `out`, into path.
static void find_events(const char *out, char path[SCRATCH_PATH * 2])
{
    char **names;
    int count, found = 0;
    assert_int_equal(directory_list(out, &names, &count), STATUS_OK);
    for (int i = 0; i < count; i++)
        if (!strncmp(names[i], "events.out.tfevents.", 20)) {
            snprintf(path, SCRATCH_PATH * 2, "%s/%s", out, names[i]);
            found++;
        }
    names_free(names, count);
    assert_int_equal(found, 1);
}

// Walks the records of a file: sizes and checksums must agree. Returns how many there are.
static int check_records(const char *path)
{
    char *data;
    size_t bytes;
    assert_int_equal(file_read(path, 1 << 24, &data, &bytes), STATUS_OK);
    const uint8_t *at = (const uint8_t *)data, *end = at + bytes;
    int count = 0;
    while (at < end) {
        assert_true(end - at >= 16);
        uint64_t length = little_endian(at, 8);
        assert_true(length <= (uint64_t)(end - at) - 16);
        assert_int_equal(unmask((uint32_t)little_endian(at + 8, 4)), second_crc32c(at, 8));
        assert_int_equal(unmask((uint32_t)little_endian(at + 12 + length, 4)),
                         second_crc32c(at + 12, length));
        if (!count)
            assert_memory_equal(at + 12 + 9,
                                "\x1a\x0d"
                                "brain.Event:2",
                                15);
        at += 16 + length;
        count++;
    }
    free(data);
    return count;
}

static void checksums_are_crc32c(void **state)
{
    (void)state;
    // RFC 3720, B.4
    uint8_t data[32] = {0};
    assert_int_equal(crc32c("123456789", 9), 0xE3069283u);
    assert_int_equal(crc32c(data, 32), 0x8A9136AAu);
    memset(data, 0xff, 32);
    assert_int_equal(crc32c(data, 32), 0x62A8AB43u);
    assert_int_equal(crc32c("", 0), 0);
    for (size_t n = 0; n < 32; n++) assert_int_equal(crc32c(data, n), second_crc32c(data, n));
}

static void event_records_are_whole(void **state)
{
    (void)state;
    const char *out = fresh();
    struct run_log *log = open_log(out, 0, 0);
    write_steps(log, 1, 23);
    struct measure many[200];
    for (int i = 0; i < 200; i++)
        many[i] = (struct measure){"a/long/tag/that/fills/the/message", i};
    run_log_write(log, 24, many, 200);
    run_log_close(log);
    char path[SCRATCH_PATH * 2];
    find_events(out, path);
    assert_int_equal(check_records(path), 2 + 23 + 4 + 1);
}

// ---- failing disks ----
static void a_full_disk_is_told_once_and_leaves_whole_lines(void **state)
{
    (void)state;
    const char *out = fresh();
    struct run_log *log = open_log(out, 0, 0);
    write_steps(log, 1, 3);
    warnings = 0;
    log_set_sink(count_warning, NULL);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 700; // inside a line
    setrlimit(RLIMIT_FSIZE, &limit);
    write_steps(log, 4, 40);
    setrlimit(RLIMIT_FSIZE, &before);
    write_steps(log, 41, 42); // there is room again
    run_log_close(log);
    log_set_sink(NULL, NULL);
    assert_int_equal(warnings, 1);
    int64_t step[100];
    int count = steps_in_log(out, step, 100);
    assert_true(count > 4 && count < 30);
    assert_int_equal(step[count - 1], 42);
    char path[SCRATCH_PATH * 2];
    find_events(out, path);
    assert_true(check_records(path) > 4);
}

static void places_that_cannot_be_written_are_refused(void **state)
{
    (void)state;
    struct run_log *log;
    char out[SCRATCH_PATH + 64];
    put_file(scratch_path("file"), "x", 1);
    snprintf(out, sizeof out, "%s/below", scratch_path("file"));
    assert_int_equal(run_log_open(out, 0, 0, &log), STATUS_DISK);
    assert_true(error_says("file"));
    const char *pipe_out = fresh();
    assert_int_equal(mkdir(pipe_out, 0777), 0);
    snprintf(out, sizeof out, "%s/log.jsonl", pipe_out);
    assert_int_equal(mkfifo(out, 0666), 0);
    assert_int_equal(run_log_open(pipe_out, 0, 0, &log), STATUS_DISK); // and does not hang
    assert_true(error_says("log.jsonl"));
}

static int teardown(void **state)
{
    (void)state;
    return scratch_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_hold_the_measures_to_the_bit),
        cmocka_unit_test(a_resumed_run_repeats_no_step),
        cmocka_unit_test(a_torn_last_line_goes_even_when_its_step_is_done),
        cmocka_unit_test(a_fresh_run_replaces_the_log),
        cmocka_unit_test(checksums_are_crc32c),
        cmocka_unit_test(event_records_are_whole),
        cmocka_unit_test(a_full_disk_is_told_once_and_leaves_whole_lines),
        cmocka_unit_test(places_that_cannot_be_written_are_refused),
    };
    return cmocka_run_group_tests_name("run_log", tests, NULL, teardown);
}
