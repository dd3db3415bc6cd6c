// SPDX-License-Identifier: Apache-2.0
#include "text/confusion.h"

#include "base/memory.h"
#include "text/measure.h"

#include <stdlib.h>

enum status confusion_create(int classes, struct confusion *confusion_p)
{
    struct confusion confusion = {.classes = classes};
    if (classes < 1) FAIL(STATUS_USAGE, "a classifier of %d classes; it needs at least 1", classes);
    size_t n = (size_t)classes;
    enum status status =
        memory_allocate(n, sizeof *confusion.class, "counts of classes", &confusion.class);
    if (!status && classes <= CONFUSION_MOST)
        status =
            memory_allocate(n * n, sizeof *confusion.count, "a confusion matrix", &confusion.count);
    if (status) {
        confusion_release(&confusion);
        return status;
    }
    *confusion_p = confusion;
    return STATUS_OK;
}

void confusion_release(struct confusion *confusion)
{
    free(confusion->class);
    free(confusion->count);
    confusion->class = NULL;
    confusion->count = NULL;
}

void confusion_add(struct confusion *confusion, int truth, int predicted)
{
    INVARIANT(truth >= 0 && truth < confusion->classes && predicted >= 0 &&
                  predicted < confusion->classes,
              "classes %d and %d of %d", truth, predicted, confusion->classes);
    confusion->class[truth].there++;
    confusion->class[predicted].predicted++;
    if (truth == predicted) confusion->class[truth].right++;
    if (confusion->count) confusion->count[(int64_t)truth * confusion->classes + predicted]++;
}

void confusion_merge(struct confusion *into, const struct confusion *from)
{
    INVARIANT(into->classes == from->classes, "%d and %d classes", into->classes, from->classes);
    size_t classes = (size_t)into->classes;
    counts_add(into->class, from->class, classes * sizeof *into->class);
    if (into->count) counts_add(into->count, from->count, classes * classes * sizeof *into->count);
}

struct class_score confusion_class(const struct confusion *confusion, int class)
{
    const struct class_count *count = &confusion->class[class];
    struct class_score score = {.support = count->there};
    double right = (double)count->right;
    if (count->predicted) score.precision = right / (double)count->predicted;
    if (count->there) score.recall = right / (double)count->there;
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
        right += confusion->class[i].right;
        add_weighed(&score.weighted, &one, (double)one.support);
        if (one.support == 0 && confusion->class[i].predicted == 0) continue;
        add_weighed(&score.macro, &one, 1);
        occurring++;
    }
    double examples = (double)score.weighted.support;
    if (examples > 0) score.accuracy = (double)right / examples;
    divide(&score.macro, occurring);
    divide(&score.weighted, examples);
    return score;
}
