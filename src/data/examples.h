// SPDX-License-Identifier: Apache-2.0
// Examples in memory: of each one or two texts as ids, or numbers, and a class or a number to be learned.
//
// Read once from rows (data/rows.h); a long text is cut at `longest` ids and counted, or into pieces. What a worker needs of an
// example lies together, so that a micro-batch is a few copies.
#ifndef STN_DATA_EXAMPLES_H
#define STN_DATA_EXAMPLES_H

#include "data/rows.h"
#include "text/tokenizer.h"

// The classes of a task: their names, numbered in the order of numbers where all are whole numbers, else of bytes.
struct labels {
    char **name;
    int32_t
        *order; // of numbers: of the classes, as the bytes of their names come; NULL: as they are
    int32_t count;
};
// All names that stand in the column, which is the setup's first. Fails: STATUS_INPUT, also for a name that is empty, has more
// than one line or LABEL_BYTES, for more than LABELS_MOST, and for no rows at all.
enum { LABELS_MOST = 1 << 20, LABEL_BYTES = 1000 };
enum status labels_collect(const struct rows_setup *setup, struct labels *labels_p) CHECK_RESULT;
void labels_release(struct labels *labels);
// The number of a name, -1: there is none such.
int32_t labels_find(const struct labels *labels, const char *name, size_t bytes);

enum example_target { TARGET_NONE, TARGET_CLASS, TARGET_NUMBER };

struct examples_setup {
    struct rows_setup rows; // columns: the texts, the features, then the target
    int texts;              // 0, 1 or 2
    int features;           // numbers of an example
    enum example_target target;
    const struct tokenizer *tokenizer[2]; // borrowed while reading
    int32_t longest[2];                   // ids of each text; what is longer is cut there. 0: any
    bool first[2]; // a list in .jsonl is several texts, each as good: the first of them is read
    bool
        pieces; // a longer text is not cut: it becomes several examples. One text, no features, no target
    const struct labels *labels; // of TARGET_CLASS
};
struct examples {
    int64_t count;
    int texts, features;
    float *feature; // [count * features]; NULL: none
    int64_t *place; // [count * texts + 1]
    int32_t *ids;   // text t of example i: ids[place[i * texts + t] .. place[i * texts + t + 1])
    int32_t *label; // [count]; NULL unless TARGET_CLASS
    float *number;  // [count]; NULL unless TARGET_NUMBER
    int64_t cut;    // texts that were longer
    int64_t
        whole; // with `pieces` and longer texts: all texts, whose pieces the examples are; else 0
    int32_t *
        whole_of; // [count] with `whole`: the text that an example is a piece of, from 0; else NULL
    uint64_t hash; // changes with any id, target or the order
};
// Fails: STATUS_INPUT naming file and line: what rows and tokenizers refuse, an unknown class (with those that there are), a target
// that is no number, a file without rows; STATUS_MEMORY.
enum status examples_read(const struct examples_setup *setup,
                          struct examples *examples_p) CHECK_RESULT;
void examples_release(struct examples *examples);
static inline const int32_t *example_text(const struct examples *examples, int64_t i, int text,
                                          int64_t *count_p)
{
    const int64_t *place = examples->place + i * examples->texts + text;
    *count_p = place[1] - place[0];
    return examples->ids + place[0];
}
#endif
