// SPDX-License-Identifier: Apache-2.0
// The record of a step. A replica's region: whether it has been asked to stop, its workers' seconds, losses and token counts of
// the micro-batches of its leaves. What decides (loss, borders, the end) is then computed by every replica from the same numbers.
#include "train/internal.h"

#include <string.h>

_Static_assert(sizeof(double) == sizeof(uint64_t), "a number takes 8 bytes");

int64_t first_micro_batch(const struct trainer *trainer, int leaf)
{
    return trainer->micro_batches * leaf / trainer->leaves;
}

// Micro-batches of replica r's leaves.
static int64_t micro_batches_of(const struct trainer *trainer, int r, int64_t *first_p)
{
    const int *base = trainer->crew.base;
    *first_p = first_micro_batch(trainer, trainer->border[base[r]]);
    return first_micro_batch(trainer, trainer->border[base[r + 1]]) - *first_p;
}

static size_t numbers_of(const struct trainer *trainer)
{
    const struct crew *crew = &trainer->crew;
    return (size_t)crew->replicas + (size_t)crew->all + 2 * (size_t)trainer->micro_batches;
}

size_t agreement_bytes(const struct trainer *trainer)
{
    if (!trainer->crew.net) return 0;
    return numbers_of(trainer) * sizeof(uint64_t) +
           ((size_t)trainer->crew.replicas + 1) * sizeof(size_t);
}

bool agreement_init(struct trainer *trainer)
{
    struct agreement *agreement = &trainer->agreement;
    if (!trainer->crew.net) return true;
    agreement->record =
        arena_take(trainer->tables, numbers_of(trainer) * sizeof *agreement->record);
    agreement->offset = arena_take(trainer->tables, ((size_t)trainer->crew.replicas + 1) *
                                                        sizeof *agreement->offset);
    return agreement->record && agreement->offset;
}

// Copies `count` numbers into the record or out of it; returns where the next ones lie.
static uint64_t *copy(uint64_t *at, void *numbers, int64_t count, bool in)
{
    size_t bytes = (size_t)count * sizeof *at;
    if (count) memcpy(in ? (void *)at : numbers, in ? numbers : (void *)at, bytes);
    return at + count;
}

static void copy_region(struct trainer *trainer, int r, bool in)
{
    const struct crew *crew = &trainer->crew;
    uint64_t *at = trainer->agreement.record + trainer->agreement.offset[r] / sizeof(uint64_t);
    int64_t first, count = micro_batches_of(trainer, r, &first);
    uint64_t stops = in && train_stop_requested(trainer);
    at = copy(at, &stops, 1, in);
    at = copy(at, trainer->compute_seconds + crew->base[r], crew->base[r + 1] - crew->base[r], in);
    at = copy(at, trainer->loss + first, count, in);
    copy(at, trainer->tokens + first, count, in);
    if (!in) trainer->crew.stops |= stops != 0;
}

enum status agreement_share(struct trainer *trainer)
{
    const struct crew *crew = &trainer->crew;
    size_t *offset = trainer->agreement.offset;
    for (int i = 0; i < trainer->workers; i++)
        trainer->compute_seconds[crew->first + i] = trainer->worker[i].compute_seconds;
    for (int r = 0; r < crew->replicas; r++) {
        int64_t first, micro_batches = micro_batches_of(trainer, r, &first);
        int64_t numbers = 1 + crew->base[r + 1] - crew->base[r] + 2 * micro_batches;
        offset[r + 1] = offset[r] + (size_t)numbers * sizeof(uint64_t);
    }
    copy_region(trainer, crew->replica, true);
    TRY(comm_share(crew->net, trainer->agreement.record, offset));
    for (int r = 0; r < crew->replicas; r++) copy_region(trainer, r, false);
    return STATUS_OK;
}
