// SPDX-License-Identifier: Apache-2.0
// Exact match and F1 of extracted answers: SQuAD 1.1's and CMRC 2018's definitions. Source: Rajpurkar et al. 2016; Cui et al. 2019.
//
// SQuAD: small letters, without ASCII punctuation and a, an, the; F1 over bags of words, 1 where both have none (SQuAD 2.0's rule).
// CMRC: small letters, without a list of marks; F1 from the longest run that both have, over Chinese characters and English
// words, 0 where there is none. Its script lets NLTK cut English into sentences first by a trained model; here it is one sentence,
// so that a full stop inside may stay with its word.
#ifndef STN_TEXT_ANSWER_H
#define STN_TEXT_ANSWER_H

#include "text/measure.h"

enum answer_kind { ANSWER_SQUAD, ANSWER_CMRC };
struct answer_counts {
    int64_t questions, exact, f1; // f1: a sum, fixed point
};
struct answer_score {
    double exact, f1; // means, 0 to 100
};
// Adds a question with its one or more right answers: the best counts. Starts the work anew.
enum status answer_add(struct measure_work *work, enum answer_kind kind, struct text prediction,
                       const struct text *answers, int count,
                       struct answer_counts *counts) CHECK_RESULT;
struct answer_score answer_score(const struct answer_counts *counts);
#endif
