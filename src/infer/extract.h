// SPDX-License-Identifier: Apache-2.0
// Summaries that are sentences of their texts, by several workers: what `stentor summarize` does with a model of sentences.
//
// Texts are cut (text/sentences.h), all their sentences scored (classify.h), and of each text those with the highest scores are kept, in
// the text's order; of equally good ones the first. What a text gets depends on the texts alone, not on the workers.
#ifndef STN_INFER_EXTRACT_H
#define STN_INFER_EXTRACT_H

#include "infer/classify.h"

struct extractor;
// Borrows the model; NULL: the first sentences of every text are its summary, and scores are 0. rows: sentences of a batch.
// Fails: STATUS_UNSUPPORTED for a model that chooses no sentences, or without its tokenizer.
enum status extractor_create(const struct loaded_model *model, int64_t rows, int workers,
                             struct extractor **extractor_p) CHECK_RESULT;
void extractor_destroy(struct extractor *extractor); // NULL is fine

struct extract_input {
    struct text text;
    bool list; // its lines are its sentences
};
struct chosen_sentence {
    struct text text; // in the input
    int64_t number;   // in the text, from 0
    float score;      // the worth that the model expects, from 0 to 1 with LOSS_BINARY
};
struct extraction {
    struct chosen_sentence *chosen; // in the text's order; NULL of a text without sentences
    int64_t count, sentences;       // chosen; of the text
    int64_t left;                   // tokens of its sentences behind the model's context, not read
    int64_t unknown;                // characters that the tokenizer lacks, left out
    bool done;                      // false: stopped before
};
void extraction_release(struct extraction *extraction);
// The best `most` sentences of each text: extractions [count] are the caller's, who releases them, also after a failure. Fails:
// STATUS_MEMORY; STATUS_DIVERGED for a score that is not finite: the texts before that one are done.
enum status extractor_run(struct extractor *extractor, const struct extract_input *inputs,
                          int64_t count, int64_t most, struct extraction *extractions) CHECK_RESULT;
// From a signal handler: no other batch is begun.
void extractor_stop(struct extractor *extractor);
#endif
