// SPDX-License-Identifier: Apache-2.0
#include "text/piece_table.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MOST = 1 << 30 };

void piece_table_release(struct piece_table *table)
{
    buffer_release(&table->bytes);
    free(table->end);
    free(table->value);
    free(table->slots);
    *table = (struct piece_table){0};
}

// The slot that holds the piece, or the free one where it would go.
static size_t find_slot(const struct piece_table *table, const void *piece, size_t bytes)
{
    size_t slot = XXH3_64bits(piece, bytes) & (table->slot_room - 1);
    for (; table->slots[slot]; slot = (slot + 1) & (table->slot_room - 1)) {
        struct text there = piece_table_get(table, table->slots[slot] - 1);
        if (there.bytes == bytes && memcmp(there.at, piece, bytes) == 0) break;
    }
    return slot;
}

int32_t piece_table_find(const struct piece_table *table, const void *piece, size_t bytes)
{
    return table->slot_room ? table->slots[find_slot(table, piece, bytes)] - 1 : -1;
}

static enum status grow_slots(struct piece_table *table)
{
    size_t room = table->slot_room ? 2 * table->slot_room : 1024;
    int32_t *slots, *old = table->slots;
    TRY(memory_allocate(room, sizeof *slots, "a table of pieces", &slots));
    size_t old_room = table->slot_room;
    table->slots = slots;
    table->slot_room = room;
    for (size_t i = 0; i < old_room; i++) {
        if (!old[i]) continue;
        struct text piece = piece_table_get(table, old[i] - 1);
        slots[find_slot(table, piece.at, piece.bytes)] = old[i];
    }
    free(old);
    return STATUS_OK;
}

enum status piece_table_append(struct piece_table *table, const void *piece, size_t bytes)
{
    if (table->count == table->room) {
        int32_t room = table->room ? 2 * table->room : 256;
        if (table->room >= MOST) FAIL(STATUS_MEMORY, "more than %d different pieces", MOST);
        TRY(memory_grow(&table->end, (size_t)room, sizeof *table->end, "a table of pieces"));
        TRY(memory_grow(&table->value, (size_t)room, sizeof *table->value, "a table of pieces"));
        table->room = room;
    }
    TRY(buffer_add(&table->bytes, (struct text){piece, bytes}));
    table->end[table->count] = table->bytes.bytes;
    table->value[table->count++] = 0;
    return STATUS_OK;
}

enum status piece_table_add(struct piece_table *table, const void *piece, size_t bytes,
                            int32_t *number_p)
{
    if (2 * (size_t)table->count >= table->slot_room) TRY(grow_slots(table));
    size_t slot = find_slot(table, piece, bytes);
    if (!table->slots[slot]) {
        TRY(piece_table_append(table, piece, bytes));
        table->slots[slot] = table->count;
    }
    *number_p = table->slots[slot] - 1;
    return STATUS_OK;
}

enum status piece_table_merge(struct piece_table *into, const struct piece_table *from)
{
    for (int32_t i = 0; i < from->count; i++) {
        struct text piece = piece_table_get(from, i);
        int32_t number;
        TRY(piece_table_add(into, piece.at, piece.bytes, &number));
        into->value[number] += from->value[i];
    }
    return STATUS_OK;
}

struct sorted {
    const struct piece_table *table;
    int32_t number;
};

static int by_value(const void *one, const void *two)
{
    const struct sorted *a = one, *b = two;
    int64_t x = a->table->value[a->number], y = b->table->value[b->number];
    if (x != y) return x > y ? -1 : 1;
    struct text p = piece_table_get(a->table, a->number), q = piece_table_get(b->table, b->number);
    size_t common = p.bytes < q.bytes ? p.bytes : q.bytes;
    int order = common ? memcmp(p.at, q.at, common) : 0;
    return order ? order : (p.bytes > q.bytes) - (p.bytes < q.bytes);
}

enum status piece_table_sort(const struct piece_table *table, int32_t **numbers_p)
{
    struct sorted *sorted;
    int32_t *numbers;
    size_t count = (size_t)table->count;
    TRY(memory_allocate(count, sizeof *sorted, "pieces in order", &sorted));
    for (int32_t i = 0; i < table->count; i++) sorted[i] = (struct sorted){table, i};
    qsort(sorted, count, sizeof *sorted, by_value);
    enum status status = memory_allocate(count, sizeof *numbers, "pieces in order", &numbers);
    for (int32_t i = 0; i < table->count && !status; i++) numbers[i] = sorted[i].number;
    free(sorted);
    if (!status) *numbers_p = numbers;
    return status;
}
