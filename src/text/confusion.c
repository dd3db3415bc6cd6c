// SPDX-License-Identifier: Apache-2.0
#include "text/confusion.h"

#include "base/memory.h"
#include "text/measure.h"

#include <stdlib.h>

enum status confusion_create(int classes, struct confusion *confusion_p)
{
    struct confusion confusion = {.classes = classes};
    if (classes < 1) FAIL(STATUS_USAGE, "a classifier of %d classes; it needs at least 1", classes);
    TRY(memory_allocate((size_t)classes * (size_t)classes, sizeof *confusion.count,
                        "a confusion matrix", &confusion.count));
    *confusion_p = confusion;
    return STATUS_OK;
}

void confusion_release(struct confusion *confusion)
{
    free(confusion->count);
    confusion->count = NULL;
}

void confusion_add(struct confusion *confusion, int truth, int predicted)
{
    INVARIANT(truth >= 0 && truth < confusion->classes && predicted >= 0 &&
                  predicted < confusion->classes,
              "classes %d and %d of %d", truth, predicted, confusion->classes);
    confusion->count[(int64_t)truth * confusion->classes + predicted]++;
}

void confusion_merge(struct confusion *into, const struct confusion *from)
{
    INVARIANT(into->classes == from->classes, "%d and %d classes", into->classes, from->classes);
    size_t cells = (size_t)into->classes * (size_t)into->classes;
    counts_add(into->count, from->count, cells * sizeof *into->count);
}

// What was predicted as `class`.
static int64_t predicted_count(const struct confusion *confusion, int class)
{
    int64_t count = 0;
    for (int i = 0; i < confusion->classes; i++)
        count += confusion->count[(int64_t)i * confusion->classes + class];
    return count;
}

struct class_score confusion_class(const struct confusion *confusion, int class)
{
    const int64_t *row = confusion->count + (int64_t) class * confusion->classes;
    struct class_score score = {0};
    int64_t predicted = predicted_count(confusion, class);
    for (int i = 0; i < confusion->classes; i++) score.support += row[i];
    double right = (double)row[class];
    if (predicted) score.precision = right / (double)predicted;
    if (score.support) score.recall = right / (double)score.support;
    score.f1 = f1_of(score.precision, score.recall);
    return score;
}

static void add_weighed(struct class_score *sum, const struct class_score *score, double weight)
{
    sum->precision += weight * score->precision;
    sum->recall += weight * score->recall;
    sum->f1 += weight * score->f1;
    sum->support += score->support;
}

static void divide(struct class_score *sum, double by)
{
    if (by == 0) return;
    sum->precision /= by;
    sum->recall /= by;
    sum->f1 /= by;
}

struct confusion_score confusion_score(const struct confusion *confusion)
{
    struct confusion_score score = {0};
    int occurring = 0;
    int64_t right = 0;
    for (int i = 0; i < confusion->classes; i++) {
        struct class_score one = confusion_class(confusion, i);
        right += confusion->count[(int64_t)i * confusion->classes + i];
        add_weighed(&score.weighted, &one, (double)one.support);
        if (one.support == 0 && predicted_count(confusion, i) == 0) continue;
        add_weighed(&score.macro, &one, 1);
        occurring++;
    }
    double examples = (double)score.weighted.support;
    if (examples > 0) score.accuracy = (double)right / examples;
    divide(&score.macro, occurring);
    divide(&score.weighted, examples);
    return score;
}
