// SPDX-License-Identifier: Apache-2.0
// The beams of one source, step by step: which continuations are kept, and which hypotheses are finished. No model in it.
#ifndef STN_INFER_BEAMS_H
#define STN_INFER_BEAMS_H

#include "infer/search.h"

struct continuation {
    double sum; // log probability of all tokens
    int32_t beam, id;
};
struct beams {
    int64_t width;             // how many there are at most
    int64_t steps;             // room for so many tokens, the end counted
    int64_t most;              // tokens of the present source
    int64_t step;              // tokens so far
    int64_t alive;             // beams that go on
    bool done;                 // all is found
    bool draws;                // every beam goes its own way
    double *sums;              // [width] log probability of each
    int32_t *tokens;           // [steps, width] each token,
    int32_t *parent;           // [steps, width] and which beam it came behind
    bool *ended;               // [width] draws that are finished
    struct continuation *list; // [2 * width] the likeliest, the best first
    int64_t listed;
    struct hypothesis *finished; // [2 * width], the best first
    int64_t found;
    double length_penalty;
};
enum status beams_create(int64_t width, int64_t steps, double length_penalty, bool draws,
                         struct beams *beams_p) CHECK_RESULT;
void beams_release(struct beams *beams);
// Bytes of one.
size_t beams_bytes(int64_t width, int64_t steps);
// A new source, whose targets have at most `most` tokens, less than `steps`, and then the end.
void beams_start(struct beams *beams, int64_t most);
// Offers all continuations of beam `beam`, in the order of beams: log_probabilities [end + 1], the last of them the end's.
void beams_offer(struct beams *beams, int64_t beam, const float *log_probabilities, int32_t end);
// The same for a draw: the one that was chosen.
void beams_offer_one(struct beams *beams, int64_t beam, int32_t id, double log_probability);
// Ends the step: beam i goes on from parents[i] with tokens[i] for i < alive. Fails: STATUS_MEMORY; STATUS_DIVERGED
// when nothing finite was offered.
enum status beams_advance(struct beams *beams, int32_t end, int32_t *parents,
                          int32_t *tokens) CHECK_RESULT;
// Hands over the first `count` finished hypotheses, or as many as there are.
enum status beams_take(struct beams *beams, int64_t count,
                       struct search_result *result_p) CHECK_RESULT;
#endif
