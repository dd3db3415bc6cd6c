// SPDX-License-Identifier: Apache-2.0
// Scores of examples by several workers: classes, or a number. What an example gets depends on the examples alone, not on the workers.
#ifndef STN_INFER_CLASSIFY_H
#define STN_INFER_CLASSIFY_H

#include "store/model_directory.h"
#include "text/buffer.h"

struct classifier;
// Borrows the model. rows: examples of a batch. Fails: STATUS_UNSUPPORTED for a model without scores, or without a tokenizer.
enum status classifier_create(const struct loaded_model *model, int64_t rows, int workers,
                              struct classifier **classifier_p) CHECK_RESULT;
void classifier_destroy(struct classifier *classifier); // NULL is fine

// A text, or two of which the second is behind a mark; of models of numbers, as many numbers.
struct example_input {
    struct text text[2]; // at NULL: there is none
    const float *features;
    int64_t sentence, sentences; // of models of sentences: which of how many of a text, from 0
};
struct judgement {
    int32_t predicted; // class; 0 for a number
    int64_t left;      // tokens behind the model's context, which were not read
    int64_t unknown;   // characters that the tokenizer lacks, left out
    float *scores;     // [classes] as the model gives them; the caller's
    bool done;         // false: stopped before
};
// judgements: [count], scores of each set by the caller. Fails: STATUS_MEMORY.
enum status classifier_run(struct classifier *classifier, const struct example_input *inputs,
                           int64_t count, struct judgement *judgements) CHECK_RESULT;
// From a signal handler: no other batch is begun.
void classifier_stop(struct classifier *classifier);
// Names of classes that scores are about: 2 where the model has one score for two classes; 0 for numbers.
int32_t classifier_classes(const struct loaded_model *model);
// Probabilities of the classes where the loss gives any (softmax, binary), else the scores; one score of two classes becomes two.
void classifier_probabilities(const struct loaded_model *model, const float *scores, float *out);
#endif
