// SPDX-License-Identifier: Apache-2.0
// One training step: every worker computes its run of leaves, then every owner sums, measures and updates its slice.
//
// The numbers that decide (loss, norm) are computed by every worker from the same arrays along the same trees, so all decide
// alike without asking each other. Nothing is allocated here.
#include "parallel/slices.h"
#include "parallel/update_kernels.h"
#include "train/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- a worker's leaves ----

static struct worker_program *program_for(struct worker *worker, int64_t m)
{
    const struct trainer *trainer = worker->trainer;
    const struct feed_kind *kind = trainer->feed.kind;
    return &worker->training[kind->shape ? kind->shape(trainer, m) : 0];
}

// Fills the inputs for micro-batch m of the step and counts its targets.
static int64_t load_micro_batch(const struct trainer *trainer, const struct batch_inputs *inputs,
                                int64_t m)
{
    if (inputs->random) {
        inputs->random[0] = (uint32_t)trainer->config.seed;
        inputs->random[1] = (uint32_t)(trainer->config.seed >> 32);
        inputs->random[2] = (uint32_t)trainer->position.step;
        inputs->random[3] = (uint32_t)(m * trainer->feed.rows);
    }
    return trainer->feed.kind->fill(trainer, m, inputs);
}

enum { FOLD_UNIT = 1024 }; // elements: fewer are worth no second thread

// A value that the training program yields: a gradient, of which each thread folds its part, or the loss.
static void fold_yield(void *context, int tag, const void *data, const struct part *part)
{
    struct worker *worker = context;
    const struct parameters *parameters = &worker->trainer->parameters;
    if (tag >= parameters->count) {
        if (part->index > 0) return;
        if (tag == parameters->count)
            worker->loss = *(const float *)data;
        else
            carry_take(worker->trainer, worker->micro_batch, data);
        return;
    }
    const struct parameter *parameter = &parameters->list[tag];
    struct range r = part_range(part, parameter->count, FOLD_UNIT);
    gradients_add(&worker->gradients, parameter->offset + r.first, (const float *)data + r.first,
                  r.last - r.first);
    if (part->index == 0)
        gradients_clear(&worker->gradients, parameter->offset + parameter->count,
                        tag + 1 < parameters->count ? parameter[1].offset : parameters->elements);
    if (worker->last)
        overlap_folded(worker->trainer->overlap, tag,
                       worker->rank * worker->trainer->threads + part->index);
}

// Where the program writes a gradient that is the first of its sum: copying it took 0.1 of the time of the product that made it
// (768 x 3072, 512 rows; AMD EPYC).
static void *place_gradient(void *context, int tag)
{
    const struct worker *worker = context;
    const struct parameters *parameters = &worker->trainer->parameters;
    if (tag >= parameters->count) return NULL;
    return gradients_place(&worker->gradients, parameters->list[tag].offset);
}

static void compute_leaves(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    const int *border = trainer->run_border + worker->rank;
    int first = border[0], last = border[1], base = trainer->leaf_first;
    bool hands_over = trainer->overlap && overlap_is_on(trainer->overlap);
    for (int leaf = first; leaf < last; leaf++) {
        int64_t from, to;
        leaf_micro_batches(trainer->micro_batches, trainer->leaves, base + leaf, &from, &to);
        for (int64_t m = from; m < to; m++) {
            struct worker_program *training = program_for(worker, m);
            worker->micro_batch = m;
            worker->last = hands_over && leaf + 1 == last && m + 1 == to;
            double start = thread_seconds();
            trainer->tokens[m] = load_micro_batch(trainer, &training->inputs, m);
            worker->times.data += thread_seconds() - start;
            gradients_begin(&worker->gradients, first, last, leaf, m - from, to - from);
            program_place(training->program, place_gradient, worker);
            program_run_parts(training->program, fold_yield, worker);
            trainer->loss[m] = (double)worker->loss;
        }
    }
}

// ---- what all agree on ----

static int64_t sum_of_counts(const int64_t *count, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += count[i];
    return sum;
}

// The replica's nodes out of its workers', and the sum of all replicas' to the owners. Then all know every loss.
static enum status bring_together(struct worker *worker, double met)
{
    struct trainer *trainer = worker->trainer;
    if (!overlap_is_on(trainer->overlap)) {
        worker_merge(worker);
        TRY(comm_barrier(worker->comm));
    }
    if (worker->rank == 0) {
        TRY(overlap_finish(trainer->overlap));
        trainer->hidden_seconds = overlap_hidden(trainer->overlap, met);
        TRY(agreement_share(trainer));
    }
    return comm_barrier(worker->comm);
}

// What running statistics go of the way to those of the step's rows, as in PyTorch.
static const double STATISTIC_MOMENTUM = 0.1;

// Of all micro-batches that the update is made of.
static int64_t rows_of_step(const struct trainer *trainer)
{
    const struct feed *feed = &trainer->feed;
    int64_t rows = 0;
    for (int64_t m = trainer->micro_first; m < trainer->micro_last; m++)
        rows += feed->shape[feed->kind->shape ? feed->kind->shape(trainer, m) : 0].batch;
    return rows;
}

// Updates this worker's slice; where there are more replicas, all get the new weights.
static enum status update_weights(struct worker *worker, const struct outcome *outcome,
                                  double scale)
{
    struct trainer *trainer = worker->trainer;
    double factor =
        clip_factor(&trainer->config.optimizer, outcome->gradient.norm, outcome->gradient.largest);
    struct optimizer_step step = {
        .step = trainer->position.step + 1,
        .learning_rate = trainer->learning_rate,
        .gradient_scale = scale * factor,
        .statistic_rate = STATISTIC_MOMENTUM / (double)rows_of_step(trainer),
    };
    if (trainer->serving)
        return worker->rank == 0 ? serve_push(trainer, outcome, factor) : STATUS_OK;
    double begin = thread_seconds();
    worker_update(worker, &step);
    worker->times.update += thread_seconds() - begin;
    if (!trainer->overlap) return STATUS_OK;
    TRY(comm_barrier(worker->comm));
    return worker->rank == 0 ? exchange_spread(trainer->exchange) : STATUS_OK;
}

// Of a batch of empty texts nothing is learned, and no weight moves; nor where a replica's own share of a batch is what fills up an
// epoch's last steps.
static bool may_be_empty(const struct trainer *trainer)
{
    return run_task(&trainer->config) == TASK_MLM || trainer->apart;
}

enum status worker_step(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    double start = monotonic_seconds();
    compute_leaves(worker);
    double computed = monotonic_seconds();
    worker->compute_seconds = computed - start;
    TRY(comm_barrier(worker->comm));
    double met = monotonic_seconds();
    if (trainer->overlap) TRY(bring_together(worker, met));

    int64_t begin = trainer->micro_first, count = trainer->micro_last - begin;
    struct outcome outcome = {.tokens = sum_of_counts(trainer->tokens + begin, count)};
    double scale = 1.0 / (double)(outcome.tokens ? outcome.tokens : 1);
    outcome.loss = pairwise_sum(trainer->loss + begin, count) * scale;
    double reduced = met, met_again = met;
    if (isfinite(outcome.loss) && outcome.tokens > 0) {
        double begun = thread_seconds();
        worker_reduce(worker, scale);
        worker->times.reduce += thread_seconds() - begun;
        reduced = monotonic_seconds();
        TRY(comm_barrier(worker->comm));
        met_again = monotonic_seconds();
        if (trainer->overlap) {
            if (worker->rank == 0) TRY(exchange_share(trainer->exchange));
            TRY(comm_barrier(worker->comm));
        }
        outcome.gradient = exchange_measure(trainer->exchange, scale);
        if (isfinite(outcome.gradient.norm)) TRY(update_weights(worker, &outcome, scale));
    } else if (trainer->serving && outcome.tokens == 0 && may_be_empty(trainer)) {
        // Servers wait for a push at each clock.
        if (worker->rank == 0) TRY(serve_push(trainer, &outcome, 1));
    }
    if (worker->rank == 0) trainer->outcome = outcome;
    worker->wait_seconds = met - computed + met_again - reduced;
    double ended = monotonic_seconds();
    worker->exchange_seconds = ended - computed - worker->wait_seconds;
    worker->times.wait += worker->wait_seconds;
    worker->times.step += ended - start;
    return STATUS_OK;
}

// ---- when a number is not finite ----

static void examine_yield(void *context, int tag, const void *data)
{
    struct worker *worker = context;
    const struct parameters *parameters = &worker->trainer->parameters;
    if (tag >= parameters->count) return;
    float largest =
        update_kernels_of(worker->trainer->isa)->max_magnitude(data, parameters->list[tag].count);
    if (!isfinite(largest)) worker->finite = false;
}

// The sums of the step that failed are not needed any more.
static void *place_anywhere(void *context, int tag)
{
    const struct worker *worker = context;
    const struct parameters *parameters = &worker->trainer->parameters;
    if (tag >= parameters->count) return NULL;
    return gradients_buffer(&worker->gradients, 0) + parameters->list[tag].offset;
}

// Weights are as they were and a micro-batch is a pure function of them: computing it again shows whose gradient it was.
void worker_examine(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    const int *border = trainer->border + trainer->crew.first + worker->rank;
    int64_t last = first_micro_batch(trainer, border[1]);
    if (border[0] == border[1]) return;
    for (int64_t m = first_micro_batch(trainer, border[0]); m < last; m++) {
        struct worker_program *training = program_for(worker, m);
        worker->finite = true;
        program_place(training->program, place_anywhere, worker);
        load_micro_batch(trainer, &training->inputs, m);
        program_run(training->program, examine_yield, worker);
        trainer->offending[m] = !worker->finite;
    }
}

// All replicas look for whose gradient it was.
static enum status examine(struct trainer *trainer)
{
    struct crew *crew = &trainer->crew;
    TRY(workers_run(trainer, TASK_EXAMINE));
    if (!crew->net || trainer->apart) return STATUS_OK;
    for (int r = 0; r <= crew->replicas; r++)
        crew->offset[r] = (size_t)first_micro_batch(trainer, trainer->border[crew->base[r]]) *
                          sizeof *trainer->offending;
    TRY(comm_share(crew->net, trainer->offending, crew->offset));
    return STATUS_OK;
}

static int64_t sample_of(const struct trainer *trainer, int64_t m, int64_t row)
{
    return trainer->feed.kind->sample(trainer, m, row);
}

// "sequence 7 (sample 47)", "sequences 3-5 (samples 43-45), 9-11 (samples 49-51) and 4 more": places in the
// batch, for the micro-batches that are marked.
static void print_offending(const struct trainer *trainer, char *text, size_t bytes)
{
    int64_t rows = trainer->config.micro_batch, marked = 0, named = 0, more = 0;
    for (int64_t m = 0; m < trainer->micro_batches; m++) marked += trainer->offending[m];
    int length = snprintf(text, bytes, "%s ", marked * rows == 1 ? "sequence" : "sequences");
    size_t used = (size_t)length;
    for (int64_t m = 0; m < trainer->micro_batches; m++) {
        if (!trainer->offending[m]) continue;
        if (named == 4) {
            more++;
            continue;
        }
        long long first = m * rows, last = first + rows - 1;
        long long sample = sample_of(trainer, m, 0), end = sample_of(trainer, m, rows - 1);
        const char *before = named++ ? ", " : "";
        if (rows == 1)
            length =
                snprintf(text + used, bytes - used, "%s%lld (sample %lld)", before, first, sample);
        else if (end == sample + rows - 1)
            length = snprintf(text + used, bytes - used, "%s%lld-%lld (samples %lld-%lld)", before,
                              first, last, sample, end);
        else
            length = snprintf(text + used, bytes - used, "%s%lld-%lld", before, first, last);
        used += (size_t)length < bytes - used ? (size_t)length : bytes - used - 1;
    }
    if (more)
        snprintf(text + used, bytes - used, " and %lld more%s", (long long)more,
                 rows == 1 ? "" : " micro-batches");
}

// The sign of a NaN means nothing.
static const char *not_finite(double value)
{
    return isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

static enum status fail_diverged(struct trainer *trainer)
{
    const struct outcome *outcome = &trainer->outcome;
    bool loss = !isfinite(outcome->loss), one = false;
    char where[512];
    if (!loss) TRY(crew_fail(trainer, examine(trainer)));
    for (int64_t m = trainer->micro_first; m < trainer->micro_last; m++) {
        if (loss) trainer->offending[m] = !isfinite(trainer->loss[m]);
        one |= trainer->offending[m];
    }
    print_offending(trainer, where, sizeof where);
    trainer->crew.agreed = !trainer->apart; // else all come here with the same numbers
    FAIL(STATUS_DIVERGED,
         "step %lld: the %s is not finite (%s), from %s of the batch; the weights are as "
         "before "
         "this step. Try a lower train.learning_rate (it is %g), %s, or look at the data there",
         (long long)trainer->position.step + 1, loss ? "loss" : "gradient",
         not_finite(loss ? outcome->loss : outcome->gradient.norm),
         one ? where : "sequences whose sum overflows, all of them,", trainer->learning_rate,
         trainer->config.optimizer.clip > 0 ? "a smaller train.clip, a longer train.warmup"
                                            : "train.clip: 1, a longer train.warmup");
}

static enum status check_outcome(struct trainer *trainer)
{
    const struct outcome *outcome = &trainer->outcome;
    if (!isfinite(outcome->loss) || !isfinite(outcome->gradient.norm))
        return fail_diverged(trainer);
    if (outcome->tokens > 0) return STATUS_OK;
    if (may_be_empty(trainer)) return STATUS_OK;
    trainer->crew.agreed = !trainer->apart;
    FAIL(STATUS_INPUT, "step %lld: its batch has no target", (long long)trainer->position.step + 1);
}

// ---- who computes what ----

void route_leaves(struct trainer *trainer)
{
    const struct crew *crew = &trainer->crew;
    const int *own = trainer->border + crew->first;
    bool shared = trainer->travel && !trainer->apart;
    trainer->leaf_first = trainer->apart ? own[0] : 0;
    trainer->leaf_last = trainer->apart ? own[trainer->workers] : trainer->leaves;
    trainer->micro_first = first_micro_batch(trainer, trainer->leaf_first);
    trainer->micro_last = first_micro_batch(trainer, trainer->leaf_last);
    for (int i = 0; i <= trainer->workers; i++)
        trainer->run_border[i] = own[i] - trainer->leaf_first;
    if (trainer->leaf_first == trainer->leaf_last) return; // of a server that does not compute
    exchange_route(trainer->exchange, shared ? trainer->border : trainer->run_border,
                   trainer->gradients);
}

static void measure_speed(struct trainer *trainer)
{
    for (int i = 0; i < trainer->workers; i++)
        trainer->compute_seconds[trainer->crew.first + i] = trainer->worker[i].compute_seconds;
    times_note(trainer);
    for (int r = 0; r < trainer->crew.all; r++)
        speed_note(&trainer->speed[r], trainer->border[r + 1] - trainer->border[r],
                   trainer->compute_seconds[r]);
}

// Borders for the step that comes; true when they have moved.
static bool move_borders(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    // Of the workers that compute.
    int idle = trainer->crew.idle, workers = trainer->crew.all - idle;
    int *next = trainer->next_border + idle, *border = trainer->border + idle;
    if (strcmp(config->parallel.balance, "random") == 0) {
        size_t bytes = (size_t)(workers + 1) * sizeof *next;
        borders_random(config->seed, trainer->position.step, trainer->leaves, workers, next);
        if (memcmp(next, border, bytes) == 0) return false;
        memcpy(border, next, bytes);
        return true;
    }
    int64_t every = config->parallel.balance_every > 0 ? config->parallel.balance_every : 1;
    if (strcmp(config->parallel.balance, "measured") != 0 || trainer->position.step % every != 0)
        return false;
    return balance_move(&(struct balance){.leaves = trainer->leaves,
                                          .workers = workers,
                                          .speed = trainer->speed + idle,
                                          .seconds = trainer->planned_seconds,
                                          .next = next},
                        border);
}

static struct travel_traffic traffic_of(const struct trainer *trainer)
{
    struct travel_traffic traffic = serve_traffic(trainer);
    if (trainer->travel) {
        traffic.sent += travel_traffic(trainer->travel).sent;
        traffic.received += travel_traffic(trainer->travel).received;
    }
    return traffic;
}

// What worker 0 did. It waited for other replicas as long as the slowest of all computed longer than the slowest here.
static void fill_report(const struct trainer *trainer, double start,
                        const struct travel_traffic *before, struct step_report *report_p)
{
    const struct worker *first = &trainer->worker[0];
    const struct crew *crew = &trainer->crew;
    struct travel_traffic traffic = traffic_of(trainer);
    double own = 0, slowest = 0, exchange = first->exchange_seconds, wait = first->wait_seconds;
    for (int r = 0; r < crew->all; r++) {
        double seconds = trainer->compute_seconds[r];
        if (seconds > slowest) slowest = seconds;
        if (r >= crew->first && r < crew->first + trainer->workers && seconds > own) own = seconds;
    }
    double others = slowest - own < exchange ? slowest - own : exchange;
    int64_t count = trainer->micro_last - trainer->micro_first;
    *report_p = (struct step_report){
        .step = trainer->position.step,
        .loss = trainer->outcome.loss,
        .gradient_norm = trainer->outcome.gradient.norm,
        .learning_rate = trainer->learning_rate,
        .seconds = monotonic_seconds() - start,
        .compute_seconds = first->compute_seconds,
        .exchange_seconds = exchange - others,
        .wait_seconds = wait + others,
        .hidden_seconds = trainer->hidden_seconds,
        .bytes_sent = traffic.sent - before->sent,
        .bytes_received = traffic.received - before->received,
        // Apart: the others are taken to have had as many a micro-batch. A server knows of all.
        .tokens =
            trainer->outcome.tokens * (count ? trainer->micro_batches : 1) / (count ? count : 1),
        .epoch =
            trainer->feed.kind->epoch(trainer, trainer->position.samples - trainer->config.batch),
    };
}

enum status trainer_step(struct trainer *trainer, struct step_report *report_p)
{
    INVARIANT(trainer->prepared, "trainer_step before trainer_prepare");
    const struct run_config *config = &trainer->config;
    struct run_position *position = &trainer->position;
    if (run_counts(config)) return count_step(trainer, report_p);
    double start = monotonic_seconds();
    if (move_borders(trainer)) route_leaves(trainer);
    const struct schedule_state schedule = {
        .factor = position->schedule_factor,
        .best = position->schedule_best,
        .waited = position->schedule_waited,
    };
    trainer->learning_rate = schedule_rate(&config->schedule, &schedule, position->step);
    struct travel_traffic before = traffic_of(trainer);
    if (trainer->feed.kind->begin) trainer->feed.kind->begin(trainer);
    if (trainer->overlap) overlap_start(trainer->overlap);
    if (trainer->serving) serve_begin(trainer);
    bool serves = serves_only(trainer);
    enum status status = serves ? serve_clock(trainer) : workers_run(trainer, TASK_STEP);
    TRY(crew_fail(trainer, status));
    if (!serves)
        status = check_outcome(trainer);
    else
        trainer->worker[0].wait_seconds = monotonic_seconds() - start;
    // Who is apart tells the others when they come to meet.
    if (status && trainer->local) status = crew_agree(trainer, status);
    if (status && trainer->serving) status = serve_leave(trainer, status);
    TRY(status);
    measure_speed(trainer);
    position->step++;
    position->samples += config->batch;
    serve_listen(trainer);
    if (average_due(trainer, position->step)) TRY(crew_fail(trainer, average_weights(trainer)));
    if (check_is_due(trainer)) TRY(crew_fail(trainer, check_replicas(trainer)));
    fill_report(trainer, start, &before, report_p);
    return STATUS_OK;
}
