// SPDX-License-Identifier: Apache-2.0
// Every worker owns a slice of the model: it sums the slice's gradients up the tree, keeps its optimizer state, updates it.
//
// The flat block is cut at multiples of SLICE_GRAIN elements, so that norms, which are summed over whole grains along a fixed tree,
// are the same bits for any number of workers.
#ifndef STN_PARALLEL_SLICES_H
#define STN_PARALLEL_SLICES_H

#include <stdint.h>

enum { SLICE_GRAIN = 1024 };

// Slice of worker `rank`: elements [*first_p, *last_p). Slices cover [0, elements) in order; later ones may be empty.
void slice_of(int64_t elements, int workers, int rank, int64_t *first_p, int64_t *last_p);
// The sum of n doubles along a fixed pairwise tree.
double pairwise_sum(const double *x, int64_t n);
#endif
