// SPDX-License-Identifier: Apache-2.0
// A run that does not fit is refused before it takes memory, with the settings that would make it fit: each is tried by
// planning it, not guessed.
#include "backend/packed.h"
#include "train/internal.h"
#include "train/run_schema.h"

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

// Graphs and programs with other settings, as the trainer has them for each shape.
struct trial {
    struct parameters parameters;
    struct model_graph training[FEED_SHAPES], evaluation[FEED_SHAPES];
    struct program *program[2 * FEED_SHAPES];
};

static enum status trial_programs(const struct trainer *trainer, const struct run_config *config,
                                  struct trial *trial)
{
    struct program **program = trial->program;
    for (int i = 0; i < trainer->feed.shapes; i++) {
        struct model_sizes sizes = trainer->feed.shape[i];
        if (config->micro_batch != trainer->config.micro_batch)
            sizes.batch = feed_rows(config, &sizes, INT64_MAX);
        TRY(training_graph(config, sizes, &trial->parameters, &trial->training[i]));
        TRY(evaluation_graph(config, sizes, &trial->parameters, &trial->evaluation[i]));
        struct program_options options = options_with(trainer, config, trial->training[0].g);
        struct program_options evaluation = program_options_of(config);
        TRY(program_create(trainer->backend, trial->training[i].g, &options, program++));
        TRY(program_create(trainer->backend, trial->evaluation[i].g, &evaluation, program++));
    }
    return STATUS_OK;
}

static enum status trial_need(const struct trainer *trainer, const struct run_config *config,
                              struct trial *trial, struct memory_need *need_p)
{
    int count = 2 * trainer->feed.shapes;
    struct packed *packed = NULL;
    TRY(trial_programs(trainer, config, trial));
    TRY(packed_create(trial->program, count, &packed));
    need_p->packed = packed_bytes(packed);
    packed_destroy(packed);
    need_p->heap = memory_heap(trainer, config, trial->training, trial->evaluation);
    memory_arena(trial->program, count, need_p);
    return STATUS_OK;
}

// What the run would take of graphs and programs with other settings: they are built and planned, and thrown away.
static enum status need_with(const struct trainer *trainer, const struct run_config *config,
                             struct memory_need *need_p)
{
    struct trial trial = {.program = {NULL}};
    parameters_init(&trial.parameters);
    enum status status = trial_need(trainer, config, &trial, need_p);
    for (int i = 0; i < 2 * FEED_SHAPES; i++) program_destroy(trial.program[i]);
    for (int i = 0; i < trainer->feed.shapes; i++) {
        graph_destroy(trial.training[i].g);
        graph_destroy(trial.evaluation[i].g);
    }
    parameters_release(&trial.parameters);
    return status;
}

// What counts against the machine's memory: pages of the corpus are a file's and are given back when others need them.
static size_t needed(const struct memory_report *report) { return report->total - report->data; }

// Whether the run fits with `config`. Programs are planned again where the setting changes them. A trial that fails does not fit.
static bool fits(const struct trainer *trainer, const struct run_config *config, size_t *needed_p)
{
    struct memory_need need = {
        .elements = trainer->parameters.elements,
        .frozen = trainer->config.freeze[0] ? &trainer->parameters : NULL,
        .packed = trainer->memory.packed_weights,
        .data = trainer->memory.data,
        .heap = memory_heap(trainer, config, trainer->training_graph, trainer->evaluation_graph),
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
    if (!same && need_with(trainer, config, &need)) {
        error_clear();
        return false;
    }
    struct memory_report report = memory_of(config, &need);
    if (needed_p) *needed_p = needed(&report);
    return needed(&report) <= report.available;
}

static bool lacks_leaves(const struct trainer *trainer, const struct run_config *config)
{
    bool lacks = crew_check_leaves(config, &trainer->crew) != STATUS_OK;
    error_clear();
    return lacks;
}

// Whether a run would begin with these settings; what the user left open is chosen anew, as that run would choose it.
static bool settle(const struct trainer *trainer, struct run_config *config)
{
    bool settled = !run_check_batch(config) && !run_check_parallel(config);
    error_clear();
    return settled && !lacks_leaves(trainer, config);
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

// The largest smaller value of a key with which the run fits. *config is for trials; `field` lies in it.
static void try_less(const struct trainer *trainer, struct run_config *config, int64_t *field,
                     const char *key, bool same, struct advice *advice)
{
    *config = trainer->config;
    for (int64_t value = *field - 1; value >= 1; value--) {
        *config = trainer->config;
        run_config_reopen(config);
        *field = value;
        if (!settle(trainer, config) || !fits(trainer, config, NULL)) continue;
        advise(advice, key, value, same);
        return;
    }
}

static bool recomputes(const struct trainer *trainer)
{
    return run_key_is_of_type("model.recompute_layers", trainer->config.model.type);
}

// The fewest layers that are enough, by halving: more recomputed layers never take more.
static void try_recompute(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config = trainer->config;
    int64_t low = config.model.recompute_layers, high = config.model.layers;
    config.model.recompute_layers = high;
    if (low == high || !recomputes(trainer) || !fits(trainer, &config, NULL)) return;
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

// All of it at once, and in words. Threads are named where one worker would have several.
static void least_settings(const struct trainer *trainer, struct run_config *config, char text[256])
{
    char layers[64] = "";
    *config = trainer->config;
    run_config_reopen(config);
    config->parallel.workers = config->leaves = config->micro_batch = 1;
    while (lacks_leaves(trainer, config)) config->leaves++;
    // Of batch norm one row is refused.
    while (!settle(trainer, config) && config->micro_batch < config->batch) config->micro_batch++;
    bool several = config->parallel.threads > 1;
    config->parallel.threads = 1;
    if (recomputes(trainer)) {
        config->model.recompute_layers = config->model.layers;
        snprintf(layers, sizeof layers, " and model.recompute_layers: %lld",
                 (long long)config->model.layers);
    }
    snprintf(text, 256, "parallel.workers: 1,%s train.leaves: %lld%s train.micro_batch: %lld%s",
             several ? " parallel.threads: 1," : "", (long long)config->leaves,
             layers[0] ? "," : " and", (long long)config->micro_batch, layers);
}

// The keys that make a model of the type smaller.
static const char *smaller_by(const char *type)
{
    bool layers = run_key_is_of_type("model.layers", type);
    bool width = run_key_is_of_type("model.width", type);
    return layers && width ? " (model.layers, model.width)"
           : layers        ? " (model.layers, model.hidden)"
           : width         ? " (model.width)"
                           : "";
}

static void try_all(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config;
    size_t least = 0;
    char settings[256], text[32];
    least_settings(trainer, &config, settings);
    if (fits(trainer, &config, &least))
        snprintf(advice->text, sizeof advice->text, "%s together", settings);
    else
        snprintf(advice->text, sizeof advice->text,
                 "a smaller model%s: with %s this one still takes %s",
                 smaller_by(config.model.type), settings, amount(least, text));
}

// What one key makes of it, each by itself; where none is enough, all of them.
static void find_advice(const struct trainer *trainer, struct advice *advice)
{
    struct run_config config;
    int64_t *workers = &config.parallel.workers, *threads = &config.parallel.threads;
    try_less(trainer, &config, workers, "parallel.workers", true, advice);
    try_less(trainer, &config, threads, "parallel.threads", true, advice);
    try_recompute(trainer, advice);
    try_less(trainer, &config, &config.micro_batch, "train.micro_batch", false, advice);
    try_less(trainer, &config, &config.leaves, "train.leaves", false, advice);
    if (advice->count == 0) try_all(trainer, advice);
}

enum status memory_check(struct trainer *trainer)
{
    struct memory_report *report = &trainer->memory;
    // The machine may have less than when the run was planned.
    report->available = memory_available(trainer->config.parallel.memory_limit, &trainer->crew);
    if (needed(report) <= report->available) return STATUS_OK;
    struct advice advice = {.count = 0};
    find_advice(trainer, &advice);
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
