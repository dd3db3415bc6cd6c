// SPDX-License-Identifier: Apache-2.0
#include "train/run_log.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"
#include "train/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct run_log {
    char path[1200];
    int file;
    off_t bytes;               // of whole lines
    struct event_file *events; // NULL when it could not be made
    double start, before;      // of this process; seconds of earlier ones
    bool warned;
};

static double seconds_now(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// The first failure is told; training goes on.
static void warn_once(struct run_log *log)
{
    if (!log->warned)
        log_warning("%s; training goes on without this part of the log", error_message());
    log->warned = true;
    error_clear();
}

// The step that a line begins with, 0 for a line that is not ours.
static int64_t line_step(const char *line)
{
    static const char start[] = "{\"_step\": ";
    size_t length = sizeof start - 1;
    return strncmp(line, start, length) == 0 ? strtoll(line + length, NULL, 10) : 0;
}

// Bytes of the lines that are whole and of steps up to `steps_done`: what a resumed run keeps.
static enum status keep_bytes(int file, const char *path, int64_t steps_done, off_t *bytes_p)
{
    int copy = dup(file);
    FILE *stream = copy < 0 ? NULL : fdopen(copy, "r");
    if (!stream) {
        if (copy >= 0) close(copy);
        FAIL(STATUS_DISK, "%s: cannot be read: %s", path, strerror(errno));
    }
    char head[64];
    off_t kept = 0, at = 0;
    size_t used = 0;
    int c;
    while ((c = getc(stream)) != EOF) {
        at++;
        if (used + 1 < sizeof head) head[used++] = (char)c;
        if (c != '\n') continue;
        head[used] = 0;
        used = 0;
        if (line_step(head) > steps_done) break;
        kept = at;
    }
    bool failed = ferror(stream);
    fclose(stream);
    if (failed) FAIL(STATUS_DISK, "%s: cannot be read: %s", path, strerror(errno));
    *bytes_p = kept;
    return STATUS_OK;
}

static enum status open_lines(struct run_log *log, int64_t steps_done)
{
    // O_NONBLOCK: a FIFO in the log's place must not hang the run.
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW;
    log->file = open(log->path, flags, 0666);
    struct stat about;
    if (log->file < 0 || fstat(log->file, &about) != 0)
        FAIL(STATUS_DISK, "%s: cannot be written: %s", log->path, strerror(errno));
    if (!S_ISREG(about.st_mode)) FAIL(STATUS_DISK, "%s: is not a regular file", log->path);
    if (steps_done > 0) TRY(keep_bytes(log->file, log->path, steps_done, &log->bytes));
    if (ftruncate(log->file, log->bytes) != 0 || lseek(log->file, log->bytes, SEEK_SET) < 0)
        FAIL(STATUS_DISK, "%s: cannot be cut: %s", log->path, strerror(errno));
    return STATUS_OK;
}

enum status run_log_open(const char *out, int64_t steps_done, double seconds_before,
                         struct run_log **log_p)
{
    struct run_log *log;
    TRY(memory_allocate(1, sizeof *log, "the run's log", &log));
    log->file = -1;
    log->start = seconds_now(CLOCK_MONOTONIC);
    log->before = seconds_before;
    enum status status = directory_create(out);
    if (status) goto free_log;
    status = path_join(log->path, sizeof log->path, out, "log.jsonl");
    if (status) goto free_log;
    status = open_lines(log, steps_done);
    if (status) goto close_file;
    // The line log is the truth; TensorBoard's may fail. A fresh run hides what an earlier one left in the folder, too.
    if (event_file_create(out, seconds_now(CLOCK_REALTIME), steps_done + 1, &log->events))
        warn_once(log);
    *log_p = log;
    return STATUS_OK;

close_file:
    if (log->file >= 0) close(log->file);
free_log:
    free(log);
    return status;
}

// A number that JSON can hold: null where it is not finite.
static const char *json_number(double value, char text[NUMBER_TEXT])
{
    return isfinite(value) ? number_print(value, text) : "null";
}

void run_log_write(struct run_log *log, int64_t step, const struct measure *measure, int count)
{
    char line[4096], number[NUMBER_TEXT];
    double now = seconds_now(CLOCK_REALTIME);
    double runtime = log->before + seconds_now(CLOCK_MONOTONIC) - log->start;
    int used = snprintf(line, sizeof line, "{\"_step\": %lld, \"_time\": %.3f, \"_runtime\": %.3f",
                        (long long)step, now, runtime);
    for (int i = 0; i < count; i++) {
        int added = snprintf(line + used, sizeof line - (size_t)used, ", \"%s\": %s",
                             measure[i].tag, json_number(measure[i].value, number));
        if (added < 0 || used + added > (int)sizeof line - 3) break;
        used += added;
    }
    line[used++] = '}';
    line[used++] = '\n';
    if (file_write_all(log->file, line, (size_t)used, log->path) == STATUS_OK) {
        log->bytes += used;
    } else {
        // No half lines: what follows must still be one object a line.
        if (ftruncate(log->file, log->bytes) == 0) lseek(log->file, log->bytes, SEEK_SET);
        warn_once(log);
    }
    if (log->events && event_file_write(log->events, now, step, measure, count)) warn_once(log);
}

void run_log_close(struct run_log *log)
{
    if (!log) return;
    event_file_close(log->events);
    close(log->file);
    free(log);
}
