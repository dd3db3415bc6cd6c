// SPDX-License-Identifier: Apache-2.0
// stentor inspect RUN.yaml: what the run would need in memory, operations and time. Nothing is trained, nothing stays on disk.
// Started by mpirun or srun it is the run of so many processes.
#include "base/file.h"
#include "base/memory.h"
#include "inspect.h"
#include "output.h"
#include "progress.h"
#include "replicas.h"
#include "run_file.h"
#include "signals.h"
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
    struct crew_report crew;
    const char *exactness;
    double most; // bytes of the process that takes most
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
    int64_t all = f->crew.replicas > 1 ? smaller(f->crew.workers, config->leaves) : workers;
    int64_t longest = (config->leaves + all - 1) / all;
    double share = (double)longest / (double)config->leaves;
    f->step_seconds = f->flops * share / (f->flops_a_second / workers);
    return STATUS_OK;
}

static enum status print_json(const struct forecast *f)
{
    const struct memory_report *m = &f->memory;
    json_t *object = json_pack(
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
        "isa", isa_name(f->isa), "precision", f->config->precision, "exactness", f->exactness);
    json_object_set_new(object, "processes", json_integer(f->crew.replicas));
    json_object_set_new(object, "most_memory_bytes", json_integer((json_int_t)f->most));
    return output_json(object);
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
    char processes[64] = "", most[32];
    if (f->crew.replicas > 1)
        snprintf(processes, sizeof processes, " of process 0 of %d", f->crew.replicas);
    TRY(output_print("memory at the peak%s, %lld workers of %lld thread%s:\n", processes,
                     (long long)f->config->parallel.workers, (long long)f->config->parallel.threads,
                     f->config->parallel.threads == 1 ? "" : "s"));
    for (size_t i = 0; i < sizeof line / sizeof line[0]; i++)
        TRY(print_bytes(line[i].name, line[i].bytes, line[i].remark));
    if (f->crew.replicas > 1)
        TRY(output_print("processes: %d with %d workers, exchange %s, at most %s each\n",
                         f->crew.replicas, f->crew.workers, f->crew.exchange,
                         output_bytes(f->most, most)));
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
    return output_print("exactness: %s\n", exactness_sentence(f->exactness));
}

static enum status find_most(struct comm *net, double *most_p)
{
    double *all = NULL, own = *most_p;
    if (!net) return STATUS_OK;
    TRY(memory_allocate((size_t)net->size, sizeof *all, "the processes", &all));
    enum status status = comm_gather(net, &own, sizeof own, all);
    for (int r = 0; r < net->size && !status; r++)
        if (all[r] > *most_p) *most_p = all[r];
    free(all);
    return status;
}

static enum status tell(const struct options *options, struct forecast *f)
{
    TRY(forecast_time(f));
    return option_given(options, "json") ? print_json(f) : print_forecast(f);
}

static enum status forecast_run(const struct options *options, const struct run_config *config,
                                const struct replicas *replicas)
{
    struct trainer *trainer;
    TRY(trainer_create(config, replicas->net, &trainer));
    struct forecast f = {
        .config = trainer_config(trainer),
        .memory = trainer_memory(trainer),
        .text = trainer_text(trainer),
        .crew = trainer_crew(trainer),
        .exactness = trainer_exactness(trainer),
        .parameters = trainer_parameters(trainer),
        .flops = trainer_cost(trainer).flops,
    };
    f.most = (double)f.memory.total;
    enum status status = find_most(replicas->net, &f.most);
    if (!status && replicas_speak(replicas)) status = tell(options, &f);
    trainer_destroy(trainer);
    return replicas_agree(replicas, status);
}

// The text must be read to know its tokens; where the run has not kept them, they go to a folder that does not stay.
static enum status choose_cache(struct run_config *config, bool *made_p)
{
    char kept[RUN_PATH + 16], cache[RUN_PATH];
    const char *base = getenv("TMPDIR");
    if (run_has_rows(config)) return STATUS_OK; // are not kept
    TRY(path_join(kept, sizeof kept, config->out, "cache"));
    if (config->data.cache[0] || directory_exists(kept)) return STATUS_OK;
    int length = snprintf(cache, sizeof cache, "%s/stentor-XXXXXX", base && *base ? base : "/tmp");
    if (length >= (int)sizeof cache || !mkdtemp(cache))
        FAIL(STATUS_DISK, "%s: a temporary folder cannot be made: %s", cache, strerror(errno));
    memcpy(config->data.cache, cache, sizeof cache);
    *made_p = true;
    return STATUS_OK;
}

static enum status inspect_among(const struct options *options, const char *path,
                                 const struct replicas *replicas)
{
    static struct run_config config;
    int64_t cores = 0, count = replicas->net ? replicas->net->size : 0;
    bool made = false;
    if (replicas->net) TRY(trainer_cores(replicas->net, &cores));
    enum status status = run_file_read_among(options, path, count, cores, &config);
    if (!status && replicas_speak(replicas)) status = run_config_check_from(&config);
    // From here on a signal lets the trainer give up, and the folder is removed.
    signals_catch(train_request_stop, false);
    // Process 0's is everybody's; on another host it comes to be there, too.
    if (!status && replicas_speak(replicas)) status = choose_cache(&config, &made);
    TRY(replicas_agree(replicas, status));
    status = forecast_run(options, &config, replicas);
    if (made && directory_remove(config.data.cache) && status == STATUS_OK) error_clear();
    return status;
}

enum status inspect_run(const struct options *options, const char *path)
{
    struct replicas replicas;
    TRY(replicas_join(&replicas));
    enum status status = inspect_among(options, path, &replicas);
    return replicas_leave(&replicas, status);
}
