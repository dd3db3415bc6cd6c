// SPDX-License-Identifier: Apache-2.0
#include "data/spans.h"

#include "base/json.h"
#include "base/nearest.h"
#include "data/lines.h"

#include <stdio.h>
#include <string.h>

enum { SOURCE_BYTES = 4200 };

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {"an object", "a list", "a string", "a number",
                                        "a number",  "true",   "false",    "null"};
    return names[json_typeof(value)];
}

static enum status find_text(json_t *root, const char *field, const char *source, json_t **text_p)
{
    if (!json_is_object(root))
        FAIL(STATUS_INPUT, "%s: an object is needed here, not %s", source, type_name(root));
    json_t *text = json_object_get(root, field), *value;
    if (!text) {
        const char *key;
        struct nearest nearest;
        nearest_start(&nearest, field);
        json_object_foreach(root, key, value) nearest_offer(&nearest, key);
        const char *near = nearest_get(&nearest);
        FAIL(STATUS_INPUT, "%s: the object has no field \"%s\"%s%s%s (data.field names another)",
             source, field, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    if (!json_is_string(text))
        FAIL(STATUS_INPUT, "%s: \"%s\" is %s; a string is needed", source, field, type_name(text));
    *text_p = text;
    return STATUS_OK;
}

static enum status take_document(json_t *root, const char *field, const char *source,
                                 span_taker take, void *context)
{
    json_t *string = NULL;
    TRY(find_text(root, field, source, &string));
    const uint8_t *text = (const uint8_t *)json_string_value(string);
    size_t bytes = json_string_length(string);
    if (bytes) TRY(take(context, text, bytes, source, 0));
    if (bytes && text[bytes - 1] != '\n')
        TRY(take(context, (const uint8_t *)"\n", 1, source, bytes));
    return STATUS_OK;
}

// Integers are read as doubles, for a data set's other fields may hold what fits no int64.
static enum status take_line(const uint8_t *line, size_t bytes, const char *field,
                             const char *source, span_taker take, void *context)
{
    json_error_t error;
    if (bytes > LINE_LIMIT)
        FAIL(STATUS_INPUT, "%s is longer than %d MiB", source, LINE_LIMIT >> 20);
    json_t *root = json_loadb((const char *)line, bytes,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY |
                                  JSON_DECODE_INT_AS_REAL,
                              &error);
    if (!root)
        FAIL(STATUS_INPUT, "%s is not JSON: %s (byte %d of the line)", source, error.text,
             error.position);
    enum status status = take_document(root, field, source, take, context);
    json_decref(root);
    return status;
}

enum status piece_spans(const struct piece *piece, const char *field, span_taker take,
                        void *context)
{
    if (!piece->file->lines)
        return take(context, piece->text, piece->bytes, piece->file->path, piece->offset);
    char source[SOURCE_BYTES];
    uint64_t line = piece->line;
    for (size_t at = 0; at < piece->bytes; line++) {
        const uint8_t *start = piece->text + at, *newline = memchr(start, '\n', piece->bytes - at);
        size_t bytes = newline ? (size_t)(newline - start) : piece->bytes - at;
        at += bytes + 1;
        if (line_is_blank((const char *)start, bytes)) continue;
        snprintf(source, sizeof source, "%s line %llu", piece->file->path,
                 (unsigned long long)line);
        TRY(take_line(start, bytes, field, source, take, context));
    }
    return STATUS_OK;
}
