// SPDX-License-Identifier: Apache-2.0
// The search for the likeliest target of a source, for models with an encoder and a decoder: greedy, beams, or draws.
//
// Beams (Graves 2012, arXiv:1211.3711; as in fairseq): of all continuations of a source's beams the likeliest 2 * beams are looked
// at, in the order of their log probability, equal ones by beam and then by id. One that ends, among the first `beams` of them, is a
// finished hypothesis; the first `beams` of the others go on. The search of a source is over when it has `beams` finished ones; at the
// most tokens only the end is allowed, so it is always over. Score: log probability / length^penalty, the end counted as a token: the
// length_penalty of transformers and fairseq's lenpen (0: the sum, 1: the mean of Cho et al. 2014). One beam is greedy decoding.
// A source's result depends on itself and the options alone: not on the batch, the threads or the instruction set.
#ifndef STN_INFER_SEARCH_H
#define STN_INFER_SEARCH_H

#include "base/stop.h"
#include "infer/generate.h"

struct search_options {
    int64_t beams;         // 5
    int64_t n_best;        // 1: how many hypotheses of a source are wanted, at most `beams`
    double length_penalty; // 1
    int64_t max_tokens;    // 0: twice as many as the source has, and 10 more
    int64_t batch;         // 32 sources at a time
    // Draws n_best targets instead of searching, with temperature, top_k, top_p, min_p and seed of `sampling`.
    bool draws;
    struct generate_options sampling;
    const struct stop *stop; // (optional) asked before each token
};
void search_defaults(struct search_options *options);
// Fails: STATUS_USAGE naming the option, value and range.
enum status search_check(const struct search_options *options) CHECK_RESULT;

struct search_source {
    const int32_t *ids; // 1 to the model's context, the source's end among them
    int64_t count;
    uint64_t number; // what draws are addressed by, with seed and token: the line, say
};
struct hypothesis {
    int32_t *ids; // without the end
    int64_t count;
    double log_probability; // of all tokens and the end
    double score;           // the same / (count + 1)^length_penalty
    bool cut;               // no end came by itself
};
struct search_result {
    struct hypothesis *
        best; // the best first; of equal ones the one that was finished first. Draws: in their order
    int64_t count;
};
void search_result_release(struct search_result *result);

// What one thread searches with. Borrows the model, which several may share.
struct search;
// Fails: STATUS_UNSUPPORTED for models without an encoder and a decoder; STATUS_USAGE as search_check.
enum status search_create(const struct loaded_model *model, const struct search_options *options,
                          struct search **search_p) CHECK_RESULT;
void search_destroy(struct search *search);
// The most tokens of a source: the model's context.
int64_t search_most_tokens(const struct search *search);
// The end of a target, and of a source.
int32_t search_end(const struct search *search);
int32_t search_source_end(const struct search *search);
// Bytes that `searchers` of them take, about, when they have searched for targets, as long as they may be, of sources of so many ids,
// [count] in falling order: searcher k begins with batch k, and the rest is anybody's (batches.h). The weights need not be there. Fails: as
// search_create; STATUS_MEMORY.
enum status search_bytes(const struct loaded_model *model, const struct search_options *options,
                         int searchers, const int64_t *lengths, int64_t count,
                         size_t *bytes_p) CHECK_RESULT;
// Searches for the targets of at most `batch` sources; a batch of sources of nearly the same length is done soonest. results [count]
// are the caller's, who releases them; on failure none is there.
// Fails: STATUS_MEMORY; STATUS_USAGE for ids out of range; STATUS_DIVERGED when probabilities are not finite; STATUS_INTERRUPTED.
enum status search_run(struct search *search, const struct search_source *sources, int64_t count,
                       struct search_result *results) CHECK_RESULT;
#endif
