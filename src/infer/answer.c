// SPDX-License-Identifier: Apache-2.0
#include "infer/answer.h"

#include "backend/backend.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "data/form.h"
#include "infer/batches.h"

#include <stdlib.h>

// Lengths that batches are padded to: 16, 32, 64, …
enum { SHORTEST = 16, LENGTHS = 32 };

// A worker's program for one length.
struct scorer {
    struct program *program;
    struct model_inputs inputs;
    struct graph *graph;
    struct block arena;
    int64_t tokens;
};
struct answerer {
    const struct loaded_model *model; // borrowed
    struct form form;
    int64_t rows;
    int workers;
    struct scorer (*scorers)[LENGTHS]; // [workers]; made when they are needed
    struct team *team;
    atomic_bool stop;
    // Of the present call.
    const struct answers *answers;
    int64_t longest;
    struct answer_span *spans;
};

// ---- life cycle ----
static enum status check_model(struct answerer *answerer)
{
    const struct loaded_model *model = answerer->model;
    if (!model->config.spans || !model->type->scores)
        FAIL(STATUS_UNSUPPORTED, "the model (%s) finds no answers: it was trained for another task",
             model->config.type);
    if (!model->tokenizer)
        FAIL(STATUS_UNSUPPORTED,
             "the model has no tokenizer that is known here, so it cannot read text");
    answerer->form = (struct form){.size = tokenizer_size(model->tokenizer), .first = true};
    if (form_vocabulary(&answerer->form) > model->config.vocabulary ||
        model->config.context < ANSWERS_CONTEXT)
        FAIL(STATUS_UNSUPPORTED,
             "a tokenizer of %d ids and windows of %lld tokens do not belong to a model of %lld",
             tokenizer_size(model->tokenizer), (long long)model->config.context,
             (long long)model->config.vocabulary);
    if (model->config.matches && model->config.matches != ANSWERS_MATCHES)
        FAIL(STATUS_UNSUPPORTED,
             "the model knows %lld kinds of places that match a question; this version tells %d",
             (long long)model->config.matches, ANSWERS_MATCHES);
    return STATUS_OK;
}

static enum status create_parts(struct answerer *answerer)
{
    const struct team_options team = {.threads = answerer->workers,
                                      .crowded = answerer->workers > cpu_cores()};
    TRY(check_model(answerer));
    TRY(memory_allocate((size_t)answerer->workers, sizeof *answerer->scorers, "workers",
                        &answerer->scorers));
    return answerer->workers > 1 ? team_create(&team, &answerer->team) : STATUS_OK;
}

enum status answerer_create(const struct loaded_model *model, int64_t rows, int workers,
                            struct answerer **answerer_p)
{
    struct answerer *answerer;
    INVARIANT(workers >= 1 && rows >= 1, "%d workers, batches of %lld", workers, (long long)rows);
    TRY(memory_allocate(1, sizeof *answerer, "answers", &answerer));
    answerer->model = model;
    answerer->rows = rows;
    answerer->workers = workers;
    enum status status = create_parts(answerer);
    if (status) {
        answerer_destroy(answerer);
        return status;
    }
    *answerer_p = answerer;
    return STATUS_OK;
}

void answerer_destroy(struct answerer *answerer)
{
    if (!answerer) return;
    team_destroy(answerer->team);
    for (int i = 0; answerer->scorers && i < answerer->workers * LENGTHS; i++) {
        struct scorer *scorer = &answerer->scorers[i / LENGTHS][i % LENGTHS];
        program_destroy(scorer->program);
        graph_destroy(scorer->graph);
        block_destroy(&scorer->arena);
    }
    free(answerer->scorers);
    free(answerer);
}

void answerer_stop(struct answerer *answerer) { atomic_store(&answerer->stop, true); }

// ---- programs ----
static enum status build(const struct answerer *answerer, struct scorer *scorer)
{
    const struct loaded_model *model = answerer->model;
    const struct model_sizes sizes = {.batch = answerer->rows, .tokens = scorer->tokens};
    TRY(graph_create(&scorer->graph));
    scorer->inputs = model_inputs_create(scorer->graph, &model->config, TASK_ANSWER, sizes);
    struct parameters parameters = model->parameters; // closed: only read
    struct builder builder = {.g = scorer->graph, .parameters = &parameters};
    graph_yield(scorer->graph, model->type->scores(&builder, &model->config, scorer->inputs), 0);
    return graph_status(scorer->graph);
}

static enum status prepare(const struct answerer *answerer, int64_t tokens, struct scorer *scorer)
{
    const struct program_options options = {.precision = PRECISION_FLOAT32};
    const struct backend *backend;
    struct program *program;
    if (scorer->program) return STATUS_OK;
    TRY(backend_find("cpu", &backend));
    scorer->tokens = tokens;
    if (!scorer->graph) TRY(build(answerer, scorer));
    TRY(program_create(backend, scorer->graph, &options, &program));
    enum status status = block_create(program_arena_bytes(program), "answering", &scorer->arena);
    if (!status)
        status = program_prepare(program, answerer->model->weights.data, scorer->arena.data);
    if (status) {
        program_destroy(program);
        return status;
    }
    scorer->program = program;
    return STATUS_OK;
}

// ---- a batch ----
struct taking {
    const struct answerer *answerer;
    const int64_t *members;
    int64_t count, tokens;
};

static void take_scores(void *context, int tag, const void *data)
{
    const struct taking *taking = context;
    const struct answerer *answerer = taking->answerer;
    (void)tag;
    for (int64_t i = 0; i < taking->count; i++) {
        int64_t window = taking->members[i];
        answerer->spans[window] =
            answers_best(&answerer->answers->windows, window,
                         (const float *)data + i * taking->tokens * 2, answerer->longest);
    }
}

static int64_t window_length(const struct answerer *answerer, int64_t window)
{
    const int64_t *place = answerer->answers->windows.place + 2 * window;
    return form_length(&answerer->form, place[1] - place[0], place[2] - place[1]);
}

static void fill(const struct taking *taking, const struct scorer *scorer)
{
    const struct answerer *answerer = taking->answerer;
    int32_t *to = program_input(scorer->program, scorer->inputs.tokens);
    int32_t *positions = program_input(scorer->program, scorer->inputs.positions);
    int32_t *lengths = program_input(scorer->program, scorer->inputs.lengths);
    int32_t *matches =
        scorer->inputs.matches ? program_input(scorer->program, scorer->inputs.matches) : NULL;
    for (int64_t row = 0; row < answerer->rows; row++, to += taking->tokens) {
        int64_t count = 0, window = row < taking->count ? taking->members[row] : -1;
        if (matches)
            answers_matches(answerer->answers, &answerer->answers->windows, window, taking->tokens,
                            matches + row * taking->tokens);
        struct form_text text[2];
        for (int t = 0; t < 2 && row < taking->count; t++)
            text[t].ids =
                example_text(&answerer->answers->windows, taking->members[row], t, &text[t].count);
        if (row < taking->count) count = form_write(&answerer->form, text, NULL, to);
        for (int64_t i = count; i < taking->tokens; i++) to[i] = 0;
        lengths[row] = count ? (int32_t)count : 1;
        for (int64_t i = 0; i < taking->tokens; i++) *positions++ = (int32_t)i;
    }
}

static enum status answer_batch(void *context, int worker, const int64_t *members, int64_t count)
{
    struct answerer *answerer = context;
    int64_t tokens = SHORTEST, longest = 1, most = answerer->model->config.context;
    int number = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t length = window_length(answerer, members[i]);
        if (length > longest) longest = length;
    }
    for (; tokens < longest && number + 1 < LENGTHS; number++) tokens *= 2;
    if (tokens > most) tokens = most;
    struct scorer *scorer = &answerer->scorers[worker][number];
    TRY(prepare(answerer, tokens, scorer));
    struct taking taking = {answerer, members, count, tokens};
    fill(&taking, scorer);
    cpu_flush_to_zero();
    program_run(scorer->program, take_scores, &taking);
    return STATUS_OK;
}

enum status answerer_run(struct answerer *answerer, const struct answers *answers, int64_t longest,
                         struct answer_span *spans)
{
    int64_t *lengths, count = answers->windows.count;
    TRY(memory_allocate((size_t)count, sizeof *lengths, "the windows", &lengths));
    answerer->answers = answers;
    answerer->longest = longest;
    answerer->spans = spans;
    for (int64_t i = 0; i < count; i++) lengths[i] = window_length(answerer, i);
    const struct batches batches = {lengths, count, answerer->rows, &answerer->stop};
    enum status status = batches_run(&batches, answerer->team, answer_batch, answerer);
    free(lengths);
    return status;
}
