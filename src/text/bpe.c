// SPDX-License-Identifier: Apache-2.0
#include "text/bpe.h"

#include "base/memory.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <xxhash.h>

// ---- encoding ----
// A piece's ids, remembered: pieces come again and again. One place for each hash; the last one has it.
enum { CACHED_BYTES = 24, CACHED_IDS = 9, CACHE_SLOTS = 4096, CACHE_FROM = 4096 };
struct cached {
    uint8_t text[CACHED_BYTES];
    uint8_t bytes, count; // bytes 0: nothing here
    int32_t ids[CACHED_IDS];
};

struct encoding {
    const struct bpe *bpe;
    const char *source;
    int32_t *ids; // of the caller: [room]
    size_t count, room;
    struct cached *cache; // NULL for short texts
    struct merge_heap heap;
    int32_t *scratch; // [scratch_room], for a piece
    size_t scratch_room;
};

static enum status push_ids(struct encoding *encoding, const int32_t *ids, size_t count)
{
    INVARIANT(count <= encoding->room - encoding->count, "%zu ids of a text", encoding->room);
    memcpy(encoding->ids + encoding->count, ids, count * sizeof *ids);
    encoding->count += count;
    return STATUS_OK;
}

static enum status merge_piece(struct encoding *encoding, const uint8_t *piece, size_t bytes,
                               size_t *count_p)
{
    const struct bpe *bpe = encoding->bpe;
    int64_t left;
    if (bytes > encoding->scratch_room) {
        TRY(memory_grow(&encoding->scratch, bytes + 64, sizeof(int32_t), "a piece of text"));
        encoding->scratch_room = bytes + 64;
    }
    for (size_t i = 0; i < bytes; i++) {
        encoding->scratch[i] = bpe->byte_ids[piece[i]];
        if (encoding->scratch[i] < 0)
            FAIL(STATUS_INPUT, "%s: the byte 0x%02X is not in the tokenizer's vocabulary",
                 encoding->source, piece[i]);
    }
    TRY(bpe_merge(bpe, &encoding->heap, encoding->scratch, (int64_t)bytes, &left));
    *count_p = (size_t)left;
    return STATUS_OK;
}

static enum status encode_piece(void *context, const uint8_t *piece, size_t bytes)
{
    struct encoding *encoding = context;
    const struct bpe *bpe = encoding->bpe;
    size_t count;
    int32_t whole = piece_table_find(&bpe->pieces, piece, bytes);
    if (whole >= 0 && (bpe->ignore_merges || bpe->whole[whole]))
        return push_ids(encoding, &whole, 1);
    struct cached *cached = NULL;
    if (encoding->cache && bytes <= CACHED_BYTES) {
        cached = &encoding->cache[XXH3_64bits(piece, bytes) % CACHE_SLOTS];
        if (cached->bytes == bytes && memcmp(cached->text, piece, bytes) == 0)
            return push_ids(encoding, cached->ids, cached->count);
    }
    TRY(merge_piece(encoding, piece, bytes, &count));
    if (cached && count <= CACHED_IDS) {
        cached->bytes = (uint8_t)bytes;
        cached->count = (uint8_t)count;
        memcpy(cached->text, piece, bytes);
        memcpy(cached->ids, encoding->scratch, count * sizeof(int32_t));
    }
    return push_ids(encoding, encoding->scratch, count);
}

// Whether the text may change in form C. What is in these ranges is in that form by itself and never joins what is before it:
// Latin up to U+02FF, Cyrillic, quotes and dashes, Chinese with its marks, kana, Hangul, full-width forms.
static bool may_compose(const uint8_t *text, size_t bytes)
{
    static const uint32_t stable[][2] = {{0x80, 0x2FF},    {0x400, 0x482},   {0x48A, 0x52F},
                                         {0x2010, 0x2027}, {0x3001, 0x3029}, {0x3041, 0x3096},
                                         {0x30A1, 0x30FA}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF},
                                         {0xAC00, 0xD7A3}, {0xFF01, 0xFF60}};
    for (size_t i = 0; i < bytes;) {
        uint32_t code = 0;
        int length = text[i] < 0x80 ? 1 : utf8_read(text + i, bytes - i, &code);
        size_t range = 0, ranges = sizeof stable / sizeof *stable;
        if (text[i] >= 0x80 && length > 0) {
            while (range < ranges && (code < stable[range][0] || code > stable[range][1])) range++;
            if (range == ranges) return true;
        }
        i += length ? (size_t)length : 1;
    }
    return false;
}

// Valid UTF-8 in form C; bytes outside it go between as they are.
static enum status encode_composed(struct encoding *encoding, const uint8_t *text, size_t bytes)
{
    const struct splitter *splitter = encoding->bpe->splitter;
    struct buffer composed = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < bytes && !status;) {
        size_t end = i;
        uint32_t code;
        int length;
        while (end < bytes && (length = utf8_read(text + end, bytes - end, &code)) > 0)
            end += (size_t)length;
        utf8proc_uint8_t *form = NULL;
        utf8proc_ssize_t size = 0;
        if (end > i)
            size = utf8proc_map(text + i, (utf8proc_ssize_t)(end - i), &form,
                                UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (size < 0)
            status = error_at(STATUS_MEMORY, __FILE__, __LINE__, "%s: form C: %s", encoding->source,
                              utf8proc_errmsg(size));
        if (!status && size > 0)
            status = buffer_add(&composed, (struct text){(char *)form, (size_t)size});
        free(form);
        if (!status && end < bytes)
            status = buffer_add(&composed, (struct text){(const char *)text + end++, 1});
        i = end;
    }
    if (!status)
        status =
            splitter_run(splitter, (uint8_t *)composed.at, composed.bytes, encode_piece, encoding);
    buffer_release(&composed);
    return status;
}

static enum status encode_plain(struct encoding *encoding, const uint8_t *text, size_t bytes)
{
    if (bytes == 0) return STATUS_OK;
    if (encoding->bpe->nfc && may_compose(text, bytes))
        return encode_composed(encoding, text, bytes);
    return splitter_run(encoding->bpe->splitter, text, bytes, encode_piece, encoding);
}

// The longest added token that begins at byte i.
static const struct added_token *find_added(const struct bpe *bpe, const uint8_t *text, size_t i,
                                            size_t bytes)
{
    if (!bpe->added_first[text[i]]) return NULL;
    return bpe_find_added(bpe, (struct text){(const char *)text + i, bytes - i});
}

static enum status encode_all(struct encoding *encoding, const uint8_t *text, size_t bytes)
{
    const struct bpe *bpe = encoding->bpe;
    size_t start = 0;
    for (size_t i = 0; bpe->added_count && i < bytes;) {
        const struct added_token *added = find_added(bpe, text, i, bytes);
        if (!added) {
            i++;
            continue;
        }
        TRY(encode_plain(encoding, text + start, i - start));
        TRY(push_ids(encoding, &added->id, 1));
        start = i += piece_table_get(&bpe->pieces, added->id).bytes;
    }
    return encode_plain(encoding, text + start, bytes - start);
}

static enum status bpe_encode(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                              const char *source, uint64_t base, int32_t *ids, size_t *count_p)
{
    (void)base;
    struct encoding encoding = {
        .bpe = tokenizer->table, .source = source, .room = tokenizer_room(tokenizer, bytes)};
    encoding.ids = ids;
    enum status status = STATUS_OK;
    if (bytes >= CACHE_FROM)
        status = memory_allocate(CACHE_SLOTS, sizeof *encoding.cache, "pieces seen before",
                                 &encoding.cache);
    if (!status) status = encode_all(&encoding, text, bytes);
    free(encoding.cache);
    free(encoding.scratch);
    merge_heap_release(&encoding.heap);
    if (!status) *count_p = encoding.count;
    return status;
}

// Finds what stands behind the last added token of a text, up to a place where one may begin that goes on behind the end.
static void find_tail(const struct bpe *bpe, const uint8_t *text, size_t bytes, size_t *start_p,
                      size_t *end_p)
{
    *start_p = 0;
    *end_p = bytes;
    for (size_t i = 0; bpe->added_count && i < bytes;) {
        const struct added_token *added = find_added(bpe, text, i, bytes);
        if (bpe->added_first[text[i]] &&
            bpe_added_goes_on(bpe, (struct text){(const char *)text + i, bytes - i})) {
            *end_p = i;
            return;
        }
        i += added ? piece_table_get(&bpe->pieces, added->id).bytes : 1;
        if (added) *start_p = i;
    }
}

// A cut never parts an added token: it is in the text behind the last one, or else at that token's end.
static size_t bpe_cut(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    const struct bpe *bpe = tokenizer->table;
    size_t start, end, whole = utf8_cut(text, bytes);
    find_tail(bpe, text, bytes, &start, &end);
    if (end > start) {
        size_t cut = splitter_cut(bpe->splitter, text + start, end - start);
        if (cut < utf8_cut(text + start, end - start)) return start + cut;
    }
    if (start) return start;
    return whole ? whole : bytes;
}

// A character of form C takes up to three times the bytes of what it was made from (Unicode's UAX 15).
static size_t bpe_growth(const struct tokenizer *tokenizer)
{
    const struct bpe *bpe = tokenizer->table;
    return bpe->nfc ? 3 : 1;
}

static bool bpe_keeps_bytes(const struct tokenizer *tokenizer)
{
    const struct bpe *bpe = tokenizer->table;
    return !bpe->nfc;
}

static const uint8_t *bpe_piece(const struct tokenizer *tokenizer, int32_t id, size_t *bytes_p)
{
    const struct bpe *bpe = tokenizer->table;
    struct text piece = piece_table_get(&bpe->pieces, id);
    *bytes_p = piece.bytes;
    return (const uint8_t *)piece.at;
}

// ---- making ----
void bpe_release(struct bpe *bpe)
{
    splitter_destroy(bpe->splitter);
    piece_table_release(&bpe->pieces);
    free(bpe->added);
    free(bpe->added_order);
    free(bpe->added_shorter);
    free(bpe->merges);
    free(bpe->whole);
    free(bpe->slots);
    *bpe = (struct bpe){0};
}

static void bpe_release_table(struct tokenizer *tokenizer)
{
    if (tokenizer->table) bpe_release(tokenizer->table);
}

static enum status index_merges(struct bpe *bpe, const char *source)
{
    size_t room = 1024;
    while (room < 3 * (size_t)bpe->merge_count) room *= 2;
    TRY(memory_allocate(room, sizeof *bpe->slots, "a table of merges", &bpe->slots));
    bpe->slot_room = room;
    struct buffer joined = {0};
    enum status status = STATUS_OK;
    for (int32_t rank = 0; rank < bpe->merge_count && !status; rank++) {
        int32_t left = bpe->merges[rank][0], right = bpe->merges[rank][1];
        buffer_clear(&joined);
        status = buffer_add(&joined, piece_table_get(&bpe->pieces, left));
        if (!status) status = buffer_add(&joined, piece_table_get(&bpe->pieces, right));
        if (status) break;
        int32_t id = piece_table_find(&bpe->pieces, joined.at, joined.bytes);
        if (id < 0) {
            status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                              "%s: merge %d: what ids %d and %d give together is not in the "
                              "vocabulary",
                              source, rank, left, right);
        } else if (!bpe_find_merge(bpe, left, right)) { // of two equal ones the first counts
            uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
            size_t slot = (key * 0x9E3779B97F4A7C15u >> 20) & (room - 1);
            while (bpe->slots[slot].pair) slot = (slot + 1) & (room - 1);
            bpe->slots[slot] = (struct merge_slot){key, rank, id};
        }
    }
    buffer_release(&joined);
    return status;
}

// Which entries their own merges lead to: those need no merging when a piece is one of them.
static enum status find_whole(struct bpe *bpe)
{
    TRY(memory_allocate((size_t)bpe->vocabulary, 1, "a vocabulary", &bpe->whole));
    struct merge_heap heap = {0};
    int32_t *ids = NULL;
    size_t room = 0;
    enum status status = STATUS_OK;
    for (int32_t id = 0; id < bpe->vocabulary && !status; id++) {
        struct text piece = piece_table_get(&bpe->pieces, id);
        int64_t left = 0;
        bool known = piece.bytes > 0;
        if (piece.bytes > room) {
            room = 2 * piece.bytes;
            status = memory_grow(&ids, room, sizeof *ids, "a piece of text");
        }
        for (size_t i = 0; i < piece.bytes && !status; i++) {
            ids[i] = bpe->byte_ids[(uint8_t)piece.at[i]];
            known = known && ids[i] >= 0;
        }
        if (!status && known) status = bpe_merge(bpe, &heap, ids, (int64_t)piece.bytes, &left);
        bpe->whole[id] = !status && known && left == 1 && ids[0] == id;
    }
    free(ids);
    merge_heap_release(&heap);
    return status;
}

static uint64_t hash_of(const struct bpe *bpe)
{
    int32_t how[5] = {(int32_t)bpe->pattern, bpe->nfc, bpe->ignore_merges, bpe->vocabulary,
                      bpe->merge_count};
    uint64_t hash = XXH3_64bits_withSeed(how, sizeof how, 0xB9E);
    hash = XXH3_64bits_withSeed(bpe->pieces.bytes.at, bpe->pieces.bytes.bytes, hash);
    for (int32_t id = 0; id < bpe->pieces.count; id++) {
        uint64_t end = bpe->pieces.end[id];
        hash = XXH3_64bits_withSeed(&end, sizeof end, hash);
    }
    for (int32_t i = 0; i < bpe->added_count; i++)
        hash = XXH3_64bits_withSeed(&bpe->added[i].id, sizeof bpe->added[i].id, hash);
    if (bpe->merge_count)
        hash =
            XXH3_64bits_withSeed(bpe->merges, (size_t)bpe->merge_count * sizeof *bpe->merges, hash);
    return hash;
}

static enum status finish(struct bpe *bpe, const char *source)
{
    TRY(splitter_create(bpe->pattern, &bpe->splitter));
    for (int byte = 0; byte < 256; byte++) {
        uint8_t one = (uint8_t)byte;
        bpe->byte_ids[byte] = piece_table_find(&bpe->pieces, &one, 1);
    }
    TRY(bpe_index_added(bpe));
    TRY(index_merges(bpe, source));
    return find_whole(bpe);
}

enum status bpe_finish(struct bpe *bpe, const char *source, struct tokenizer **tokenizer_p)
{
    struct tokenizer *tokenizer = NULL;
    struct bpe *own = NULL;
    enum status status = finish(bpe, source);
    if (!status) status = memory_allocate(1, sizeof *own, "a tokenizer", &own);
    if (!status) status = tokenizer_create(&tokenizer_kind_bpe, bpe->pieces.count, &tokenizer);
    if (status) goto release;
    tokenizer->hash = hash_of(bpe);
    *own = *bpe;
    tokenizer->table = own;
    *bpe = (struct bpe){0};
    *tokenizer_p = tokenizer;
    return STATUS_OK;
release:
    free(own);
    bpe_release(bpe);
    return status;
}

enum status bpe_save(const struct tokenizer *tokenizer, json_t **root_p); // bpe_json.c

const struct tokenizer_kind tokenizer_kind_bpe = {.name = "bpe",
                                                  .encode = bpe_encode,
                                                  .cut = bpe_cut,
                                                  .growth = bpe_growth,
                                                  .keeps_bytes = bpe_keeps_bytes,
                                                  .piece = bpe_piece,
                                                  .release = bpe_release_table,
                                                  .save = bpe_save};
