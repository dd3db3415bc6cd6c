// SPDX-License-Identifier: Apache-2.0
// Tokenizers as Hugging Face files: each kind's tokenizer.json is a fixed skeleton with a vocabulary in it.
//
// A file that is read must say what the skeleton says, field by field; what it leaves out must be null or false there. So
// nothing in a stranger's file is skipped silently: it is either what we do, or refused by name.
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "text/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static const struct tokenizer_kind *const kinds[] = {&tokenizer_kind_char, &tokenizer_kind_byte};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

// ---- writing ----
static enum status fill_vocabulary(const struct tokenizer *tokenizer, json_t *root)
{
    json_t *vocabulary = json_object_get(json_object_get(root, "model"), "vocab");
    for (int32_t id = 0; id < tokenizer->size; id++) {
        char name[TOKEN_NAME];
        tokenizer->kind->name_piece(tokenizer->pieces[id], name);
        if (json_object_set_new(vocabulary, name, json_integer(id)))
            FAIL(STATUS_MEMORY, "not enough memory to write a vocabulary of %d entries",
                 (int)tokenizer->size);
    }
    return STATUS_OK;
}

// Nothing is written that is not read again.
static enum status write_tokenizer(json_t *root, const char *path)
{
    char *text;
    size_t bytes;
    TRY(json_print(root, &text, &bytes));
    enum status status = STATUS_OK;
    if (bytes > TOKENIZER_BYTES)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                          "%s would have %zu bytes; at most %d are read: the vocabulary must be "
                          "smaller",
                          path, bytes, TOKENIZER_BYTES);
    if (!status) status = file_replace(path, text, bytes);
    free(text);
    return status;
}

static enum status save_tokenizer(const struct tokenizer *tokenizer, const char *directory)
{
    char path[PATH_BYTES];
    TRY(path_join(path, sizeof path, directory, "tokenizer.json"));
    json_t *root = NULL;
    enum status status = STATUS_OK;
    if (tokenizer->kind->save) {
        TRY(tokenizer->kind->save(tokenizer, &root));
    } else {
        root = json_loads(tokenizer->kind->skeleton, 0, NULL);
        if (!root) FAIL(STATUS_MEMORY, "not enough memory to write %s", path);
        status = fill_vocabulary(tokenizer, root);
    }
    if (!status) status = write_tokenizer(root, path);
    json_decref(root);
    return status;
}

// No model_max_length: the model's config.json says it.
static enum status save_config(const char *directory)
{
    char path[PATH_BYTES];
    TRY(path_join(path, sizeof path, directory, "tokenizer_config.json"));
    json_t *root = json_pack("{s:b, s:s}", "clean_up_tokenization_spaces", 0, "tokenizer_class",
                             "PreTrainedTokenizerFast");
    if (!root) FAIL(STATUS_MEMORY, "not enough memory to write %s", path);
    enum status status = json_write_file(root, path);
    json_decref(root);
    return status;
}

enum status tokenizer_save(const struct tokenizer *tokenizer, const char *directory)
{
    TRY(directory_create(directory));
    TRY(save_tokenizer(tokenizer, directory));
    TRY(save_config(directory));
    return STATUS_OK;
}

// ---- reading ----
const char *json_show(const json_t *value, char shown[SHOWN + 4])
{
    char *text =
        value ? json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT) : NULL;
    bool cut = text && strlen(text) >= SHOWN;
    snprintf(shown, SHOWN + 4, "%.*s%s", SHOWN - 1, text ? text : "absent", cut ? "..." : "");
    free(text);
    return shown;
}

const char *json_show_name(const char *name, char shown[SHOWN + 4])
{
    json_t *string = json_string(name);
    json_show(string, shown);
    json_decref(string);
    return shown;
}

// Whether this is the post-processor that transformers 5 adds when it saves a tokenizer that has none: it changes no id.
static bool changes_nothing(const char *key, const json_t *value)
{
    static const char template[] =
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
        "\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_"
        "id\":1}}],"
        "\"special_tokens\":{}}";
    if (strcmp(key, "post_processor") != 0) return false;
    json_t *wanted = json_loads(template, 0, NULL);
    bool equal = wanted && json_equal(value, wanted);
    json_decref(wanted);
    return equal;
}

// Compares the fields of an object of the file with the skeleton's; `place` is its name with a dot behind, "" at the top.
static enum status check_fields(json_t *object, json_t *wanted, const char *place, const char *kind,
                                const char *path)
{
    const char *key;
    json_t *value, *field;
    char shown[SHOWN + 4], expected[SHOWN + 4];
    json_object_foreach(object, key, value)
    {
        field = json_object_get(wanted, key);
        if (!field)
            FAIL(STATUS_INPUT, "%s: %s%s is a field that no %s tokenizer has", path, place,
                 json_show_name(key, shown), kind);
        if (strcmp(key, "model") == 0 || strcmp(key, "vocab") == 0 || json_equal(value, field))
            continue;
        if (changes_nothing(key, value)) continue;
        FAIL(STATUS_UNSUPPORTED,
             "%s: %s%s is %s, which is not supported; a %s tokenizer has %s there", path, place,
             key, json_show(value, shown), kind, json_show(field, expected));
    }
    json_object_foreach(wanted, key, field)
    {
        if (!json_is_null(field) && !json_is_false(field) && !json_object_get(object, key))
            FAIL(STATUS_INPUT, "%s: %s%s is missing; a %s tokenizer has %s there", path, place, key,
                 kind, json_show(field, expected));
    }
    return STATUS_OK;
}

// Which of our kinds a model is of, by its type.
static enum status find_kind(json_t *model, const char *path, const struct tokenizer_kind **kind_p,
                             json_t **skeleton_p)
{
    static const char *const others[] = {"WordPiece", "Unigram"};
    const char *type;
    char shown[SHOWN + 4];
    TRY(json_get_string(model, "type", path, true, NULL, &type));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(type, others[i]) == 0)
            FAIL(STATUS_UNSUPPORTED,
                 "%s: a %s tokenizer is not supported; char, byte, word and byte-level BPE are",
                 path, type);
    for (size_t i = 0; i < KINDS; i++) {
        json_t *skeleton = json_loads(kinds[i]->skeleton, 0, NULL);
        if (!skeleton) FAIL(STATUS_MEMORY, "not enough memory to read %s", path);
        json_t *own = json_object_get(json_object_get(skeleton, "model"), "type");
        if (strcmp(type, json_string_value(own)) == 0) {
            *kind_p = kinds[i];
            *skeleton_p = skeleton;
            return STATUS_OK;
        }
        json_decref(skeleton);
    }
    FAIL(STATUS_INPUT, "%s: model.type is %s; BPE, Unigram, WordLevel and WordPiece are known",
         path, json_show_name(type, shown));
}

// One entry of the vocabulary into its place. Ids must be 0 .. size - 1, each once, so nothing is allocated by an id's size.
static enum status read_entry(struct tokenizer *tokenizer, const char *name, const json_t *value,
                              const char *path)
{
    char shown[SHOWN + 4], shown_name[SHOWN + 4];
    struct token_piece piece;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) >= tokenizer->size)
        FAIL(STATUS_INPUT,
             "%s: model.vocab: the id of %s is %s; in a vocabulary of %d entries ids are 0 to %d",
             path, json_show_name(name, shown_name), json_show(value, shown), (int)tokenizer->size,
             (int)tokenizer->size - 1);
    struct token_piece *place = &tokenizer->pieces[json_integer_value(value)];
    if (place->length > 0)
        FAIL(STATUS_INPUT, "%s: model.vocab: the id %s of %s is another entry's too", path,
             json_show(value, shown), json_show_name(name, shown_name));
    if (!tokenizer->kind->read_piece(name, &piece))
        FAIL(STATUS_INPUT,
             "%s: model.vocab: %s is no entry of a %s tokenizer, whose entries are single "
             "characters%s",
             path, json_show_name(name, shown_name), tokenizer->kind->name,
             tokenizer->kind == &tokenizer_kind_char ? " or bytes from <0x80> to <0xFF>"
                                                     : " that stand for bytes");
    *place = piece;
    return STATUS_OK;
}

static enum status read_vocabulary(json_t *vocabulary, const struct tokenizer_kind *kind,
                                   const char *path, struct tokenizer **tokenizer_p)
{
    size_t size = json_object_size(vocabulary);
    if (!json_is_object(vocabulary)) FAIL(STATUS_INPUT, "%s: model.vocab is not an object", path);
    if (size < (size_t)kind->least || size > (size_t)kind->most)
        FAIL(STATUS_INPUT, "%s: model.vocab has %zu entries; a %s tokenizer has %d to %d", path,
             size, kind->name, (int)kind->least, (int)kind->most);
    struct tokenizer *tokenizer;
    TRY(tokenizer_create(kind, (int32_t)size, &tokenizer));
    const char *name;
    json_t *value;
    enum status status = STATUS_OK;
    json_object_foreach(vocabulary, name, value)
    {
        status = read_entry(tokenizer, name, value, path);
        if (status) goto destroy_tokenizer;
    }
    status = tokenizer_seal(tokenizer, path);
    if (status) goto destroy_tokenizer;
    *tokenizer_p = tokenizer;
    return STATUS_OK;
destroy_tokenizer:
    tokenizer_destroy(tokenizer);
    return status;
}

// A WordLevel model whose splitter keeps what matches is of words; one whose splitter isolates is of characters.
static bool is_word(json_t *root)
{
    json_t *split = json_object_get(root, "pre_tokenizer");
    return json_is_true(json_object_get(split, "invert"));
}

// One that merges, or cuts its text by a pattern; else it is the byte tokenizer.
static bool is_bpe(json_t *root, json_t *model)
{
    json_t *pre = json_object_get(root, "pre_tokenizer");
    return json_array_size(json_object_get(model, "merges")) > 0 ||
           json_object_get(pre, "pretokenizers") || json_is_true(json_object_get(pre, "use_regex"));
}

static enum status read_tokenizer(json_t *root, const char *path, struct tokenizer **tokenizer_p)
{
    json_t *model = json_object_get(root, "model"), *skeleton = NULL;
    const struct tokenizer_kind *kind = kinds[0];
    if (!json_is_object(model))
        FAIL(STATUS_INPUT, "%s: no tokenizer: it has no object \"model\"", path);
    const char *type = json_string_value(json_object_get(model, "type"));
    if (type && strcmp(type, "BPE") == 0 && is_bpe(root, model))
        return bpe_read(root, path, tokenizer_p);
    if (type && strcmp(type, "WordLevel") == 0 && is_word(root))
        return word_read(root, path, tokenizer_p);
    TRY(find_kind(model, path, &kind, &skeleton));
    enum status status = check_fields(root, skeleton, "", kind->name, path);
    if (!status)
        status =
            check_fields(model, json_object_get(skeleton, "model"), "model.", kind->name, path);
    json_decref(skeleton);
    TRY(status);
    TRY(read_vocabulary(json_object_get(model, "vocab"), kind, path, tokenizer_p));
    return STATUS_OK;
}

enum status tokenizer_load(const char *path, struct tokenizer **tokenizer_p)
{
    char file[PATH_BYTES];
    if (directory_exists(path))
        TRY(path_join(file, sizeof file, path, "tokenizer.json"));
    else if ((size_t)snprintf(file, sizeof file, "%s", path) >= sizeof file)
        FAIL(STATUS_USAGE, "the tokenizer's path is longer than %d bytes", PATH_BYTES - 1);
    json_t *root;
    TRY(json_read_file(file, TOKENIZER_BYTES, &root));
    enum status status = read_tokenizer(root, file, tokenizer_p);
    json_decref(root);
    return status;
}
