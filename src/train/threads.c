// SPDX-License-Identifier: Apache-2.0
// A worker's threads: its team, the cores that all are tied to, and what a team does in parts beside the program.
//
// Every thread owns a slice of the model: with 2 workers of 3 threads there are 6 owners, and a worker's are neighbours.
#include "base/affinity.h"
#include "base/cpu.h"
#include "base/log.h"
#include "parallel/slices.h"
#include "parallel/update_kernels.h"
#include "train/internal.h"

#include <string.h>

// ---- cores ----

// parallel.pin: auto ties threads where somebody has given this process some of the machine's cores, as a launcher does: they
// are ours. On the whole machine nobody says so, and a tied thread waits for whoever else is on its core, and all wait for it.
static bool wants_cores(const char *pin)
{
    if (strcmp(pin, "auto") == 0) return affinity_is_narrowed();
    return strcmp(pin, "on") == 0;
}

static enum status choose_cores(struct trainer *trainer)
{
    const char *pin = trainer->config.parallel.pin;
    int needed = trainer->workers * trainer->threads;
    // Where replicas may use the same cores, each takes those after the others'.
    int before = needed * trainer->crew.share, all = needed * trainer->crew.sharers;
    trainer->core = NULL;
    if (!wants_cores(pin)) return STATUS_OK;
    int *core = arena_take(trainer->tables, (size_t)all * sizeof *core);
    if (!core) FAIL(STATUS_MEMORY, "not enough memory for the cores of %d threads", all);
    int cores = affinity_cores(all, core);
    if (cores == all)
        trainer->core = core + before;
    else if (strcmp(pin, "on") == 0)
        log_warning("parallel.pin: %d threads cannot be tied to %d cores; they stay free", needed,
                    cores);
    return STATUS_OK;
}

// ---- teams ----

static int owner_of(const struct worker *worker, const struct part *part)
{
    return worker->rank * worker->trainer->threads + part->index;
}

enum status threads_start(struct trainer *trainer)
{
    int threads = trainer->threads;
    TRY(choose_cores(trainer));
    for (int r = 0; r < trainer->workers && threads > 1; r++) {
        struct worker *worker = &trainer->worker[r];
        const struct team_options options = {
            .threads = threads,
            .crowded = trainer->workers * threads * trainer->crew.sharers > cpu_cores(),
            .cores = trainer->core ? trainer->core + (size_t)r * (size_t)threads : NULL,
        };
        TRY(team_create(&options, &worker->team));
        for (int i = 0; i < trainer->feed.shapes; i++) {
            program_set_team(worker->training[i].program, worker->team);
            program_set_team(worker->evaluation[i].program, worker->team);
        }
    }
    return STATUS_OK;
}

void worker_tie(const struct worker *worker)
{
    const struct trainer *trainer = worker->trainer;
    if (trainer->core) affinity_tie(trainer->core[(size_t)worker->rank * (size_t)trainer->threads]);
}

// ---- what a team does ----

static void initialise_part(void *context, const struct part *part)
{
    const struct worker *worker = context;
    const struct trainer *trainer = worker->trainer;
    int64_t first, last;
    slice_of(trainer->parameters.elements, trainer->workers * trainer->threads,
             owner_of(worker, part), &first, &last);
    parameters_initialise_range(&trainer->parameters, trainer->config.seed, first, last,
                                update_kernels_of(trainer->isa)->normal, trainer->weights.data);
}

void worker_initialise(struct worker *worker) { team_run(worker->team, initialise_part, worker); }

static void pack_part(void *context, const struct part *part)
{
    const struct worker *worker = context;
    const struct trainer *trainer = worker->trainer;
    packed_fill(trainer->packed, owner_of(worker, part), trainer->workers * trainer->threads);
}

void worker_pack(struct worker *worker) { team_run(worker->team, pack_part, worker); }

struct exchange_work {
    struct worker *worker;
    double scale;
    const struct optimizer_step *step;
};

static void reduce_part(void *context, const struct part *part)
{
    const struct exchange_work *work = context;
    const struct worker *worker = work->worker;
    exchange_reduce(worker->trainer->exchange, owner_of(worker, part), work->scale);
}

static void merge_part(void *context, const struct part *part)
{
    const struct worker *worker = context;
    const struct trainer *trainer = worker->trainer;
    int64_t first, last;
    slice_of(trainer->parameters.elements, trainer->workers * trainer->threads,
             owner_of(worker, part), &first, &last);
    exchange_merge(trainer->exchange, owner_of(worker, part), first, last);
}

void worker_merge(struct worker *worker) { team_run(worker->team, merge_part, worker); }

void worker_reduce(struct worker *worker, double scale)
{
    team_run(worker->team, reduce_part, &(struct exchange_work){worker, scale, NULL});
}

static void update_part(void *context, const struct part *part)
{
    const struct exchange_work *work = context;
    const struct worker *worker = work->worker;
    exchange_update(worker->trainer->exchange, owner_of(worker, part), work->step);
}

void worker_update(struct worker *worker, const struct optimizer_step *step)
{
    team_run(worker->team, update_part, &(struct exchange_work){worker, 0, step});
}
