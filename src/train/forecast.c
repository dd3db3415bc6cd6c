// SPDX-License-Identifier: Apache-2.0
#include "train/forecast.h"

#include "base/file.h"
#include "data/columns.h"
#include "data/corpus.h"
#include "infer/translate.h"
#include "parallel/batch_tree.h"
#include "train/feed_translate.h"
#include "train/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the vocabulary ----
static enum status open_tokenizer(const struct run_config *config, struct tokenizer **tokenizer_p)
{
    const char *name = config->data.tokenizer;
    char path[RUN_PATH + 16];
    const struct corpus_source source[2] = {
        {.path = config->data.train, .field = config->data.field},
        {.path = config->data.valid, .field = config->data.field}};
    if (!strcmp(name, "byte")) {
        TRY(tokenizer_byte_create(tokenizer_p));
    } else if (!strcmp(name, "char")) {
        TRY(corpus_char_tokenizer(source, config->data.valid[0] ? 2 : 1, 1, tokenizer_p));
    } else {
        if (directory_exists(name))
            TRY(path_join(path, sizeof path, name, "tokenizer.json"));
        else
            snprintf(path, sizeof path, "%s", name);
        TRY(tokenizer_load(path, tokenizer_p));
    }
    return STATUS_OK;
}

static enum status settle_vocabulary(struct run_config *config)
{
    struct tokenizer *tokenizer = NULL;
    const char *name = config->data.tokenizer;
    config->model.vocabulary = config->vocabulary;
    if (config->data.source_tokenizer[0]) config->model.source_vocabulary = config->vocabulary;
    if (config->vocabulary || config->data.features[0]) return STATUS_OK;
    if (run_has_rows(config) || !strcmp(name, "word") || !strcmp(name, "bpe"))
        FAIL(STATUS_USAGE,
             "model.vocabulary: it is counted when the run starts, and a plan reads no text; add "
             "the number of its ids");
    TRY(open_tokenizer(config, &tokenizer));
    config->model.vocabulary = tokenizer_size(tokenizer);
    tokenizer_destroy(tokenizer);
    return STATUS_OK;
}

// What else the data say of the model.
static enum status settle_rows(struct run_config *config)
{
    struct column_list list = {0};
    if (!strcmp(config->task, "classify") && config->model.classes == 0)
        FAIL(STATUS_USAGE, "model.classes: they are counted when the run starts, and a plan reads "
                           "no rows; add their number");
    if (config->data.features[0]) {
        TRY(columns_read(config->data.features, ROW_FIELDS, &list));
        config->model.features = list.count;
    }
    return STATUS_OK;
}

// ---- work ----
static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

enum kind { KIND_PRODUCT, KIND_ATTENTION, KIND_OTHER };

static enum kind kind_of(const char *op)
{
    if (begins(op, "linear") || begins(op, "output_loss") || begins(op, "recurrent"))
        return KIND_PRODUCT;
    return begins(op, "attention") ? KIND_ATTENTION : KIND_OTHER;
}

// counted: as feed_counted() says.
static struct work work_of(const struct program *program, double counted)
{
    struct work work = {0, 0, 0};
    for (int i = 0; i < program_steps(program); i++) {
        struct step_profile step = program_step_profile(program, i);
        switch (kind_of(step.op)) {
        case KIND_PRODUCT:
            work.products += (step.asked ? counted : 1) * step.cost.flops;
            break;
        case KIND_ATTENTION:
            work.attention += step.cost.flops;
            break;
        case KIND_OTHER:
            work.bytes += step.cost.bytes;
        }
    }
    return work;
}

// ---- the graphs, planned as a worker's ----
struct plans {
    struct parameters parameters;
    struct model_graph graph[2];
    struct program *program[2]; // training, evaluation
};

static void release_plans(struct plans *plans)
{
    for (int i = 0; i < 2; i++) {
        program_destroy(plans->program[i]);
        graph_destroy(plans->graph[i].g);
    }
    parameters_release(&plans->parameters);
}

static enum status make_plans(struct run_config *config, struct plans *plans)
{
    const struct backend *backend = NULL;
    const struct model_type *type = NULL;
    TRY(backend_find("cpu", &backend));
    TRY(model_find(config->model.type, &type));
    TRY(type->validate(&config->model));
    TRY(tuning_freeze(config, &plans->parameters));
    TRY(training_graph(config, feed_typical(config), &plans->parameters, &plans->graph[0]));
    TRY(evaluation_graph(config, feed_typical(config), &plans->parameters, &plans->graph[1]));
    struct program_options options[2] = {training_options_of(config, plans->graph[0].g,
                                                             &plans->parameters,
                                                             (int)config->parallel.workers),
                                         program_options_of(config)};
    for (int i = 0; i < 2; i++)
        TRY(program_create(backend, plans->graph[i].g, &options[i], &plans->program[i]));
    return STATUS_OK;
}

static enum status measure_plans(struct plans *plans, struct forecast *f)
{
    struct packed *packed = NULL;
    TRY(packed_create(plans->program, 2, &packed));
    f->packed = packed_bytes(packed);
    packed_destroy(packed);
    struct memory_need need;
    memory_arena(plans->program, 2, &need);
    f->arena = need.arena;
    f->evaluation = need.evaluation;
    f->gradients = need.block;
    for (int i = 0; i < 2; i++) {
        size_t values = (size_t)plans->graph[i].g->count;
        // As memory_heap() counts.
        f->heap += values * (sizeof(struct value) + sizeof(struct value *) + 32);
        f->heap += (size_t)f->config.parallel.workers * values *
                   (sizeof(struct step) + 2 * sizeof(int64_t) + sizeof(bool));
    }
    f->block = plans->parameters.elements;
    f->parameters = (double)parameters_total(&plans->parameters);
    f->workload.work = work_of(plans->program[0], feed_counted(&f->config));
    return STATUS_OK;
}

// Of held-out texts that are written: every worker begins with a batch as long as the model reads.
static enum status count_decoding(const struct plans *plans, struct forecast *f)
{
    const struct run_config *config = &f->config;
    struct loaded_model model = {.config = config->model, .parameters = plans->parameters};
    struct search_options options = translate_options(config);
    int64_t workers = config->parallel.workers * config->parallel.threads, *lengths;
    int64_t count = workers * options.batch;
    size_t bytes = 0;
    if (!run_decodes(config)) return STATUS_OK;
    TRY(model_find(config->model.type, &model.type));
    TRY(memory_allocate((size_t)count, sizeof *lengths, "lengths of texts", &lengths));
    for (int64_t i = 0; i < count; i++) lengths[i] = config->model.context;
    enum status status = translator_bytes(&model, &options, (int)workers, lengths, count, &bytes);
    free(lengths);
    f->heap += bytes;
    return status;
}

static enum status describe(struct forecast *f)
{
    const struct run_config *config = &f->config;
    const struct optimizer *optimizer = NULL;
    TRY(optimizer_find(config->optimizer.name, &optimizer));
    struct workload *w = &f->workload;
    w->precision = run_precision(config);
    w->elements = (double)f->block;
    w->states = optimizer->states(&config->optimizer);
    w->micro_batches = config->batch / config->micro_batch;
    w->leaves = config->leaves;
    w->tokens = (double)(config->batch * config->model.context);
    bool automatic = !strcmp(config->parallel.exchange, "auto");
    w->exchange = automatic ? "direct" : f->config.parallel.exchange;
    w->servers = (int)config->parallel.servers;
    w->servers_only = !config->parallel.servers_compute;
    w->wire = strcmp(config->parallel.wire, "bf16") == 0 ? 2 : 4;
    w->overlap = strcmp(config->parallel.overlap, "off") != 0;
    w->bucket = config->parallel.bucket_mb * 1e6;
    w->sync_every = config->parallel.sync_every;
    return STATUS_OK;
}

enum status forecast_create(const struct run_config *config, struct forecast *forecast_p)
{
    static struct forecast forecast; // some kilobytes of paths
    struct plans plans = {0};
    forecast = (struct forecast){.config = *config};
    TRY(run_config_check(&forecast.config));
    TRY(settle_vocabulary(&forecast.config));
    TRY(settle_rows(&forecast.config));
    parameters_init(&plans.parameters);
    enum status status = make_plans(&forecast.config, &plans);
    if (!status) status = measure_plans(&plans, &forecast);
    if (!status) status = count_decoding(&plans, &forecast);
    if (!status) status = describe(&forecast);
    if (!status && config->freeze[0]) {
        forecast.frozen = plans.parameters;
        parameters_init(&plans.parameters);
    }
    release_plans(&plans);
    if (status) return status;
    *forecast_p = forecast;
    if (strcmp(config->parallel.exchange, "auto") != 0)
        forecast_p->workload.exchange = forecast_p->config.parallel.exchange;
    return STATUS_OK;
}

void forecast_release(struct forecast *forecast) { parameters_release(&forecast->frozen); }

// ---- memory ----
enum status forecast_memory(const struct forecast *forecast, const struct cluster *cluster,
                            struct memory_report *report_p)
{
    static struct run_config config;
    config = forecast->config;
    int64_t local = cluster->shares_memory ? cluster->workers : 1;
    int64_t replicas = cluster->nodes * cluster->workers / local;
    struct comm net = {.size = (int)replicas};
    config.parallel.workers = local;
    snprintf(config.parallel.exchange, sizeof config.parallel.exchange, "%s",
             forecast->workload.exchange);
    bool dedicated;
    TRY(crew_check_servers(&config, (int)replicas, &dedicated));
    struct memory_need need = {
        .elements = forecast->block,
        .frozen = forecast->config.freeze[0] ? &forecast->frozen : NULL,
        .arena = forecast->arena,
        .block = forecast->gradients,
        .evaluation = forecast->evaluation,
        .packed = forecast->packed,
        .heap = forecast->heap,
        .states = forecast->workload.states,
        .crew = {.net = replicas > 1 ? &net : NULL,
                 .replicas = (int)replicas,
                 .all = (int)(replicas * local),
                 .idle = dedicated ? (int)(config.parallel.servers * local) : 0,
                 .local = 1},
    };
    *report_p = memory_of(&config, &need);
    if (!dedicated) return STATUS_OK;
    // The first that computes; a server may take more or less.
    need.crew.replica = (int)config.parallel.servers;
    need.crew.first = need.crew.idle;
    struct memory_report other = memory_of(&config, &need);
    if (other.total > report_p->total) *report_p = other;
    return STATUS_OK;
}

struct workload forecast_larger(const struct forecast *forecast, int64_t times)
{
    struct workload workload = forecast->workload;
    workload.micro_batches *= times;
    workload.tokens *= (double)times;
    workload.leaves *= times;
    if (workload.leaves > MAX_LEAVES) workload.leaves = MAX_LEAVES;
    return workload;
}

// ---- measuring ----
// A small and a larger GPT: what products reach depends on their size, and one number is to stand for all.
enum { MEASURED = 2, MEASURED_VOCABULARY = 1024 };
static const int64_t measured_width[MEASURED] = {128, 512}, measured_context[MEASURED] = {64, 128};
#define MEASURE_SECONDS 0.5 // of each

static void measured_config(struct run_config *config, int which)
{
    run_config_defaults(config);
    config->model.layers = 2;
    config->model.heads = measured_width[which] / 64;
    config->model.width = measured_width[which];
    config->model.hidden = 4 * config->model.width;
    config->model.context = measured_context[which];
    config->model.vocabulary = MEASURED_VOCABULARY;
    config->model.init_deviation = 0.02; // of weights that nobody draws
    config->model.embedding_dropout = config->model.attention_dropout =
        config->model.residual_dropout = 0;
    config->batch = 8;
    config->micro_batch = 4;
    config->leaves = 2;
    config->parallel.workers = 1;
}

// Before every run: what dies in one may lie under other values.
static void fill_inputs(struct program *program, const struct model_graph *graph,
                        const struct run_config *config)
{
    int64_t context = config->model.context, n = config->micro_batch * context;
    int32_t *tokens = program_input(program, graph->inputs.tokens);
    int32_t *positions = program_input(program, graph->inputs.positions);
    int32_t *targets = program_input(program, graph->inputs.targets);
    for (int64_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)(i * 37 % MEASURED_VOCABULARY);
        targets[i] = (int32_t)(i * 53 % MEASURED_VOCABULARY);
        positions[i] = (int32_t)(i % context);
    }
}

static void ignore(void *context, int tag, const void *data)
{
    (void)context, (void)tag, (void)data;
}

// Operations a second of each kind.
static void read_rates(const struct program *program, double rate[3])
{
    double seconds[3] = {0}, flops[3] = {0};
    for (int i = 0; i < program_steps(program); i++) {
        struct step_profile step = program_step_profile(program, i);
        enum kind kind = kind_of(step.op);
        seconds[kind] += step.seconds;
        flops[kind] += step.cost.flops * step.work;
    }
    for (int i = 0; i < 3; i++) rate[i] = flops[i] / seconds[i];
}

static enum status run_plans(const struct run_config *config, struct plans *plans,
                             struct block *weights, double rate[3])
{
    struct program *program = plans->program[0];
    int64_t elements = plans->parameters.elements;
    TRY(block_create((size_t)elements * sizeof(float), "a measurement", weights));
    float *w = weights->data;
    for (int64_t i = 0; i < elements; i++) w[i] = (float)(i * 7919 % 1013) * 1e-4f - 0.05f;
    TRY(program_prepare(program, w, NULL));
    double start = monotonic_seconds();
    for (int runs = 0; runs < 2 || monotonic_seconds() - start < MEASURE_SECONDS; runs++) {
        program_profile(program, runs > 0);
        fill_inputs(program, &plans->graph[0], config);
        program_run(program, ignore, NULL);
    }
    read_rates(program, rate);
    return STATUS_OK;
}

enum status forecast_measure(double peak, double *products_p, double *attention_p)
{
    static struct run_config config;
    double products = 0, attention = 0;
    for (int i = 0; i < MEASURED; i++) {
        struct plans plans = {0};
        struct block weights = {0};
        double rate[3] = {0};
        measured_config(&config, i);
        parameters_init(&plans.parameters);
        enum status status = make_plans(&config, &plans);
        if (!status) status = run_plans(&config, &plans, &weights, rate);
        release_plans(&plans);
        block_destroy(&weights);
        if (status) return status;
        products += rate[KIND_PRODUCT] / peak / MEASURED;
        attention += rate[KIND_ATTENTION] / peak / MEASURED;
    }
    *products_p = products;
    *attention_p = attention;
    return STATUS_OK;
}
