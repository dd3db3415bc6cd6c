// SPDX-License-Identifier: Apache-2.0
// The resolved run file as text, and its hash.
#include "base/memory.h"
#include "text/tokenizer.h"
#include "train/run_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct text {
    char *data;
    size_t used, room;
};

static enum status text_add(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static enum status text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->data + text->used, text->room - text->used, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= text->room - text->used)
        FAIL(STATUS_USAGE, "the run file is too long to print");
    text->used += (size_t)length;
    return STATUS_OK;
}

// Whether YAML reads the word back as it is, outside quotes and inside a flow mapping.
static bool is_plain(const char *word)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
    bool letter = word[strspn(word, "0123456789.+-")] != 0;
    return *word && letter && *word != '-' && strcmp(word, "null") != 0 &&
           strspn(word, safe) == strlen(word);
}

// Characters that libyaml does not take as they are.
static bool is_escaped(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           code == 0xfeff || code == 0xfffe || code == 0xffff || code > 0xffff;
}

static enum status add_quoted(struct text *text, const char *word)
{
    TRY(text_add(text, "\""));
    size_t bytes = strlen(word);
    for (size_t i = 0; i < bytes;) {
        uint32_t code = 0;
        int length = utf8_read((const uint8_t *)word + i, bytes - i, &code);
        if (length <= 0) FAIL(STATUS_USAGE, "\"%s\" is not UTF-8", word);
        if (code == '"' || code == '\\')
            TRY(text_add(text, "\\%c", (char)code));
        else if (is_escaped(code))
            TRY(text_add(text, "\\U%08X", (unsigned)code));
        else
            TRY(text_add(text, "%.*s", length, word + i));
        i += (size_t)length;
    }
    return text_add(text, "\"");
}

// "section:" where another one begins, then "  key: value".
static enum status print_key(const struct run_config *config, int key, char section[32],
                             struct text *text)
{
    char value[RUN_PATH], name[32] = "";
    const struct run_key *row = &run_schema[key];
    const char *point = strchr(row->name, '.');
    if (point) snprintf(name, sizeof name, "%.*s", (int)(point - row->name), row->name);
    if (point && strcmp(section, name) != 0) TRY(text_add(text, "%s:\n", name));
    memcpy(section, name, sizeof name);
    TRY(text_add(text, "%s%s: ", point ? "  " : "", point ? point + 1 : row->name));
    bool bare = row->type != RUN_TEXT && row->type != RUN_CHOICE && row->type != RUN_ENUM;
    run_key_text(config, key, value);
    if (bare || is_plain(value))
        TRY(text_add(text, "%s", value));
    else
        TRY(add_quoted(text, value));
    return text_add(text, "\n");
}

static enum status print_all(const struct run_config *config, struct text *text)
{
    char section[32] = "";
    for (int i = 0; i < run_schema_count; i++)
        if (run_key_is_of_type(run_schema[i].name, config->model.type))
            TRY(print_key(config, i, section, text));
    return STATUS_OK;
}

enum status run_config_print(const struct run_config *config, char **text_p)
{
    // A byte of a path becomes ten at most ("\U0000XXXX").
    struct text text = {.room = 64 * 1024 + 10 * 5 * RUN_PATH};
    TRY(memory_allocate(text.room, 1, "the run file's text", &text.data));
    enum status status = print_all(config, &text);
    if (status) {
        free(text.data);
        return status;
    }
    *text_p = text.data;
    return STATUS_OK;
}

uint64_t run_config_hash(const struct run_config *config, uint64_t tokenizer_hash,
                         uint64_t corpus_hash)
{
    XXH64_hash_t hash = XXH3_64bits(&tokenizer_hash, sizeof tokenizer_hash);
    hash = XXH3_64bits_withSeed(&corpus_hash, sizeof corpus_hash, hash);
    char value[RUN_PATH];
    for (int i = 0; i < run_schema_count; i++) {
        if (run_schema[i].may_change) continue;
        run_key_text(config, i, value);
        hash = XXH3_64bits_withSeed(run_schema[i].name, strlen(run_schema[i].name), hash);
        hash = XXH3_64bits_withSeed(value, strlen(value), hash);
    }
    return hash;
}
