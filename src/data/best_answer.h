// SPDX-License-Identifier: Apache-2.0
// Which piece of a window answers its question, from the scores of its tokens as first and last.
//
// For exact match it is the most likely piece. F1 pays for parts: then it is the piece whose F1, by places, is highest in the mean over
// all pieces, each as likely as the model says (minimum Bayes risk; Kumar and Byrne 2004). An unsure model answers more words.
#ifndef STN_DATA_BEST_ANSWER_H
#define STN_DATA_BEST_ANSWER_H

#include "data/answers.h"

enum answer_goal { ANSWER_EXACT, ANSWER_F1 };
enum { ANSWERS_LONGEST = 30, ANSWERS_LONGEST_F1 = 512 };
struct answer_choice {
    enum answer_goal goal;
    int64_t longest; // tokens of an answer, at least 1; for F1 at most ANSWERS_LONGEST_F1
};
// false: the word is none of exact, f1.
bool answer_goal_find(const char *word, enum answer_goal *goal_p);
// Numbers of scratch for windows of so many tokens.
size_t answer_scratch(const struct answer_choice *choice, int64_t tokens);
// The best piece of the window's context. scores [places, 2], of firsts and lasts. Its score is the most likely piece's for both goals.
// Takes time in proportion to the places and choice->longest, for F1 to its square.
struct answer_span answers_best(const struct examples *windows, int64_t window, const float *scores,
                                const struct answer_choice *choice, double *scratch);
#endif
