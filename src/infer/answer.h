// SPDX-License-Identifier: Apache-2.0
// Answers as pieces of contexts, by several workers: what `stentor answer` does. What a window gets depends on the windows alone, not on
// the workers.
#ifndef STN_INFER_ANSWER_H
#define STN_INFER_ANSWER_H

#include "data/best_answer.h"
#include "store/model_directory.h"

struct answerer;
// Borrows the model. rows: windows of a batch. Fails: STATUS_UNSUPPORTED for a model of another task, or without its tokenizer.
enum status answerer_create(const struct loaded_model *model, int64_t rows, int workers,
                            struct answerer **answerer_p) CHECK_RESULT;
void answerer_destroy(struct answerer *answerer); // NULL is fine
// The best span of every window: spans [windows.count]. Fails: STATUS_MEMORY.
enum status answerer_run(struct answerer *answerer, const struct answers *answers,
                         const struct answer_choice *choice,
                         struct answer_span *spans) CHECK_RESULT;
// From a signal handler: no other batch is begun.
void answerer_stop(struct answerer *answerer);
#endif
