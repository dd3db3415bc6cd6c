// SPDX-License-Identifier: Apache-2.0
// stentor inspect RUN.yaml: what the run would need in memory, operations and time. Nothing is trained, nothing stays on disk.
#include "base/file.h"
#include "inspect.h"
#include "output.h"
#include "progress.h"
#include "run_file.h"
#include "speed.h"
#include "train/trainer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct forecast {
    const struct run_config *config;
    struct memory_report memory;
    struct text_report text;
    int64_t parameters;
    double flops;          // of a step
    double flops_a_second; // measured, all workers
    double step_seconds;
    enum isa isa;
};

#define MEASURE_SECONDS 0.15

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// A product of the model's feed-forward size, no larger than what a tenth of a second is good for.
static enum status forecast_time(struct forecast *f)
{
    const struct run_config *config = f->config;
    int64_t rows = smaller(config->micro_batch * config->model.context, 512);
    int64_t cols = smaller(config->model.hidden, 2048), depth = smaller(config->model.width, 1024);
    // Workers without a leaf compute nothing, and more workers than cores are no faster.
    int workers = (int)smaller(smaller(config->parallel.workers, config->leaves), cpu_cores());
    int threads = (int)smaller(workers * config->parallel.threads, cpu_cores());
    TRY(isa_choose(&f->isa));
    TRY(speed_measure(f->isa, run_precision(config), threads, rows, cols, depth, MEASURE_SECONDS,
                      &f->flops_a_second));
    // The worker with the longest run of leaves decides.
    int64_t longest = (config->leaves + workers - 1) / workers;
    double share = (double)longest / (double)config->leaves;
    f->step_seconds = f->flops * share / (f->flops_a_second / workers);
    return STATUS_OK;
}

static enum status print_json(const struct forecast *f)
{
    const struct memory_report *m = &f->memory;
    return output_json(json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, "
        "s:I, "
        "s:I}, "
        "s:f, s:f, s:f, "
        "s:f, s:s, s:s, s:s}",
        "kind", "run", "parameters", (json_int_t)f->parameters, "workers",
        (json_int_t)f->config->parallel.workers, "threads", (json_int_t)f->config->parallel.threads,
        "training_tokens", (json_int_t)f->text.tokens, "held_out_tokens",
        (json_int_t)f->text.held_out, "memory_bytes", "weights", (json_int_t)m->weights,
        "optimizer_state", (json_int_t)m->optimizer_state, "gradients", (json_int_t)m->gradients,
        "activations", (json_int_t)m->activations, "data", (json_int_t)m->data, "other",
        (json_int_t)m->other, "total", (json_int_t)m->total, "available", (json_int_t)m->available,
        "worker_activations", (json_int_t)m->worker_activations, "packed_weights",
        (json_int_t)m->packed_weights, "worker_gradient_buffers", m->worker_gradients,
        "worker_share", (json_int_t)m->worker_share, "worker_total", (json_int_t)m->worker_total,
        "operations_per_step", f->flops, "measured_operations_per_second", f->flops_a_second,
        "step_seconds", f->step_seconds, "run_seconds", f->step_seconds * (double)f->config->steps,
        "isa", isa_name(f->isa), "precision", f->config->precision, "exactness", "exact"));
}

static enum status print_bytes(const char *name, size_t bytes, const char *remark)
{
    char count[32], human[32];
    return output_print("  %-16s %18s bytes %10s  %s\n", name, output_count((double)bytes, count),
                        output_bytes((double)bytes, human), remark);
}

static enum status print_memory(const struct forecast *f)
{
    const struct memory_report *m = &f->memory;
    char count[32], share[32], buffers[64], arena[64], worker[128];
    snprintf(buffers, sizeof buffers, "at most %d buffer%s a worker", m->worker_gradients,
             m->worker_gradients == 1 ? "" : "s");
    snprintf(arena, sizeof arena, "%s bytes a worker",
             output_count((double)m->worker_activations, count));
    snprintf(
        worker, sizeof worker,
        "of the total at most: its activations, its %d gradient buffer%s, its share of weights "
        "and optimizer state (%s bytes)",
        m->worker_gradients, m->worker_gradients == 1 ? "" : "s",
        output_count((double)m->worker_share, share));
    const struct {
        const char *name;
        size_t bytes;
        const char *remark;
    } line[] = {
        {"weights", m->weights, "one copy"},
        {"packed weights", m->packed_weights, "for products, one copy"},
        {"optimizer state", m->optimizer_state, f->config->optimizer.name},
        {"gradients", m->gradients, buffers},
        {"activations", m->activations, arena},
        {"data", m->data, "mapped from the cache"},
        {"other", m->other, ""},
        {"total", m->total, ""},
        {"a worker", m->worker_total, worker},
        {"available", m->available, ""},
    };
    TRY(output_print("memory at the peak, %lld workers of %lld thread%s:\n",
                     (long long)f->config->parallel.workers, (long long)f->config->parallel.threads,
                     f->config->parallel.threads == 1 ? "" : "s"));
    for (size_t i = 0; i < sizeof line / sizeof line[0]; i++)
        TRY(print_bytes(line[i].name, line[i].bytes, line[i].remark));
    return STATUS_OK;
}

// "12.3 ms", "4.56 s", "12:04", "3:04:05"
static const char *duration(double seconds, char text[32])
{
    if (seconds >= 60) return progress_time(seconds, text);
    bool tiny = seconds < 1;
    snprintf(text, 32, "%.3g %s", tiny ? 1e3 * seconds : seconds, tiny ? "ms" : "s");
    return text;
}

static enum status print_forecast(const struct forecast *f)
{
    const struct run_config *c = f->config;
    char a[32], b[32], rate[32];
    TRY(output_print("model: %s, %lld layers, %lld heads, width %lld, context %lld, %lld tokens: "
                     "%s parameters\n",
                     c->model.type, (long long)c->model.layers, (long long)c->model.heads,
                     (long long)c->model.width, (long long)c->model.context,
                     (long long)c->model.vocabulary, output_count((double)f->parameters, a)));
    TRY(output_print("text: %s tokens to learn from, %s held out\n",
                     output_count((double)f->text.tokens, a),
                     output_count((double)f->text.held_out, b)));
    TRY(print_memory(f));
    TRY(output_print("a step: %lld sequences, %s operations\n", (long long)c->batch,
                     output_count(f->flops, a)));
    TRY(output_print(
        "time: %s a step, %s for %lld steps, if all went at the %s operations a second "
        "that products reach here (%s, %s)\n",
        duration(f->step_seconds, a), duration(f->step_seconds * (double)c->steps, b),
        (long long)c->steps, progress_rate(f->flops_a_second, rate), isa_name(f->isa),
        c->precision));
    return output_print("exactness: %s\n", exactness_sentence("exact"));
}

static enum status forecast_run(const struct options *options, const struct run_config *config)
{
    struct trainer *trainer;
    TRY(trainer_create(config, NULL, &trainer));
    struct forecast f = {
        .config = trainer_config(trainer),
        .memory = trainer_memory(trainer),
        .text = trainer_text(trainer),
        .parameters = trainer_parameters(trainer),
        .flops = trainer_cost(trainer).flops,
    };
    enum status status = forecast_time(&f);
    if (status == STATUS_OK)
        status = option_given(options, "json") ? print_json(&f) : print_forecast(&f);
    trainer_destroy(trainer);
    return status;
}

enum status inspect_run(const struct options *options, const char *path)
{
    static struct run_config config;
    char kept[RUN_PATH + 16];
    TRY(run_file_read(options, path, &config));
    // The text must be read to know its tokens; where the run has not kept them, they go to a folder that does not stay.
    TRY(path_join(kept, sizeof kept, config.out, "cache"));
    if (config.data.cache[0] || directory_exists(kept)) return forecast_run(options, &config);
    const char *base = getenv("TMPDIR");
    char cache[RUN_PATH];
    int length = snprintf(cache, sizeof cache, "%s/stentor-XXXXXX", base && *base ? base : "/tmp");
    if (length >= (int)sizeof cache || !mkdtemp(cache))
        FAIL(STATUS_DISK, "%s: a temporary folder cannot be made: %s", cache, strerror(errno));
    memcpy(config.data.cache, cache, sizeof cache);
    enum status status = forecast_run(options, &config);
    if (directory_remove(cache) && status == STATUS_OK) error_clear();
    return status;
}
