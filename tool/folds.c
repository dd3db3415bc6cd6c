// SPDX-License-Identifier: Apache-2.0
#include "folds.h"

#include "base/cpu.h"
#include "output.h"
#include "progress.h"
#include "run_file.h"
#include "signals.h"
#include "terminal.h"
#include "train/run_schema.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#    include <sys/prctl.h>
#endif

enum { MOST_FOLDS = 100, SETTINGS = 4 };

struct fold {
    volatile sig_atomic_t process; // 0: it does not run
    int file;                      // that its result comes out of
    struct fold_result result;
};
static struct fold fold[MOST_FOLDS];
static volatile sig_atomic_t stopped;

struct folds {
    const struct options *options;
    fold_work work;
    const char *out;
    int count, at_once, workers;  // workers of each
    int started, running, failed; // failed: the first that has, -1 none
};

// Safe in a signal handler. What the terminal has sent to the folds, too, they take for one signal.
static void stop_all(void)
{
    stopped = 1;
    for (int i = 0; i < MOST_FOLDS; i++)
        if (fold[i].process > 0) kill((pid_t)fold[i].process, SIGTERM);
}

// ---- one fold, in its process ----

static enum status read_settings(const struct folds *folds, int i, struct run_config *config_p)
{
    char text[SETTINGS][RUN_PATH + 32];
    const char *setting[SETTINGS];
    snprintf(text[0], sizeof text[0], "train.folds=%d", folds->count);
    snprintf(text[1], sizeof text[1], "train.fold=%d", i);
    snprintf(text[2], sizeof text[2], "parallel.workers=%d", folds->workers);
    int length =
        snprintf(text[3], sizeof text[3], "out=%s/fold-%d", folds->out ? folds->out : "", i);
    if (length >= RUN_PATH) FAIL(STATUS_USAGE, "out: the path is too long");
    for (int k = 0; k < SETTINGS; k++) setting[k] = text[k];
    return run_file_read_with(folds->options, setting, folds->workers ? SETTINGS : 1, "--folds",
                              config_p);
}

static _Noreturn void be_fold(const struct folds *folds, int i, pid_t parent,
                              const sigset_t *before)
{
    static struct run_config config;
    static struct fold_result result;
    bool resume = option_given(folds->options, "resume");
    int file = fold[i].file;
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM); // with a checkpoint instead of going on unseen
#endif
    memset(fold, 0, sizeof fold);
    signals_catch(train_request_stop, false);
    sigset_t open = *before;
    sigdelset(&open, SIGINT), sigdelset(&open, SIGTERM), sigdelset(&open, SIGUSR1);
    sigprocmask(SIG_SETMASK, &open, NULL);
    if (getppid() != parent) _exit(128 + SIGTERM);
    result.status = terminal_start(option_text(folds->options, "color"), true);
    if (!result.status) result.status = read_settings(folds, i, &config);
    if (!result.status) result.status = folds->work(&config, resume, &result);
    if (result.status) error_copy(result.message, sizeof result.message);
    // Tags of measures are the program's own text, at the same place in the process that reads them.
    const char *at = (const char *)&result;
    for (size_t left = sizeof result; left > 0;) {
        ssize_t n = write(file, at, left);
        if (n < 0 && errno != EINTR) break;
        if (n > 0) at += n, left -= (size_t)n;
    }
    fflush(NULL);
    _exit(0);
}

static enum status start_fold(struct folds *folds)
{
    int i = folds->started, ends[2];
    pid_t parent = getpid();
    sigset_t all, before;
    if (pipe(ends) != 0) FAIL(STATUS_MEMORY, "no pipe could be made: %s", strerror(errno));
    fflush(NULL);
    // A signal between fork and what follows it would meet a process without a number, or with another's handler.
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t process = fork();
    if (process == 0) {
        close(ends[0]);
        fold[i].file = ends[1];
        be_fold(folds, i, parent, &before);
    }
    int error = errno;
    close(ends[1]);
    fold[i].file = ends[0];
    fold[i].process = process < 0 ? 0 : (sig_atomic_t)process;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (process < 0) {
        close(ends[0]);
        FAIL(STATUS_MEMORY, "fold %d could not be started: %s", i, strerror(error));
    }
    folds->started++;
    folds->running++;
    return STATUS_OK;
}

// ---- all of them ----

static bool read_result(struct fold *one)
{
    char *to = (char *)&one->result;
    size_t left = sizeof one->result;
    while (left > 0) {
        ssize_t n = read(one->file, to, left);
        if (n == 0 || (n < 0 && errno != EINTR)) break;
        if (n > 0) to += n, left -= (size_t)n;
    }
    close(one->file);
    return left == 0;
}

static void take_result(struct folds *folds, int i, int how)
{
    struct fold *one = &fold[i];
    struct fold_result *result = &one->result;
    char text[256];
    one->process = 0;
    folds->running--;
    if (!read_result(one)) {
        result->status = STATUS_PEER;
        snprintf(result->message, sizeof result->message, "its process was ended by signal %d",
                 WIFSIGNALED(how) ? WTERMSIG(how) : 0);
    }
    if (!result->status) {
        terminal_say("fold %-6d %s", i, progress_measures(&result->result.evaluation, text));
        return;
    }
    if (result->status == STATUS_INTERRUPTED && stopped) return;
    if (folds->failed < 0) folds->failed = i;
    stop_all();
}

// The next fold that ends.
static void wait_for_one(struct folds *folds)
{
    int how;
    pid_t process = waitpid(-1, &how, 0);
    for (int i = 0; process > 0 && i < folds->started; i++)
        if (fold[i].process == process) return take_result(folds, i, how);
}

static enum status run_all(struct folds *folds)
{
    enum status status = STATUS_OK;
    signals_catch(stop_all, true);
    while (folds->running > 0 || (folds->started < folds->count && !stopped && !status)) {
        if (!stopped && !status && folds->started < folds->count && folds->running < folds->at_once)
            status = start_fold(folds);
        else
            wait_for_one(folds);
        if (status) stop_all();
    }
    TRY(status);
    if (folds->failed >= 0)
        FAIL(fold[folds->failed].result.status, "fold %d: %s", folds->failed,
             fold[folds->failed].result.message);
    if (stopped)
        FAIL(STATUS_INTERRUPTED, "stopped; --resume goes on from the checkpoints that are written");
    return STATUS_OK;
}

// ---- what they are worth ----

// "f1" of "val/f1".
static const char *name_of(const char *tag)
{
    const char *slash = strchr(tag, '/');
    return slash ? slash + 1 : tag;
}

struct figure {
    const char *name;
    double mean, deviation;
    int folds; // that have it
};

// The loss, or what a fold's last evaluation says; NaN where it has none (r2 of equal targets).
static double figure_of(const struct fold_result *result, const char *name)
{
    const struct evaluation_report *report = &result->result.evaluation;
    if (strcmp(name, "loss") == 0) return result->result.last_loss;
    for (int k = 0; k < report->measures; k++)
        if (strcmp(name_of(report->measure[k].tag), name) == 0) return report->measure[k].value;
    return (double)NAN;
}

// Over the folds that have it; one alone has no deviation.
static struct figure summarize(const struct folds *folds, const char *name)
{
    double sum = 0, squares = 0;
    int n = 0;
    for (int i = 0; i < folds->count; i++) {
        double value = figure_of(&fold[i].result, name);
        if (isnan(value)) continue;
        sum += value;
        n++;
    }
    for (int i = 0; i < folds->count; i++) {
        double off = figure_of(&fold[i].result, name) - sum / n;
        if (!isnan(off)) squares += off * off;
    }
    return (struct figure){name, n > 0 ? sum / n : (double)NAN,
                           n > 1 ? sqrt(squares / (n - 1)) : (double)NAN, n};
}

static json_t *fold_json(const struct fold_result *result, const struct figure *figure, int figures)
{
    json_t *object = json_object();
    for (int k = 0; k < figures; k++)
        json_object_set_new(object, figure[k].name,
                            output_json_number(figure_of(result, figure[k].name)));
    json_object_set_new(object, "best", output_json_number(result->result.best));
    json_object_set_new(object, "steps", json_integer(result->result.steps));
    json_object_set_new(object, "sha256", json_string(result->digest));
    return object;
}

static enum status print_json(const struct folds *folds, const struct figure *figure, int figures)
{
    json_t *object = json_object(), *list = json_array(), *mean = json_object();
    json_t *deviation = json_object();
    for (int i = 0; i < folds->count; i++)
        json_array_append_new(list, fold_json(&fold[i].result, figure, figures));
    for (int k = 0; k < figures; k++) {
        json_object_set_new(mean, figure[k].name, output_json_number(figure[k].mean));
        json_object_set_new(deviation, figure[k].name, output_json_number(figure[k].deviation));
    }
    json_object_set_new(object, "folds", list);
    json_object_set_new(object, "mean", mean);
    json_object_set_new(object, "deviation", deviation);
    json_object_set_new(object, "out", json_string(folds->out));
    return output_json(object);
}

static enum status print_all(const struct folds *folds)
{
    struct figure figure[1 + EVALUATION_MEASURES];
    char fewer[64];
    const struct evaluation_report *most = &fold[0].result.result.evaluation;
    for (int i = 1; i < folds->count; i++)
        if (fold[i].result.result.evaluation.measures > most->measures)
            most = &fold[i].result.result.evaluation;
    int figures = 1 + most->measures;
    for (int k = 0; k < figures; k++) {
        figure[k] = summarize(folds, k ? name_of(most->measure[k - 1].tag) : "loss");
        if (figure[k].folds < folds->count)
            snprintf(fewer, sizeof fewer, " (of %d of %d folds; the others have none)",
                     figure[k].folds, folds->count);
        terminal_say("%-11s %s %.4f, standard deviation %.4f%s", k ? "" : "mean", figure[k].name,
                     figure[k].mean, figure[k].deviation,
                     figure[k].folds < folds->count ? fewer : "");
    }
    return option_given(folds->options, "json") ? print_json(folds, figure, figures) : STATUS_OK;
}

enum status folds_run(const struct options *options, fold_work work)
{
    static struct run_config config;
    struct folds folds = {.options = options, .work = work, .failed = -1};
    int64_t count = 0;
    if (option_given(options, "restarts") || option_given(options, "profile"))
        FAIL(STATUS_USAGE, "--folds goes with neither --restarts nor --profile");
    TRY(option_integer(options, "folds", 2, MOST_FOLDS, &count));
    folds.count = (int)count;
    TRY(read_settings(&folds, 0, &config));
    bool given = config.origin[run_key_find("parallel.workers")] != RUN_DEFAULT;
    int64_t threads = config.parallel.threads;
    int64_t cores = cpu_cores() / threads > 1 ? cpu_cores() / threads : 1;
    int64_t workers = given ? config.parallel.workers : cores;
    folds.out = config.out;
    folds.at_once = workers < count ? (int)workers : (int)count;
    folds.workers = (int)(workers / folds.at_once);
    terminal_say("folds      %d, %d at a time with %d %s each, in %s/fold-0 …", folds.count,
                 folds.at_once, folds.workers, folds.workers == 1 ? "worker" : "workers",
                 folds.out);
    TRY(run_all(&folds));
    return print_all(&folds);
}
