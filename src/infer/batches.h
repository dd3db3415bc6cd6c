// SPDX-License-Identifier: Apache-2.0
// Inputs over workers: sorted by length into batches of a fixed number, which threads take one after another, the longest first: thread k
// begins with batch k.
//
// Which inputs share a batch is fixed by the inputs alone, never by who computes it or how many workers there are; results go where the
// caller wants them, so their order is the inputs'.
#ifndef STN_INFER_BATCHES_H
#define STN_INFER_BATCHES_H

#include "base/team.h"

#include <stdatomic.h>

// Computes `count` inputs, whose numbers are members[0 .. count - 1], as worker 0 .. threads - 1; several call it at a time.
typedef enum status (*batch_function)(void *context, int worker, const int64_t *members,
                                      int64_t count);
struct batches {
    const int64_t *lengths; // [count], what an input costs; negative: it is left out
    int64_t count, rows;    // rows: inputs of a batch
    atomic_bool *stop;      // (optional) once it is true no other batch is begun
};
// By the threads of `team` (NULL: one). Fails: STATUS_MEMORY; else the error of the first batch that fails; no other is begun then.
enum status batches_run(const struct batches *batches, struct team *team, batch_function compute,
                        void *context) CHECK_RESULT;
#endif
