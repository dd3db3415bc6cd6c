// SPDX-License-Identifier: Apache-2.0
#include "data/augment.h"

#include "base/philox.h"

enum change { DROP, SWAP, MASK, UNKNOWN, CHANGES };

static struct philox_address address(const struct augmentation *a, enum change change,
                                     uint32_t epoch, uint32_t example, int text)
{
    uint32_t operation = (uint32_t)(CHANGES * text) + (uint32_t)change;
    return (struct philox_address){.seed = a->seed,
                                   .stream = philox_stream(PHILOX_DATA, operation),
                                   .step = epoch,
                                   .sequence = example};
}

static int64_t drop(struct philox_address at, double rate, int32_t *ids, int64_t n)
{
    int64_t left = 0;
    // The last one stays where all others went.
    for (int64_t i = 0; i < n; i++)
        if (philox_uniform(at, (uint64_t)i) >= rate || (i == n - 1 && left == 0))
            ids[left++] = ids[i];
    return left;
}

static void swap(struct philox_address at, double rate, int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i + 1 < n; i++) {
        if (philox_uniform(at, (uint64_t)i) >= rate) continue;
        int32_t id = ids[i];
        ids[i] = ids[i + 1];
        ids[++i] = id;
    }
}

static void replace(struct philox_address at, double rate, int32_t by, int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (philox_uniform(at, (uint64_t)i) < rate) ids[i] = by;
}

int64_t augment(const struct augmentation *a, uint32_t epoch, uint32_t example, int text,
                int32_t *ids, int64_t n)
{
    if (a->drop > 0) n = drop(address(a, DROP, epoch, example, text), a->drop, ids, n);
    if (a->swap > 0) swap(address(a, SWAP, epoch, example, text), a->swap, ids, n);
    if (a->mask > 0) replace(address(a, MASK, epoch, example, text), a->mask, a->mask_id, ids, n);
    if (a->unknown > 0)
        replace(address(a, UNKNOWN, epoch, example, text), a->unknown, a->unknown_id, ids, n);
    return n;
}
