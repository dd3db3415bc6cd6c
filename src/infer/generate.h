// SPDX-License-Identifier: Apache-2.0
// Text generation with a key-value cache.
#ifndef STN_INFER_GENERATE_H
#define STN_INFER_GENERATE_H

#include "store/model_directory.h"

struct generate_options {
    int64_t max_tokens;        // 200
    double temperature;        // 0: greedy
    int64_t top_k;             // 0: all
    double top_p, min_p;       // 1, 0: off
    double repetition_penalty; // 1: off. Source: Keskar et al. 2019, arXiv:1909.05858
    uint64_t seed;
    const char *const
        *stop; // NULL or strings, ending with NULL; the stop string itself is not given out
};
void generate_defaults(struct generate_options *options);
enum status generate_check(const struct generate_options *options)
    CHECK_RESULT; // STATUS_USAGE naming option, value, range

struct generator; // graphs and cache for one model, one sequence at a time
// Borrows the model, which must outlive it. Several generators may share a model, one thread each.
// threads: at least 1; what it writes is the same for any number.
enum status generator_create(const struct loaded_model *model, int threads,
                             struct generator **generator_p) CHECK_RESULT;
void generator_destroy(struct generator *generator);
// Gives text to `emit` as it is made: whole characters, bytes that might begin a stop string held back. emit
// returns false to stop.
// stopped: by a stop string. At the end, bytes that wait are given out, but for the first bytes of a
// character that never became whole.
struct generate_result {
    int64_t tokens;
    double seconds;
    bool stopped;
};
typedef bool (*emit_function)(void *context, const uint8_t *text, size_t bytes);
// An empty prompt starts from the tokenizer's newline, or id 0. Of a prompt longer than the context its end is read, by a model that
// carries a state all. result_p may be NULL.
// Fails: STATUS_USAGE (options), STATUS_INPUT (a character of the prompt that the tokenizer lacks),
// STATUS_UNSUPPORTED (no tokenizer), STATUS_DIVERGED (logits that are not finite; text so far was emitted).
enum status generator_run(struct generator *generator, const uint8_t *prompt, size_t prompt_bytes,
                          const struct generate_options *options, emit_function emit, void *context,
                          struct generate_result *result_p) CHECK_RESULT;
// Logits [count, vocabulary] of a sequence of 1 to context ids, for tests and scoring. logits: caller's.
// Fails: STATUS_USAGE naming the id that is not in the vocabulary, or a count out of range.
enum status generator_logits(struct generator *generator, const int32_t *ids, int64_t count,
                             float *logits) CHECK_RESULT;
#endif
