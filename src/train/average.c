// SPDX-License-Identifier: Apache-2.0
// local-sgd: every replica takes steps of its own on its share of the batch; now and then their weights are averaged.
//
// With outer_learning_rate 1 and no outer momentum that is the average of the articles on parallel training: w = (1 / N) sum w_r.
// Otherwise what came out of the last average takes a step of its own against the way that the replicas went on average (DiLoCo):
// d = w_old - mean(w_r), m = mu m + d, w = w_old - rate (d + mu m).
// Every replica owns a part of every bucket of that: w_old and m lie with the owners only. Weights are summed in order of replicas, so
// that a run repeats with the same bits on the same replicas.
// Source: Zinkevich et al. 2010, NIPS, algorithm 3; Douillard et al. 2023, arXiv:2311.08105, algorithm 1 (Nesterov as in PyTorch's SGD).
#include "train/internal.h"

#include <string.h>

bool average_due(const struct trainer *trainer, int64_t step)
{
    const struct run_config *config = &trainer->config;
    return trainer->local && (step % config->parallel.sync_every == 0 || step == config->steps);
}

bool average_passed(const struct trainer *trainer, int64_t step, int64_t every)
{
    int64_t sync = trainer->config.parallel.sync_every;
    int64_t before = (step - 1) / sync * sync; // the last one before this
    return every > 0 && average_due(trainer, step) && step / every > before / every;
}

typedef void (*span_function)(struct trainer *trainer, int64_t first, int64_t last,
                              const float *sum, float *data);

// Sums a block over the replicas, bucket by bucket, lets the owners make `data` of it, and hands that to everybody.
static enum status average_block(struct trainer *trainer, float *data, span_function use)
{
    struct travel *travel = trainer->travel;
    float *sum = gradients_buffer(&trainer->worker[0].gradients, 0);
    for (int b = 0; b < travel_buckets(travel); b++) {
        int64_t first, last;
        travel_bucket(travel, b, &first, &last);
        memcpy(sum + first, data + first, (size_t)(last - first) * sizeof *sum);
        TRY(travel_reduce(travel, b, &sum, sum));
        travel_owned(travel, b, trainer->crew.replica, &first, &last);
        use(trainer, first, last, sum, data);
        TRY(travel_spread(travel, b, data));
    }
    return STATUS_OK;
}

static void take_mean(struct trainer *trainer, int64_t first, int64_t last, const float *sum,
                      float *data)
{
    double replicas = trainer->crew.replicas;
    for (int64_t i = first; i < last; i++) data[i] = (float)((double)sum[i] / replicas);
}

static void step_outwards(struct trainer *trainer, int64_t first, int64_t last, const float *sum,
                          float *data)
{
    const struct run_config *config = &trainer->config;
    double rate = config->parallel.outer_learning_rate, momentum = config->parallel.outer_momentum;
    float *old = trainer->before.data, *velocity = trainer->outer.data;
    double replicas = trainer->crew.replicas;
    for (int64_t i = first; i < last; i++) {
        double mean = (double)sum[i] / replicas, way = (double)old[i] - mean;
        double moved = momentum * (double)velocity[i] + way;
        // All of the way without momentum is the mean itself, without the rounding of there and back.
        bool plain = rate == 1 && momentum == 0;
        data[i] = (float)(plain ? mean : (double)old[i] - rate * (way + momentum * moved));
        velocity[i] = (float)moved;
        old[i] = data[i];
    }
}

// What learns takes the step. Statistics are averaged: a step beyond would make variances negative. What is frozen stays, which the
// mean of equal numbers need not be.
static void take_outer_step(struct trainer *trainer, int64_t first, int64_t last, const float *sum,
                            float *data)
{
    for (int i = 0; i < trainer->parameters.count; i++) {
        const struct segment *segment = &trainer->segment[i];
        int64_t from = segment->first > first ? segment->first : first;
        int64_t end = segment->last < last ? segment->last : last;
        if (from >= end || segment->kind == SEGMENT_FROZEN) continue;
        if (segment->kind == SEGMENT_STATISTIC)
            take_mean(trainer, from, end, sum, data);
        else
            step_outwards(trainer, from, end, sum, data);
    }
}

void average_start(struct trainer *trainer)
{
    for (int b = 0; trainer->local && b < travel_buckets(trainer->travel); b++) {
        int64_t first, last;
        travel_owned(trainer->travel, b, trainer->crew.replica, &first, &last);
        memcpy((float *)trainer->before.data + first, (float *)trainer->weights.data + first,
               (size_t)(last - first) * sizeof(float));
    }
}

enum status worker_average(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    if (worker->rank > 0) return STATUS_OK;
    TRY(average_block(trainer, trainer->weights.data, take_outer_step));
    return crew_share_wishes(trainer);
}

enum status worker_average_state(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    if (worker->rank > 0) return STATUS_OK;
    for (int s = 0; s < trainer->states; s++)
        TRY(average_block(trainer, trainer->state[s].data, take_mean));
    return STATUS_OK;
}

enum status average_weights(struct trainer *trainer)
{
    if (trainer->serving) return serve_meet(trainer);
    if (!trainer->local || trainer->averaged == trainer->position.step) return STATUS_OK;
    // Whoever could not take its steps has come here, too.
    TRY(crew_agree(trainer, STATUS_OK));
    TRY(workers_run(trainer, TASK_AVERAGE));
    trainer->averaged = trainer->position.step;
    return STATUS_OK;
}

enum status average_state(struct trainer *trainer)
{
    return trainer->local ? workers_run(trainer, TASK_AVERAGE_STATE) : STATUS_OK;
}
