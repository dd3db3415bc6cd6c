// SPDX-License-Identifier: Apache-2.0
// exchange: server with a staleness above 0: workers push the gradient of their leaves, and go on with the weights that are there.
//
// Servers apply each push as it comes, with the learning rate times the worker's share of the leaves: pushes of one step together move the
// weights as far as the step of a synchronous run. A worker's gradient is clipped by its own norm. Between two meetings (evaluations,
// checkpoints, comparisons of weights, the end) one thread of each server uses the net: a thread of its own where the replica
// computes, too, else the caller's, step by step. At a meeting all come to the same step, and all get the same weights.
// What arrives when decides the bits: such a run is approximate.
// Source: Ho et al. 2013, "More effective distributed ML via a stale synchronous parallel parameter server".
#include "base/errand.h"
#include "parallel/asynchronous.h"
#include "train/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct serving {
    struct trainer *trainer;
    struct asynchronous *asynchronous;
    bool open;            // between a step and the meeting that follows
    int64_t first;        // step that the clocks count from
    int64_t pushes;       // that this server has applied since the run began
    int pushers;          // replicas that push
    struct errand errand; // serving between two meetings, of a server that computes, too
};

static struct asynchronous_setup setup_of(const struct run_config *config, const struct crew *crew,
                                          int64_t elements)
{
    return (struct asynchronous_setup){
        .net = crew->net,
        .elements = elements,
        // Every replica that computes pushes one sum.
        .leaves = crew->replicas - replicas_that_serve_only(config, crew),
        .nodes = 1,
        .servers = (int)config->parallel.servers,
        .servers_compute = config->parallel.servers_compute,
        .staleness = (int)config->parallel.staleness,
    };
}

size_t serve_bytes(const struct run_config *config, const struct crew *crew, int64_t elements)
{
    struct asynchronous_setup setup = setup_of(config, crew, elements);
    return sizeof(struct serving) + asynchronous_bytes(&setup, crew->replicas, crew->replica);
}

// ---- what a server does with a push ----
static void apply(void *context, const struct push *push)
{
    struct serving *serving = context;
    const struct trainer *trainer = serving->trainer;
    const struct run_config *config = &trainer->config;
    const struct run_position *position = &trainer->position;
    const struct schedule_state schedule = {position->schedule_factor, position->schedule_best,
                                            position->schedule_waited};
    const int *base = trainer->crew.base + push->worker;
    double leaves = trainer->border[base[1]] - trainer->border[base[0]];
    struct optimizer_step step = {.step = ++serving->pushes};
    if (!(push->tokens > 0)) return; // of empty texts: a step that learns nothing
    step.gradient_scale = push->factor / push->tokens;
    double rate = schedule_rate(&config->schedule, &schedule, serving->first + push->clock) *
                  leaves / trainer->leaves;
    for (int i = 0; i < trainer->parameters.count; i++) {
        const struct segment *segment = &trainer->segment[i];
        int64_t from = segment->first > push->first ? segment->first : push->first;
        int64_t to = segment->last < push->last ? segment->last : push->last;
        if (from >= to || segment->kind != SEGMENT_LEARNS) continue;
        float *state[2] = {NULL, NULL};
        for (int s = 0; s < trainer->states; s++) state[s] = (float *)trainer->state[s].data + from;
        step.decay = segment->decay;
        step.learning_rate = rate * segment->rate;
        optimizer_update(&config->optimizer, &step, trainer->isa,
                         push->weights + (from - push->first), state,
                         push->gradient + (from - push->first), to - from);
    }
}

static bool stops(void *context)
{
    return train_stop_requested(((const struct serving *)context)->trainer);
}

// ---- life cycle ----
static enum status serve(void *context)
{
    return asynchronous_serve(((struct serving *)context)->asynchronous);
}

enum status serve_create(struct trainer *trainer)
{
    struct serving *serving = NULL;
    const struct crew *crew = &trainer->crew;
    int *border = trainer->next_border, idle = replicas_that_serve_only(&trainer->config, crew);
    TRY(memory_allocate(1, sizeof *serving, "the parameter server", &serving));
    trainer->serving = serving;
    serving->trainer = trainer;
    serving->pushers = crew->replicas - idle;
    errand_init(&serving->errand, 0, 0);
    for (int r = 0; r <= crew->replicas; r++) border[r] = r < idle ? 0 : r - idle;
    struct asynchronous_setup setup =
        setup_of(&trainer->config, crew, trainer->parameters.elements);
    setup.border = border;
    setup.isa = trainer->isa;
    setup.weights = trainer->weights.data;
    setup.update = apply;
    setup.context = serving;
    setup.stops = stops;
    TRY(asynchronous_create(&setup, &serving->asynchronous));
    bool both = asynchronous_is_server(serving->asynchronous) &&
                asynchronous_is_worker(serving->asynchronous);
    if (!both) return STATUS_OK;
    return errand_start(&serving->errand, serve, serving, "a server's thread");
}

void serve_destroy(struct trainer *trainer)
{
    struct serving *serving = trainer->serving;
    if (!serving) return;
    if (serving->errand.running) asynchronous_end(serving->asynchronous);
    errand_release(&serving->errand);
    // Others wait for pushes or weights that will never come.
    if (serving->open) comm_abandon(trainer->crew.net);
    asynchronous_destroy(serving->asynchronous);
    free(serving);
    trainer->serving = NULL;
}

// ---- steps ----
void serve_begin(struct trainer *trainer)
{
    struct serving *serving = trainer->serving;
    if (!serving || serving->open) return;
    serving->open = true;
    serving->first = trainer->position.step;
    serving->pushes = serving->first * serving->pushers;
    asynchronous_restart(serving->asynchronous, trainer->weights.data);
    if (serving->errand.running) errand_begin(&serving->errand);
}

bool serves_only(const struct trainer *trainer)
{
    return trainer->serving && !asynchronous_is_worker(trainer->serving->asynchronous);
}

// What the server's thread of this replica says rather than what its worker sees of it.
static enum status first_reason(struct serving *serving, enum status status)
{
    const struct errand *errand = &serving->errand;
    if (!status || !errand->running) return status;
    errand_wait(&serving->errand);
    if (!errand->status) return status;
    error_clear();
    return error_adopt(errand->status, errand->message);
}

enum status serve_push(struct trainer *trainer, const struct outcome *outcome, double factor)
{
    struct serving *serving = trainer->serving;
    const float *sum = exchange_sum(trainer->exchange);
    const struct pushed pushed = {
        .node = &sum,
        .tokens = (double)outcome->tokens,
        .loss = outcome->loss * (double)outcome->tokens,
        .factor = factor,
    };
    enum status status = asynchronous_step(serving->asynchronous, &pushed, trainer->weights.data);
    return first_reason(serving, status);
}

enum status serve_clock(struct trainer *trainer)
{
    struct serving *serving = trainer->serving;
    struct tally tally;
    TRY(asynchronous_serve_clock(serving->asynchronous, trainer->position.step - serving->first,
                                 &tally));
    trainer->outcome = (struct outcome){.tokens = (int64_t)tally.tokens,
                                        .loss = tally.loss / (tally.tokens > 0 ? tally.tokens : 1),
                                        .gradient = {(double)NAN, (double)NAN}};
    // All have come to a meeting without this step: at least one of them says why.
    if (!tally.ended) return STATUS_OK;
    TRY(serve_meet(trainer));
    FAIL(STATUS_PEER, "no process takes step %lld", (long long)trainer->position.step + 1);
}

void serve_listen(struct trainer *trainer)
{
    const struct serving *serving = trainer->serving;
    if (!serving || !serving->open) return;
    int64_t until = asynchronous_until(serving->asynchronous);
    if (until >= 0 && trainer->position.step >= serving->first + until) trainer->crew.stops = true;
}

struct travel_traffic serve_traffic(const struct trainer *trainer)
{
    struct travel_traffic traffic = {0};
    if (trainer->serving)
        asynchronous_traffic(trainer->serving->asynchronous, &traffic.sent, &traffic.received);
    return traffic;
}

// ---- meetings ----
// The last push of all has been applied everywhere, and nobody serves any more.
static enum status close_session(struct trainer *trainer)
{
    struct serving *serving = trainer->serving;
    serving->open = false;
    if (serves_only(trainer)) return asynchronous_serve(serving->asynchronous);
    enum status status = asynchronous_finish(serving->asynchronous, NULL, trainer->weights.data);
    if (status) return first_reason(serving, status);
    return serving->errand.running ? errand_finish(&serving->errand) : STATUS_OK;
}

enum status serve_leave(struct trainer *trainer, enum status status)
{
    char message[1024];
    error_copy(message, sizeof message);
    error_clear();
    TRY(close_session(trainer));
    return crew_agree(trainer, error_adopt(status, message));
}

enum status serve_meet(struct trainer *trainer)
{
    struct serving *serving = trainer->serving;
    if (!serving || !serving->open) return STATUS_OK;
    TRY(close_session(trainer));
    // Whoever could not take its steps has come here, too.
    TRY(crew_agree(trainer, STATUS_OK));
    int64_t first, last;
    travel_owned(trainer->travel, 0, trainer->crew.replica, &first, &last);
    if (last > first)
        memcpy((float *)trainer->weights.data + first, asynchronous_weights(serving->asynchronous),
               (size_t)(last - first) * sizeof(float));
    TRY(travel_spread(trainer->travel, 0, trainer->weights.data));
    trainer->packed_stale = true;
    return crew_share_wishes(trainer);
}
