// SPDX-License-Identifier: Apache-2.0
// Every pair knows its count and the words that it may be in; a heap gives the most frequent. A merge visits only those words
// and corrects the counts of the pairs round it; an entry of the heap whose count has changed since is put back.
#include "text/bpe_train.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    uint64_t key; // left << 32 | right
    int64_t count;
    int32_t *words; // [word_count], may name one that has lost the pair
    int32_t word_count, word_room;
    bool waiting; // has words that no entry of the heap stands for
};
struct entry {
    int64_t count;
    uint64_t key;
};
struct learning {
    struct bpe *bpe;
    const struct piece_table *counts;
    const struct stop *stop;
    int32_t *symbols;   // all words' ids, one behind the other
    size_t *start;      // [words]
    int32_t *length;    // [words], falls as they merge
    struct pair *pairs; // [pair_count]
    int32_t pair_count, pair_room;
    int32_t *slots; // of pairs: number + 1
    size_t slot_room;
    struct entry *heap;
    size_t heap_size, heap_room;
    int32_t *changed; // pairs that got words in this merge
    int32_t changed_count, changed_room;
};

static void release(struct learning *learning)
{
    for (int32_t i = 0; i < learning->pair_count; i++) free(learning->pairs[i].words);
    free(learning->pairs);
    free(learning->slots);
    free(learning->symbols);
    free(learning->start);
    free(learning->length);
    free(learning->heap);
    free(learning->changed);
}

// ---- pairs ----
static size_t slot_of(const struct learning *learning, uint64_t key)
{
    size_t slot = (key * 0x9E3779B97F4A7C15u >> 20) & (learning->slot_room - 1);
    while (learning->slots[slot] && learning->pairs[learning->slots[slot] - 1].key != key)
        slot = (slot + 1) & (learning->slot_room - 1);
    return slot;
}

static enum status grow_pairs(struct learning *learning)
{
    if (learning->pair_count == learning->pair_room) {
        int32_t room = learning->pair_room ? 2 * learning->pair_room : 4096;
        TRY(memory_grow(&learning->pairs, (size_t)room, sizeof *learning->pairs, "pairs"));
        learning->pair_room = room;
    }
    if (2 * (size_t)learning->pair_count < learning->slot_room) return STATUS_OK;
    size_t room = learning->slot_room ? 2 * learning->slot_room : 16384;
    int32_t *slots;
    TRY(memory_allocate(room, sizeof *slots, "pairs", &slots));
    free(learning->slots);
    learning->slots = slots;
    learning->slot_room = room;
    for (int32_t i = 0; i < learning->pair_count; i++)
        slots[slot_of(learning, learning->pairs[i].key)] = i + 1;
    return STATUS_OK;
}

static enum status find_pair(struct learning *learning, int32_t left, int32_t right,
                             int32_t *pair_p)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    TRY(grow_pairs(learning));
    size_t slot = slot_of(learning, key);
    if (!learning->slots[slot]) {
        learning->pairs[learning->pair_count++] = (struct pair){.key = key};
        learning->slots[slot] = learning->pair_count;
    }
    *pair_p = learning->slots[slot] - 1;
    return STATUS_OK;
}

static enum status note_word(struct learning *learning, int32_t number, int32_t word)
{
    struct pair *pair = &learning->pairs[number];
    if (!pair->waiting) {
        if (learning->changed_count == learning->changed_room) {
            int32_t room = learning->changed_room ? 2 * learning->changed_room : 1024;
            TRY(memory_grow(&learning->changed, (size_t)room, sizeof *learning->changed, "pairs"));
            learning->changed_room = room;
        }
        learning->changed[learning->changed_count++] = number;
        pair->waiting = true;
    }
    if (pair->word_count && pair->words[pair->word_count - 1] == word) return STATUS_OK;
    if (pair->word_count == pair->word_room) {
        int32_t room = pair->word_room ? 2 * pair->word_room : 4;
        TRY(memory_grow(&pair->words, (size_t)room, sizeof *pair->words, "words of a pair"));
        pair->word_room = room;
    }
    pair->words[pair->word_count++] = word;
    return STATUS_OK;
}

// The pair occurs `times` more often (or less) in the word.
static enum status change(struct learning *learning, int32_t left, int32_t right, int32_t word,
                          int times)
{
    int32_t number;
    TRY(find_pair(learning, left, right, &number));
    learning->pairs[number].count += times * learning->counts->value[word];
    return times > 0 ? note_word(learning, number, word) : STATUS_OK;
}

// ---- the heap: the most frequent first, then the smaller key ----
static bool before(struct entry one, struct entry two)
{
    return one.count != two.count ? one.count > two.count : one.key < two.key;
}

static enum status push(struct learning *learning, struct entry entry)
{
    if (learning->heap_size == learning->heap_room) {
        size_t room = learning->heap_room ? 2 * learning->heap_room : 4096;
        TRY(memory_grow(&learning->heap, room, sizeof *learning->heap, "a heap of pairs"));
        learning->heap_room = room;
    }
    size_t at = learning->heap_size++;
    struct entry *heap = learning->heap;
    for (; at > 0 && before(entry, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
    return STATUS_OK;
}

static struct entry pop(struct learning *learning)
{
    struct entry *heap = learning->heap, top = heap[0], last = heap[--learning->heap_size];
    size_t size = learning->heap_size, at = 0;
    for (size_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], last)) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static enum status push_changed(struct learning *learning)
{
    for (int32_t i = 0; i < learning->changed_count; i++) {
        struct pair *pair = &learning->pairs[learning->changed[i]];
        pair->waiting = false;
        if (pair->count > 0) TRY(push(learning, (struct entry){pair->count, pair->key}));
    }
    learning->changed_count = 0;
    return STATUS_OK;
}

// ---- words ----
static enum status read_words(struct learning *learning)
{
    const struct piece_table *counts = learning->counts;
    size_t used = 0, words = (size_t)counts->count;
    TRY(memory_allocate(counts->bytes.bytes, sizeof(int32_t), "words", &learning->symbols));
    TRY(memory_allocate(words, sizeof *learning->start, "words", &learning->start));
    TRY(memory_allocate(words, sizeof *learning->length, "words", &learning->length));
    for (int32_t word = 0; word < counts->count; word++) {
        struct text piece = piece_table_get(counts, word);
        learning->start[word] = used;
        learning->length[word] = (int32_t)piece.bytes;
        for (size_t i = 0; i < piece.bytes; i++)
            learning->symbols[used++] = piece_table_find(&learning->bpe->pieces, piece.at + i, 1);
        const int32_t *ids = learning->symbols + learning->start[word];
        for (size_t i = 0; i + 1 < piece.bytes; i++)
            TRY(change(learning, ids[i], ids[i + 1], word, 1));
    }
    return push_changed(learning);
}

static enum status merge_word(struct learning *learning, int32_t word, int32_t left, int32_t right,
                              int32_t id)
{
    int32_t *ids = learning->symbols + learning->start[word], length = learning->length[word];
    int32_t to = 0;
    for (int32_t from = 0; from < length;) {
        bool merges = from + 1 < length && ids[from] == left && ids[from + 1] == right;
        if (!merges) {
            ids[to++] = ids[from++];
            continue;
        }
        from += 2;
        if (to > 0) {
            TRY(change(learning, ids[to - 1], left, word, -1));
            TRY(change(learning, ids[to - 1], id, word, 1));
        }
        ids[to++] = id;
        if (from < length) {
            TRY(change(learning, right, ids[from], word, -1));
            TRY(change(learning, id, ids[from], word, 1));
        }
    }
    learning->length[word] = to;
    return STATUS_OK;
}

// ---- merges ----
static enum status add_merge(struct learning *learning, int32_t left, int32_t right, int32_t *id_p)
{
    struct bpe *bpe = learning->bpe;
    struct buffer joined = {0};
    if (!(bpe->merge_count & (bpe->merge_count - 1)) || bpe->merge_count == 0)
        TRY(memory_grow(&bpe->merges, 2 * (size_t)bpe->merge_count + 1, sizeof *bpe->merges,
                        "merges"));
    enum status status = buffer_add(&joined, piece_table_get(&bpe->pieces, left));
    if (!status) status = buffer_add(&joined, piece_table_get(&bpe->pieces, right));
    if (!status) status = piece_table_add(&bpe->pieces, joined.at, joined.bytes, id_p);
    buffer_release(&joined);
    if (status) return status;
    bpe->merges[bpe->merge_count][0] = left;
    bpe->merges[bpe->merge_count++][1] = right;
    return STATUS_OK;
}

static enum status merge_pair(struct learning *learning, uint64_t key)
{
    int32_t left = (int32_t)(key >> 32), right = (int32_t)(key & UINT32_MAX), id = 0, number;
    TRY(add_merge(learning, left, right, &id));
    TRY(find_pair(learning, left, right, &number));
    // The list is taken: what is noted from here on belongs to later entries.
    int32_t *words = learning->pairs[number].words, count = learning->pairs[number].word_count;
    learning->pairs[number].words = NULL;
    learning->pairs[number].word_count = learning->pairs[number].word_room = 0;
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < count && !status; i++)
        status = merge_word(learning, words[i], left, right, id);
    free(words);
    if (!status) status = push_changed(learning);
    return status;
}

static enum status learn(struct learning *learning, int32_t vocabulary, int64_t least)
{
    TRY(read_words(learning));
    while (learning->bpe->pieces.count < vocabulary && learning->heap_size > 0) {
        TRY(stop_check(learning->stop, "the tokenizer was made"));
        struct entry top = pop(learning);
        int32_t number;
        TRY(find_pair(learning, (int32_t)(top.key >> 32), (int32_t)(top.key & UINT32_MAX),
                      &number));
        const struct pair *pair = &learning->pairs[number];
        if (pair->word_count == 0) continue; // merged, and not met again
        if (pair->count != top.count) {
            if (pair->count > 0) TRY(push(learning, (struct entry){pair->count, top.key}));
            continue;
        }
        if (top.count < least) break;
        TRY(merge_pair(learning, top.key));
    }
    return STATUS_OK;
}

enum status bpe_learn(struct bpe *bpe, const struct piece_table *counts, int32_t vocabulary,
                      int64_t least, const struct stop *stop)
{
    struct learning learning = {.bpe = bpe, .counts = counts, .stop = stop};
    enum status status = learn(&learning, vocabulary, least);
    release(&learning);
    return status;
}
