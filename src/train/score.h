// SPDX-License-Identifier: Apache-2.0
// How well a model that was read from disk predicts a text. Grouped and summed as the trainer's evaluation: the same text in
// groups of the same size gives the same bits, for any number of workers.
#ifndef STN_TRAIN_SCORE_H
#define STN_TRAIN_SCORE_H

#include "base/numeric.h"
#include "data/corpus.h"
#include "store/model_directory.h"

struct score {
    double loss;    // mean over targets, natural logarithm
    int64_t tokens; // targets: every id of the range but the first
    // Of the targets' text; characters: what UTF-8 makes of it, a stray byte counts as one. 0: the tokenizer does not keep bytes.
    int64_t bytes, characters;
    double seconds;
};
struct score_way {
    int64_t rows; // windows at a time
    int workers;
    enum precision precision; // of products
    // Models that have states to carry: as one stream, by one worker; what a window ended with the next begins with.
    bool carry;
    const struct stop *stop; // (optional) asked before each group: STATUS_INTERRUPTED
};
// Whether the model has a loss on running text. Fails: STATUS_UNSUPPORTED, naming what measures it instead.
enum status score_check(const struct loaded_model *model) CHECK_RESULT;
// Ids [first, last) of the corpus, in windows of the model's context without overlap; the last is padded.
// Fails: STATUS_INPUT when the range has fewer than 2, STATUS_MEMORY, STATUS_UNSUPPORTED where there is no state to carry.
enum status score_corpus(struct loaded_model *model, const struct corpus *corpus, int64_t first,
                         int64_t last, const struct score_way *way,
                         struct score *score_p) CHECK_RESULT;
// The same for text files, in float32: opens them with the model's tokenizer; their tokens lie in a file without a name.
// source->stop is the work's, too.
enum status score_text(struct loaded_model *model, const struct corpus_source *source, int64_t rows,
                       int workers, bool carry, struct score *score_p) CHECK_RESULT;
#endif
