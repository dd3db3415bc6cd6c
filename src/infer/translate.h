// SPDX-License-Identifier: Apache-2.0
// Texts into texts, by workers: what `stentor translate` and `stentor summarize` do, and validation by BLEU or ROUGE.
//
// The texts of a call are sorted by length into batches (batches.h), searched (search.h), and come back in their order: the same bits
// for any number of workers.
#ifndef STN_INFER_TRANSLATE_H
#define STN_INFER_TRANSLATE_H

#include "infer/search.h"
#include "text/buffer.h"

struct translator;
// Borrows the model. workers: threads, at least 1. Fails: as search_create; STATUS_UNSUPPORTED without a tokenizer, or with one whose
// ids are not the model's.
enum status translator_create(const struct loaded_model *model,
                              const struct search_options *options, int workers,
                              struct translator **translator_p) CHECK_RESULT;
void translator_destroy(struct translator *translator); // NULL is fine
// Bytes that one of so many workers takes, about, when it has translated texts of so many ids, their ends among them: lengths [count] are
// sorted here. The weights need not be there. Fails: as search_create; STATUS_MEMORY.
enum status translator_bytes(const struct loaded_model *model, const struct search_options *options,
                             int workers, int64_t *lengths, int64_t count,
                             size_t *bytes_p) CHECK_RESULT;

struct candidate_text {
    struct buffer
        text; // one line: no newline, no spaces at its ends; bytes as the tokenizer gives them
    int64_t tokens;
    double score, log_probability;
    bool cut; // it has as many tokens as it may, and no end
};
struct translation {
    struct candidate_text *best; // the best first
    int64_t count;
    int64_t tokens;  // of the source, with its end
    int64_t left;    // tokens behind the model's context, which were not read
    int64_t unknown; // characters that the tokenizer lacks, left out
    bool done;       // false: stopped before
};
void translation_release(struct translation *translation);
// Texts of one line each; numbers [count]: what draws are addressed by. A text without anything but spaces is done and has no
// candidates. translations [count] are the caller's, who releases them; on failure those that are done have come too.
enum status translator_run(struct translator *translator, const struct text *texts,
                           const uint64_t *numbers, int64_t count,
                           struct translation *translations) CHECK_RESULT;
// Has translator_run begin no other batch. May be called by a signal handler.
void translator_stop(struct translator *translator);
#endif
