// SPDX-License-Identifier: Apache-2.0
// A worker's programs: for each shape of micro-batches one that trains and one that evaluates, all in one arena.
#include "train/internal.h"

int trainer_programs(const struct trainer *trainer, struct program *program[2 * FEED_SHAPES])
{
    const struct worker *worker = &trainer->worker[0];
    int count = 0;
    for (int i = 0; i < trainer->feed.shapes; i++) {
        program[count++] = worker->training[i].program;
        program[count++] = worker->evaluation[i].program;
    }
    return count;
}

// Programs are planned for each worker; the graphs are shared.
enum status programs_create(struct trainer *trainer)
{
    struct program_options options = program_options_of(&trainer->config);
    const struct crew *crew = &trainer->crew;
    struct program_options training =
        training_options_of(&trainer->config, trainer->training_graph[0].g, &trainer->parameters,
                            crew->all - crew->idle);
    int shapes = trainer->feed.shapes;
    for (int r = 0; r < trainer->workers; r++) {
        struct worker *worker = &trainer->worker[r];
        worker->trainer = trainer;
        worker->rank = r;
        trainer->gradients[r] = &worker->gradients;
        for (int i = 0; i < shapes; i++) {
            TRY(program_create(trainer->backend, trainer->training_graph[i].g, &training,
                               &worker->training[i].program));
            TRY(program_create(trainer->backend, trainer->evaluation_graph[i].g, &options,
                               &worker->evaluation[i].program));
        }
    }
    struct program *programs[2 * FEED_SHAPES];
    return packed_create(programs, trainer_programs(trainer, programs), &trainer->packed);
}

static void *input_of(struct program *program, const struct value *value)
{
    return value ? program_input(program, value) : NULL;
}

static void find_inputs(struct worker_program *w, const struct model_graph *graph)
{
    const struct model_inputs *in = &graph->inputs;
    w->inputs = (struct batch_inputs){
        .tokens = input_of(w->program, in->tokens),
        .positions = input_of(w->program, in->positions),
        .targets = input_of(w->program, in->targets),
        .lengths = input_of(w->program, in->lengths),
        .source = input_of(w->program, in->source),
        .source_positions = input_of(w->program, in->source_positions),
        .source_lengths = input_of(w->program, in->source_lengths),
        .labels = input_of(w->program, in->labels),
        .features = input_of(w->program, in->features),
        .goals = input_of(w->program, in->goals),
        .weights = input_of(w->program, in->weights),
        .state = input_of(w->program, in->state),
        .ends = input_of(w->program, in->ends),
        .mask = input_of(w->program, in->mask),
        .matches = input_of(w->program, in->matches),
        .random = input_of(w->program, graph->random),
    };
}

static enum status prepare_program(struct trainer *trainer, struct worker *worker,
                                   struct worker_program *w, const struct model_graph *graph)
{
    TRY(program_prepare(w->program, trainer->weights.data, worker->arena.data));
    packed_use(trainer->packed, w->program);
    find_inputs(w, graph);
    return STATUS_OK;
}

enum status programs_prepare(struct trainer *trainer, struct worker *worker)
{
    for (int i = 0; i < trainer->feed.shapes; i++) {
        TRY(prepare_program(trainer, worker, &worker->training[i], &trainer->training_graph[i]));
        TRY(prepare_program(trainer, worker, &worker->evaluation[i],
                            &trainer->evaluation_graph[i]));
    }
    return STATUS_OK;
}

void programs_destroy(struct worker *worker)
{
    for (int i = 0; i < FEED_SHAPES; i++) {
        program_destroy(worker->training[i].program);
        program_destroy(worker->evaluation[i].program);
    }
}
