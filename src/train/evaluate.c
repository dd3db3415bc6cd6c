// SPDX-License-Identifier: Apache-2.0
// Evaluation: fixed groups of the held-out data; workers take groups as they get free.
//
// A group's loss depends on the group alone, and the groups' losses are summed along a fixed tree: the same bits for any
// number of workers. A wish to stop leaves groups undone, and all replicas see by their token counts that there are some.
#include "parallel/slices.h"
#include "train/internal.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

static int64_t chain_of(const struct trainer *trainer)
{
    return trainer->feed.chain ? trainer->feed.chain : 1;
}

static void loss_yield(void *context, int tag, const void *data)
{
    struct worker *worker = context;
    const struct trainer *trainer = worker->trainer;
    if (tag == 0)
        worker->loss = *(const float *)data;
    else if (tag == 1)
        trainer->feed.kind->take(trainer, worker->rank, worker->group, data);
    else
        carry_take_group(trainer, worker->group / chain_of(trainer), data);
}

// Replicas share the groups out evenly, since none can see how far the others are.
int64_t groups_before(const struct trainer *trainer, int replica)
{
    int64_t chain = chain_of(trainer);
    return trainer->feed.groups / chain * replica / trainer->crew.replicas * chain;
}

static void evaluate_group(struct worker *worker, int64_t group)
{
    struct trainer *trainer = worker->trainer;
    const struct feed_kind *kind = trainer->feed.kind;
    worker->group = group;
    struct worker_program *evaluation =
        &worker->evaluation[kind->group_shape ? kind->group_shape(trainer, group) : 0];
    trainer->tokens[group] = kind->fill_group(trainer, group, &evaluation->inputs);
    program_run(evaluation->program, loss_yield, worker);
    trainer->loss[group] = (double)worker->loss;
}

void worker_evaluate(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    int64_t chain = chain_of(trainer), last = groups_before(trainer, trainer->crew.replica + 1);
    for (;;) {
        int64_t group = atomic_fetch_add(&trainer->next_group, chain);
        if (group >= last) return;
        for (int64_t i = 0; i < chain; i++) {
            if (trainer->stop.asked(trainer)) return;
            evaluate_group(worker, group + i);
        }
    }
}

enum { UNDONE = -1 };

static void begin_groups(struct trainer *trainer)
{
    int64_t first = groups_before(trainer, trainer->crew.replica);
    int64_t last = groups_before(trainer, trainer->crew.replica + 1);
    for (int64_t group = first; group < last; group++) trainer->tokens[group] = UNDONE;
    atomic_store(&trainer->next_group, first);
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

static enum status all_done(struct trainer *trainer)
{
    for (int64_t group = 0; group < trainer->feed.groups; group++)
        if (trainer->tokens[group] == UNDONE) {
            trainer->crew.agreed = true;
            FAIL(STATUS_INTERRUPTED, "stopped in the evaluation of step %lld",
                 (long long)trainer->position.step);
        }
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
    begin_groups(trainer);
    enum status status = workers_run(trainer, TASK_EVALUATE);
    if (!status) status = share_groups(trainer);
    TRY(crew_fail(trainer, status));
    int64_t tokens = 0;
    TRY(all_done(trainer));
    for (int64_t group = 0; group < trainer->feed.groups; group++) tokens += trainer->tokens[group];
    *loss_p = pairwise_sum(trainer->loss, trainer->feed.groups) / (double)(tokens ? tokens : 1);
    *tokens_p = tokens;
    return STATUS_OK;
}

// Of what train.measure asks for (run_best turns it round): the loss, or how much is missing.
static double badness_of(const struct run_config *config, const struct evaluation_report *report)
{
    if (!strcmp(config->measure, "loss")) return report->loss;
    for (int i = 0; i < report->measures; i++)
        if (!strcmp(report->measure[i].tag + strlen("val/"), config->measure))
            return 1 - report->measure[i].value;
    return (double)NAN;
}

enum status trainer_measure(struct trainer *trainer, struct evaluation_report *report_p)
{
    const struct feed_kind *kind = trainer->feed.kind;
    struct evaluation_report report = {0};
    TRY(trainer_evaluate(trainer, &report.loss, &report.targets));
    if (kind->measure) TRY(crew_fail(trainer, kind->measure(trainer, &report)));
    report.badness = badness_of(&trainer->config, &report);
    if (isnan(report.badness) && !isnan(report.loss))
        FAIL(STATUS_DIVERGED,
             "train.measure: %s is not known, since scores of held-out rows are not numbers",
             trainer->config.measure);
    *report_p = report;
    return STATUS_OK;
}
