// SPDX-License-Identifier: Apache-2.0
// Where added tokens stand in a text. In the order of their bytes a token's prefixes come before it, each the prefix of the next, so
// one bisection and a walk along them finds the longest, however many there are.
#include "base/memory.h"
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

static struct text name_of(const struct bpe *bpe, int32_t place)
{
    return piece_table_get(&bpe->pieces, bpe->added[bpe->added_order[place]].id);
}

static int compare(struct text a, struct text b)
{
    int order = memcmp(a.at, b.at, a.bytes < b.bytes ? a.bytes : b.bytes);
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static bool begins_with(struct text text, struct text name)
{
    return name.bytes <= text.bytes && memcmp(text.at, name.at, name.bytes) == 0;
}

struct sorted {
    struct text name;
    int32_t index;
};

static int by_bytes(const void *one, const void *two)
{
    const struct sorted *a = one, *b = two;
    int order = compare(a->name, b->name);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

enum status bpe_index_added(struct bpe *bpe)
{
    size_t count = (size_t)bpe->added_count;
    struct sorted *sorted;
    if (count == 0) return STATUS_OK;
    TRY(memory_allocate(count, sizeof *bpe->added_order, "added tokens", &bpe->added_order));
    TRY(memory_allocate(count, sizeof *bpe->added_shorter, "added tokens", &bpe->added_shorter));
    TRY(memory_allocate(count, sizeof *sorted, "added tokens", &sorted));
    for (int32_t i = 0; i < bpe->added_count; i++)
        sorted[i] = (struct sorted){piece_table_get(&bpe->pieces, bpe->added[i].id), i};
    qsort(sorted, count, sizeof *sorted, by_bytes);
    for (int32_t i = 0; i < bpe->added_count; i++) bpe->added_order[i] = sorted[i].index;
    free(sorted);
    for (int32_t i = 0; i < bpe->added_count; i++) {
        int32_t shorter = i - 1;
        while (shorter >= 0 && !begins_with(name_of(bpe, i), name_of(bpe, shorter)))
            shorter = bpe->added_shorter[shorter];
        bpe->added_shorter[i] = shorter;
        bpe->added_first[(uint8_t)name_of(bpe, i).at[0]] = true;
    }
    return STATUS_OK;
}

// How many tokens come before the text, or are it.
static int32_t count_before(const struct bpe *bpe, struct text text)
{
    int32_t low = 0, high = bpe->added_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (compare(name_of(bpe, middle), text) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct added_token *bpe_find_added(const struct bpe *bpe, struct text text)
{
    int32_t place = count_before(bpe, text) - 1;
    while (place >= 0 && !begins_with(text, name_of(bpe, place))) place = bpe->added_shorter[place];
    if (place < 0) return NULL;
    // Of tokens with the same bytes the first is meant.
    for (int32_t next = bpe->added_shorter[place];
         next >= 0 && name_of(bpe, next).bytes == name_of(bpe, place).bytes;
         next = bpe->added_shorter[place])
        place = next;
    return &bpe->added[bpe->added_order[place]];
}

bool bpe_added_goes_on(const struct bpe *bpe, struct text text)
{
    int32_t place = count_before(bpe, text);
    return place < bpe->added_count && begins_with(name_of(bpe, place), text);
}
