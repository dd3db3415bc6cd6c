// SPDX-License-Identifier: Apache-2.0
#include "text/distinct.h"

#include "base/memory.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MOST = 16 };

void distinct_init(struct distinct *distinct, int n, bool characters)
{
    INVARIANT(n >= 1 && n <= MOST, "n-grams of %d", n);
    *distinct = (struct distinct){.n = n, .characters = characters};
}

void distinct_release(struct distinct *distinct)
{
    free(distinct->set);
    distinct->set = NULL;
    distinct->room = 0;
}

static bool insert(uint64_t *set, size_t room, uint64_t hash)
{
    size_t slot = hash & (room - 1);
    for (; set[slot]; slot = (slot + 1) & (room - 1))
        if (set[slot] == hash) return false;
    set[slot] = hash;
    return true;
}

static enum status add_hash(struct distinct *distinct, uint64_t hash)
{
    if (2 * (size_t)distinct->kinds >= distinct->room) {
        size_t room = distinct->room ? 2 * distinct->room : 1024;
        uint64_t *set;
        TRY(memory_allocate(room, sizeof *set, "a set of n-grams", &set));
        for (size_t i = 0; i < distinct->room; i++)
            if (distinct->set[i]) insert(set, room, distinct->set[i]);
        free(distinct->set);
        distinct->set = set;
        distinct->room = room;
    }
    distinct->kinds += insert(distinct->set, distinct->room, hash ? hash : 1);
    return STATUS_OK;
}

// The last n words' hashes, the newest at the end.
struct window {
    uint64_t hash[MOST];
    int count;
};

static enum status add_word(struct distinct *distinct, struct window *window, struct text word)
{
    size_t n = (size_t)distinct->n;
    memmove(window->hash, window->hash + 1, (n - 1) * sizeof *window->hash);
    window->hash[n - 1] = XXH3_64bits(word.at, word.bytes);
    if (window->count < distinct->n) window->count++;
    if (window->count < distinct->n) return STATUS_OK;
    distinct->total++;
    return add_hash(distinct, XXH3_64bits(window->hash, n * sizeof *window->hash));
}

enum status distinct_add(struct distinct *distinct, struct text text)
{
    struct window window = {.count = 0};
    size_t start = 0;
    for (size_t i = 0; i <= text.bytes;) {
        uint32_t code = ' ';
        size_t length = 1;
        if (i < text.bytes)
            length = (size_t)unicode_read((const uint8_t *)text.at + i, text.bytes - i, &code);
        bool space = unicode_is_space(code);
        if (i > start && (space || distinct->characters))
            TRY(add_word(distinct, &window, (struct text){text.at + start, i - start}));
        if (space)
            start = i + length;
        else if (distinct->characters)
            start = i;
        i += length;
    }
    return STATUS_OK;
}

enum status distinct_merge(struct distinct *into, const struct distinct *from)
{
    INVARIANT(into->n == from->n && into->characters == from->characters, "n %d and %d", into->n,
              from->n);
    for (size_t i = 0; i < from->room; i++)
        if (from->set[i]) TRY(add_hash(into, from->set[i]));
    into->total += from->total;
    return STATUS_OK;
}

double distinct_score(const struct distinct *distinct)
{
    return distinct->total ? (double)distinct->kinds / (double)distinct->total : 0;
}
