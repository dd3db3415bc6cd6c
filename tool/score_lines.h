// SPDX-License-Identifier: Apache-2.0
// Measures of lines against a file of references, line by line: BLEU and chrF, or ROUGE; and how much the lines differ (distinct-n).
#ifndef STN_TOOL_SCORE_LINES_H
#define STN_TOOL_SCORE_LINES_H

#include "text/written.h"

struct score_options {
    const char *reference; // file, a line each; NULL: references come with the lines
    bool intervals;        // of confidence, beside the measures
    // What no option says goes by the references: characters where they have more Chinese ones than Latin letters, as in training.
    bool rouge_by_references, bleu_by_references;
    struct written_options measures; // else
};
struct score_lines;
// Borrows the file's name. Fails: STATUS_INPUT.
enum status score_lines_create(const struct score_options *options,
                               struct score_lines **scores_p) CHECK_RESULT;
void score_lines_destroy(struct score_lines *scores); // NULL is fine
// The next line, against the next of the file. What is wrong with that is said at the end, when no line can be lost by it.
void score_lines_add(struct score_lines *scores, struct text line);
// Without a file: the next line, against any of `count` references, 1 at least.
void score_lines_add_against(struct score_lines *scores, struct text line,
                             const struct text *references, int count);
// To standard error, or as one object to standard output. input: where the lines came from. Fails: STATUS_INPUT for a file that could
// not be read, or has more or fewer lines than came, and for none at all.
enum status score_lines_print(struct score_lines *scores, const char *input,
                              bool json) CHECK_RESULT;
#endif
