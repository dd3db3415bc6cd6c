// SPDX-License-Identifier: Apache-2.0
// Evaluation: fixed groups of the held-out data; workers take groups as they get free.
//
// A group's loss depends on the group alone, and the groups' losses are summed along a fixed tree: the same bits for any
// number of workers.
#include "parallel/slices.h"
#include "train/internal.h"

#include <stdatomic.h>

static void loss_yield(void *context, int tag, const void *data)
{
    struct worker *worker = context;
    (void)tag;
    worker->loss = *(const float *)data;
}

// Replicas share the groups out evenly, since none can see how far the others are.
static int64_t groups_before(const struct trainer *trainer, int replica)
{
    return trainer->feed.groups * replica / trainer->crew.replicas;
}

void worker_evaluate(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    const struct feed_kind *kind = trainer->feed.kind;
    for (;;) {
        int64_t group = atomic_fetch_add(&trainer->next_group, 1);
        if (group >= groups_before(trainer, trainer->crew.replica + 1)) return;
        struct worker_program *evaluation =
            &worker->evaluation[kind->group_shape ? kind->group_shape(trainer, group) : 0];
        trainer->tokens[group] = kind->fill_group(trainer, group, &evaluation->inputs);
        program_run(evaluation->program, loss_yield, worker);
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
    if (trainer->feed.groups == 0)
        FAIL(STATUS_USAGE,
             "there is no held-out text; set data.valid, or data.valid_fraction above 0");
    TRY(crew_fail(trainer, average_weights(trainer)));
    atomic_store(&trainer->next_group, groups_before(trainer, trainer->crew.replica));
    enum status status = workers_run(trainer, TASK_EVALUATE);
    if (!status) status = share_groups(trainer);
    TRY(crew_fail(trainer, status));
    int64_t tokens = 0;
    for (int64_t group = 0; group < trainer->feed.groups; group++) tokens += trainer->tokens[group];
    *loss_p = pairwise_sum(trainer->loss, trainer->feed.groups) / (double)(tokens ? tokens : 1);
    *tokens_p = tokens;
    return STATUS_OK;
}
