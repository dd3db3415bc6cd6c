// SPDX-License-Identifier: Apache-2.0
// Questions whose answers are pieces of a context, in SQuAD's layout: read into windows that a model scores token by token.
//
// A context that is too long for the model becomes several windows, each half of its length behind the one before; a window is
// FIRST question FIRST context (data/form.h). It is asked for the first and last token of the answer, or for its own first token,
// place 0, where the answer does not stand in it. Tokens know their bytes in the context, so that two places are a text again.
#ifndef STN_DATA_ANSWERS_H
#define STN_DATA_ANSWERS_H

#include "data/examples.h"
#include "text/answer.h"
#include "text/offsets.h"

struct question {
    uint64_t article;               // equal for those of one title, or, without one, of one context
    int64_t windows, first_window;  // how many; the first
    int64_t context, context_bytes; // in `text`
    int64_t answers, answers_bytes; // those that are right, a newline between
    int64_t id, id_bytes;
    bool lost; // none of its answers stands in the context
};
struct answers {
    // Texts: question, context. label: place of the answer's first token, 0: there is none here.
    struct examples windows;
    int32_t *last;         // [windows.count] of its last
    int32_t *asked;        // [windows.count] which question
    struct offset *offset; // of each id of a context, beside windows.ids
    struct question *question;
    int64_t count, lost; // questions
    int64_t unknown;     // characters that were left out
    struct buffer text;
};
struct answers_setup {
    const char *path;
    bool replace;                      // as rows_setup's
    const struct tokenizer *tokenizer; // borrowed while reading
    int64_t context;                   // tokens of a window, at least ANSWERS_CONTEXT
    const struct stop *stop;           // (optional) as rows_setup's
    bool known; // characters that the tokenizer lacks are left out, and counted
};
enum { ANSWERS_CONTEXT = 4, ANSWERS_MATCHES = 65 };
// The columns of question and context, as rows_setup has them: what a tokenizer is made of.
struct rows_setup answers_texts(const char *path, bool replace);
// Fails: STATUS_INPUT naming file and question: what rows and the tokenizer refuse, a start that is no place of the context, a file
// without questions; STATUS_MEMORY. An answer that stands elsewhere in its context is taken from the nearest place.
enum status answers_read(const struct answers_setup *setup, struct answers *answers_p) CHECK_RESULT;
void answers_release(struct answers *answers);
size_t answers_bytes(const struct answers *answers,
                     const struct examples *windows); // without the windows' own
// What is right is measured as CMRC does where contexts have more Chinese characters than Latin letters, else as SQuAD.
enum answer_kind answers_kind(const struct answers *answers);

// ---- what a model says ----
// Places of a window's tokens, and how much the likeliest answer's scores are above those of place 0 (best_answer.h).
struct answer_span {
    int32_t first, last; // 0: the window has no tokens of a context
    float score;
};
// Where a window's context begins.
int64_t answers_base(const struct examples *windows, int64_t window);
// What is told of each of `tokens` places: 0 outside of the context; else how its token is written (a capital letter, a digit or a mark
// first, or none of them), whether it stands in the question, and in eighths of the most of all sentences how many of the question's
// tokens stand in its sentence. Tokens that are everywhere in the window tell nothing. window -1: padding, all 0.
void answers_matches(const struct answers *answers, const struct examples *windows, int64_t window,
                     int64_t tokens, int32_t *matches);
// Its text, without spaces at its ends; in `answers`.
struct text answers_text(const struct answers *answers, const struct examples *windows,
                         int64_t window, struct answer_span span);
// Adds what a prediction for a question is worth.
enum status answers_score(const struct answers *answers, int64_t question, struct text prediction,
                          enum answer_kind kind, struct measure_work *work,
                          struct answer_counts *counts) CHECK_RESULT;
#endif
