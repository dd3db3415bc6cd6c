// SPDX-License-Identifier: Apache-2.0
// The word tokenizer: an id is a word, a run of marks, or a newline. Spaces are not kept: decoding puts one behind each word but
// Chinese ones, where no one writes them.
// As tokenizer.json: a WordLevel model behind a splitter that keeps what matches.
#include "text/word.h"

#include "base/memory.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MOST_ENTRIES = 1 << 24 };

// ---- encoding ----
struct encoding {
    const struct word *word;
    int32_t *ids;
    size_t count;
};

static enum status encode_word(void *context, const uint8_t *piece, size_t bytes)
{
    struct encoding *encoding = context;
    int32_t id = piece_table_find(&encoding->word->words, piece, bytes);
    encoding->ids[encoding->count++] = id >= 0 ? id : encoding->word->unknown;
    return STATUS_OK;
}

// Never more ids than bytes: small letters take no fewer bytes a piece than it has characters.
static enum status word_encode(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                               const char *source, uint64_t base, int32_t *ids, size_t *count_p)
{
    (void)source, (void)base;
    const struct word *word = tokenizer->table;
    struct encoding encoding = {.word = word};
    encoding.ids = ids;
    struct buffer lower = {0};
    enum status status = STATUS_OK;
    if (word->lower_case) {
        status = buffer_add_lower_alone(&lower, (struct text){(const char *)text, bytes});
        text = (const uint8_t *)lower.at;
        bytes = lower.bytes;
    }
    if (!status) status = splitter_run(word->splitter, text, bytes, encode_word, &encoding);
    buffer_release(&lower);
    if (!status) *count_p = encoding.count;
    return status;
}

static size_t word_cut(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes)
{
    const struct word *word = tokenizer->table;
    return splitter_cut(word->splitter, text, bytes);
}

static const uint8_t *word_piece(const struct tokenizer *tokenizer, int32_t id, size_t *bytes_p)
{
    const struct word *word = tokenizer->table;
    struct text shown = piece_table_get(&word->shown, id);
    *bytes_p = shown.bytes;
    return (const uint8_t *)shown.at;
}

// ---- making ----
void word_release(struct word *word)
{
    splitter_destroy(word->splitter);
    piece_table_release(&word->words);
    piece_table_release(&word->shown);
    *word = (struct word){0};
}

static void word_release_table(struct tokenizer *tokenizer)
{
    if (tokenizer->table) word_release(tokenizer->table);
}

static bool is_newline(struct text piece) { return piece.bytes == 1 && piece.at[0] == '\n'; }

// Whether the next piece stands close behind this one. Text that has its spaces, one a word, gets them back also in Chinese.
static bool stands_close(const struct word *word, struct text piece)
{
    if (is_newline(piece)) return true;
    if (word->pattern == SPLIT_SPACES) return false;
    uint32_t last = 0;
    for (size_t i = 0; i < piece.bytes;)
        i += (size_t)unicode_read((const uint8_t *)piece.at + i, piece.bytes - i, &last);
    return unicode_is_ideograph(last) || unicode_is_wide_mark(last);
}

static enum status show_words(struct word *word)
{
    struct buffer shown = {0};
    enum status status = STATUS_OK;
    for (int32_t id = 0; id < word->words.count && !status; id++) {
        struct text piece = piece_table_get(&word->words, id);
        buffer_clear(&shown);
        status = buffer_add(&shown, piece);
        if (!status && !stands_close(word, piece)) status = buffer_add(&shown, text_of(" "));
        if (!status) status = piece_table_append(&word->shown, shown.at, shown.bytes);
    }
    buffer_release(&shown);
    return status;
}

// Of words and what parts them, not of how they are shown.
static enum status hash_of(const struct word *word, uint64_t *hash_p)
{
    int32_t how[4] = {(int32_t)word->pattern, word->lower_case, word->unknown, word->words.count};
    XXH3_state_t *state = XXH3_createState();
    if (!state) FAIL(STATUS_MEMORY, "not enough memory to hash a tokenizer");
    XXH3_64bits_reset_withSeed(state, XXH3_64bits_withSeed(how, sizeof how, 0x30BD));
    for (int32_t id = 0; id < word->words.count; id++) {
        struct text piece = piece_table_get(&word->words, id);
        XXH3_64bits_update(state, piece.at, piece.bytes);
        if (!is_newline(piece)) XXH3_64bits_update(state, " ", 1);
    }
    *hash_p = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return STATUS_OK;
}

enum status word_finish(struct word *word, struct tokenizer **tokenizer_p)
{
    struct tokenizer *tokenizer = NULL;
    struct word *own = NULL;
    uint64_t hash = 0;
    enum status status = splitter_create(word->pattern, &word->splitter);
    if (!status) status = show_words(word);
    if (!status) status = memory_allocate(1, sizeof *own, "a tokenizer", &own);
    if (!status) status = hash_of(word, &hash);
    if (!status) status = tokenizer_create(&tokenizer_kind_word, word->words.count, &tokenizer);
    if (status) goto release;
    tokenizer->hash = hash;
    *own = *word;
    tokenizer->table = own;
    *word = (struct word){0};
    *tokenizer_p = tokenizer;
    return STATUS_OK;
release:
    free(own);
    word_release(word);
    return status;
}

// ---- tokenizer.json ----
static enum status word_save(const struct tokenizer *tokenizer, json_t **root_p)
{
    const struct word *word = tokenizer->table;
    json_t *vocabulary = json_object();
    json_t *lower = word->lower_case ? json_pack("{s:s}", "type", "Lowercase") : json_null();
    json_t *root = json_pack(
        "{s:s, s:n, s:n, s:[], s:o, s:{s:s, s:{s:s}, s:s, s:b}, s:n, s:n, s:{s:s, s:o, s:s}}",
        "version", "1.0", "truncation", "padding", "added_tokens", "normalizer", lower,
        "pre_tokenizer", "type", "Split", "pattern", "Regex", split_regex(word->pattern),
        "behavior", "Removed", "invert", 1, "post_processor", "decoder", "model", "type",
        "WordLevel", "vocab", vocabulary, "unk_token", WORD_UNKNOWN);
    if (!root) FAIL(STATUS_MEMORY, "not enough memory to write a tokenizer");
    for (int32_t id = 0; id < word->words.count; id++) {
        struct text name = piece_table_get(&word->words, id);
        if (!json_object_setn_new(vocabulary, name.at, name.bytes, json_integer(id))) continue;
        json_decref(root);
        FAIL(STATUS_MEMORY, "not enough memory to write a vocabulary");
    }
    *root_p = root;
    return STATUS_OK;
}

static enum status check_fields(json_t *root, const char *path, struct word *word)
{
    json_t *split = json_object_get(root, "pre_tokenizer"),
           *normalizer = json_object_get(root, "normalizer");
    const char *regex =
        json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    const char *kind = json_string_value(json_object_get(normalizer, "type"));
    char shown[SHOWN + 4];
    if (!regex || !split_find_regex(regex, &word->pattern) || word->pattern < SPLIT_SPACES ||
        !behavior || strcmp(behavior, "Removed") != 0)
        FAIL(STATUS_UNSUPPORTED,
             "%s: pre_tokenizer is %s, which is not supported; a word tokenizer has a splitter by "
             "spaces or words that we write",
             path, json_show(split, shown));
    if (normalizer && !json_is_null(normalizer) && (!kind || strcmp(kind, "Lowercase") != 0))
        FAIL(STATUS_UNSUPPORTED,
             "%s: normalizer is %s, which is not supported; a word tokenizer has null or "
             "Lowercase there",
             path, json_show(normalizer, shown));
    word->lower_case = kind != NULL;
    if (json_array_size(json_object_get(root, "added_tokens")) > 0)
        FAIL(STATUS_UNSUPPORTED, "%s: added_tokens: a word tokenizer has none", path);
    return STATUS_OK;
}

static enum status read_names(json_t *vocabulary, const char *path, const char **names)
{
    int64_t size = (int64_t)json_object_size(vocabulary);
    const char *name;
    json_t *value;
    char shown[SHOWN + 4], shown_name[SHOWN + 4];
    json_object_foreach(vocabulary, name, value)
    {
        int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= size || names[id] || !name[0])
            FAIL(
                STATUS_INPUT,
                "%s: model.vocab: the id of %s is %s; %lld words have the ids 0 to %lld, each once",
                path, json_show_name(name, shown_name), json_show(value, shown), (long long)size,
                (long long)size - 1);
        names[id] = name;
    }
    return STATUS_OK;
}

static enum status read_words(json_t *model, const char *path, struct word *word)
{
    json_t *vocabulary = json_object_get(model, "vocab");
    size_t size = json_object_size(vocabulary);
    const char **names, *unknown;
    if (size < 1 || size > MOST_ENTRIES)
        FAIL(STATUS_INPUT, "%s: model.vocab has %zu entries; a word tokenizer has 1 to %d", path,
             size, MOST_ENTRIES);
    TRY(json_get_string(model, "unk_token", path, true, NULL, &unknown));
    TRY(memory_allocate(size, sizeof *names, "a vocabulary", &names));
    enum status status = read_names(vocabulary, path, names);
    for (size_t id = 0; id < size && !status; id++) {
        int32_t number;
        status = piece_table_add(&word->words, names[id], strlen(names[id]), &number);
    }
    free(names);
    TRY(status);
    word->unknown = piece_table_find(&word->words, unknown, strlen(unknown));
    char shown[SHOWN + 4];
    if (word->unknown < 0 || strcmp(unknown, WORD_UNKNOWN) != 0)
        FAIL(STATUS_INPUT, "%s: model.unk_token is %s; it must be \"%s\", and in the vocabulary",
             path, json_show_name(unknown, shown), WORD_UNKNOWN);
    return STATUS_OK;
}

enum status word_read(json_t *root, const char *path, struct tokenizer **tokenizer_p)
{
    struct word word = {.unknown = 0};
    enum status status = check_fields(root, path, &word);
    if (!status) status = read_words(json_object_get(root, "model"), path, &word);
    if (!status) return word_finish(&word, tokenizer_p);
    word_release(&word);
    return status;
}

static int32_t word_unknown(const struct tokenizer *tokenizer)
{
    return ((const struct word *)tokenizer->table)->unknown;
}

static bool word_keeps_bytes(const struct tokenizer *tokenizer)
{
    (void)tokenizer;
    return false;
}

const struct tokenizer_kind tokenizer_kind_word = {.name = "word",
                                                   .unknown = word_unknown,
                                                   .keeps_bytes = word_keeps_bytes,
                                                   .encode = word_encode,
                                                   .cut = word_cut,
                                                   .piece = word_piece,
                                                   .release = word_release_table,
                                                   .save = word_save};
