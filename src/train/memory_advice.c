// SPDX-License-Identifier: Apache-2.0
// A run that does not fit is refused before it takes memory, with the settings that would make it fit: each is tried by
// planning it, not guessed.
#include "train/internal.h"

#include <stdio.h>
#include <string.h>

// The crew if every replica had that many workers.
static struct crew crew_with(const struct trainer *trainer, const struct run_config *config)
{
    struct crew crew = trainer->crew;
    int workers = (int)config->parallel.workers;
    if (workers == trainer->workers) return crew;
    crew.all = workers * crew.replicas;
    crew.first = workers * crew.replica;
    crew.idle = crew.idle ? workers * (int)config->parallel.servers : 0;
    return crew;
}

static struct program_options options_with(const struct trainer *trainer,
                                           const struct run_config *config, const struct graph *g)
{
    struct crew crew = crew_with(trainer, config);
    return training_options_of(config, g, &trainer->parameters, crew.all - crew.idle);
}

// What a worker's arena takes with other settings: the graphs are built and planned, and thrown away.
static enum status arena_with(const struct trainer *trainer, const struct run_config *config,
                              struct memory_need *need_p)
{
    struct parameters parameters;
    struct model_graph graph[2] = {{0}};
    struct program *program[2] = {NULL, NULL};
    struct program_options options[2];
    parameters_init(&parameters);
    enum status status = training_graph(config, feed_typical(config), &parameters, &graph[0]);
    if (!status) status = evaluation_graph(config, feed_typical(config), &parameters, &graph[1]);
    options[0] = options_with(trainer, config, graph[0].g);
    options[1] = program_options_of(config);
    for (int i = 0; i < 2 && !status; i++)
        status = program_create(trainer->backend, graph[i].g, &options[i], &program[i]);
    if (!status) memory_arena(program, 2, need_p);
    for (int i = 0; i < 2; i++) {
        program_destroy(program[i]);
        graph_destroy(graph[i].g);
    }
    parameters_release(&parameters);
    return status;
}

// What counts against the machine's memory: pages of the corpus are a file's and are given back when others need them.
static size_t needed(const struct memory_report *report) { return report->total - report->data; }

// Whether the run fits with `config`. Arenas are planned again where the setting changes them. A trial that fails does not fit.
static bool fits(const struct trainer *trainer, const struct run_config *config, size_t *needed_p)
{
    struct memory_need need = {
        .elements = trainer->parameters.elements,
        .frozen = trainer->config.freeze[0] ? &trainer->parameters : NULL,
        .packed = trainer->memory.packed_weights,
        .data = trainer->memory.data,
        .heap = memory_heap(trainer),
        .states = trainer->states,
        .crew = crew_with(trainer, config),
    };
    const struct graph *g = trainer->training_graph[0].g;
    bool same =
        config->micro_batch == trainer->config.micro_batch &&
        config->parallel.threads == trainer->config.parallel.threads &&
        config->model.recompute_layers == trainer->config.model.recompute_layers &&
        options_with(trainer, config, g).block == options_with(trainer, &trainer->config, g).block;
    struct program *programs[2 * FEED_SHAPES];
    memory_arena(programs, trainer_programs(trainer, programs), &need);
    if (!same && arena_with(trainer, config, &need)) {
        error_clear();
        return false;
    }
    struct memory_report report = memory_of(config, &need);
    if (needed_p) *needed_p = needed(&report);
    return needed(&report) <= report.available;
}

// "812.3 MB", "26.1 GB": never with an exponent.
static const char *amount(size_t bytes, char text[32])
{
    double megabytes = (double)bytes / 1e6, gigabytes = megabytes / 1e3;
    if (megabytes < 1)
        snprintf(text, 32, "%.2f MB", megabytes);
    else if (megabytes < 9999.5)
        snprintf(text, 32, "%.4g MB", megabytes);
    else
        snprintf(text, 32, "%.*f GB", gigabytes < 1000 ? 1 : 0, gigabytes);
    return text;
}

struct advice {
    char text[512];
    int count;
};

// "key: value", behind what is there already. `same`: the setting changes no bit of the result.
static void advise(struct advice *advice, const char *key, int64_t value, bool same)
{
    size_t used = strlen(advice->text);
    snprintf(advice->text + used, sizeof advice->text - used, "%s%s: %lld%s",
             advice->count++ ? ", or " : "", key, (long long)value,
             same ? " (same weights, slower)" : "");
}

static void try_workers(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config = trainer->config;
    while (--config.parallel.workers >= 1) {
        if (!fits(trainer, &config, NULL)) continue;
        advise(advice, "parallel.workers", config.parallel.workers, true);
        return;
    }
}

// A thread takes scratch alone.
static void try_threads(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config = trainer->config;
    while (--config.parallel.threads >= 1) {
        if (!fits(trainer, &config, NULL)) continue;
        advise(advice, "parallel.threads", config.parallel.threads, true);
        return;
    }
}

// The fewest layers that are enough, by halving: more recomputed layers never take more.
static void try_recompute(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config = trainer->config;
    int64_t low = config.model.recompute_layers, high = config.model.layers;
    config.model.recompute_layers = high;
    if (low == high || !fits(trainer, &config, NULL)) return;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        config.model.recompute_layers = middle;
        if (fits(trainer, &config, NULL))
            high = middle;
        else
            low = middle;
    }
    advise(advice, "model.recompute_layers", high, true);
}

static void try_micro_batch(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config = trainer->config;
    while (--config.micro_batch >= 1) {
        if (config.batch % config.micro_batch || !fits(trainer, &config, NULL)) continue;
        advise(advice, "train.micro_batch", config.micro_batch, false);
        return;
    }
}

static void try_leaves(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config = trainer->config;
    while (--config.leaves >= 1) {
        if (!fits(trainer, &config, NULL)) continue;
        advise(advice, "train.leaves", config.leaves, false);
        return;
    }
}

static void try_all(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config = trainer->config;
    size_t least = 0;
    config.parallel.workers = 1;
    config.parallel.threads = 1;
    config.leaves = 1;
    config.micro_batch = 1;
    config.model.recompute_layers = config.model.layers;
    if (fits(trainer, &config, &least)) {
        snprintf(advice->text, sizeof advice->text,
                 "parallel.workers: 1, train.leaves: 1, train.micro_batch: 1 and "
                 "model.recompute_layers: %lld together",
                 (long long)config.model.layers);
        return;
    }
    char text[32];
    snprintf(advice->text, sizeof advice->text,
             "a smaller model (model.layers, model.width): with one worker, one leaf, "
             "micro-batches of one and all layers "
             "recomputed this one still takes %s",
             amount(least, text));
}

enum status memory_check(struct trainer *trainer)
{
    struct memory_report *report = &trainer->memory;
    // The machine may have less than when the run was planned.
    report->available = memory_available(trainer->config.parallel.memory_limit, &trainer->crew);
    if (needed(report) <= report->available) return STATUS_OK;
    struct advice advice = {.count = 0};
    try_workers(trainer, &advice);
    try_threads(trainer, &advice);
    try_recompute(trainer, &advice);
    try_micro_batch(trainer, &advice);
    try_leaves(trainer, &advice);
    if (advice.count == 0) try_all(trainer, &advice);
    char a[32], b[32], c[32], d[32], e[32], f[32], g[32];
    FAIL(STATUS_MEMORY,
         "the run would take %s (weights %s, optimizer state %s, gradients %s, activations %s, "
         "other %s), "
         "but %s are free%s; it fits with %s",
         amount(needed(report), a), amount(report->weights, b), amount(report->optimizer_state, c),
         amount(report->gradients, d), amount(report->activations, e),
         amount(report->packed_weights + report->other, f), amount(report->available, g),
         trainer->config.parallel.memory_limit > 0 ? " (parallel.memory_limit counted)" : "",
         advice.text);
}
