// SPDX-License-Identifier: Apache-2.0
// Texts and their summaries, read for a model that chooses sentences: every sentence of a text is an example, its number what the
// sentence would be worth as the summary.
//
// A sentence is cut out by text/sentences.h (of a list in .jsonl its parts are the sentences) and begins with marks that say where it
// stands (data/form.h). Its worth is the F1 of ROUGE against the summary; of a list in .jsonl, which is several summaries, the best.
// ROUGE goes by words, or by characters where the summaries of the file have more Chinese characters than Latin letters.
#ifndef STN_DATA_EXTRACTS_H
#define STN_DATA_EXTRACTS_H

#include "data/examples.h"
#include "data/form.h"
#include "text/rouge.h"

enum { EXTRACT_MEASURES = ROUGE_L + 1 }; // ROUGE-1, -2 and -L
struct extracts {
    struct examples sentences;          // one text each; number: its worth, from 0 to 1
    int64_t count;                      // rows; each has a sentence at least, which may be empty
    int64_t *first;                     // [count + 1] sentence of each row
    int32_t *row;                       // [sentences.count]
    int64_t (*rouge)[EXTRACT_MEASURES]; // [sentences.count] F1, fixed point (text/measure.h)
};
struct extracts_setup {
    struct rows_setup rows;            // columns: the text, its summary
    const struct tokenizer *tokenizer; // borrowed while reading
    const struct form *form;           // of sentences
    int64_t longest;                   // ids of a sentence, its marks among them
};
// Fails: STATUS_INPUT naming file and line: what rows and the tokenizer refuse, a file without rows; STATUS_MEMORY.
enum status extracts_read(const struct extracts_setup *setup,
                          struct extracts *extracts_p) CHECK_RESULT;
void extracts_release(struct extracts *extracts);
size_t extracts_bytes(const struct extracts *extracts); // without the sentences' own

// ---- shared with inference ----
// The next sentence of a field: of a list a line.
bool extracts_next(struct text text, bool list, size_t *at, struct text *sentence_p);
// The lines of a list, else the text itself: *references_p, the caller's to free, of *count_p, 1 at least.
enum status extracts_references(struct text text, bool list, struct text **references_p,
                                int *count_p) CHECK_RESULT;
#endif
