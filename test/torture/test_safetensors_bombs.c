// SPDX-License-Identifier: Apache-2.0
// Headers that are made to eat time or memory: each is refused in under 2 seconds and 1 GiB.
#include "scratch.h"
#include "store/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

struct bomb {
    const char *prefix, *unit, *suffix;
    size_t units;
    size_t data;
    const char *says;
};

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + 1e-6 * (double)time.tv_usec;
}

// Opens the scratch file in a child of its own, whose memory and time can be measured. The child's last words go to `message`.
static enum status open_apart(double *seconds_p, long *kilobytes_p, char message[512])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct safetensors *file = NULL;
        enum status status = safetensors_open(scratch_path("made.safetensors"), &file);
        ssize_t put = write(ends[1], error_message(), strlen(error_message()));
        _exit(put < 0 ? 99 : (int)status);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], message, 511);
    message[got > 0 ? got : 0] = 0;
    close(ends[0]);
    int result;
    struct rusage usage;
    assert_int_equal(wait4(child, &result, 0, &usage), child);
    *seconds_p =
        seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime); // not its neighbours' time
    *kilobytes_p = usage.ru_maxrss;
    assert_true(WIFEXITED(result));
    return (enum status)WEXITSTATUS(result);
}

static void write_bomb(const struct bomb *bomb)
{
    FILE *out = fopen(scratch_path("made.safetensors"), "wb");
    size_t unit = strlen(bomb->unit);
    uint64_t length = strlen(bomb->prefix) + bomb->units * unit + strlen(bomb->suffix);
    assert_non_null(out);
    fwrite(&length, 8, 1, out);
    fputs(bomb->prefix, out);
    char block[1 << 16];
    size_t per_block = sizeof block / unit;
    for (size_t i = 0; i < per_block; i++) memcpy(block + i * unit, bomb->unit, unit);
    for (size_t left = bomb->units; left;) {
        size_t part = left < per_block ? left : per_block;
        fwrite(block, unit, part, out);
        left -= part;
    }
    fputs(bomb->suffix, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(truncate(scratch_path("made.safetensors"), (off_t)(8 + length + bomb->data)),
                     0);
}

static const struct bomb bombs[] = {
    // 10^7 entries: their header is 490 MB, more than is allowed.
    {"{", "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},", "\"b\":{}}", 10000000, 1,
     "at most 100000000"},
    // As many as the limit leaves room for, all in one place; and all of no size, so that sums do not tell.
    {"{", "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},", "\"b\":{}}", 1950000, 1,
     "overlaps another one"},
    {"{", "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", "\"b\":{}}", 1900000, 1,
     "more than 1048576 tensors"},
    {"{\"a\":", "[", "", 99000000, 0, "'{' is expected"},
    {"{\"a\":{\"shape\":[", "[", "", 1000000, 0, "whole number"},
    {"{\"", "x", "\":{}}", 99999990, 0, "more than 1024 bytes"},
    {"{\"__metadata__\":{\"a\":\"", "x", "\"}}", 99000000, 1, "stand behind"},
    {"{\"__metadata__\":{", "\"a\":\"\",", "\"b\":\"\"}}", 1000000, 0, "more than 65536 entries"},
    {"{", "\"a\":1,", "}", 1000000, 0, "'{' is expected"},
    {"{\"a\":{", "\"x\":1,", "}}", 1000000, 0, "unknown key"},
    {"", " ", "{}", 99000000, 3, "stand behind"},
};

// The promise is 2 s and 1 GiB; sanitizers take more of both.
static void bombs_go_off_in_little_time_and_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        double seconds;
        long kilobytes;
        char message[512];
        write_bomb(&bombs[i]);
        assert_int_equal(open_apart(&seconds, &kilobytes, message), STATUS_INPUT);
        if (!strstr(message, bombs[i].says)) fail_msg("bomb %zu says: %s", i, message);
        print_message("# bomb %zu: %.2f s, %ld MB: %s\n", i, seconds, kilobytes / 1024,
                      bombs[i].says);
#ifndef SANITIZED
        assert_true(seconds < 2);
        assert_true(kilobytes < 1024 * 1024);
#endif
    }
    unlink(scratch_path("made.safetensors"));
}
static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bombs_go_off_in_little_time_and_memory),
    };
    return cmocka_run_group_tests_name("torture/safetensors_bombs", tests, NULL, remove_scratch);
}
