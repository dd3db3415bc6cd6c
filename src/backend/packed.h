// SPDX-License-Identifier: Apache-2.0
// Packed copies of weights: written once after every update, read by all programs of a process.
//
// A step whose kernel reads a weight in another order than it lies in says so (struct packing, backend.h). Steps that
// read the same weight in the same order share one copy, whatever program they are in; all copies lie in one block.
// Order of calls: programs created -> packed_create (knows bytes) -> packed_prepare -> packed_use for each program ->
// and after each change of the weights packed_fill by every worker, for its share, and a barrier; or, where packed_follows, once a
// fill, and from then on packed_follow by whoever changes a range, right after. No lock; nothing is allocated after packed_prepare.
#ifndef STN_BACKEND_PACKED_H
#define STN_BACKEND_PACKED_H

#include "backend/backend.h"

// What may be taken for copies that only save the time of packing (struct packing, `spare`). They are kept where all of them
// together are at most this: then they live in the last-level cache, where the products of one core gained 1 to 5 %
// (bench/gemm, character model). Larger models have more rows for each weight, gain less, and need the memory.
enum { PACKED_SPARE_BYTES = 16 << 20 };

struct packed;
// The copies that `count` programs would read. Fails: STATUS_MEMORY.
enum status packed_create(struct program *const *programs, int count,
                          struct packed **packed_p) CHECK_RESULT;
void packed_destroy(struct packed *packed); // NULL: nothing
// Bytes of all copies; 0 when there is none.
size_t packed_bytes(const struct packed *packed);
// Takes the memory. weights: the block that parameters lie in, borrowed.
enum status packed_prepare(struct packed *packed, const real *weights) CHECK_RESULT;
// Has the program's steps read the copies from its next run on.
void packed_use(const struct packed *packed, struct program *program);
// Writes share `part` of `parts` of all copies from the weights as they are. Shares are of nearly equal size.
void packed_fill(const struct packed *packed, int part, int parts);
// Whether all copies can be written by ranges: those of bf16 and bf16x3.
bool packed_follows(const struct packed *packed);
// Of a piece of the block, one thread writes weight after weight anew from its beginning to its end, and tells here what it has just
// written: what of the copies is complete is written too, while the weights are in a cache. Pieces of several threads do not overlap.
struct packed_piece {
    int64_t first, last; // the piece, elements of the block
    int64_t from, to;    // just written
};
void packed_follow(const struct packed *packed, const struct packed_piece *piece);
#endif
