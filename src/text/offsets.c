// SPDX-License-Identifier: Apache-2.0
#include "text/offsets.h"

#include "text/word.h"

#include <string.h>

// ---- words ----
struct finding {
    const uint8_t *text; // that is split
    struct offset *offsets;
    size_t count;
};

static enum status find_word(void *context, const uint8_t *piece, size_t bytes)
{
    struct finding *finding = context;
    uint32_t from = (uint32_t)(piece - finding->text);
    finding->offsets[finding->count++] = (struct offset){from, from + (uint32_t)bytes};
    return STATUS_OK;
}

// Small letters may take more or fewer bytes. Characters stay in step, but for one that becomes two.
enum { CAPITAL_I_WITH_DOT = 0x130 };

static size_t step(const uint8_t *text, size_t bytes, size_t at, uint32_t *code_p)
{
    *code_p = 0;
    int length = utf8_read(text + at, bytes - at, code_p);
    return at + (size_t)(length > 0 ? length : 1);
}

// Turns offsets in the small letters into those in the text. Both rise.
static void put_back(struct text lower, const uint8_t *text, size_t bytes, struct finding *finding)
{
    size_t small = 0, at = 0, before = 0;
    uint32_t code, ignored;
    for (size_t i = 0; i < 2 * finding->count; i++) {
        uint32_t *place = i % 2 ? &finding->offsets[i / 2].to : &finding->offsets[i / 2].from;
        while (small < *place && at < bytes) {
            before = at;
            at = step(text, bytes, at, &code);
            small = step((const uint8_t *)lower.at, lower.bytes, small, &ignored);
            if (code == CAPITAL_I_WITH_DOT)
                small = step((const uint8_t *)lower.at, lower.bytes, small, &ignored);
        }
        // A piece that begins inside the two begins with the one.
        *place = (uint32_t)(i % 2 == 0 && small > *place ? before : at);
    }
}

static enum status word_offsets(const struct word *word, const uint8_t *text, size_t bytes,
                                struct finding *finding)
{
    struct buffer lower = {0};
    finding->text = text;
    if (!word->lower_case) return splitter_run(word->splitter, text, bytes, find_word, finding);
    enum status status = buffer_add_lower_alone(&lower, (struct text){(const char *)text, bytes});
    finding->text = (const uint8_t *)lower.at;
    if (!status && lower.bytes)
        status = splitter_run(word->splitter, finding->text, lower.bytes, find_word, finding);
    if (!status) put_back(buffer_text(&lower), text, bytes, finding);
    buffer_release(&lower);
    return status;
}

// ---- pieces that are the text's bytes ----
static size_t piece_bytes(const struct tokenizer *tokenizer, const int32_t *ids, size_t count)
{
    size_t total = 0, length;
    for (size_t i = 0; i < count; i++)
        if (tokenizer_piece(tokenizer, ids[i], &length)) total += length;
    return total;
}

// Where the next piece begins: behind characters that the tokenizer lacks. *seen_p: how far characters have been looked at.
static enum status skip_lacking(const struct tokenizer *tokenizer, const uint8_t *text,
                                size_t bytes, size_t *at_p, size_t *seen_p)
{
    bool has = false;
    size_t length;
    uint32_t code;
    while (*seen_p < *at_p) *seen_p = step(text, bytes, *seen_p, &code);
    while (*seen_p == *at_p && *at_p < bytes && !has) {
        TRY(tokenizer_has(tokenizer, text + *at_p, bytes - *at_p, &length, &has));
        *seen_p += length;
        if (!has) *at_p = *seen_p;
    }
    return STATUS_OK;
}

static enum status piece_offsets(const struct tokenizer *tokenizer, const uint8_t *text,
                                 size_t bytes, const int32_t *ids, size_t count,
                                 struct offset *offsets)
{
    size_t total = piece_bytes(tokenizer, ids, count), at = 0, seen = 0;
    bool found = total <= bytes;
    for (size_t i = 0; i < count && found; i++) {
        size_t length = 0;
        const uint8_t *piece = tokenizer_piece(tokenizer, ids[i], &length);
        if (!piece) length = 0;
        if (total < bytes) {
            TRY(skip_lacking(tokenizer, text, bytes, &at, &seen));
            found = length <= bytes - at && (!length || memcmp(text + at, piece, length) == 0);
        }
        offsets[i] = (struct offset){(uint32_t)at, (uint32_t)(at + length)};
        at += length;
    }
    if (!found)
        FAIL(STATUS_UNSUPPORTED,
             "the tokenizer's pieces are %zu bytes of a text of %zu; answers are found in a text "
             "only by a tokenizer that keeps its bytes, or by words",
             total, bytes);
    return STATUS_OK;
}

// Characters that the tokenizer lacks may have been left out.
static void character_offsets(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                              const int32_t *ids, size_t count, struct offset *offsets)
{
    size_t at = 0;
    uint32_t code;
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        const uint8_t *piece = tokenizer_piece(tokenizer, ids[i], &length);
        while (at < bytes && (length > bytes - at || memcmp(text + at, piece, length) != 0))
            at = step(text, bytes, at, &code);
        size_t end = length < bytes - at ? at + length : bytes;
        offsets[i] = (struct offset){(uint32_t)at, (uint32_t)end};
        at = end;
    }
}

enum status tokenizer_offsets(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                              const int32_t *ids, size_t count, struct offset *offsets)
{
    if (tokenizer->kind == &tokenizer_kind_char) {
        character_offsets(tokenizer, text, bytes, ids, count, offsets);
        return STATUS_OK;
    }
    if (tokenizer->kind != &tokenizer_kind_word)
        return piece_offsets(tokenizer, text, bytes, ids, count, offsets);
    struct finding finding = {.offsets = offsets};
    TRY(word_offsets(tokenizer->table, text, bytes, &finding));
    INVARIANT(finding.count == count, "%zu words of %zu ids", finding.count, count);
    return STATUS_OK;
}
