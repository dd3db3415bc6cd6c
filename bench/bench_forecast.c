// SPDX-License-Identifier: Apache-2.0
// How near is `stentor plan` to what a step takes here? Six models on one and two workers: the model's seconds, with constants that
// this program measures in turn with the steps (as `stentor bench --cluster-file` does), beside the measured ones.
//
// `predicted_ms` is for a machine of as many workers. `wall_ms` is the median of the steps by the clock, which needs a quiet machine;
// `processor_ms` the median of the most processor time that one worker took, which says what neighbours hide. `off` and
// `processor_off`: predicted over measured, less 1. `load`: the machine's, in the last minute.
// Usage: bench_forecast [seconds for each, default 6] [most workers, default 2]
#include "backend/cpu/roof.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/philox.h"
#include "train/forecast.h"
#include "train/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_STEPS = 1000, LEAST_STEPS = 3 };

static const struct model {
    const char *name;
    int layers, heads, width, context, vocabulary, batch, micro_batch, recompute;
    const char *optimizer;
} models[] = {
    {"char-4x128", 4, 4, 128, 64, 128, 12, 3, 0, "adamw"},
    {"demo-4x128", 4, 4, 128, 128, 128, 16, 2, 0, "adamw"},
    {"6x256", 6, 8, 256, 128, 1024, 8, 2, 0, "adamw"},
    {"6x384-recompute", 6, 6, 384, 256, 256, 8, 1, 6, "adamw"},
    {"4x512-sgd", 4, 8, 512, 256, 8192, 4, 1, 0, "sgd"},
    {"gpt2-124m", 12, 12, 768, 128, 50304, 4, 2, 0, "adamw"},
};
enum { MODELS = sizeof models / sizeof *models };

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

static double thread_time(pthread_t thread)
{
    clockid_t clock;
    struct timespec t = {0, 0};
    if (pthread_getcpuclockid(thread, &clock) == 0) clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void configure(struct run_config *config, const struct model *model, const char *folder,
                      int workers)
{
    run_config_defaults(config);
    config->model.layers = model->layers;
    config->model.heads = model->heads;
    config->model.width = model->width;
    config->model.context = model->context;
    config->model.recompute_layers = model->recompute;
    config->vocabulary = model->vocabulary;
    config->batch = model->batch;
    config->micro_batch = model->micro_batch;
    config->parallel.workers = workers;
    config->eval_every = config->save_every = 0;
    snprintf(config->optimizer.name, sizeof config->optimizer.name, "%s", model->optimizer);
    snprintf(config->parallel.balance, sizeof config->parallel.balance, "none");
    snprintf(config->data.tokenizer, sizeof config->data.tokenizer, "char");
    snprintf(config->data.train, sizeof config->data.train, "%s/text.txt", folder);
    snprintf(config->data.cache, sizeof config->data.cache, "%s/cache", folder);
    snprintf(config->out, sizeof config->out, "%s/%s-%d", folder, model->name, workers);
}

// A machine of `workers` of its cores.
static enum status measure_machine(int workers, struct cluster *cluster)
{
    enum isa isa;
    *cluster = (struct cluster){.nodes = 1, .workers = workers, .shares_memory = true};
    cluster->inside = cluster->between = (struct link){0, 0, 1e9};
    TRY(isa_choose(&isa));
    TRY(roof_measure_fma(isa, 1, 0.05, &cluster->peak[PRECISION_FLOAT32]));
    TRY(forecast_measure(cluster->peak[PRECISION_FLOAT32], &cluster->efficiency,
                         &cluster->attention));
    return roof_measure_triad(isa, workers, 0, 0.4, &cluster->memory_bandwidth);
}

struct measured {
    double wall, processor;
    int steps;
};

static enum status take_steps(struct trainer *trainer, double seconds, struct measured *m)
{
    static double wall[MOST_STEPS], processor[MOST_STEPS];
    double start = 0;
    int n = 0, warm = 1;
    while (n < MOST_STEPS && (n < LEAST_STEPS || monotonic_seconds() - start < seconds)) {
        struct step_report report;
        double before[64], most = 0;
        int workers = trainer->workers < 64 ? trainer->workers : 64;
        if (!warm && !n) start = monotonic_seconds();
        for (int r = 0; r < workers; r++) before[r] = thread_time(trainer->worker[r].thread);
        TRY(trainer_step(trainer, &report));
        for (int r = 0; r < workers; r++) {
            double took = thread_time(trainer->worker[r].thread) - before[r];
            if (took > most) most = took;
        }
        if (warm) { // touches memory for the first time
            warm = 0;
            continue;
        }
        wall[n] = report.seconds;
        processor[n++] = most;
    }
    *m = (struct measured){median(wall, n), median(processor, n), n};
    return STATUS_OK;
}

static enum status run_one(const struct model *model, const char *folder, int workers,
                           double seconds)
{
    static struct run_config config;
    static struct forecast forecast;
    struct cluster cluster;
    struct trainer *trainer = NULL;
    struct measured m = {0, 0, 0};
    double load[1] = {-1};
    configure(&config, model, folder, workers);
    TRY(measure_machine(workers, &cluster));
    TRY(forecast_create(&config, &forecast));
    struct step_cost cost = cost_step(&cluster, &forecast.workload);
    TRY(trainer_create(&config, NULL, &trainer));
    enum status status = trainer_prepare(trainer, false);
    if (!status) status = take_steps(trainer, seconds, &m);
    trainer_destroy(trainer);
    if (status) return status;
    if (getloadavg(load, 1) != 1) load[0] = -1;
    printf("{\"bench\": \"forecast\", \"processor\": \"%s\", \"load\": %.1f, \"model\": \"%s\", "
           "\"workers\": %d, \"steps\": %d, \"predicted_ms\": %.3f, \"compute_ms\": %.3f, "
           "\"update_ms\": %.3f, \"wall_ms\": %.3f, \"processor_ms\": %.3f, \"off\": %.3f, "
           "\"processor_off\": %.3f, \"peak\": %.4g, \"efficiency\": %.3f, \"attention\": %.3f, "
           "\"triad\": %.4g}\n",
           cpu_name(), load[0], model->name, workers, m.steps, 1e3 * cost.seconds,
           1e3 * (cost.compute + cost.wait), 1e3 * cost.update, 1e3 * m.wall, 1e3 * m.processor,
           cost.seconds / m.wall - 1, cost.seconds / m.processor - 1,
           cluster.peak[PRECISION_FLOAT32], cluster.efficiency, cluster.attention,
           cluster.memory_bandwidth);
    fflush(stdout);
    return STATUS_OK;
}

static int write_text(const char *path)
{
    struct philox_address at = {1, philox_stream(PHILOX_TEST, 9), 0, 0};
    FILE *file = fopen(path, "w");
    if (!file) return 1;
    for (uint64_t i = 0; i < 300000; i++) fputc(' ' + (int)(philox_bits(at, i) % 65), file);
    return fclose(file);
}

int main(int count, char **words)
{
    char folder[256], text[300];
    const char *root = getenv("TMPDIR");
    double seconds = count > 1 ? atof(words[1]) : 6;
    int most = count > 2 ? atoi(words[2]) : 2;
    enum status status = STATUS_OK;
    snprintf(folder, sizeof folder, "%s/stentor-bench-XXXXXX", root ? root : "/tmp");
    if (!(seconds > 0) || most < 1 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: bench_forecast [seconds for each] [most workers]\n");
        return 2;
    }
    snprintf(text, sizeof text, "%s/text.txt", folder);
    log_set_level(LOG_QUIET);
    if (write_text(text)) status = STATUS_DISK;
    for (int i = 0; i < MODELS && !status; i++)
        for (int workers = 1; workers <= most && !status; workers++)
            status = run_one(&models[i], folder, workers, seconds);
    if (status) fprintf(stderr, "%s\n", error_message());
    if (directory_remove(folder)) fprintf(stderr, "%s\n", error_message());
    return status != STATUS_OK;
}
