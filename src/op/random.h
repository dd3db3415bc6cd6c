// SPDX-License-Identifier: Apache-2.0
// What the input `random` of dropout and attention means: U32 [4] = (seed low, seed high, step,
// first sequence).
#ifndef STN_OP_RANDOM_H
#define STN_OP_RANDOM_H

#include "base/philox.h"
#include "graph/graph.h"

// Where the bits of sequence `sequence` of this batch are drawn for dropout operation `operation`.
static inline struct philox_address dropout_address(const uint32_t *random, uint32_t operation,
                                                    int64_t sequence)
{
    return (struct philox_address){.seed = (uint64_t)random[1] << 32 | random[0],
                                   .stream = philox_stream(PHILOX_DROPOUT, operation),
                                   .step = random[2],
                                   .sequence = random[3] + (uint32_t)sequence};
}

// What an element is multiplied with: 0, or 1 / (1 - rate).
static inline real dropout_factor(struct philox_address address, uint64_t element, double rate)
{
    return philox_bits(address, element) < dropout_threshold(rate) ? 0 : (real)(1 / (1 - rate));
}
#endif
