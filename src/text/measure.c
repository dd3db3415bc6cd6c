// SPDX-License-Identifier: Apache-2.0
#include "text/measure.h"

#include "base/memory.h"
#include "text/treebank.h"
#include "text/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

// ---- counts ----
void counts_add(void *into, const void *from, size_t bytes)
{
    INVARIANT(bytes % sizeof(int64_t) == 0, "%zu bytes are no row of counts", bytes);
    int64_t *sum = into;
    const int64_t *more = from;
    for (size_t i = 0; i < bytes / sizeof *sum; i++) sum[i] += more[i];
}

static const double SHARE_ONE = (double)((int64_t)1 << SHARE_BITS);

int64_t share_fixed(double share) { return (int64_t)floor(share * SHARE_ONE + 0.5); }

double share_mean(int64_t sum, int64_t examples)
{
    return examples ? (double)sum / SHARE_ONE / (double)examples : 0;
}

double f1_of(double precision, double recall)
{
    return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

// ---- lists ----
void symbols_release(struct symbols *symbols)
{
    free(symbols->ids);
    *symbols = (struct symbols){0};
}

static enum status symbols_reserve(struct symbols *symbols, int64_t more)
{
    if (more <= symbols->room - symbols->count) return STATUS_OK;
    int64_t room = symbols->count + more;
    if (room < 2 * symbols->room) room = 2 * symbols->room;
    if (room < 64) room = 64;
    TRY(memory_grow(&symbols->ids, (size_t)room, sizeof *symbols->ids, "a list of words"));
    symbols->room = room;
    return STATUS_OK;
}

enum status symbols_push(struct symbols *symbols, int32_t id)
{
    if (symbols->count == symbols->room) TRY(symbols_reserve(symbols, 1));
    symbols->ids[symbols->count++] = id;
    return STATUS_OK;
}

// ---- tables: open addressing; an entry whose stamp is not the table's is free, so that clearing costs nothing ----
struct word_entry {
    uint64_t hash;
    size_t at, bytes; // in the arena
    int32_t id;
    uint32_t stamp;
};
struct gram_entry {
    uint64_t hash;
    const int32_t *gram;
    int64_t most,
        now; // occurrences: in the reference that has most, in the one being counted (or used up)
    int32_t reference; // the one being counted
    uint32_t stamp;
};
struct measure_work {
    struct word_entry *words;
    struct gram_entry *grams;
    size_t word_room, gram_room; // powers of two
    int32_t word_count;
    uint32_t word_stamp, gram_stamp;
    struct buffer arena, buffer[MEASURE_BUFFERS];
    struct symbols *lists;
    int list_count;
    struct treebank *treebank;
};

enum status measure_work_create(struct measure_work **work_p)
{
    TRY(memory_allocate(1, sizeof(struct measure_work), "a measure", work_p));
    (*work_p)->word_stamp = 1;
    return STATUS_OK;
}

void measure_work_destroy(struct measure_work *work)
{
    if (!work) return;
    for (int i = 0; i < MEASURE_BUFFERS; i++) buffer_release(&work->buffer[i]);
    for (int i = 0; i < work->list_count; i++) symbols_release(&work->lists[i]);
    free(work->lists);
    buffer_release(&work->arena);
    treebank_destroy(work->treebank);
    free(work->words);
    free(work->grams);
    free(work);
}

void measure_work_start(struct measure_work *work)
{
    for (int i = 0; i < MEASURE_BUFFERS; i++) buffer_clear(&work->buffer[i]);
    buffer_clear(&work->arena);
    work->word_count = 0;
    if (++work->word_stamp) return;
    memset(work->words, 0, work->word_room * sizeof *work->words);
    work->word_stamp = 1;
}

struct buffer *measure_buffer(struct measure_work *work, int index)
{
    INVARIANT(index >= 0 && index < MEASURE_BUFFERS, "buffer %d", index);
    return &work->buffer[index];
}

enum status measure_lists(struct measure_work *work, int count, struct symbols **lists_p)
{
    if (count > work->list_count) {
        TRY(memory_grow(&work->lists, (size_t)count, sizeof *work->lists, "lists of words"));
        memset(work->lists + work->list_count, 0,
               (size_t)(count - work->list_count) * sizeof *work->lists);
        work->list_count = count;
    }
    for (int i = 0; i < count; i++) work->lists[i].count = 0;
    *lists_p = work->lists;
    return STATUS_OK;
}

enum status measure_treebank(struct measure_work *work, struct treebank **treebank_p)
{
    if (!work->treebank) TRY(treebank_create(&work->treebank));
    *treebank_p = work->treebank;
    return STATUS_OK;
}

// ---- words ----
static enum status grow_words(struct measure_work *work)
{
    size_t room = work->word_room ? 2 * work->word_room : 1024;
    struct word_entry *words;
    TRY(memory_allocate(room, sizeof *words, "a table of words", &words));
    for (size_t i = 0; i < work->word_room; i++) {
        if (work->words[i].stamp != work->word_stamp) continue;
        size_t slot = work->words[i].hash & (room - 1);
        while (words[slot].stamp == work->word_stamp) slot = (slot + 1) & (room - 1);
        words[slot] = work->words[i];
    }
    free(work->words);
    work->words = words;
    work->word_room = room;
    return STATUS_OK;
}

enum status measure_intern(struct measure_work *work, struct text word, int32_t *id_p)
{
    if (2 * (size_t)work->word_count >= work->word_room) TRY(grow_words(work));
    uint64_t hash = XXH3_64bits(word.at, word.bytes);
    size_t slot = hash & (work->word_room - 1);
    struct word_entry *entry;
    while ((entry = &work->words[slot])->stamp == work->word_stamp) {
        if (entry->hash == hash && entry->bytes == word.bytes &&
            memcmp(work->arena.at + entry->at, word.at, word.bytes) == 0) {
            *id_p = entry->id;
            return STATUS_OK;
        }
        slot = (slot + 1) & (work->word_room - 1);
    }
    struct word_entry made = {hash, work->arena.bytes, word.bytes, work->word_count,
                              work->word_stamp};
    TRY(buffer_add(&work->arena, word));
    *entry = made;
    *id_p = work->word_count++;
    return STATUS_OK;
}

enum status measure_words(struct measure_work *work, struct text text, struct symbols *symbols)
{
    const uint8_t *at = (const uint8_t *)text.at;
    size_t start = 0, i = 0;
    while (i <= text.bytes) {
        uint32_t code = ' ';
        int length = i < text.bytes ? unicode_read(at + i, text.bytes - i, &code) : 1;
        if (unicode_is_space(code)) {
            int32_t id;
            if (i > start) {
                TRY(measure_intern(work, (struct text){text.at + start, i - start}, &id));
                TRY(symbols_push(symbols, id));
            }
            start = i + (size_t)length;
        }
        i += (size_t)length;
    }
    return STATUS_OK;
}

enum status measure_characters(struct text text, bool spaces, struct symbols *symbols)
{
    TRY(symbols_reserve(symbols, (int64_t)text.bytes));
    for (size_t i = 0; i < text.bytes;) {
        uint32_t code;
        i += (size_t)unicode_read((const uint8_t *)text.at + i, text.bytes - i, &code);
        if (spaces || !unicode_is_space(code)) symbols->ids[symbols->count++] = (int32_t)code;
    }
    return STATUS_OK;
}

// ---- n-grams ----
static uint64_t gram_hash(const int32_t *gram, int n)
{
    return XXH3_64bits(gram, (size_t)n * sizeof *gram);
}

// The entry of an n-gram: there, or free.
static struct gram_entry *find_gram(struct measure_work *work, const int32_t *gram, int n,
                                    uint64_t hash)
{
    size_t slot = hash & (work->gram_room - 1);
    struct gram_entry *entry;
    while ((entry = &work->grams[slot])->stamp == work->gram_stamp) {
        if (entry->hash == hash && memcmp(entry->gram, gram, (size_t)n * sizeof *gram) == 0) break;
        slot = (slot + 1) & (work->gram_room - 1);
    }
    return entry;
}

// An empty table with room for `grams` of them.
static enum status start_grams(struct measure_work *work, int64_t grams)
{
    size_t room = work->gram_room ? work->gram_room : 1024;
    while (room < 2 * (size_t)grams) room *= 2;
    if (room > work->gram_room) {
        struct gram_entry *table;
        TRY(memory_allocate(room, sizeof *table, "a table of n-grams", &table));
        free(work->grams);
        work->grams = table;
        work->gram_room = room;
        work->gram_stamp = 0;
    }
    if (++work->gram_stamp == 0) {
        memset(work->grams, 0, work->gram_room * sizeof *work->grams);
        work->gram_stamp = 1;
    }
    return STATUS_OK;
}

static void count_reference(struct measure_work *work, const struct symbols *reference, int number,
                            int n)
{
    for (int64_t i = 0; i < ngram_count(reference, n); i++) {
        const int32_t *gram = reference->ids + i;
        uint64_t hash = gram_hash(gram, n);
        struct gram_entry *entry = find_gram(work, gram, n, hash);
        if (entry->stamp != work->gram_stamp)
            *entry = (struct gram_entry){
                .hash = hash, .gram = gram, .reference = number, .stamp = work->gram_stamp};
        if (entry->reference != number) {
            entry->reference = number;
            entry->now = 0;
        }
        entry->now++;
        if (entry->now > entry->most) entry->most = entry->now;
    }
}

enum status ngram_matches(struct measure_work *work, const struct symbols *hypothesis,
                          const struct symbols *references, int count, int n, int64_t *matches_p)
{
    int64_t grams = 0, matches = 0;
    for (int r = 0; r < count; r++) grams += ngram_count(&references[r], n);
    TRY(start_grams(work, grams));
    for (int r = 0; r < count; r++) count_reference(work, &references[r], r, n);
    for (int64_t i = 0; i < ngram_count(hypothesis, n); i++) {
        const int32_t *gram = hypothesis->ids + i;
        struct gram_entry *entry = find_gram(work, gram, n, gram_hash(gram, n));
        if (entry->stamp != work->gram_stamp || entry->most == 0) continue;
        entry->most--; // used up
        matches++;
    }
    *matches_p = matches;
    return STATUS_OK;
}
