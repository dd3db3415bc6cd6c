// SPDX-License-Identifier: Apache-2.0
// The area under the ROC curve: the share of pairs (positive, negative) in the right order, ties counting half. Exact.
#ifndef STN_TEXT_AUC_H
#define STN_TEXT_AUC_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

// Starts as {0}. Keeps all scores, 16 bytes each: their order decides, and it is known only when all are there.
struct auc {
    struct auc_entry *entries;
    int64_t count, room;
};
void auc_release(struct auc *auc);
// Fails: STATUS_INPUT for a score that is no number.
enum status auc_add(struct auc *auc, double score, bool positive) CHECK_RESULT;
enum status auc_merge(struct auc *into, const struct auc *from) CHECK_RESULT;
// NaN where all are positive, or none. Sorts what is there.
double auc_score(struct auc *auc);
#endif
