// SPDX-License-Identifier: Apache-2.0
// Classification: a confusion matrix, and what is read from it: accuracy, precision, recall, F1.
#ifndef STN_TEXT_CONFUSION_H
#define STN_TEXT_CONFUSION_H

#include "base/status.h"

#include <stdint.h>

// Scores need three counts of a class. The matrix is for reading: of very many classes it would only take memory.
enum { CONFUSION_MOST = 1024 };
struct class_count {
    int64_t there, predicted, right;
};
struct confusion {
    int classes;
    struct class_count *class; // [classes], owned
    int64_t *
        count; // [classes of the truth][classes predicted], owned; NULL of more than CONFUSION_MOST
};
enum status confusion_create(int classes, struct confusion *confusion_p) CHECK_RESULT;
void confusion_release(struct confusion *confusion);
void confusion_add(struct confusion *confusion, int truth, int predicted);
void confusion_merge(struct confusion *into, const struct confusion *from); // of as many classes

struct class_score {
    double precision, recall, f1; // 0 where nothing was predicted, or nothing was there
    int64_t support;              // examples of the class
};
struct class_score confusion_class(const struct confusion *confusion, int class);
struct confusion_score {
    double
        accuracy; // with one label an example this is also micro-averaged precision, recall and F1
    struct class_score
        macro; // means over the classes that occur, in truth or prediction (as scikit-learn)
    struct class_score weighted; // weighed by support
};
struct confusion_score confusion_score(const struct confusion *confusion);
#endif
