// SPDX-License-Identifier: Apache-2.0
// What a text that a model wrote is worth beside the one that was wanted: BLEU and chrF, ROUGE, or all, counted together.
#ifndef STN_TEXT_WRITTEN_H
#define STN_TEXT_WRITTEN_H

#include "text/bleu.h"
#include "text/chrf.h"
#include "text/rouge.h"

struct written_options {
    bool rouge, bleu_chrf; // what is counted
    struct bleu_options bleu;
    struct chrf_options chrf;
    struct rouge_options rouge_options;
};
// Nothing but int64_t (text/measure.h).
struct written_counts {
    struct bleu_counts bleu;
    struct chrf_counts chrf;
    struct rouge_counts rouge;
};
// Adds an example, of which any of `count` texts, 1 at least, is wanted. Starts the work anew.
enum status written_add(struct measure_work *work, const struct written_options *options,
                        struct text text, const struct text *wanted, int count,
                        struct written_counts *counts) CHECK_RESULT;
#endif
