// SPDX-License-Identifier: Apache-2.0
// Where the time of training steps goes: the workers' programs and what they do between them.
#include "backend/profile.h"

#include "train/internal.h"

void trainer_profile_start(struct trainer *trainer, const struct roof *threads)
{
    trainer->roof = *threads;
    trainer->profile_from = trainer->position.step;
    for (int r = 0; r < trainer->workers; r++) {
        for (int i = 0; i < trainer->feed.shapes; i++)
            program_profile(trainer->worker[r].training[i].program, true);
        trainer->worker[r].times = (struct step_times){0};
    }
}

// Threads that compute at once: workers without a leaf do not.
static int computing(const struct trainer *trainer)
{
    return trainer->workers < trainer->leaves ? trainer->workers : trainer->leaves;
}

void trainer_profile_read(const struct trainer *trainer, struct train_profile *profile_p)
{
    int threads = computing(trainer);
    const struct roof core = {trainer->roof.fma / threads, trainer->roof.triad / threads};
    struct exchange_traffic traffic = exchange_traffic(trainer->exchange);
    *profile_p = (struct train_profile){
        .steps = trainer->position.step - trainer->profile_from,
        .workers = trainer->workers,
        .reduce_bytes = traffic.reduce,
        .update_bytes = traffic.update,
        .threads = trainer->roof,
    };
    for (int r = 0; r < trainer->workers; r++) {
        const struct worker *worker = &trainer->worker[r];
        for (int i = 0; i < trainer->feed.shapes; i++)
            profile_add(&profile_p->operations, worker->training[i].program,
                        trainer->parameters.count, &core);
        profile_p->data += worker->times.data;
        profile_p->wait += worker->times.wait;
        profile_p->reduce += worker->times.reduce;
        profile_p->update += worker->times.update;
        profile_p->step += worker->times.step;
    }
    profile_p->fold = profile_p->operations.yield_seconds;
    profile_sort(&profile_p->operations);
}
