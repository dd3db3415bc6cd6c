// SPDX-License-Identifier: Apache-2.0
// From logits to one id. Arithmetic in double with stable functions and counted random numbers, ties to the
// lower id: the same choice on every machine. Order as in transformers: repetition penalty, temperature,
// top-k, top-p, min-p, draw.
#ifndef STN_INFER_SAMPLING_H
#define STN_INFER_SAMPLING_H

#include "infer/generate.h"

struct candidate {
    double weight; // exp((logit - largest logit) / temperature)
    int32_t id;
};

struct sampler {
    struct candidate *all, *heap; // [size] each
    uint8_t *seen;                // [size] 1 where the sequence so far holds the id
    int64_t size;                 // of the vocabulary
};
enum status sampler_create(int64_t size, struct sampler *sampler_p) CHECK_RESULT;
void sampler_release(struct sampler *sampler);
// Forgets what was seen.
void sampler_start(struct sampler *sampler);
void sampler_see(struct sampler *sampler, int32_t id);
// Chooses the id of token number `token` (counted from 0) from logits [size], which are changed by the penalty.
// Fails: STATUS_DIVERGED when a logit is NaN or infinity.
enum status sampler_choose(struct sampler *sampler, const struct generate_options *options,
                           int64_t token, float *logits, int32_t *id_p) CHECK_RESULT;
#endif
