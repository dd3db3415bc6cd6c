// SPDX-License-Identifier: Apache-2.0
#include "text/match_tokens.h"

#include "text/piece_table.h"
#include "text/specials.h"

#include <string.h>

// What an id stands for, into `piece`. Words are shown with the space that parts them from the next.
static enum status read_piece(const struct tokenizer *tokenizer, int32_t id, struct buffer *piece)
{
    struct text shown = {0};
    shown.at = (const char *)tokenizer_piece(tokenizer, id, &shown.bytes);
    buffer_clear(piece);
    if (strcmp(tokenizer_kind(tokenizer), "word") != 0) return buffer_add(piece, shown);
    bool newline = shown.bytes == 1 && shown.at[0] == '\n';
    if (!newline) TRY(buffer_add(piece, text_of(" ")));
    return buffer_add(piece, text_strip_end(shown));
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
    struct buffer piece = {0}, lower = {0};
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < 2 * size && !status; i++) {
        status = read_piece(tokenizer, i % size, &piece);
        buffer_clear(&lower);
        if (!status) status = buffer_add_lower_alone(&lower, buffer_text(&piece));
        if (!status) status = add_piece(table, buffer_text(i < size ? &piece : &lower), i % size);
    }
    buffer_release(&piece);
    buffer_release(&lower);
    return status;
}

static int32_t find(const struct piece_table *table, struct text piece)
{
    int32_t number = piece_table_find(table, piece.at, piece.bytes);
    INVARIANT(number < table->count, "piece %d of %d", (int)number, (int)table->count);
    return number < 0 ? -1 : (int32_t)table->value[number];
}

static enum status find_either(const struct piece_table *table, struct text piece, int32_t *id_p)
{
    struct buffer spaced = {0};
    *id_p = find(table, piece);
    if (*id_p >= 0) return STATUS_OK;
    if (piece.bytes > 1 && piece.at[0] == ' ') {
        *id_p = find(table, (struct text){piece.at + 1, piece.bytes - 1});
        return STATUS_OK;
    }
    enum status status = buffer_add(&spaced, text_of(" "));
    if (!status) status = buffer_add(&spaced, piece);
    if (!status) *id_p = find(table, buffer_text(&spaced));
    buffer_release(&spaced);
    return status;
}

enum status match_tokens(const struct tokenizer *here, const struct tokenizer *other,
                         int32_t *there)
{
    struct piece_table table = {.count = 0};
    struct buffer piece = {0};
    int32_t size = tokenizer_size(here), unknown = tokenizer_unknown(here);
    enum status status = add_pieces(other, &table);
    for (int32_t id = 0; id < size && !status; id++) {
        status = read_piece(here, id, &piece);
        if (!status) status = find_either(&table, buffer_text(&piece), &there[id]);
    }
    if (unknown >= 0) there[unknown] = tokenizer_unknown(other);
    for (enum special special = SPECIAL_END; special < SPECIALS; special++)
        there[special_id(size, special)] = special_id(tokenizer_size(other), special);
    buffer_release(&piece);
    piece_table_release(&table);
    return status;
}
