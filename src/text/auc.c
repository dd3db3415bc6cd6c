// SPDX-License-Identifier: Apache-2.0
#include "text/auc.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct auc_entry {
    double score;
    int64_t positive;
};

void auc_release(struct auc *auc)
{
    free(auc->entries);
    *auc = (struct auc){0};
}

static enum status reserve(struct auc *auc, int64_t more)
{
    if (more <= auc->room - auc->count) return STATUS_OK;
    int64_t room = auc->count + more;
    if (room < 2 * auc->room) room = 2 * auc->room;
    TRY(memory_grow(&auc->entries, (size_t)room, sizeof *auc->entries, "a list of scores"));
    auc->room = room;
    return STATUS_OK;
}

enum status auc_add(struct auc *auc, double score, bool positive)
{
    if (isnan(score))
        FAIL(STATUS_INPUT, "score %lld is no number, so there is no order",
             (long long)auc->count + 1);
    TRY(reserve(auc, 1));
    auc->entries[auc->count++] = (struct auc_entry){score, positive};
    return STATUS_OK;
}

enum status auc_merge(struct auc *into, const struct auc *from)
{
    TRY(reserve(into, from->count));
    if (from->count)
        memcpy(into->entries + into->count, from->entries,
               (size_t)from->count * sizeof *from->entries);
    into->count += from->count;
    return STATUS_OK;
}

static int by_score(const void *one, const void *two)
{
    double a = ((const struct auc_entry *)one)->score, b = ((const struct auc_entry *)two)->score;
    return (a > b) - (a < b);
}

double auc_score(struct auc *auc)
{
    int64_t negatives = 0, positives = 0;
    double doubled = 0; // twice the pairs in order: whole numbers
    if (auc->count) qsort(auc->entries, (size_t)auc->count, sizeof *auc->entries, by_score);
    for (int64_t i = 0; i < auc->count;) {
        int64_t first = i, here = 0;
        for (; i < auc->count && auc->entries[i].score == auc->entries[first].score; i++)
            here += auc->entries[i].positive;
        int64_t tied = i - first - here;
        doubled += (double)here * (double)(2 * negatives + tied);
        negatives += tied;
        positives += here;
    }
    if (!negatives || !positives) return (double)NAN;
    return doubled / 2 / ((double)positives * (double)negatives);
}
