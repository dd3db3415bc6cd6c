// SPDX-License-Identifier: Apache-2.0
// BLEU as sacreBLEU computes it: matched n-grams up to 4, geometric mean, brevity penalty. Source: Papineni et al. 2002; Post 2018.
#ifndef STN_TEXT_BLEU_H
#define STN_TEXT_BLEU_H

#include "text/measure.h"

enum bleu_tokenizer { BLEU_13A, BLEU_ZH, BLEU_CHAR, BLEU_NONE, BLEU_TOKENIZERS };
enum bleu_smoothing { BLEU_SMOOTH_EXP, BLEU_SMOOTH_FLOOR, BLEU_SMOOTH_ADD_K, BLEU_SMOOTH_NONE };
// Zero is sacreBLEU's default: 13a, exp, as written.
struct bleu_options {
    enum bleu_tokenizer tokenizer;
    enum bleu_smoothing smoothing;
    double smoothing_value; // of floor and add-k; 0: 0.1 and 1
    bool lower_case;
    bool effective_order; // for single sentences: orders without any n-gram do not count
};
enum { BLEU_ORDERS = 4 };
struct bleu_counts {
    int64_t hypothesis_words, reference_words; // of the reference nearest in length
    int64_t matches[BLEU_ORDERS], total[BLEU_ORDERS];
};
struct bleu_score {
    double score;                  // 0 to 100
    double precision[BLEU_ORDERS]; // in percent
    double brevity_penalty;
};
// "13a", "zh", "char", "none". False when `name` is none.
bool bleu_tokenizer_find(const char *name, enum bleu_tokenizer *tokenizer_p);
bool bleu_smoothing_find(const char *name, enum bleu_smoothing *smoothing_p);
// Adds an example with one or more references. Starts the work anew.
enum status bleu_add(struct measure_work *work, const struct bleu_options *options,
                     struct text hypothesis, const struct text *references, int count,
                     struct bleu_counts *counts) CHECK_RESULT;
struct bleu_score bleu_score(const struct bleu_options *options, const struct bleu_counts *counts);
// "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:stentor-…"
void bleu_signature(const struct bleu_options *options, int references, char signature[160]);
// The words as the tokenizer gives them, between single spaces, appended to `out`.
enum status bleu_tokenize(struct measure_work *work, const struct bleu_options *options,
                          struct text text, struct buffer *out) CHECK_RESULT;
#endif
