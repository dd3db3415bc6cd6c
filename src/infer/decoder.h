// SPDX-License-Identifier: Apache-2.0
// A model with what it keeps of a sequence (keys and values, or a carried state): ids in, logits out, one sequence.
//
// Two programs share cache and arena: one takes a single position, one a chunk of positions, padded at the
// end. Padding changes nothing: attention is causal, and what it leaves in the cache is overwritten before
// anything reads it. Models that carry a state are told how many tokens are there, and know no end of the context.
#ifndef STN_INFER_DECODER_H
#define STN_INFER_DECODER_H

#include "backend/backend.h"
#include "store/model_directory.h"

struct decode_graph {
    int64_t tokens; // positions that one run takes
    struct graph *graph;
    struct program *program;
    struct value
        *inputs[3]; // tokens [1, tokens], positions [1, tokens], number of cached positions [1]
    struct value
        *lengths; // of models that carry a state, else NULL: how many of the tokens are there, [1]
    struct value **cache; // [layers], of this graph
};

struct decoder {
    const struct loaded_model *model; // borrowed
    struct decode_graph step, chunk;
    struct team *team; // NULL for one thread
    struct block cache, arena;
    int64_t filled;   // positions in the cache, or, for models that carry a state, seen
    int32_t *history; // [context] their ids
    float *logits;    // [vocabulary] of the last position
};
// By `threads` threads, at least 1: the logits are the same bits for any number.
enum status decoder_create(const struct loaded_model *model, const struct backend *backend,
                           int threads, struct decoder *decoder_p) CHECK_RESULT;
void decoder_release(struct decoder *decoder); // also of a zeroed one
void decoder_start(struct decoder *decoder);   // an empty cache
// Appends ids (each within the vocabulary) to the sequence. logits: [count, vocabulary], or NULL;
// decoder->logits always has the last.
// When the context is full, the last half of it stays and is computed again from position 0.
void decoder_append(struct decoder *decoder, const int32_t *ids, int64_t count, float *logits);
#endif
