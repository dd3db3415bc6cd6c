// SPDX-License-Identifier: Apache-2.0
// The char tokenizer: an id is a character, or a byte that stands outside valid UTF-8.
//
// The way back from a character to its id is a table of pages of 256 code points, only those pages that are used; ASCII has
// a table of its own. As tokenizer.json: a WordLevel model behind a splitter that isolates every character. A stray byte is
// named <0xFF>, which the ByteFallback decoder turns into the byte; so is U+0000, because no JSON key can hold it.
#include "base/memory.h"
#include "text/char_set.h"
#include "text/internal.h"

#include <stdio.h>
#include <string.h>

enum { ASCII = 128, PAGE = 256, PAGES = UNICODE_CODES / PAGE };

struct char_table {
    int32_t ascii[ASCII]; // ids; -1: not in the vocabulary
    int32_t stray[256];
    uint16_t page[PAGES]; // number of the page; 0 is the one without ids
    int32_t ids[][PAGE];
};

// ---- encoding ----
static enum status unknown(const struct tokenizer *tokenizer, const uint8_t *text, int length,
                           uint32_t code, const char *source, uint64_t offset)
{
    if (length == 0)
        FAIL(STATUS_INPUT,
             "%s: byte %llu is 0x%02X, which is not valid UTF-8 and not in the tokenizer's "
             "vocabulary of %d characters",
             source, (unsigned long long)offset, text[0], (int)tokenizer->size);
    bool visible = code >= 0x20 && code != 0x7F && !(code >= 0x80 && code < 0xA0);
    FAIL(STATUS_INPUT,
         "%s: the character U+%04X%s%.*s%s at byte %llu is not in the tokenizer's vocabulary of %d "
         "characters",
         source, (unsigned)code, visible ? " \"" : "", visible ? length : 0, (const char *)text,
         visible ? "\"" : "", (unsigned long long)offset, (int)tokenizer->size);
}

// Ids of the run of ASCII at `text`, eight characters at a time; returns its length. Stops before an unknown one.
static size_t encode_ascii(const struct char_table *table, const uint8_t *text, size_t bytes,
                           int32_t *ids)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= bytes; i += sizeof word) {
        memcpy(&word, text + i, sizeof word);
        if (word & 0x8080808080808080u) break;
        int32_t any = 0;
        for (size_t j = 0; j < sizeof word; j++) any |= ids[i + j] = table->ascii[text[i + j]];
        if (any < 0) break;
    }
    return i;
}

static enum status char_encode(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                               const char *source, uint64_t base, int32_t *ids, size_t *count_p)
{
    const struct char_table *table = tokenizer->table;
    size_t count = 0;
    for (size_t i = 0; i < bytes;) {
        size_t ascii = encode_ascii(table, text + i, bytes - i, ids + count);
        i += ascii;
        count += ascii;
        if (i == bytes) break;
        uint32_t code = 0;
        int length = utf8_read(text + i, bytes - i, &code);
        int32_t id =
            length ? table->ids[table->page[code / PAGE]][code % PAGE] : table->stray[text[i]];
        if (id < 0) return unknown(tokenizer, text + i, length, code, source, base + i);
        ids[count++] = id;
        i += length ? (size_t)length : 1;
    }
    *count_p = count;
    return STATUS_OK;
}

static size_t char_cut(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    (void)tokenizer;
    return utf8_cut(text, bytes);
}

// ---- making ----
static bool is_stray(struct token_piece piece)
{
    return piece.length == 1 && piece.bytes[0] >= 0x80;
}

// Puts an id where `slot` is free. Two names of one piece cannot come from a set, but from a file: <0x00> twice, say.
static enum status claim(int32_t *slot, int32_t id, const char *source)
{
    if (*slot >= 0)
        FAIL(STATUS_INPUT, "%s: ids %d and %d stand for the same character", source, (int)*slot,
             (int)id);
    *slot = id;
    return STATUS_OK;
}

// Numbers the pages that are used, from 1; returns how many there are with page 0.
static uint16_t number_pages(const struct tokenizer *tokenizer, uint16_t page[PAGES])
{
    uint16_t pages = 1;
    uint32_t code;
    for (int32_t id = 0; id < tokenizer->size; id++) {
        struct token_piece piece = tokenizer->pieces[id];
        if (is_stray(piece) || !utf8_read(piece.bytes, piece.length, &code)) continue;
        if (!page[code / PAGE]) page[code / PAGE] = pages++;
    }
    return pages;
}

static enum status index_piece(struct char_table *table, struct token_piece piece, int32_t id,
                               const char *source)
{
    if (is_stray(piece)) return claim(&table->stray[piece.bytes[0]], id, source);
    uint32_t code = 0;
    int length = utf8_read(piece.bytes, piece.length, &code);
    INVARIANT(length == piece.length, "id %d is no character", (int)id);
    if (code < ASCII) table->ascii[code] = id;
    return claim(&table->ids[table->page[code / PAGE]][code % PAGE], id, source);
}

static enum status char_index(struct tokenizer *tokenizer, const char *source)
{
    uint16_t page[PAGES] = {0}, pages = number_pages(tokenizer, page);
    size_t bytes = sizeof(struct char_table) + (size_t)pages * sizeof(int32_t[PAGE]);
    struct char_table *table;
    TRY(memory_allocate(1, bytes, "a table of characters", &table));
    tokenizer->table = table;
    memset(table, 0xFF, bytes); // -1 everywhere
    memcpy(table->page, page, sizeof page);
    for (int32_t id = 0; id < tokenizer->size; id++)
        TRY(index_piece(table, tokenizer->pieces[id], id, source));
    return STATUS_OK;
}

enum status tokenizer_char_create(const struct char_set *set, struct tokenizer **tokenizer_p)
{
    int32_t size = 0;
    for (size_t i = 0; i < UNICODE_CODES / 64; i++)
        size += __builtin_popcountll(set->characters[i]);
    for (int byte = 0; byte < 256; byte++) size += set->stray[byte];
    if (size == 0) FAIL(STATUS_INPUT, "a char tokenizer needs a text with at least one character");
    struct tokenizer *tokenizer;
    TRY(tokenizer_create(&tokenizer_kind_char, size, &tokenizer));
    int32_t id = 0;
    for (uint32_t code = 0; code < UNICODE_CODES; code++) {
        if (!(set->characters[code / 64] >> code % 64 & 1)) continue;
        struct token_piece *piece = &tokenizer->pieces[id++];
        piece->length = (uint8_t)utf8_write(code, piece->bytes);
    }
    for (int byte = 0; byte < 256; byte++)
        if (set->stray[byte])
            tokenizer->pieces[id++] = (struct token_piece){.bytes = {(uint8_t)byte}, .length = 1};
    enum status status = tokenizer_seal(tokenizer, "the text");
    if (status) goto destroy_tokenizer;
    *tokenizer_p = tokenizer;
    return STATUS_OK;
destroy_tokenizer:
    tokenizer_destroy(tokenizer);
    return status;
}

// ---- tokenizer.json ----
static void char_name(struct token_piece piece, char name[TOKEN_NAME])
{
    if (is_stray(piece) || piece.bytes[0] == 0) {
        snprintf(name, TOKEN_NAME, "<0x%02X>", piece.bytes[0]);
        return;
    }
    memcpy(name, piece.bytes, piece.length);
    name[piece.length] = 0;
}

static int hex_digit(char digit)
{
    const char *digits = "0123456789ABCDEF", *found = digit ? strchr(digits, digit) : NULL;
    return found ? (int)(found - digits) : -1;
}

static bool char_read(const char *name, struct token_piece *piece_p)
{
    size_t bytes = strlen(name);
    uint32_t code;
    struct token_piece piece = {.length = (uint8_t)utf8_read((const uint8_t *)name, bytes, &code)};
    if (piece.length > 0 && piece.length == bytes) {
        memcpy(piece.bytes, name, bytes);
        *piece_p = piece;
        return true;
    }
    if (bytes != 6 || strncmp(name, "<0x", 3) != 0 || name[5] != '>') return false;
    int high = hex_digit(name[3]), low = hex_digit(name[4]);
    if (high < 0 || low < 0 || (high < 8 && high + low > 0)) return false;
    *piece_p = (struct token_piece){.bytes = {(uint8_t)(high * 16 + low)}, .length = 1};
    return true;
}

static const char skeleton[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[],\"normalizer\":"
    "null,"
    "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\\\\s\\\\S]\"},\"behavior\":"
    "\"Isolated\","
    "\"invert\":false},\"post_processor\":null,"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"}]},"
    "\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"<unk>\"}}";

const struct tokenizer_kind tokenizer_kind_char = {.name = "char",
                                                   .skeleton = skeleton,
                                                   .least = 1,
                                                   .most = UNICODE_CODES,
                                                   .encode = char_encode,
                                                   .cut = char_cut,
                                                   .name_piece = char_name,
                                                   .read_piece = char_read,
                                                   .index = char_index};
