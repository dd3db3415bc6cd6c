// SPDX-License-Identifier: Apache-2.0
// Which samples of a step stand in which micro-batch, and so in which leaf of the batch tree: a bijection of the batch, fixed by the
// run file, so that it changes no bit between numbers of workers. Who computes a leaf is decided elsewhere (parallel/borders.c).
//
//   contiguous    in the order they were drawn: leaf 0 has the first ones
//   interleaved   dealt out like cards: micro-batch m of M has samples m, m + M, m + 2M, …
//   length        samples of like length share a micro-batch: what buckets.h plans for examples. Windows of a text are equally long:
//                 for them it is contiguous
#ifndef STN_DATA_PARTITION_H
#define STN_DATA_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

enum partition_kind { PARTITION_CONTIGUOUS, PARTITION_INTERLEAVED, PARTITION_LENGTH };

struct partition {
    enum partition_kind kind;
    int64_t micro_batches, rows; // of a step; samples of each
};
// Returns false for an unknown name.
bool partition_find(const char *name, enum partition_kind *kind_p);
// Which sample of the step, 0 … batch - 1, is sequence `place` (0 … batch - 1: row place % rows of micro-batch place / rows).
int64_t partition_sample(const struct partition *partition, int64_t place);
#endif
