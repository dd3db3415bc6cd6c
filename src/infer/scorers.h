// SPDX-License-Identifier: Apache-2.0
// Programs that give the scores of a batch, one for each worker and length: batches are padded to 8, 12, 16, 24, 32, … tokens, and at
// most to the model's context; a program is made when the first batch of its length comes.
//
// Who scores examples owns one of these, fills a scorer's inputs, and runs its program; classify.c and answer.c do.
#ifndef STN_INFER_SCORERS_H
#define STN_INFER_SCORERS_H

#include "backend/backend.h"
#include "infer/batches.h"
#include "store/model_directory.h"

struct scorer {
    struct program *program;
    struct model_inputs inputs;
    int64_t rows, tokens; // tokens of a row: with what the model takes behind its end
    struct graph *graph;
    struct block arena;
};
// Starts as {0}; released by scorers_release, also after a failure.
struct scorers {
    const struct loaded_model *model; // borrowed
    enum model_tasks task;
    int64_t rows;       // of a batch, at most
    int64_t rows_asked; // of this call's: no more than its inputs fill, to a power of two
    int workers;
    struct team *team;      // NULL: one worker
    atomic_bool stop;       // no other batch is begun
    const int64_t *lengths; // of the present call's inputs
    struct scorer *list;
};
// Fails: STATUS_MEMORY.
enum status scorers_init(struct scorers *scorers, const struct loaded_model *model,
                         enum model_tasks task, int64_t rows, int workers) CHECK_RESULT;
void scorers_release(struct scorers *scorers);
// What scores a batch of these inputs, as this worker; owned by `scorers`. For batch functions. Fails: STATUS_MEMORY.
enum status scorers_get(struct scorers *scorers, int worker, const int64_t *members, int64_t count,
                        struct scorer **scorer_p) CHECK_RESULT;
// `compute` for batches of inputs of these lengths in tokens, by all workers, as batches_run.
enum status scorers_run(struct scorers *scorers, const int64_t *lengths, int64_t count,
                        batch_function compute, void *context) CHECK_RESULT;
#endif
