// SPDX-License-Identifier: Apache-2.0
// jansson parses; the getters check kind and range and say what would be right; the writer prints numbers as short as is exact.
#include "base/json.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 64 };

// Text from outside for a message: cut to what fits, control characters replaced.
static void quote(char *out, size_t out_bytes, const char *text)
{
    size_t used = 0;
    for (; text[used] && used + 4 < out_bytes; used++)
        out[used] = (unsigned char)text[used] < 0x20 || text[used] == 0x7f ? '?' : text[used];
    memcpy(out + used, text[used] ? "..." : "", text[used] ? 4 : 1);
}

// Two causes that jansson tells in words of its own interface.
static const char *cause_of(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    if (code == json_error_null_character) return "a text with the character 0 in it";
    if (code == json_error_null_byte_in_key) return "a key with the character 0 in it";
    return error->text;
}

enum status json_parse_wide(const char *text, size_t bytes, const char *source, bool *wide_p,
                            json_t **root_p)
{
    json_error_t error;
    size_t flags = JSON_REJECT_DUPLICATES;
    json_t *root = json_loadb(text, bytes, flags, &error);
    bool wide = !root && wide_p && json_error_code(&error) == json_error_numeric_overflow;
    if (wide) root = json_loadb(text, bytes, flags | JSON_DECODE_INT_AS_REAL, &error);
    // Where memory fails, jansson mostly says nothing.
    if (!root && (json_error_code(&error) == json_error_out_of_memory || !error.text[0]))
        FAIL(STATUS_MEMORY, "not enough memory to read %s", source);
    if (!root) {
        char cause[JSON_ERROR_TEXT_LENGTH];
        bool lines = memchr(text, '\n', bytes);
        char line[32] = "";
        quote(cause, sizeof cause, cause_of(&error));
        if (lines) snprintf(line, sizeof line, "line %d, ", error.line);
        FAIL(STATUS_INPUT, "%s, %scolumn %d: not valid JSON: %s", source, line, error.column,
             cause);
    }
    if (wide_p) *wide_p = wide;
    *root_p = root;
    return STATUS_OK;
}

enum status json_parse(const char *text, size_t bytes, const char *source, json_t **root_p)
{
    return json_parse_wide(text, bytes, source, NULL, root_p);
}

enum status json_read_file(const char *path, size_t limit, json_t **root_p)
{
    char *text;
    size_t bytes;
    TRY(file_read(path, limit, &text, &bytes));
    size_t mark = bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    enum status status = json_parse(text + mark, bytes - mark, path, root_p);
    free(text);
    return status;
}

// ---- getters ----
// What stands there, for a message.
static void show(const json_t *value, char out[SHOWN_BYTES])
{
    char number[48];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        quote(out, SHOWN_BYTES, "an object");
        return;
    case JSON_ARRAY:
        quote(out, SHOWN_BYTES, "a list");
        return;
    case JSON_STRING:
        out[0] = '"';
        quote(out + 1, SHOWN_BYTES - 2, json_string_value(value));
        memcpy(out + strlen(out), "\"", 2);
        return;
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(number, sizeof number, "%g", json_real_value(value));
        break;
    case JSON_TRUE:
        quote(out, SHOWN_BYTES, "true");
        return;
    case JSON_FALSE:
        quote(out, SHOWN_BYTES, "false");
        return;
    default:
        quote(out, SHOWN_BYTES, "null");
        return;
    }
    quote(out, SHOWN_BYTES, number);
}

// The value of a key, NULL when it is absent or null and need not be there.
static enum status look_up(json_t *object, const char *key, const char *source, bool required,
                           json_t **value_p)
{
    if (!json_is_object(object))
        FAIL(STATUS_INPUT,
             "%s: an object with the key \"%s\" is needed where something else stands", source,
             key);
    json_t *value = json_object_get(object, key);
    if (json_is_null(value)) value = NULL;
    if (!value && required) FAIL(STATUS_INPUT, "%s: the key \"%s\" is missing", source, key);
    *value_p = value;
    return STATUS_OK;
}

enum status json_get_integer(json_t *object, const char *key, const char *source, bool required,
                             int64_t least, int64_t most, int64_t fallback, int64_t *value_p)
{
    json_t *value;
    char shown[SHOWN_BYTES];
    TRY(look_up(object, key, source, required, &value));
    int64_t number = value ? json_integer_value(value) : fallback;
    if (value && (!json_is_integer(value) || number < least || number > most)) {
        show(value, shown);
        FAIL(STATUS_INPUT, "%s: \"%s\" is %s; a whole number from %lld to %lld is needed", source,
             key, shown, (long long)least, (long long)most);
    }
    *value_p = number;
    return STATUS_OK;
}

enum status json_get_number(json_t *object, const char *key, const char *source, bool required,
                            double least, double most, double fallback, double *value_p)
{
    json_t *value;
    char shown[SHOWN_BYTES];
    TRY(look_up(object, key, source, required, &value));
    double number = value ? json_number_value(value) : fallback;
    if (value && (!json_is_number(value) || !(number >= least && number <= most))) {
        show(value, shown);
        FAIL(STATUS_INPUT, "%s: \"%s\" is %s; a number from %g to %g is needed", source, key, shown,
             least, most);
    }
    *value_p = number;
    return STATUS_OK;
}

enum status json_get_string(json_t *object, const char *key, const char *source, bool required,
                            const char *fallback, const char **value_p)
{
    json_t *value;
    char shown[SHOWN_BYTES];
    TRY(look_up(object, key, source, required, &value));
    if (value && !json_is_string(value)) {
        show(value, shown);
        FAIL(STATUS_INPUT, "%s: \"%s\" is %s; a text in quotes is needed", source, key, shown);
    }
    *value_p = value ? json_string_value(value) : fallback;
    return STATUS_OK;
}

enum status json_get_boolean(json_t *object, const char *key, const char *source, bool fallback,
                             bool *value_p)
{
    json_t *value;
    char shown[SHOWN_BYTES];
    TRY(look_up(object, key, source, false, &value));
    if (value && !json_is_boolean(value)) {
        show(value, shown);
        FAIL(STATUS_INPUT, "%s: \"%s\" is %s; true or false is needed", source, key, shown);
    }
    *value_p = value ? json_is_true(value) : fallback;
    return STATUS_OK;
}

// ---- writing ----
// Text that grows; the first error sticks.
struct text {
    char *data;
    size_t used, capacity;
    enum status status;
};

static void put_bytes(struct text *text, const char *bytes, size_t count)
{
    if (text->status) return;
    if (!text->data || text->used + count > text->capacity) {
        size_t capacity = 2 * text->capacity + count + 1024;
        text->status = memory_grow(&text->data, capacity, 1, "a JSON text");
        if (text->status) return;
        text->capacity = capacity;
    }
    memcpy(text->data + text->used, bytes, count);
    text->used += count;
}

static void put(struct text *text, const char *words) { put_bytes(text, words, strlen(words)); }

static void put_string(struct text *text, const char *string, size_t bytes)
{
    put(text, "\"");
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)string[i];
        char escape[8];
        if (byte == '\n')
            put(text, "\\n");
        else if (byte == '\t')
            put(text, "\\t");
        else if (byte == '"' || byte == '\\')
            put_bytes(text, (char[2]){'\\', (char)byte}, 2);
        else if (byte < 0x20 || byte == 0x7f)
            put_bytes(text, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", byte));
        else
            put_bytes(text, &string[i], 1);
    }
    put(text, "\"");
}

// The shortest digits that give the same double back, always recognisable as a real.
static void put_real(struct text *text, double number)
{
    char digits[NUMBER_TEXT];
    put(text, number_print(number, digits));
    if (!strpbrk(digits, ".e")) put(text, ".0");
}

static void put_line(struct text *text, int depth)
{
    put(text, "\n");
    for (int i = 0; i < depth; i++) put(text, "  ");
}

static void put_value(struct text *text, json_t *value, int depth);

static void put_object(struct text *text, json_t *object, int depth) // NOLINT(misc-no-recursion)
{
    const char *key, *between = "{";
    json_t *member;
    json_object_foreach(object, key, member)
    {
        put(text, between);
        put_line(text, depth + 1);
        put_string(text, key, strlen(key));
        put(text, ": ");
        put_value(text, member, depth + 1);
        between = ",";
    }
    if (*between == '{')
        put(text, "{}");
    else
        put_line(text, depth), put(text, "}");
}

// Lists of plain values stay on one line.
static void put_array(struct text *text, json_t *array, int depth) // NOLINT(misc-no-recursion)
{
    size_t i;
    json_t *element, *first = json_array_get(array, 0);
    bool lines = json_is_object(first) || json_is_array(first);
    put(text, "[");
    json_array_foreach(array, i, element)
    {
        if (i) put(text, lines ? "," : ", ");
        if (lines) put_line(text, depth + 1);
        put_value(text, element, depth + 1);
    }
    if (lines) put_line(text, depth);
    put(text, "]");
}

static void put_value(struct text *text, json_t *value, int depth) // NOLINT(misc-no-recursion)
{
    char number[32];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_object(text, value, depth);
        break;
    case JSON_ARRAY:
        put_array(text, value, depth);
        break;
    case JSON_STRING:
        put_string(text, json_string_value(value), json_string_length(value));
        break;
    case JSON_REAL:
        put_real(text, json_real_value(value));
        break;
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        put(text, number);
        break;
    case JSON_TRUE:
        put(text, "true");
        break;
    case JSON_FALSE:
        put(text, "false");
        break;
    default:
        put(text, "null");
        break;
    }
}

enum status json_print(json_t *root, char **text_p, size_t *bytes_p)
{
    struct text text = {0};
    if (!root) FAIL(STATUS_MEMORY, "not enough memory for a JSON document");
    put_value(&text, root, 0);
    put_bytes(&text, "\n", 2); // with the NUL
    if (text.status) {
        free(text.data);
        return text.status;
    }
    *text_p = text.data;
    *bytes_p = text.used - 1;
    return STATUS_OK;
}

enum status json_write_file(json_t *root, const char *path)
{
    char *text;
    size_t bytes;
    TRY(json_print(root, &text, &bytes));
    enum status status = file_replace(path, text, bytes);
    free(text);
    return status;
}
