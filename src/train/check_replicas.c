// SPDX-License-Identifier: Apache-2.0
// Replicas must have the same weights: a bit that differs is a fault of memory, of a network, or ours. Their hashes are compared now
// and then, and before every checkpoint, so that no checkpoint holds what one of them made up.
#include "train/internal.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

bool check_is_due(const struct trainer *trainer)
{
    int64_t every = trainer->config.parallel.check_every, step = trainer->position.step;
    if (!trainer->crew.net || every == 0) return false;
    return trainer->local ? average_passed(trainer, step, every) : step % every == 0;
}

// What most have, as far as one can tell: of equal numbers, what the lowest replica has.
static uint64_t most_common(const uint64_t *hash, int count)
{
    uint64_t found = hash[0];
    int most = 0;
    for (int i = 0; i < count; i++) {
        int alike = 0;
        for (int j = 0; j < count; j++) alike += hash[j] == hash[i];
        if (alike > most) {
            most = alike;
            found = hash[i];
        }
    }
    return found;
}

enum status check_replicas(struct trainer *trainer)
{
    struct crew *crew = &trainer->crew;
    if (!crew->net || trainer->checked == trainer->position.step) return STATUS_OK;
    TRY(serve_meet(trainer));
    uint64_t *hash = trainer->agreement.record;
    uint64_t own =
        XXH3_64bits(trainer->weights.data, (size_t)trainer->parameters.elements * sizeof(float));
    TRY(comm_gather(crew->net, &own, sizeof own, hash));
    uint64_t right = most_common(hash, crew->replicas);
    char text[400] = "";
    size_t used = 0;
    for (int r = 0; r < crew->replicas; r++) {
        if (hash[r] == right || used > sizeof text - 100) continue;
        int length = snprintf(text + used, sizeof text - used, "%s%d (%.*s)", used ? ", " : "", r,
                              CUT(comm_host(crew->net, r), 64));
        used += (size_t)length;
    }
    trainer->checked = trainer->position.step;
    if (!used) return STATUS_OK;
    crew->agreed = true; // all have seen the same
    FAIL(STATUS_PEER,
         "after step %lld process %s has other weights than the others: a fault of its memory, or "
         "of the network; nothing was written, --resume goes on from the newest checkpoint",
         (long long)trainer->position.step, text);
}
