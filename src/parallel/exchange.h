// SPDX-License-Identifier: Apache-2.0
// The exchange `direct` over shared memory: every owner sums its slice up the tree, measures it, updates it, where it lies.
//
// A step: all workers have folded their gradients, barrier, exchange_reduce, barrier, exchange_measure, exchange_update, barrier.
// Each function works on the slice of `owner` alone; the caller keeps the barriers (and so knows what waiting costs). One node's
// gradient is used where it lies, two are added where they are used, and the sum of more replaces the first node's buffer.
// Nothing is copied, and nothing is allocated after exchange_create.
#ifndef STN_PARALLEL_EXCHANGE_H
#define STN_PARALLEL_EXCHANGE_H

#include "optim/optim.h"
#include "parallel/gradients.h"

// A parameter's elements in the block: [first, last), and whether weight decay, L1 and L2 apply to them.
struct segment {
    int64_t first, last;
    bool decay;
};

struct exchange_setup {
    int64_t elements; // of the blocks, padding included
    int workers, leaves;
    int owners; // of slices: the workers' threads, worker after worker; 0: the workers
    enum isa isa;
    struct optimizer_config optimizer;
    float *weights, *state[2]; // borrowed; state NULL where the optimizer keeps none
    const struct segment
        *segment; // borrowed; in order; what lies between them is padding and stays 0
    int segments;
};
struct exchange;

// Fails: STATUS_USAGE listing the exchanges that this build has.
enum status exchange_check(const char *name) CHECK_RESULT;
enum status exchange_create(const struct exchange_setup *setup,
                            struct exchange **exchange_p) CHECK_RESULT;
void exchange_destroy(struct exchange *exchange);
// Bytes that exchange_create takes.
size_t exchange_bytes(int64_t elements, int owners, int leaves);

// Where the workers' nodes lie: run r is [border[r], border[r + 1]), its sums in gradients[r]. Called while no worker is in the exchange.
void exchange_route(struct exchange *exchange, const int *border,
                    const struct gradients *const *gradients);
// Sums the slice of `owner` up the tree, and takes the squares (of the gradient times scale) and the largest magnitude on the way.
void exchange_reduce(struct exchange *exchange, int owner, double scale);
// Bytes that all owners together read and write in one exchange_reduce and one exchange_update, between them and memory.
struct exchange_traffic {
    double reduce, update;
};
struct exchange_traffic exchange_traffic(const struct exchange *exchange);
// After a barrier: the same numbers for every worker. Not finite when an element is not.
struct gradient_size {
    double norm,
        largest; // of the gradient times scale; largest is 0 unless clip_infinity asks for it
};
struct gradient_size exchange_measure(const struct exchange *exchange, double scale);
// Updates weights and state of the slice. step->decay is set here.
void exchange_update(struct exchange *exchange, int owner, const struct optimizer_step *step);
#endif
