// SPDX-License-Identifier: Apache-2.0
#include "windows.h"

#include "base/memory.h"
#include "line_input.h"
#include "output.h"
#include "signals.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

// Where a field begins in the window's bytes, which move while it is filled.
struct window_field {
    size_t first, bytes;
    bool list;
};

// What a signal stops.
static struct {
    void (*stop)(void *job);
    void *job;
} running;
static void stop(void)
{
    if (running.stop) running.stop(running.job);
}

const char *windows_path(const struct options *options, int at)
{
    bool file = options->arguments > at && strcmp(options->argument[at], "-") != 0;
    return file ? options->argument[at] : NULL;
}

static enum status begin(struct windows *w, const struct options *options, struct rows_setup *setup)
{
    setup->format = option_text(options, "format");
    setup->header = option_given(options, "header");
    setup->replace = option_given(options, "replace");
    w->name = setup->path ? setup->path : "standard input";
    w->fields = setup->columns ? setup->columns : 1;
    size_t room = (size_t)w->room;
    TRY(setup->columns ? rows_open(setup, &w->rows) : line_input_open(setup->path, &w->input));
    TRY(memory_allocate(room, sizeof *w->lines, "rows", &w->lines));
    return memory_allocate(checked_multiply(room, (size_t)w->fields), sizeof *w->field, "rows",
                           &w->field);
}

enum status windows_open(const struct options *options, struct rows_setup *setup, int64_t room,
                         size_t bytes, struct windows *windows_p)
{
    struct windows windows = {.room = room, .most_bytes = bytes};
    enum status status = begin(&windows, options, setup);
    if (status)
        windows_release(&windows);
    else
        *windows_p = windows;
    return status;
}

void windows_release(struct windows *windows)
{
    if (windows->rows) rows_close(windows->rows);
    line_input_close(windows->input);
    buffer_release(&windows->bytes);
    free(windows->field);
    free(windows->lines);
    *windows = (struct windows){0};
}

// ---- reading ----
struct text windows_text(const struct windows *windows, int64_t i, int field)
{
    const struct window_field *at = &windows->field[i * windows->fields + field];
    return (struct text){windows->bytes.at + at->first, at->bytes};
}

bool windows_is_list(const struct windows *windows, int64_t i, int field)
{
    return windows->field[i * windows->fields + field].list;
}

static enum status add_field(struct windows *w, int which, struct text text, bool list)
{
    w->field[w->count * w->fields + which] =
        (struct window_field){w->bytes.bytes, text.bytes, list};
    return buffer_add(&w->bytes, text);
}

static enum status next(struct windows *w, bool *ended_p, bool *late_p)
{
    struct row row;
    struct line line;
    enum line_state state = LINE_HERE;
    bool more = true;
    if (w->rows) {
        TRY(rows_next(w->rows, &row, &more));
        for (int i = 0; more && i < w->fields; i++)
            TRY(add_field(w, i, (struct text){row.field[i].text, row.field[i].bytes},
                          row.field[i].list));
        if (more) w->lines[w->count++] = row.line;
    } else {
        TRY(line_input_next(w->input, w->count == 0, &line, &state));
        if (state == LINE_HERE) {
            TRY(add_field(w, 0, (struct text){line.text, line.bytes}, false));
            w->lines[w->count++] = line.number;
        }
    }
    *ended_p = !more || state == LINE_END;
    *late_p = state == LINE_LATE;
    return STATUS_OK;
}

// The newest failure is that of the earliest row: rows are read before they are taken, and taken before they are run.
static void keep_error(struct windows *w, enum status status)
{
    if (status) {
        w->status = status;
        error_copy(w->message, sizeof w->message);
    }
    error_clear();
}

static bool fill(struct windows *w)
{
    bool ended = false, late = false;
    buffer_clear(&w->bytes);
    w->count = 0;
    while (!ended && !late && !w->status && w->count < w->room && w->bytes.bytes < w->most_bytes &&
           !signals_caught())
        keep_error(w, next(w, &ended, &late));
    return ended || w->status || signals_caught();
}

// ---- working ----
static void add_omission(struct omission *omission, int64_t count, uint64_t line)
{
    if (count && !omission->count) omission->line = line;
    omission->count += count;
}

static enum status write_window(struct windows *w, const struct window_work *work, void *job)
{
    for (int64_t i = 0; i < w->count; i++) {
        struct outcome outcome = work->outcome(job, i);
        if (!outcome.done) break;
        add_omission(&w->shortened, outcome.left > 0, w->lines[i]);
        add_omission(&w->unknown, outcome.unknown, w->lines[i]);
        TRY(work->write(job, i));
        w->written++;
    }
    return output_finish();
}

static enum status run_window(struct windows *w, const struct window_work *work, void *job)
{
    for (int64_t i = 0; i < w->count; i++) {
        enum status status = work->take(job, i);
        if (status) w->count = i;
        keep_error(w, status);
    }
    if (w->count == 0) return STATUS_OK;
    keep_error(w, work->run(job, w->count));
    enum status status = write_window(w, work, job);
    for (int64_t i = 0; work->release && i < w->count; i++) work->release(job, i);
    return status;
}

static void say_omission(const struct windows *w, const struct omission *omission,
                         const struct omission_words *words)
{
    const char *what = omission->count == 1 ? words->one : words->several;
    if (omission->count && what)
        terminal_say("warning: %lld %s, the first in %s line %llu%s", (long long)omission->count,
                     what, w->name, (unsigned long long)omission->line, words->then);
}

static enum status run_all(struct windows *w, const struct window_work *work, void *job)
{
    for (bool ended = false; !ended && !w->status;) {
        ended = fill(w);
        TRY(run_window(w, work, job));
    }
    say_omission(w, &w->shortened, &work->shortened);
    say_omission(w, &w->unknown, &work->unknown);
    if (w->status) return error_adopt(w->status, w->message);
    w->complete = !signals_caught();
    if (w->complete) return STATUS_OK;
    terminal_say("stopped: the first %lld %s are %s", (long long)w->written, work->rows,
                 output_has_lines() ? "written" : "done, and nothing is measured");
    return STATUS_OK;
}

enum status windows_run(struct windows *windows, const struct window_work *work, void *job)
{
    running.job = job;
    running.stop = work->stop;
    signals_catch(stop, false);
    enum status status = run_all(windows, work, job);
    running.stop = NULL;
    return status;
}
