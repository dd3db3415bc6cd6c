// SPDX-License-Identifier: Apache-2.0
// Pieces of text by number, and the number of a piece: an arena of bytes with a hash table over it.
#ifndef STN_TEXT_PIECE_TABLE_H
#define STN_TEXT_PIECE_TABLE_H

#include "text/buffer.h"

// Starts as {0}. Pieces have the numbers 0, 1, … in the order in which they were added.
struct piece_table {
    struct buffer bytes;
    size_t *end;    // [count]: of each in `bytes`
    int64_t *value; // [count]: for the owner's use, a count say
    int32_t count, room;
    int32_t *slots; // [slot_room]: number + 1, 0: free
    size_t slot_room;
};
void piece_table_release(struct piece_table *table);
static inline struct text piece_table_get(const struct piece_table *table, int32_t number)
{
    size_t start = number ? table->end[number - 1] : 0;
    return (struct text){table->bytes.at + start, table->end[number] - start};
}
// -1 when it is not there.
int32_t piece_table_find(const struct piece_table *table, const void *piece, size_t bytes);
// The piece's number; adds it, with value 0, when it is not there.
enum status piece_table_add(struct piece_table *table, const void *piece, size_t bytes,
                            int32_t *number_p) CHECK_RESULT;
// Adds a number without a place in the hash table: piece_table_find never gives it.
enum status piece_table_append(struct piece_table *table, const void *piece,
                               size_t bytes) CHECK_RESULT;
// Adds the values of `from` to those of the same pieces.
enum status piece_table_merge(struct piece_table *into,
                              const struct piece_table *from) CHECK_RESULT;
// The numbers by falling value, then by rising bytes; the caller frees the list.
enum status piece_table_sort(const struct piece_table *table, int32_t **numbers_p) CHECK_RESULT;
#endif
