// SPDX-License-Identifier: Apache-2.0
// What do more workers gain, and where does a step's time go? Three trainers of one run, with one worker, with several, and with one of
// as many threads, take steps in turn; for each the medians of a step's seconds and of worker 0's three parts, and the ratio to the first.
// Short steps are taken ten at a time, and the first of the ten is not counted: it wakes threads that slept while the others had
// their turn, which a training's steps, one close behind another, do not.
//
// between_us: what a step takes beyond worker 0's parts (commands, wake-ups, bookkeeping). `speed_up` is the median of the ratios of
// neighbouring steps, in wall time, so it needs a quiet machine. `processor_ms` is the most processor time that one worker took for a
// step; its ratio, `processor_speed_up`, says what the machine's load hides: how the work divides, and what it costs that workers share
// memory. It counts no waiting but what spins (so it says little of threads). `load`: the machine's, in the last minute. Usage: bench_workers [char | 124m] [workers, default 2] [steps]
#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/philox.h"
#include "train/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_STEPS = 2000, CASES = 3, TURN = 10 };
static struct step_report reports[CASES][MOST_STEPS];
static double processor[CASES][MOST_STEPS]; // of the worker that took most

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare);
    return x[n / 2];
}

static double field(const struct step_report *r, int which)
{
    double parts[] = {r->compute_seconds, r->exchange_seconds, r->wait_seconds};
    if (which == 0) return r->seconds;
    if (which <= 3) return parts[which - 1];
    return r->seconds - parts[0] - parts[1] - parts[2];
}

static double median_of(const struct step_report *report, int steps, int which)
{
    double x[MOST_STEPS];
    for (int i = 0; i < steps; i++) x[i] = field(&report[i], which);
    return median(x, steps);
}

static int write_text(const char *path)
{
    struct philox_address at = {1, philox_stream(PHILOX_TEST, 9), 0, 0};
    FILE *file = fopen(path, "w");
    if (!file) return 1;
    for (uint64_t i = 0; i < 300000; i++) fputc(' ' + (int)(philox_bits(at, i) % 65), file);
    return fclose(file);
}

static enum status make(const char *folder, const char *model, int workers, int threads,
                        struct trainer **trainer_p)
{
    struct run_config config;
    run_config_defaults(&config);
    bool large = strcmp(model, "124m") == 0;
    config.model.layers = large ? 12 : 4;
    config.model.heads = large ? 12 : 4;
    config.model.width = large ? 768 : 128;
    config.model.context = large ? 256 : 64;
    if (large) config.model.vocabulary = 50304;
    config.batch = large ? 4 : 12;
    config.micro_batch = large ? 2 : 3;
    config.optimizer.clip = 1;
    config.parallel.workers = workers;
    config.parallel.threads = threads;
    config.eval_every = config.save_every = 0;
    snprintf(config.parallel.balance, sizeof config.parallel.balance, "none");
    snprintf(config.data.tokenizer, sizeof config.data.tokenizer, "char");
    snprintf(config.data.train, sizeof config.data.train, "%s/text.txt", folder);
    snprintf(config.data.cache, sizeof config.data.cache, "%s/cache", folder);
    snprintf(config.out, sizeof config.out, "%s/%d-%d", folder, workers, threads);
    TRY(trainer_create(&config, NULL, trainer_p));
    TRY(trainer_prepare(*trainer_p, false));
    return STATUS_OK;
}

static double thread_time(pthread_t thread)
{
    clockid_t clock;
    struct timespec t = {0, 0};
    if (pthread_getcpuclockid(thread, &clock) == 0) clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum status step(struct trainer *trainer, struct step_report *report_p, double *processor_p)
{
    double before[64], most = 0;
    int workers = trainer->workers < 64 ? trainer->workers : 64;
    for (int r = 0; r < workers; r++) before[r] = thread_time(trainer->worker[r].thread);
    TRY(trainer_step(trainer, report_p));
    for (int r = 0; r < workers; r++) {
        double seconds = thread_time(trainer->worker[r].thread) - before[r];
        if (seconds > most) most = seconds;
    }
    *processor_p = most;
    return STATUS_OK;
}

static double ratio_of(double (*of)(int t, int i), int t, int steps)
{
    double ratio[MOST_STEPS];
    for (int i = 0; i < steps; i++) ratio[i] = of(0, i) / of(t, i);
    return median(ratio, steps);
}

static double wall(int t, int i) { return reports[t][i].seconds; }
static double used(int t, int i) { return processor[t][i]; }

// Steps from..to of one trainer; where they are short, or the first at all, after one that is not counted.
static enum status take_turn(struct trainer *trainer, int t, int from, int to)
{
    if (from == 0 || to - from > 1) TRY(step(trainer, &reports[t][from], &processor[t][from]));
    for (int i = from; i < to; i++) TRY(step(trainer, &reports[t][i], &processor[t][i]));
    return STATUS_OK;
}

static enum status run(const char *folder, const char *model, int workers, int steps)
{
    const int of[CASES][2] = {{1, 1}, {workers, 1}, {1, workers}};
    struct trainer *trainer[CASES] = {NULL};
    double load[1] = {-1};
    enum status status = STATUS_OK;
    for (int t = 0; t < CASES && !status; t++)
        status = make(folder, model, of[t][0], of[t][1], &trainer[t]);
    int turn = strcmp(model, "124m") == 0 ? 1 : TURN;
    for (int i = 0; i < steps && !status; i += turn)
        for (int t = 0; t < CASES && !status; t++)
            status = take_turn(trainer[t], t, i, i + turn < steps ? i + turn : steps);
    if (getloadavg(load, 1) != 1) load[0] = -1;
    for (int t = 0; t < CASES && !status; t++) {
        double speed_up = ratio_of(wall, t, steps), divided = ratio_of(used, t, steps);
        printf("{\"bench\": \"workers\", \"processor\": \"%s\", \"load\": %.1f, \"model\": "
               "\"%s\", \"workers\": %d, \"threads\": %d, \"steps\": %d, \"step_ms\": %.3f, "
               "\"compute_ms\": %.3f, \"exchange_ms\": %.3f, \"wait_ms\": %.3f, "
               "\"between_us\": %.0f, \"processor_ms\": %.3f, \"speed_up\": %.3f, "
               "\"processor_speed_up\": %.3f}\n",
               cpu_name(), load[0], model, of[t][0], of[t][1], steps,
               1e3 * median_of(reports[t], steps, 0), 1e3 * median_of(reports[t], steps, 1),
               1e3 * median_of(reports[t], steps, 2), 1e3 * median_of(reports[t], steps, 3),
               1e6 * median_of(reports[t], steps, 4), 1e3 * median(processor[t], steps), speed_up,
               divided);
    }
    for (int t = 0; t < CASES; t++) trainer_destroy(trainer[t]);
    return status;
}

int main(int count, char **words)
{
    char folder[256], text[300];
    const char *root = getenv("TMPDIR"), *model = count > 1 ? words[1] : "char";
    int workers = count > 2 ? atoi(words[2]) : 2;
    int steps = count > 3 ? atoi(words[3]) : strcmp(model, "124m") == 0 ? 5 : 200;
    snprintf(folder, sizeof folder, "%s/stentor-bench-XXXXXX", root ? root : "/tmp");
    if (workers < 1 || steps < 1 || steps > MOST_STEPS || !mkdtemp(folder)) {
        fprintf(stderr, "usage: bench_workers [char | 124m] [workers] [steps]\n");
        return 2;
    }
    snprintf(text, sizeof text, "%s/text.txt", folder);
    log_set_level(LOG_QUIET);
    enum status status = write_text(text) ? STATUS_DISK : run(folder, model, workers, steps);
    if (status) fprintf(stderr, "%s\n", error_message());
    if (directory_remove(folder)) fprintf(stderr, "%s\n", error_message());
    return status != STATUS_OK;
}
