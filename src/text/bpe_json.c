// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE as tokenizer.json. What changes an id must be what we do, field by field, or the file is refused by name;
// what adds ids round a text (the post-processor) is accepted and not done: whoever wants a start token puts it there.
#include "base/memory.h"
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

enum { CODES = 0x144 }; // codes of the byte-level alphabet are below

// ---- names ----
enum status bpe_name_bytes(const char *name, struct buffer *bytes, bool *known_p)
{
    static _Thread_local int16_t byte_of[CODES]; // + 1; 0: none
    if (!byte_of[0x21])
        for (int byte = 0; byte < 256; byte++)
            byte_of[byte_level_code((uint8_t)byte)] = (int16_t)(byte + 1);
    size_t left = strlen(name);
    *known_p = true;
    TRY(buffer_reserve(bytes, left + 1));
    while (left > 0) {
        uint32_t code = 0;
        int length = utf8_read((const uint8_t *)name, left, &code);
        if (length == 0 || code >= CODES || !byte_of[code]) {
            *known_p = false;
            return STATUS_OK;
        }
        bytes->at[bytes->bytes++] = (char)(byte_of[code] - 1);
        name += length;
        left -= (size_t)length;
    }
    return STATUS_OK;
}

static enum status bytes_name(struct text piece, struct buffer *name)
{
    TRY(buffer_reserve(name, 2 * piece.bytes + 1));
    for (size_t i = 0; i < piece.bytes; i++)
        name->bytes += (size_t)utf8_write(byte_level_code((uint8_t)piece.at[i]),
                                          (uint8_t *)name->at + name->bytes);
    name->at[name->bytes] = 0;
    return STATUS_OK;
}

// ---- the pipeline round the model ----
static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "";
}

static enum status refuse(const char *path, const char *key, const json_t *value, const char *right)
{
    char shown[SHOWN + 4];
    FAIL(STATUS_UNSUPPORTED, "%s: %s is %s, which is not supported in a BPE tokenizer; %s", path,
         key, json_show(value, shown), right);
}

static bool is_byte_level(const json_t *object, bool split)
{
    return strcmp(type_of(object), "ByteLevel") == 0 &&
           !json_is_true(json_object_get(object, "add_prefix_space")) &&
           json_is_false(json_object_get(object, "use_regex")) == !split;
}

static enum status read_normalizer(json_t *root, const char *path, struct bpe *bpe)
{
    json_t *normalizer = json_object_get(root, "normalizer");
    if (!normalizer || json_is_null(normalizer)) return STATUS_OK;
    if (strcmp(type_of(normalizer), "NFC") != 0)
        return refuse(path, "normalizer", normalizer, "null and NFC are");
    bpe->nfc = true;
    return STATUS_OK;
}

// ByteLevel with its own pattern, or a Split by a pattern that we know and ByteLevel without one.
static enum status read_pre_tokenizer(json_t *root, const char *path, struct bpe *bpe)
{
    json_t *pre = json_object_get(root, "pre_tokenizer");
    json_t *list = json_object_get(pre, "pretokenizers"), *split = json_array_get(list, 0);
    const char *regex =
        json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    if (is_byte_level(pre, true)) {
        bpe->pattern = SPLIT_GPT2;
        return STATUS_OK;
    }
    if (strcmp(type_of(pre), "Sequence") != 0 || json_array_size(list) != 2 ||
        strcmp(type_of(split), "Split") != 0 || !is_byte_level(json_array_get(list, 1), false))
        return refuse(path, "pre_tokenizer", pre,
                      "ByteLevel without prefix space, or Split and then ByteLevel, is");
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    if (!regex || !split_find_regex(regex, &bpe->pattern) || bpe->pattern > SPLIT_QWEN2 ||
        !behavior || strcmp(behavior, "Isolated") != 0 ||
        json_is_true(json_object_get(split, "invert")))
        return refuse(path, "pre_tokenizer's Split", split,
                      "the patterns of GPT-2, Llama 3 and Qwen 2, isolated, are");
    return STATUS_OK;
}

static enum status check_others(json_t *root, json_t *model, const char *path)
{
    static const char *const empty[] = {"unk_token", "continuing_subword_prefix",
                                        "end_of_word_suffix", "dropout"};
    static const char *const whole[] = {"truncation", "padding"};
    json_t *decoder = json_object_get(root, "decoder");
    if (decoder && !json_is_null(decoder) && strcmp(type_of(decoder), "ByteLevel") != 0)
        return refuse(path, "decoder", decoder, "ByteLevel is");
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        json_t *value = json_object_get(root, whole[i]);
        if (value && !json_is_null(value)) return refuse(path, whole[i], value, "null is");
    }
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        json_t *value = json_object_get(model, empty[i]);
        if (value && !json_is_null(value) && json_string_length(value) + !json_is_string(value) > 0)
            return refuse(path, empty[i], value, "null is");
    }
    return STATUS_OK;
}

// ---- added tokens ----
// Into bpe->added, by rising id; `contents` borrows their texts from the document, in the same order.
static enum status read_added_token(json_t *token, const char *path, struct bpe *bpe,
                                    const char **contents)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip"};
    const char *content;
    int64_t id;
    TRY(json_get_string(token, "content", path, true, NULL, &content));
    TRY(json_get_integer(token, "id", path, true, 0, BPE_ENTRIES - 1, 0, &id));
    char shown[SHOWN + 4];
    if (!content[0]) FAIL(STATUS_INPUT, "%s: added_tokens: id %d is an empty text", path, (int)id);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_true(json_object_get(token, flags[i])))
            FAIL(STATUS_UNSUPPORTED, "%s: added_tokens: %s has %s, which is not supported", path,
                 json_show_name(content, shown), flags[i]);
    if (bpe->nfc && json_is_true(json_object_get(token, "normalized")))
        FAIL(STATUS_UNSUPPORTED,
             "%s: added_tokens: %s is normalized, which is not supported with a normalizer", path,
             json_show_name(content, shown));
    int32_t count = bpe->added_count;
    if (count && id <= bpe->added[count - 1].id)
        FAIL(STATUS_INPUT, "%s: added_tokens: id %d comes behind id %d; ids must rise", path,
             (int)id, (int)bpe->added[count - 1].id);
    bpe->added[count] =
        (struct added_token){(int32_t)id, json_is_true(json_object_get(token, "special"))};
    contents[count] = content;
    bpe->added_count++;
    return STATUS_OK;
}

static enum status read_added(json_t *root, const char *path, struct bpe *bpe,
                              const char ***contents_p)
{
    json_t *tokens = json_object_get(root, "added_tokens"), *token;
    size_t count = json_array_size(tokens), i;
    if (count > BPE_ENTRIES) FAIL(STATUS_INPUT, "%s: %zu added tokens", path, count);
    TRY(memory_allocate(count, sizeof *bpe->added, "added tokens", &bpe->added));
    TRY(memory_allocate(count, sizeof **contents_p, "added tokens", contents_p));
    json_array_foreach(tokens, i, token) TRY(read_added_token(token, path, bpe, *contents_p));
    return STATUS_OK;
}

// ---- vocabulary ----
static int32_t added_index(const struct bpe *bpe, int64_t id)
{
    for (int32_t low = 0, high = bpe->added_count; low < high;) {
        int32_t middle = low + (high - low) / 2;
        if (bpe->added[middle].id == id) return middle;
        if (bpe->added[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

// Names by id; ids must be 0 to size - 1, each once.
static enum status order_names(json_t *vocabulary, const char *path, const char **names)
{
    int64_t size = (int64_t)json_object_size(vocabulary);
    const char *name;
    json_t *value;
    char shown[SHOWN + 4], shown_name[SHOWN + 4];
    json_object_foreach(vocabulary, name, value)
    {
        int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= size)
            FAIL(STATUS_INPUT,
                 "%s: model.vocab: the id of %s is %s; in a vocabulary of %lld entries ids are 0 "
                 "to %lld",
                 path, json_show_name(name, shown_name), json_show(value, shown), (long long)size,
                 (long long)size - 1);
        if (names[id])
            FAIL(STATUS_INPUT, "%s: model.vocab: the id %s of %s is another entry's too", path,
                 json_show(value, shown), json_show_name(name, shown_name));
        names[id] = name;
    }
    return STATUS_OK;
}

static enum status add_entries(const char *const *names, int32_t size, const char *path,
                               const char *const *contents, struct bpe *bpe)
{
    struct buffer bytes = {0};
    enum status status = STATUS_OK;
    char shown[SHOWN + 4];
    for (int32_t id = 0; id < size && !status; id++) {
        int32_t added = added_index(bpe, id), number = -1;
        bool known = true;
        buffer_clear(&bytes);
        status = added >= 0 ? buffer_add(&bytes, text_of(contents[added]))
                            : bpe_name_bytes(names[id], &bytes, &known);
        if (!status && (!known || bytes.bytes == 0))
            status =
                error_at(STATUS_INPUT, __FILE__, __LINE__,
                         "%s: model.vocab: %s is no entry of a byte-level BPE tokenizer, whose "
                         "characters stand for bytes",
                         path, json_show_name(names[id], shown));
        if (!status) status = piece_table_add(&bpe->pieces, bytes.at, bytes.bytes, &number);
        if (!status && number != id)
            status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                              "%s: model.vocab: ids %d and %d stand for the same bytes", path,
                              (int)number, (int)id);
    }
    buffer_release(&bytes);
    return status;
}

static enum status read_vocabulary(json_t *model, const char *path, const char *const *contents,
                                   struct bpe *bpe)
{
    json_t *vocabulary = json_object_get(model, "vocab");
    size_t size = json_object_size(vocabulary);
    const char **names;
    if (!json_is_object(vocabulary)) FAIL(STATUS_INPUT, "%s: model.vocab is not an object", path);
    if (size < 1 || size > BPE_ENTRIES)
        FAIL(STATUS_INPUT, "%s: model.vocab has %zu entries; a BPE tokenizer has 1 to %d", path,
             size, BPE_ENTRIES);
    TRY(memory_allocate(size, sizeof *names, "a vocabulary", &names));
    enum status status = order_names(vocabulary, path, names);
    if (!status) status = add_entries(names, (int32_t)size, path, contents, bpe);
    free(names);
    TRY(status);
    bpe->vocabulary = (int32_t)size;
    for (int32_t i = 0; i < bpe->added_count; i++) {
        int32_t id = bpe->added[i].id;
        if (id < bpe->vocabulary) continue;
        if (id != bpe->pieces.count)
            FAIL(STATUS_UNSUPPORTED,
                 "%s: added_tokens: id %d follows %d ids; ids without a token are not supported",
                 path, (int)id, (int)bpe->pieces.count);
        TRY(piece_table_append(&bpe->pieces, contents[i], strlen(contents[i])));
    }
    return STATUS_OK;
}

// ---- merges ----
static enum status find_side(const struct bpe *bpe, const char *name, size_t merge,
                             const char *path, struct buffer *bytes, int32_t *id_p)
{
    bool known;
    char shown[SHOWN + 4];
    buffer_clear(bytes);
    TRY(bpe_name_bytes(name, bytes, &known));
    *id_p = known ? piece_table_find(&bpe->pieces, bytes->at, bytes->bytes) : -1;
    if (*id_p < 0)
        FAIL(STATUS_INPUT, "%s: model.merges: %s of merge %zu is not in the vocabulary", path,
             json_show_name(name, shown), merge);
    return STATUS_OK;
}

// "a b" or ["a", "b"].
static enum status read_merge(const struct bpe *bpe, json_t *merge, size_t number, const char *path,
                              struct buffer *bytes, int32_t pair[2])
{
    char shown[SHOWN + 4], *text;
    const char *left = json_string_value(json_array_get(merge, 0));
    const char *right = json_string_value(json_array_get(merge, 1));
    if (json_array_size(merge) == 2 && left && right) {
        TRY(find_side(bpe, left, number, path, bytes, &pair[0]));
        return find_side(bpe, right, number, path, bytes, &pair[1]);
    }
    const char *whole = json_string_value(merge), *space = whole ? strchr(whole, ' ') : NULL;
    if (!space || space == whole || !space[1] || strchr(space + 1, ' '))
        FAIL(STATUS_INPUT,
             "%s: model.merges: merge %zu is %s; it must be \"a b\" or [\"a\", \"b\"]", path,
             number, json_show(merge, shown));
    TRY(memory_copy_string(whole, &text));
    text[space - whole] = 0;
    enum status status = find_side(bpe, text, number, path, bytes, &pair[0]);
    if (!status) status = find_side(bpe, text + (space - whole) + 1, number, path, bytes, &pair[1]);
    free(text);
    return status;
}

static enum status read_merges(json_t *model, const char *path, struct bpe *bpe)
{
    json_t *merges = json_object_get(model, "merges"), *merge;
    size_t count = json_array_size(merges), i;
    struct buffer bytes = {0};
    enum status status = STATUS_OK;
    if (!json_is_array(merges)) FAIL(STATUS_INPUT, "%s: model.merges is not a list", path);
    if (count > BPE_ENTRIES) FAIL(STATUS_INPUT, "%s: model.merges has %zu entries", path, count);
    TRY(memory_allocate(count, sizeof *bpe->merges, "merges", &bpe->merges));
    json_array_foreach(merges, i, merge)
    {
        status = read_merge(bpe, merge, i, path, &bytes, bpe->merges[i]);
        if (status) break;
    }
    bpe->merge_count = (int32_t)count;
    buffer_release(&bytes);
    return status;
}

enum status bpe_read(json_t *root, const char *path, struct tokenizer **tokenizer_p)
{
    json_t *model = json_object_get(root, "model");
    struct bpe bpe = {.ignore_merges = json_is_true(json_object_get(model, "ignore_merges"))};
    const char **contents = NULL;
    enum status status = read_normalizer(root, path, &bpe);
    if (!status) status = read_pre_tokenizer(root, path, &bpe);
    if (!status) status = check_others(root, model, path);
    if (!status) status = read_added(root, path, &bpe, &contents);
    if (!status) status = read_vocabulary(model, path, contents, &bpe);
    if (!status) status = read_merges(model, path, &bpe);
    free(contents);
    if (!status) return bpe_finish(&bpe, path, tokenizer_p);
    bpe_release(&bpe);
    return status;
}

// ---- writing ----
enum status bpe_save(const struct tokenizer *tokenizer, json_t **root_p);

static json_t *byte_level(bool split)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", (int)split);
}

static json_t *pre_tokenizer(const struct bpe *bpe)
{
    if (bpe->pattern == SPLIT_GPT2) return byte_level(true);
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers",
                     "type", "Split", "pattern", "Regex", split_regex(bpe->pattern), "behavior",
                     "Isolated", "invert", 0, byte_level(false));
}

static enum status write_added(const struct bpe *bpe, json_t *list)
{
    for (int32_t i = 0; i < bpe->added_count; i++) {
        struct text name = piece_table_get(&bpe->pieces, bpe->added[i].id);
        json_t *token =
            json_pack("{s:i, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (int)bpe->added[i].id,
                      "content", name.at, name.bytes, "single_word", 0, "lstrip", 0, "rstrip", 0,
                      "normalized", 0, "special", (int)bpe->added[i].special);
        if (json_array_append_new(list, token))
            FAIL(STATUS_MEMORY, "not enough memory to write a tokenizer");
    }
    return STATUS_OK;
}

static enum status write_entries(const struct bpe *bpe, json_t *vocabulary, json_t *merges)
{
    struct buffer name = {0};
    enum status status = STATUS_OK;
    for (int32_t id = 0; id < bpe->vocabulary && !status; id++) {
        struct text piece = piece_table_get(&bpe->pieces, id);
        buffer_clear(&name);
        status = added_index(bpe, id) >= 0 ? buffer_add(&name, piece) : bytes_name(piece, &name);
        if (!status && json_object_setn_new(vocabulary, name.at, name.bytes, json_integer(id)))
            status = error_at(STATUS_MEMORY, __FILE__, __LINE__,
                              "not enough memory to write a vocabulary");
    }
    for (int32_t i = 0; i < bpe->merge_count && !status; i++) {
        buffer_clear(&name);
        status = bytes_name(piece_table_get(&bpe->pieces, bpe->merges[i][0]), &name);
        if (!status) status = buffer_add(&name, text_of(" "));
        if (!status) status = bytes_name(piece_table_get(&bpe->pieces, bpe->merges[i][1]), &name);
        if (!status && json_array_append_new(merges, json_stringn(name.at, name.bytes)))
            status = error_at(STATUS_MEMORY, __FILE__, __LINE__,
                              "not enough memory to write %d merges", (int)bpe->merge_count);
    }
    buffer_release(&name);
    return status;
}

enum status bpe_save(const struct tokenizer *tokenizer, json_t **root_p)
{
    const struct bpe *bpe = tokenizer->table;
    json_t *added = json_array(), *vocabulary = json_object(), *merges = json_array();
    json_t *normalizer = bpe->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    json_t *root = json_pack(
        "{s:s, s:n, s:n, s:o, s:o, s:o, s:n, s:o, s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, "
        "s:o}}",
        "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer", normalizer,
        "pre_tokenizer", pre_tokenizer(bpe), "post_processor", "decoder", byte_level(true), "model",
        "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
        "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", (int)bpe->ignore_merges, "vocab",
        vocabulary, "merges", merges);
    if (!root) FAIL(STATUS_MEMORY, "not enough memory to write a tokenizer");
    enum status status = write_added(bpe, added);
    if (!status) status = write_entries(bpe, vocabulary, merges);
    if (status) {
        json_decref(root);
        return status;
    }
    *root_p = root;
    return STATUS_OK;
}
