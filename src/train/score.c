// SPDX-License-Identifier: Apache-2.0
#include "train/score.h"

#include "backend/backend.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "data/sampler.h"
#include "parallel/slices.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// One graph; a program for each worker; groups of windows taken as workers get free.
struct scoring {
    struct program_options options;
    const struct loaded_model *model;
    const struct stop *stop;
    struct sampler sampler;
    struct graph *graph;
    struct model_inputs inputs;
    int64_t rows, length, windows, groups; // length: positions of a window
    int64_t carried;                       // numbers of the state that goes on; 0: none
    double *loss;                          // [groups]
    _Atomic int64_t next;
};

struct scorer {
    struct scoring *scoring;
    struct program *program;
    pthread_t thread;
    int32_t *tokens, *positions, *targets;
    float *state; // of the window that comes
    float *next;  // that the one before has ended with
    double loss;  // of the group under way
};

static void take_loss(void *context, int tag, const void *data)
{
    struct scorer *scorer = context;
    if (tag == 0)
        scorer->loss = (double)*(const float *)data;
    else
        memcpy(scorer->next, data, (size_t)scorer->scoring->carried * sizeof *scorer->next);
}

static void *score_groups(void *context)
{
    struct scorer *scorer = context;
    struct scoring *scoring = scorer->scoring;
    int64_t length = scoring->length, rows = scoring->rows;
    size_t carried = (size_t)scoring->carried * sizeof *scorer->next;
    cpu_flush_to_zero();
    for (int64_t group; (group = atomic_fetch_add(&scoring->next, 1)) < scoring->groups;) {
        if (scoring->stop && scoring->stop->asked(scoring->stop->context)) break;
        for (int64_t row = 0; row < rows; row++) {
            int32_t *tokens = scorer->tokens + row * length,
                    *targets = scorer->targets + row * length;
            if (group * rows + row < scoring->windows)
                sampler_evaluation(&scoring->sampler, group * rows + row, tokens, targets);
            else
                for (int64_t i = 0; i < length; i++) tokens[i] = 0, targets[i] = -1;
            for (int64_t i = 0; i < length; i++) scorer->positions[row * length + i] = (int32_t)i;
        }
        if (carried) memcpy(scorer->state, scorer->next, carried);
        program_run(scorer->program, take_loss, scorer);
        scoring->loss[group] = scorer->loss;
    }
    return NULL;
}

static enum status build_graph(struct scoring *scoring, struct parameters *parameters)
{
    const struct model_config *config = &scoring->model->config;
    TRY(graph_create(&scoring->graph));
    struct shape shape = shape_of(2, scoring->rows, scoring->length);
    struct value *next = NULL;
    scoring->inputs.tokens = graph_input(scoring->graph, "tokens", I32, shape);
    scoring->inputs.positions = graph_input(scoring->graph, "positions", I32, shape);
    scoring->inputs.targets = graph_input(scoring->graph, "targets", I32, shape);
    if (scoring->carried) {
        scoring->inputs.state =
            graph_input(scoring->graph, "state", F32, shape_of(2, scoring->rows, scoring->carried));
        scoring->inputs.next = &next;
    }
    struct builder builder = {.g = scoring->graph, .parameters = parameters};
    graph_yield(scoring->graph, scoring->model->type->loss(&builder, config, scoring->inputs, 0),
                0);
    if (next) graph_yield(scoring->graph, next, 1);
    scoring->inputs.next = NULL; // it points into this frame
    return graph_status(scoring->graph);
}

static enum status prepare_scorer(struct scoring *scoring, struct scorer *scorer)
{
    const struct backend *backend;
    scorer->scoring = scoring;
    TRY(backend_find("cpu", &backend));
    TRY(program_create(backend, scoring->graph, &scoring->options, &scorer->program));
    TRY(program_prepare(scorer->program, scoring->model->weights.data, NULL));
    scorer->tokens = program_input(scorer->program, scoring->inputs.tokens);
    scorer->positions = program_input(scorer->program, scoring->inputs.positions);
    scorer->targets = program_input(scorer->program, scoring->inputs.targets);
    if (!scoring->carried) return STATUS_OK;
    scorer->state = program_input(scorer->program, scoring->inputs.state);
    return memory_allocate((size_t)scoring->carried, sizeof *scorer->next, "the carried state",
                           &scorer->next);
}

static enum status run_scorers(struct scoring *scoring, struct scorer *scorer, int workers)
{
    for (int i = 0; i < workers; i++) TRY(prepare_scorer(scoring, &scorer[i]));
    int started = 0;
    while (started < workers &&
           !pthread_create(&scorer[started].thread, NULL, score_groups, &scorer[started]))
        started++;
    for (int i = 0; i < started; i++) pthread_join(scorer[i].thread, NULL);
    if (!started) FAIL(STATUS_MEMORY, "no worker can be started");
    return stop_check(scoring->stop, "the text was measured");
}

// ---- the text of the targets ----
// Bytes that may begin a character, of pieces that may end within one.
struct open_character {
    uint8_t byte[4];
    size_t bytes;
};

// How many characters have come to their end. Four bytes never wait for more.
static int64_t add_byte(struct open_character *open, uint8_t byte)
{
    int64_t ended = 0;
    open->byte[open->bytes++] = byte;
    while (open->bytes && utf8_cut(open->byte, open->bytes) > 0) {
        uint32_t code;
        int length = utf8_read(open->byte, open->bytes, &code);
        if (length < 1) length = 1;
        open->bytes -= (size_t)length;
        memmove(open->byte, open->byte + length, open->bytes);
        ended++;
    }
    return ended;
}

static void count_text(const struct tokenizer *tokenizer, const struct corpus *corpus,
                       int64_t first, int64_t last, struct score *score)
{
    struct open_character open = {.bytes = 0};
    score->bytes = score->characters = 0;
    if (!tokenizer_keeps_bytes(tokenizer)) return;
    for (int64_t i = first + 1; i < last; i++) {
        size_t bytes = 0;
        const uint8_t *piece = tokenizer_piece(tokenizer, corpus_id(corpus, i), &bytes);
        if (!piece) continue;
        score->bytes += (int64_t)bytes;
        for (size_t b = 0; b < bytes; b++) score->characters += add_byte(&open, piece[b]);
    }
    score->characters += (int64_t)open.bytes;
}

// ---- scoring ----
static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// One stream: its windows may be of any length, since states go on, and longer ones are faster.
static enum status use_stream(struct scoring *scoring, int64_t targets, int *workers_p)
{
    enum { LONGEST = 512 };
    const struct loaded_model *model = scoring->model;
    if (!model->type->carried)
        FAIL(STATUS_UNSUPPORTED,
             "a model of type %s has no state to carry from window to window; lstm_lm has",
             model->type->name);
    scoring->carried = model->type->carried(&model->config);
    scoring->rows = 1;
    scoring->length = targets < 1 ? 1 : targets < LONGEST ? targets : LONGEST;
    *workers_p = 1;
    return STATUS_OK;
}

enum status score_check(const struct loaded_model *model)
{
    const struct model_config *config = &model->config;
    const char *measure = config->spans       ? "answer --reference"
                          : config->sentences ? "summarize, with --reference or --target"
                          : config->classes && model->type->tasks & TASK_CLASSIFY
                              ? "classify --target"
                              : NULL;
    if (model->type->tasks & TASK_TRANSLATE) measure = "translate or summarize, with --reference";
    if (model->type->tasks & TASK_LM && config->classes == 0) return STATUS_OK;
    FAIL(STATUS_UNSUPPORTED, "a model of type %s%s has no loss on running text; %s%s",
         model->type->name, config->classes ? " with a head over classes" : "",
         measure ? "what measures it is stentor " : "its log.jsonl says what training measured",
         measure ? measure : "");
}

enum status score_corpus(struct loaded_model *model, const struct corpus *corpus, int64_t first,
                         int64_t last, const struct score_way *way, struct score *score_p)
{
    struct scoring scoring = {.model = model,
                              .stop = way->stop,
                              .rows = way->rows,
                              .length = model->config.context,
                              .options = {.precision = way->precision}};
    int workers = way->workers;
    struct scorer *scorer = NULL;
    double start = seconds_now();
    TRY(score_check(model));
    if (way->carry) TRY(use_stream(&scoring, last - first - 1, &workers));
    TRY(sampler_init_evaluation(&scoring.sampler, corpus, first, last, scoring.length));
    scoring.windows = sampler_evaluation_windows(&scoring.sampler);
    scoring.groups = (scoring.windows + scoring.rows - 1) / scoring.rows;
    if (workers > scoring.groups) workers = (int)scoring.groups;
    TRY(memory_allocate((size_t)scoring.groups, sizeof *scoring.loss, "the losses", &scoring.loss));
    enum status status = memory_allocate((size_t)workers, sizeof *scorer, "the workers", &scorer);
    if (status) goto free_losses;
    status = build_graph(&scoring, &model->parameters);
    if (status == STATUS_OK) status = run_scorers(&scoring, scorer, workers);
    if (status == STATUS_OK) {
        score_p->tokens = last - first - 1;
        score_p->loss = pairwise_sum(scoring.loss, scoring.groups) / (double)score_p->tokens;
        count_text(model->tokenizer, corpus, first, last, score_p);
        score_p->seconds = seconds_now() - start;
    }
    for (int i = 0; i < workers; i++) {
        program_destroy(scorer[i].program);
        free(scorer[i].next);
    }
    graph_destroy(scoring.graph);
    free(scorer);
free_losses:
    free(scoring.loss);
    return status;
}

enum status score_text(struct loaded_model *model, const struct corpus_source *source, int64_t rows,
                       int workers, bool carry, struct score *score_p)
{
    struct corpus *corpus;
    if (!model->tokenizer)
        FAIL(STATUS_UNSUPPORTED,
             "the model has no tokenizer that is known here, so texts cannot be read");
    TRY(corpus_open(source, model->tokenizer, NULL, workers, &corpus));
    enum status status;
    if (corpus->count < 2) {
        status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                          "%s has 1 token; a loss needs 2 or more, each but the first is predicted",
                          source->path);
    } else {
        const struct score_way way = {rows, workers, PRECISION_FLOAT32, carry, source->stop};
        status = score_corpus(model, corpus, 0, corpus->count, &way, score_p);
    }
    corpus_close(corpus);
    return status;
}
