// SPDX-License-Identifier: Apache-2.0
#include "infer/scorers.h"

#include "base/cpu.h"
#include "base/memory.h"

#include <stdlib.h>

enum { LENGTHS = 40 };

enum status scorers_init(struct scorers *scorers, const struct loaded_model *model,
                         enum model_tasks task, int64_t rows, int workers)
{
    const struct team_options team = {.threads = workers, .crowded = workers > cpu_cores()};
    INVARIANT(workers >= 1 && rows >= 1, "%d workers, batches of %lld", workers, (long long)rows);
    scorers->model = model;
    scorers->task = task;
    scorers->rows = rows;
    scorers->workers = workers;
    TRY(memory_allocate((size_t)workers * LENGTHS, sizeof *scorers->list, "workers",
                        &scorers->list));
    return workers > 1 ? team_create(&team, &scorers->team) : STATUS_OK;
}

static void release(struct scorer *scorer)
{
    program_destroy(scorer->program);
    graph_destroy(scorer->graph);
    block_destroy(&scorer->arena);
    *scorer = (struct scorer){0};
}

void scorers_release(struct scorers *scorers)
{
    team_destroy(scorers->team);
    for (int i = 0; scorers->list && i < scorers->workers * LENGTHS; i++)
        release(&scorers->list[i]);
    free(scorers->list);
}

static enum status build(const struct scorers *scorers, int64_t tokens, struct scorer *scorer)
{
    const struct loaded_model *model = scorers->model;
    const struct model_sizes sizes = {.batch = scorers->rows_asked,
                                      .tokens = tokens + model->type->margin,
                                      .source_tokens = tokens};
    TRY(graph_create(&scorer->graph));
    scorer->rows = sizes.batch;
    scorer->tokens = sizes.tokens;
    scorer->inputs = model_inputs_create(scorer->graph, &model->config, scorers->task, sizes);
    struct parameters parameters = model->parameters; // closed: only read
    struct builder builder = {.g = scorer->graph, .parameters = &parameters};
    graph_yield(scorer->graph, model->type->scores(&builder, &model->config, scorer->inputs), 0);
    return graph_status(scorer->graph);
}

static enum status prepare(const struct scorers *scorers, int64_t tokens, struct scorer *scorer)
{
    const struct program_options options = {.precision = PRECISION_FLOAT32};
    const struct backend *backend;
    struct program *program;
    if (scorer->rows != scorers->rows_asked) release(scorer);
    if (scorer->program) return STATUS_OK;
    TRY(backend_find("cpu", &backend));
    if (!scorer->graph) TRY(build(scorers, tokens, scorer));
    TRY(program_create(backend, scorer->graph, &options, &program));
    enum status status = block_create(program_arena_bytes(program), "scoring", &scorer->arena);
    if (!status)
        status = program_prepare(program, scorers->model->weights.data, scorer->arena.data);
    if (status) {
        program_destroy(program);
        return status;
    }
    scorer->program = program;
    return STATUS_OK;
}

static int64_t length_of(int number)
{
    int64_t power = INT64_C(8) << number / 2;
    return number % 2 ? power + power / 2 : power;
}

enum status scorers_get(struct scorers *scorers, int worker, const int64_t *members, int64_t count,
                        struct scorer **scorer_p)
{
    int64_t context = scorers->model->config.context, longest = 1;
    int number = 0;
    for (int64_t i = 0; i < count; i++)
        if (scorers->lengths[members[i]] > longest) longest = scorers->lengths[members[i]];
    while (length_of(number) < longest && number + 1 < LENGTHS) number++;
    int64_t tokens = length_of(number) < context ? length_of(number) : context;
    struct scorer *scorer = &scorers->list[worker * LENGTHS + number];
    TRY(prepare(scorers, tokens, scorer));
    *scorer_p = scorer;
    return STATUS_OK;
}

enum status scorers_run(struct scorers *scorers, const int64_t *lengths, int64_t count,
                        batch_function compute, void *context)
{
    scorers->lengths = lengths;
    scorers->rows_asked = 1;
    while (scorers->rows_asked < count && scorers->rows_asked < scorers->rows)
        scorers->rows_asked *= 2;
    if (scorers->rows_asked > scorers->rows) scorers->rows_asked = scorers->rows;
    const struct batches batches = {lengths, count, scorers->rows_asked, &scorers->stop};
    return batches_run(&batches, scorers->team, compute, context);
}
