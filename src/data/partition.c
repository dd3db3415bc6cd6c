// SPDX-License-Identifier: Apache-2.0
#include "data/partition.h"

#include "base/status.h"

#include <string.h>

bool partition_find(const char *name, enum partition_kind *kind_p)
{
    static const char *const names[] = {"contiguous", "interleaved", "length"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *kind_p = (enum partition_kind)i;
            return true;
        }
    return false;
}

int64_t partition_sample(const struct partition *p, int64_t place)
{
    int64_t m = place / p->rows, row = place % p->rows;
    INVARIANT(place >= 0 && m < p->micro_batches, "place %lld", (long long)place);
    return p->kind == PARTITION_INTERLEAVED ? row * p->micro_batches + m : place;
}
