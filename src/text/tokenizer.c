// SPDX-License-Identifier: Apache-2.0
// What all kinds of tokenizers have in common: an array of pieces, a hash over them, and the calls that go to the kind.
#include "text/tokenizer.h"

#include "base/memory.h"
#include "text/internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum status tokenizer_create(const struct tokenizer_kind *kind, int32_t size,
                             struct tokenizer **tokenizer_p)
{
    struct tokenizer *tokenizer;
    TRY(memory_allocate(1, sizeof *tokenizer, "a tokenizer", &tokenizer));
    enum status status = STATUS_OK;
    if (!kind->piece)
        status = memory_allocate((size_t)size, sizeof *tokenizer->pieces, "a vocabulary",
                                 &tokenizer->pieces);
    if (status) goto free_tokenizer;
    tokenizer->kind = kind;
    tokenizer->size = size;
    *tokenizer_p = tokenizer;
    return STATUS_OK;
free_tokenizer:
    free(tokenizer);
    return status;
}

void tokenizer_destroy(struct tokenizer *tokenizer)
{
    if (!tokenizer) return;
    if (tokenizer->kind->release) tokenizer->kind->release(tokenizer);
    free(tokenizer->table);
    free(tokenizer->pieces);
    free(tokenizer);
}

// The hash is over the kind's name and each piece's length and bytes, in the order of ids: the same on every machine.
enum status tokenizer_seal(struct tokenizer *tokenizer, const char *source)
{
    if (tokenizer->kind->index) TRY(tokenizer->kind->index(tokenizer, source));
    XXH3_state_t *state = XXH3_createState();
    if (!state) FAIL(STATUS_MEMORY, "not enough memory for a hash");
    XXH3_64bits_reset(state);
    XXH3_64bits_update(state, tokenizer->kind->name, strlen(tokenizer->kind->name) + 1);
    for (int32_t id = 0; id < tokenizer->size; id++) {
        struct token_piece piece = tokenizer->pieces[id];
        XXH3_64bits_update(state, &piece.length, 1);
        XXH3_64bits_update(state, piece.bytes, piece.length);
    }
    tokenizer->hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return STATUS_OK;
}

const char *tokenizer_kind(const struct tokenizer *tokenizer) { return tokenizer->kind->name; }
int32_t tokenizer_size(const struct tokenizer *tokenizer) { return tokenizer->size; }
int32_t tokenizer_unknown(const struct tokenizer *tokenizer)
{
    return tokenizer->kind->unknown ? tokenizer->kind->unknown(tokenizer) : -1;
}
uint64_t tokenizer_hash(const struct tokenizer *tokenizer) { return tokenizer->hash; }

size_t tokenizer_room(const struct tokenizer *tokenizer, size_t bytes)
{
    return tokenizer->kind->growth ? checked_multiply(bytes, tokenizer->kind->growth(tokenizer))
                                   : bytes;
}

enum status tokenizer_encode(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                             const char *source, uint64_t base, int32_t *ids, size_t *count_p)
{
    TRY(tokenizer->kind->encode(tokenizer, text, bytes, source, base, ids, count_p));
    return STATUS_OK;
}

bool tokenizer_keeps_bytes(const struct tokenizer *tokenizer)
{
    return !tokenizer->kind->keeps_bytes || tokenizer->kind->keeps_bytes(tokenizer);
}

const uint8_t *tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, size_t *bytes_p)
{
    if (id < 0 || id >= tokenizer->size) return NULL;
    if (tokenizer->kind->piece) return tokenizer->kind->piece(tokenizer, id, bytes_p);
    *bytes_p = tokenizer->pieces[id].length;
    return tokenizer->pieces[id].bytes;
}

size_t tokenizer_cut(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    return tokenizer->kind->cut(tokenizer, text, bytes);
}

// ---- what the tokenizer lacks is left out ----
enum status tokenizer_has(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                          size_t *length_p, bool *has_p)
{
    int32_t ids[3 * 4]; // of four bytes in form C, at most
    size_t count;
    uint32_t code;
    int length = utf8_read(text, bytes, &code);
    *length_p = length > 0 ? (size_t)length : 1;
    enum status status =
        tokenizer_encode(tokenizer, text, *length_p, "a character", 0, ids, &count);
    *has_p = status == STATUS_OK;
    if (status == STATUS_INPUT) {
        error_clear();
        return STATUS_OK;
    }
    return status;
}

// Characters that the tokenizer has. Together they may be what it lacks (an accent and its letter, in form C): then each alone.
static enum status encode_run(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                              int32_t *ids, size_t *count_p)
{
    enum status status = tokenizer_encode(tokenizer, text, bytes, "the text", 0, ids, count_p);
    if (status != STATUS_INPUT) return status;
    error_clear();
    *count_p = 0;
    for (size_t i = 0; i < bytes;) {
        size_t some;
        uint32_t code;
        int length = utf8_read(text + i, bytes - i, &code);
        if (length < 1) length = 1;
        TRY(tokenizer_encode(tokenizer, text + i, (size_t)length, "a character", i, ids + *count_p,
                             &some));
        *count_p += some;
        i += (size_t)length;
    }
    return STATUS_OK;
}

// What is left out parts the text, so no word or added token comes to be that is not in it.
static enum status encode_runs(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                               int32_t *ids, size_t *count_p, int64_t *unknown_p)
{
    size_t start = 0, length, some;
    *count_p = 0;
    *unknown_p = 0;
    for (size_t i = 0; i < bytes; i += length) {
        bool has;
        TRY(tokenizer_has(tokenizer, text + i, bytes - i, &length, &has));
        if (has) continue;
        TRY(encode_run(tokenizer, text + start, i - start, ids + *count_p, &some));
        *count_p += some;
        ++*unknown_p;
        start = i + length;
    }
    TRY(encode_run(tokenizer, text + start, bytes - start, ids + *count_p, &some));
    *count_p += some;
    return STATUS_OK;
}

enum status tokenizer_encode_known(const struct tokenizer *tokenizer, const uint8_t *text,
                                   size_t bytes, int32_t *ids, size_t *count_p, int64_t *unknown_p)
{
    enum status status = tokenizer_encode(tokenizer, text, bytes, "the text", 0, ids, count_p);
    *unknown_p = 0;
    if (status != STATUS_INPUT) return status;
    error_clear();
    return encode_runs(tokenizer, text, bytes, ids, count_p, unknown_p);
}
