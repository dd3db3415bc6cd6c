// SPDX-License-Identifier: Apache-2.0
// ROUGE-1, -2, -L and -Lsum as rouge_score computes them, by words or, for Chinese, by characters. Source: Lin 2004.
#ifndef STN_TEXT_ROUGE_H
#define STN_TEXT_ROUGE_H

#include "text/measure.h"

struct rouge_options {
    bool
        characters; // every character but spaces is a word (small letters), for text without spaces; else runs of a-z and 0-9
    bool stem;      // words of more than 3 letters by Porter's stemmer
};
// Lsum: the union of longest common subsequences over sentences, which are lines.
enum rouge_type { ROUGE_1, ROUGE_2, ROUGE_L, ROUGE_LSUM, ROUGE_TYPES };
extern const char *const rouge_names[ROUGE_TYPES]; // "rouge1", …
struct rouge_counts {
    int64_t examples;
    int64_t precision[ROUGE_TYPES], recall[ROUGE_TYPES], f1[ROUGE_TYPES]; // sums, fixed point
};
struct rouge_score { // means over examples, 0 to 1
    double precision[ROUGE_TYPES], recall[ROUGE_TYPES], f1[ROUGE_TYPES];
};
// Adds an example; of several references the one with the best F1 counts, for each type. Starts the work anew. Memory and
// time of the last two types grow with the product of the lengths.
enum status rouge_add(struct measure_work *work, const struct rouge_options *options,
                      struct text hypothesis, const struct text *references, int count,
                      struct rouge_counts *counts) CHECK_RESULT;
struct rouge_score rouge_score(const struct rouge_counts *counts);
#endif
