// SPDX-License-Identifier: Apache-2.0
// Evaluation: windows of the held-out text in fixed groups of micro_batch; workers take groups as they get free.
//
// A group's loss depends on the group alone, and the groups' losses are summed along a fixed tree: the same bits for any
// number of workers.
#include "parallel/slices.h"
#include "train/internal.h"

#include <stdatomic.h>

// Window number i of the evaluation: all of them, or eval_windows spread evenly.
static int64_t window_at(const struct trainer *trainer, int64_t i)
{
    int64_t all = sampler_evaluation_windows(&trainer->evaluation),
            asked = trainer->evaluation_windows;
    return all == asked ? i : (int64_t)((double)i * ((double)all / (double)asked));
}

static int64_t load_group(const struct worker *worker, int64_t group)
{
    const struct trainer *trainer = worker->trainer;
    const struct worker_program *program = &worker->evaluation;
    int64_t context = trainer->config.model.context, rows = trainer->config.micro_batch,
            targets = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t i = group * rows + row;
        int32_t *row_tokens = program->tokens + row * context,
                *row_targets = program->targets + row * context;
        if (i < trainer->evaluation_windows) {
            sampler_evaluation(&trainer->evaluation, window_at(trainer, i), row_tokens,
                               row_targets);
            continue;
        }
        // The last group's empty rows.
        for (int64_t t = 0; t < context; t++) {
            row_tokens[t] = 0;
            row_targets[t] = -1;
        }
    }
    fill_positions(trainer, program->positions);
    for (int64_t i = 0; i < rows * context; i++) targets += program->targets[i] >= 0;
    return targets;
}

static void loss_yield(void *context, int tag, const void *data)
{
    struct worker *worker = context;
    (void)tag;
    worker->loss = *(const float *)data;
}

// Replicas share the groups out evenly, since none can see how far the others are.
static int64_t groups_before(const struct trainer *trainer, int replica)
{
    return trainer->groups * replica / trainer->crew.replicas;
}

void worker_evaluate(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    for (;;) {
        int64_t group = atomic_fetch_add(&trainer->next_group, 1);
        if (group >= groups_before(trainer, trainer->crew.replica + 1)) return;
        trainer->tokens[group] = load_group(worker, group);
        program_run(worker->evaluation.program, loss_yield, worker);
        trainer->loss[group] = (double)worker->loss;
    }
}

// What every replica's groups gave becomes known to all.
static enum status share_groups(struct trainer *trainer)
{
    struct crew *crew = &trainer->crew;
    if (!crew->net) return STATUS_OK;
    for (int r = 0; r <= crew->replicas; r++)
        crew->offset[r] = (size_t)groups_before(trainer, r) * sizeof *trainer->loss;
    TRY(comm_share(crew->net, trainer->loss, crew->offset));
    TRY(comm_share(crew->net, trainer->tokens, crew->offset));
    return STATUS_OK;
}

_Static_assert(sizeof(double) == sizeof(int64_t), "losses and token counts lie at the same places");

enum status trainer_evaluate(struct trainer *trainer, double *loss_p, int64_t *tokens_p)
{
    INVARIANT(trainer->prepared, "trainer_evaluate before trainer_prepare");
    if (trainer->groups == 0)
        FAIL(STATUS_USAGE,
             "there is no held-out text; set data.valid, or data.valid_fraction above 0");
    TRY(crew_fail(trainer, average_weights(trainer)));
    atomic_store(&trainer->next_group, groups_before(trainer, trainer->crew.replica));
    enum status status = workers_run(trainer, TASK_EVALUATE);
    if (!status) status = share_groups(trainer);
    TRY(crew_fail(trainer, status));
    int64_t tokens = 0;
    for (int64_t group = 0; group < trainer->groups; group++) tokens += trainer->tokens[group];
    *loss_p = pairwise_sum(trainer->loss, trainer->groups) / (double)(tokens ? tokens : 1);
    *tokens_p = tokens;
    return STATUS_OK;
}
