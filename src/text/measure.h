// SPDX-License-Identifier: Apache-2.0
// Measures: what they have in common.
//
// A measure is a struct of int64_t counts. Each example adds its own; workers' counts are added up, in any order, to the same
// sums (counts_add); a score is a function of the sums. So a measure streams, and is the same for any number of workers.
// Shares of an example (an F1, say) are added in fixed point, a multiple of 2^-36. What compares texts turns them into
// numbers first: equal words, or characters, get equal numbers.
#ifndef STN_TEXT_MEASURE_H
#define STN_TEXT_MEASURE_H

#include "text/buffer.h"

// ---- counts ----
// into += from, for structs of `bytes` bytes that hold nothing but int64_t.
void counts_add(void *into, const void *from, size_t bytes);
enum { SHARE_BITS = 36 }; // 2^27 examples whose shares are 1 fit
int64_t share_fixed(double share);
double share_mean(int64_t sum, int64_t examples); // 0 of no examples
// The harmonic mean of precision and recall; 0 where both are.
double f1_of(double precision, double recall);

// ---- texts as numbers ----
struct symbols {
    int32_t *ids;
    int64_t count, room;
};
void symbols_release(struct symbols *symbols);
enum status symbols_push(struct symbols *symbols, int32_t id) CHECK_RESULT;

// What one thread works with: interned words, n-grams, buffers. Nothing in it outlives an example.
struct measure_work;
enum status measure_work_create(struct measure_work **work_p) CHECK_RESULT;
void measure_work_destroy(struct measure_work *work);
// A new example begins: words may get other numbers than before.
void measure_work_start(struct measure_work *work);
// The number of a word in this example: 0, 1, … in the order of first use.
enum status measure_intern(struct measure_work *work, struct text word, int32_t *id_p) CHECK_RESULT;
// Appends the numbers of the words between spaces.
enum status measure_words(struct measure_work *work, struct text text,
                          struct symbols *symbols) CHECK_RESULT;
// Appends the characters' codes, spaces or not. These need no interning, so must not be mixed with words.
enum status measure_characters(struct text text, bool spaces, struct symbols *symbols) CHECK_RESULT;
// A buffer, and `count` empty lists, for the example; borrowed. Asking for lists again gives the same ones.
enum { MEASURE_BUFFERS = 3 };
struct buffer *measure_buffer(struct measure_work *work, int index);
enum status measure_lists(struct measure_work *work, int count,
                          struct symbols **lists_p) CHECK_RESULT;
// The rules of the Penn Treebank, compiled on first use; borrowed.
struct treebank;
enum status measure_treebank(struct measure_work *work, struct treebank **treebank_p) CHECK_RESULT;

// ---- comparing ----
// How many n-grams the sequence has.
static inline int64_t ngram_count(const struct symbols *symbols, int n)
{
    return symbols->count >= n ? symbols->count - n + 1 : 0;
}
// Of the n-grams of `hypothesis`, how many are matched by `references`: each as often as the reference that has most of it.
enum status ngram_matches(struct measure_work *work, const struct symbols *hypothesis,
                          const struct symbols *references, int count, int n,
                          int64_t *matches_p) CHECK_RESULT;
#endif
