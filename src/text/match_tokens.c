// SPDX-License-Identifier: Apache-2.0
#include "text/match_tokens.h"

#include "text/piece_table.h"
#include "text/specials.h"

#include <string.h>

// What an id stands for. A word is shown with the space that parts it from the next.
static struct text piece_of(const struct tokenizer *tokenizer, int32_t id)
{
    size_t bytes = 0;
    const char *at = (const char *)tokenizer_piece(tokenizer, id, &bytes);
    bool word = strcmp(tokenizer_kind(tokenizer), "word") == 0;
    if (word && bytes > 1 && at[bytes - 1] == ' ') bytes--;
    return (struct text){at, bytes};
}

// The first of several ids with the same piece has it.
static enum status add_piece(struct piece_table *table, struct text piece, int32_t id)
{
    int32_t number, before = table->count;
    TRY(piece_table_add(table, piece.at, piece.bytes, &number));
    if (table->count > before) table->value[number] = id;
    return STATUS_OK;
}

// All pieces, and behind them those that only their small letters make new.
static enum status add_pieces(const struct tokenizer *tokenizer, struct piece_table *table)
{
    int32_t size = tokenizer_size(tokenizer);
    struct buffer lower = {0};
    enum status status = STATUS_OK;
    for (int32_t id = 0; id < size && !status; id++)
        status = add_piece(table, piece_of(tokenizer, id), id);
    for (int32_t id = 0; id < size && !status; id++) {
        buffer_clear(&lower);
        status = buffer_add_lower(&lower, piece_of(tokenizer, id));
        if (!status) status = add_piece(table, (struct text){lower.at, lower.bytes}, id);
    }
    buffer_release(&lower);
    return status;
}

enum status match_tokens(const struct tokenizer *here, const struct tokenizer *other,
                         int32_t *there)
{
    struct piece_table table = {.count = 0};
    int32_t size = tokenizer_size(here), unknown = tokenizer_unknown(here);
    enum status status = add_pieces(other, &table);
    for (int32_t id = 0; id < size && !status; id++) {
        struct text piece = piece_of(here, id);
        int32_t number = piece_table_find(&table, piece.at, piece.bytes);
        INVARIANT(number < table.count, "piece %d of %d", (int)number, (int)table.count);
        there[id] = number < 0 ? -1 : (int32_t)table.value[number];
    }
    if (unknown >= 0) there[unknown] = tokenizer_unknown(other);
    for (enum special special = SPECIAL_END; special < SPECIALS; special++)
        there[special_id(size, special)] = special_id(tokenizer_size(other), special);
    piece_table_release(&table);
    return status;
}
