// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include "base/cpu.h"
#include "base/log.h"
#include "train/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- creating: everything that is small ----

// Equal shares of the workers that compute; where replicas are apart, of the replicas that do.
static void first_borders(struct trainer *trainer)
{
    const struct crew *crew = &trainer->crew;
    int leaves = trainer->leaves, idle = replicas_that_serve_only(&trainer->config, crew);
    int replicas = crew->replicas - idle;
    if (!trainer->apart) {
        borders_equal(leaves, crew->all - crew->idle, trainer->border + crew->idle);
        return;
    }
    for (int r = 0; r < replicas; r++) {
        int first = leaves / replicas * r + (r < leaves % replicas ? r : leaves % replicas);
        int count = leaves / replicas + (r < leaves % replicas);
        const int *base = crew->base + idle + r;
        int *border = trainer->border + base[0], workers = base[1] - base[0];
        borders_equal(count, workers, border);
        for (int i = 0; i <= workers; i++) border[i] += first;
    }
}

// False when there is not enough memory.
static bool take_tables(struct trainer *trainer)
{
    size_t workers = (size_t)trainer->workers, parameters = (size_t)trainer->parameters.count;
    size_t all = (size_t)trainer->crew.all;
    size_t micro_batches = (size_t)trainer->micro_batches, groups = (size_t)trainer->feed.groups;
    size_t entries = micro_batches > groups ? micro_batches : groups;
    struct arena *tables = trainer->tables;
    trainer->segment = arena_take(tables, parameters * sizeof *trainer->segment);
    trainer->comm = arena_take(tables, workers * sizeof(void *));
    trainer->gradients = arena_take(tables, workers * sizeof(void *));
    trainer->compute_seconds = arena_take(tables, all * sizeof(double));
    trainer->speed = arena_take(tables, all * sizeof *trainer->speed);
    trainer->planned_seconds = arena_take(tables, all * sizeof(double));
    trainer->border = arena_take(tables, (all + 1) * sizeof(int));
    trainer->run_border = arena_take(tables, (workers + 1) * sizeof(int));
    trainer->next_border = arena_take(tables, (all + 1) * sizeof(int));
    trainer->loss = arena_take(tables, checked_multiply(entries, sizeof(double)));
    trainer->tokens = arena_take(tables, checked_multiply(entries, sizeof(int64_t)));
    trainer->offending = arena_take(tables, micro_batches * sizeof(bool));
    trainer->worker = arena_take(tables, workers * sizeof *trainer->worker);
    if (!trainer->segment || !trainer->comm || !trainer->gradients || !trainer->speed ||
        !trainer->planned_seconds || !trainer->compute_seconds || !trainer->border ||
        !trainer->run_border || !trainer->next_border || !trainer->loss || !trainer->tokens ||
        !trainer->offending || !trainer->worker || !agreement_init(trainer) ||
        !times_init(trainer) || !carry_init(trainer))
        return false;
    first_borders(trainer);
    return true;
}

// What the settings alone decide.
static enum status resolve(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    if (config->leaves > MAX_LEAVES)
        FAIL(STATUS_USAGE, "train.leaves: %lld is too many; it must be 1 to %d",
             (long long)config->leaves, MAX_LEAVES);
    trainer->workers = (int)config->parallel.workers;
    trainer->threads = (int)config->parallel.threads;
    trainer->leaves = (int)config->leaves;
    trainer->micro_batches = config->batch / config->micro_batch;
    trainer->feed.kind = feed_find(config->task);
    TRY(optimizer_find(config->optimizer.name, &trainer->optimizer));
    trainer->states = trainer->optimizer->states(&config->optimizer);
    TRY(isa_choose(&trainer->isa));
    TRY(backend_find("cpu", &trainer->backend));
    return STATUS_OK;
}

// Replica 0 first, then one replica of every host, then the others: who comes later finds the tokens made, where it can see them.
static enum status open_texts(struct trainer *trainer)
{
    const struct crew *crew = &trainer->crew;
    const struct feed_kind *kind = trainer->feed.kind;
    if (!crew->net) return kind->open(trainer);
    int turn = crew->replica == 0 ? 0 : crew->neighbour == 0 ? 1 : 2;
    for (int now = 0; now < 3; now++)
        TRY(crew_agree(trainer, now == turn ? kind->open(trainer) : STATUS_OK));
    return crew_same_text(trainer);
}

static enum status build_graphs(struct trainer *trainer)
{
    struct run_config *config = &trainer->config;
    const struct model_type *type = NULL;
    TRY(model_find(config->model.type, &type));
    TRY(type->validate(&config->model));
    for (int i = 0; i < trainer->feed.shapes; i++) {
        struct model_sizes sizes = trainer->feed.shape[i];
        TRY(training_graph(config, sizes, &trainer->parameters, &trainer->training_graph[i]));
        TRY(evaluation_graph(config, sizes, &trainer->parameters, &trainer->evaluation_graph[i]));
    }
    if (!take_tables(trainer))
        FAIL(STATUS_MEMORY, "not enough memory for the tables of %d workers and %lld micro-batches",
             trainer->crew.all, (long long)trainer->micro_batches);
    TRY(tuning_segments(trainer));
    TRY(programs_create(trainer));
    return trainer->feed.kind->plan ? trainer->feed.kind->plan(trainer) : STATUS_OK;
}

static enum status build(struct trainer *trainer)
{
    TRY(crew_agree(trainer, run_config_check(&trainer->config)));
    if (trainer->crew.net) TRY(crew_take_config(trainer));
    TRY(crew_agree(trainer, resolve(trainer)));
    TRY(crew_join(trainer));
    trainer->local = run_is_local(&trainer->config, &trainer->crew);
    trainer->apart = trainer->local || run_is_stale(&trainer->config, &trainer->crew);
    TRY(open_texts(trainer));
    TRY(crew_agree(trainer, build_graphs(trainer)));
    return STATUS_OK;
}

static void plan_memory(struct trainer *trainer)
{
    struct memory_need need = {
        .elements = trainer->parameters.elements,
        .frozen = trainer->config.freeze[0] ? &trainer->parameters : NULL,
        .packed = packed_bytes(trainer->packed),
        .data = trainer->feed.bytes,
        .heap = memory_heap(trainer, &trainer->config, trainer->training_graph,
                            trainer->evaluation_graph),
        .states = trainer->states,
        .crew = trainer->crew,
    };
    struct program *programs[2 * FEED_SHAPES];
    memory_arena(programs, trainer_programs(trainer, programs), &need);
    trainer->memory = memory_of(&trainer->config, &need);
}

static enum status start_crew(struct trainer *trainer, struct comm *net)
{
    struct crew *crew = &trainer->crew;
    trainer->stop = (struct stop){train_gives_up, trainer};
    train_hear_wishes(trainer);
    crew->net = net && net->size > 1 ? net : NULL;
    crew->replicas = crew->net ? net->size : 1;
    crew->replica = crew->net ? net->rank : 0;
    trainer->config.replicas = crew->replicas;
    TRY(arena_create(&trainer->tables));
    crew->offset = arena_take(trainer->tables, ((size_t)crew->replicas + 1) * sizeof *crew->offset);
    if (!crew->offset)
        FAIL(STATUS_MEMORY, "not enough memory for a table of %d processes", crew->replicas);
    return STATUS_OK;
}

static enum status stopped_early(enum status status)
{
    char message[1024];
    snprintf(message, sizeof message, "%s", error_message());
    error_clear();
    train_forget_stop();
    FAIL(status, "%s, before the first step: the same command starts again", message);
}

enum status trainer_create(const struct run_config *config, struct comm *net,
                           struct trainer **trainer_p)
{
    struct trainer *trainer = NULL;
    TRY(memory_allocate(1, sizeof *trainer, "the trainer", &trainer));
    trainer->config = *config;
    trainer->lock = -1;
    trainer->saved_step = -1;
    trainer->checked = -1;
    parameters_init(&trainer->parameters);
    workers_init(trainer);
    enum status status = start_crew(trainer, net);
    if (!status) status = build(trainer);
    if (status) {
        status = crew_fail(trainer, status);
        trainer_destroy(trainer);
        return status == STATUS_INTERRUPTED ? stopped_early(status) : status;
    }
    plan_memory(trainer);
    *trainer_p = trainer;
    return STATUS_OK;
}

static void release_worker(struct worker *worker)
{
    team_destroy(worker->team);
    programs_destroy(worker);
    gradients_release(&worker->gradients);
    block_destroy(&worker->arena);
}

void trainer_destroy(struct trainer *trainer)
{
    if (!trainer) return;
    workers_end(trainer);
    if (trainer->comm) comm_destroy(trainer->comm, trainer->workers);
    for (int r = 0; trainer->worker && r < trainer->workers; r++)
        release_worker(&trainer->worker[r]);
    serve_destroy(trainer);
    overlap_destroy(trainer->overlap);
    exchange_destroy(trainer->exchange);
    travel_destroy(trainer->travel);
    packed_destroy(trainer->packed);
    for (int i = 0; i < 2; i++) block_destroy(&trainer->state[i]);
    block_destroy(&trainer->outer);
    block_destroy(&trainer->before);
    block_destroy(&trainer->weights);
    for (int i = 0; i < FEED_SHAPES; i++) {
        graph_destroy(trainer->training_graph[i].g);
        graph_destroy(trainer->evaluation_graph[i].g);
    }
    parameters_release(&trainer->parameters);
    if (trainer->feed.kind) trainer->feed.kind->close(trainer);
    tokenizer_destroy(trainer->tokenizer);
    arena_destroy(trainer->tables);
    workers_release(trainer);
    folder_unlock(trainer->lock);
    free(trainer);
}

// ---- preparing: everything that is large ----

static enum status allocate_worker(struct trainer *trainer, struct worker *worker)
{
    int buffers = memory_worker_buffers(&trainer->config, &trainer->crew, worker->rank);
    int64_t elements = trainer->parameters.elements;
    size_t block = program_plan(worker->training[0].program)->block;
    // A worker without a leaf touches what its evaluations need of it.
    TRY(block_create(trainer->memory.worker_activations + block, "a worker's activations",
                     &worker->arena));
    if (block && buffers)
        gradients_borrow(&worker->gradients, worker->arena.data, elements, trainer->isa);
    else
        TRY(gradients_create(&worker->gradients, elements, buffers, trainer->isa));
    if (worker->rank == 0 && memory_is_spare(&trainer->config, &trainer->crew))
        TRY(gradients_create_spare(&worker->gradients, elements, trainer->isa));
    return STATUS_OK;
}

static enum status prepare_worker(struct trainer *trainer, struct worker *worker)
{
    worker->comm = trainer->comm[worker->rank];
    TRY(allocate_worker(trainer, worker));
    TRY(programs_prepare(trainer, worker));
    return STATUS_OK;
}

static enum status allocate_model(struct trainer *trainer)
{
    size_t bytes = checked_multiply((size_t)trainer->parameters.elements, sizeof(float));
    TRY(block_create(bytes, "the weights", &trainer->weights));
    TRY(packed_prepare(trainer->packed, trainer->weights.data));
    trainer->packed_stale = true;
    // Where others own most of it, whole huge pages would be taken for the little that is touched.
    bool sparse = run_way(&trainer->config, &trainer->crew) && !trainer->local;
    for (int i = 0; i < trainer->states; i++)
        TRY(sparse ? block_create_sparse(bytes, "the optimizer's state", &trainer->state[i])
                   : block_create(bytes, "the optimizer's state", &trainer->state[i]));
    if (trainer->local) {
        TRY(block_create_sparse(bytes, "the momentum of averages", &trainer->outer));
        TRY(block_create_sparse(bytes, "the weights before", &trainer->before));
    }
    return STATUS_OK;
}

// The way, by measuring where it is auto. Collective.
static enum status create_travel(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    const struct crew *crew = &trainer->crew;
    const char *way = run_way(config, crew);
    struct travel_setup setup =
        run_travel(config, crew, trainer->parameters.elements, trainer->isa);
    if (!way) return STATUS_OK;
    if (strcmp(config->parallel.exchange, "auto") == 0) {
        struct travel_choice choice;
        for (int r = 0; r <= crew->replicas; r++)
            trainer->next_border[r] = trainer->border[crew->base[r]];
        TRY(travel_choose(&setup, trainer->next_border, &choice));
        way = trainer->chosen = choice.name;
        for (int i = 0; i < choice.count && crew_speaks(trainer); i++)
            log_info("exchange %s: %.3f ms a bucket there and back%s", choice.tried[i].name,
                     1e3 * choice.tried[i].seconds,
                     strcmp(choice.tried[i].name, way) == 0 ? ", chosen" : "");
    }
    TRY(travel_create(way, &setup, &trainer->travel));
    for (int r = 0; r <= crew->replicas; r++) trainer->next_border[r] = r;
    if (trainer->local) travel_route(trainer->travel, trainer->next_border);
    return STATUS_OK;
}

// Leaves that the sum of an update is made of.
static int own_leaves(const struct trainer *trainer)
{
    const int *own = trainer->border + trainer->crew.first;
    int leaves = own[trainer->workers] - own[0];
    return !trainer->apart ? trainer->leaves : leaves ? leaves : 1;
}

static void follow(void *context, const struct weights_written *written)
{
    packed_follow(
        context, &(struct packed_piece){written->first, written->last, written->from, written->to});
}

// Packed weights follow the update where that is all that writes weights: between replicas they travel after it, or come
// from servers.
static enum status create_exchange(struct trainer *trainer)
{
    bool alone = trainer->apart ? trainer->local : !trainer->travel;
    trainer->packed_follow = alone && packed_follows(trainer->packed);
    const struct exchange_setup setup = {
        .elements = trainer->parameters.elements,
        .workers = trainer->workers,
        .owners = trainer->workers * trainer->threads,
        .leaves = own_leaves(trainer),
        .isa = trainer->isa,
        .optimizer = trainer->config.optimizer,
        .weights = trainer->weights.data,
        .state = {trainer->state[0].data, trainer->state[1].data},
        .segment = trainer->segment,
        .segments = trainer->parameters.count,
        .written = trainer->packed_follow ? follow : NULL,
        .context = trainer->packed,
        .travel = trainer->apart ? NULL : trainer->travel,
        .sums = trainer->apart && !trainer->local,
        .net = trainer->crew.net,
        .base = trainer->crew.base,
    };
    TRY(exchange_create(&setup, &trainer->exchange));
    return STATUS_OK;
}

// auto: between processes, where it mostly waits for a network, or while a core is free for it. With two processes of one worker on
// two busy cores it took 0.8 of the time (AMD EPYC, Open MPI, 11 million parameters). A single bucket is complete when the backward
// pass is, so nothing could be hidden.
static bool wants_overlap(const struct trainer *trainer)
{
    const char *word = trainer->config.parallel.overlap;
    int cores = cpu_cores() / trainer->crew.sharers;
    if (strcmp(word, "auto") != 0) return strcmp(word, "on") == 0;
    if (travel_buckets(trainer->travel) == 1) return false;
    return !trainer->crew.net->ops->shares_memory || trainer->workers * trainer->threads < cores;
}

static enum status prepare_workers(struct trainer *trainer)
{
    TRY(comm_create(NULL, trainer->workers, trainer->comm));
    for (int r = 0; r < trainer->workers; r++) TRY(prepare_worker(trainer, &trainer->worker[r]));
    route_leaves(trainer);
    TRY(threads_start(trainer));
    TRY(workers_start(trainer));
    if (trainer->apart && !trainer->local) return serve_create(trainer);
    if (trainer->travel && !trainer->local)
        TRY(overlap_create(trainer, wants_overlap(trainer), &trainer->overlap));
    return STATUS_OK;
}

static enum status take_folder(struct trainer *trainer, bool resume)
{
    TRY(folder_lock(trainer->config.out, &trainer->lock));
    // A start that is refused takes no term from a run that is well.
    if (!resume) TRY(checkpoints_refuse(trainer));
    return folder_claim(trainer->config.out, 0, &trainer->term);
}

static enum status prepare(struct trainer *trainer, bool resume)
{
    TRY(crew_agree(trainer, memory_check(trainer)));
    if (crew_speaks(trainer))
        TRY(crew_agree(trainer, take_folder(trainer, resume)));
    else
        TRY(crew_agree(trainer, STATUS_OK));
    TRY(crew_agree(trainer, allocate_model(trainer)));
    TRY(crew_agree(trainer, create_travel(trainer)));
    enum status status = create_exchange(trainer);
    if (!status) status = prepare_workers(trainer);
    TRY(crew_agree(trainer, status));
    TRY(checkpoints_start(trainer, resume));
    average_start(trainer);
    trainer->averaged = trainer->position.step;
    return STATUS_OK;
}

enum status trainer_prepare(struct trainer *trainer, bool resume)
{
    INVARIANT(!trainer->prepared && !trainer->weights.data, "trainer_prepare is called once");
    TRY(crew_fail(trainer, prepare(trainer, resume)));
    int computing = trainer->crew.all - trainer->crew.idle, idle = computing - trainer->leaves;
    if (idle > 0 && crew_speaks(trainer))
        log_warning(
            "%d workers share %d leaves: %d of them only update; more train.leaves would use them",
            computing, trainer->leaves, idle);
    trainer->prepared = true;
    return STATUS_OK;
}

// ---- reading ----

struct memory_report trainer_memory(const struct trainer *trainer) { return trainer->memory; }

struct cost trainer_cost(const struct trainer *trainer)
{
    struct cost cost = {0};
    double counted = feed_counted(&trainer->config) * (1 - trainer->feed.report.padding);
    for (int i = 0; i < trainer->feed.shapes; i++) {
        struct cost one = program_cost(trainer->worker[0].training[i].program, counted);
        double times = trainer->feed.share[i] * (double)trainer->micro_batches;
        cost.flops += one.flops * times;
        cost.bytes += one.bytes * times;
    }
    return cost;
}

int64_t trainer_parameters(const struct trainer *trainer)
{
    return parameters_total(&trainer->parameters);
}
struct text_report trainer_text(const struct trainer *trainer) { return trainer->feed.report; }
const struct run_config *trainer_config(const struct trainer *trainer) { return &trainer->config; }
struct run_position *trainer_position(struct trainer *trainer) { return &trainer->position; }
