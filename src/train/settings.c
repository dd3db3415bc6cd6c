// SPDX-License-Identifier: Apache-2.0
// Reading files of settings: YAML events (libyaml), typed by a schema (run files, cluster files).
#include "base/file.h"
#include "base/memory.h"
#include "text/tokenizer.h"
#include "train/run_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { FILE_LIMIT = 1 << 20, WORD = 64, NAME = 128, PLACE = RUN_PATH + 32 };

// Such a file is a mapping of keys and sections; a section is a mapping of keys. Whatever goes
// deeper, or is a list, an alias, an anchor or a tag, is refused where it stands, so no input can
// make the reader recurse or multiply.
struct reader {
    const struct schema *schema;
    void *object;
    int *origin;
    const char *path;
    yaml_parser_t parser;
    char section[WORD]; // "" outside
    bool seen[RUN_KEYS];
    char sections_seen[RUN_KEYS][WORD];
    int sections;
};

static const char *wrong_property(const yaml_char_t *anchor, const yaml_char_t *tag)
{
    return anchor ? "an anchor (&name)" : tag ? "a tag (!name)" : NULL;
}

// What no such file holds; NULL when the event is none of that.
static const char *what_is_wrong(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return "an alias (*name)";
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    case YAML_SCALAR_EVENT:
        return wrong_property(event->data.scalar.anchor, event->data.scalar.tag);
    case YAML_MAPPING_START_EVENT:
        return wrong_property(event->data.mapping_start.anchor, event->data.mapping_start.tag);
    case YAML_DOCUMENT_START_EVENT:
        return event->data.document_start.tag_directives.start !=
                       event->data.document_start.tag_directives.end
                   ? "a %TAG directive"
                   : NULL;
    default:
        return NULL;
    }
}

// The next event; the caller deletes it.
static enum status next_event(struct reader *reader, yaml_event_t *event)
{
    yaml_parser_t *parser = &reader->parser;
    if (!yaml_parser_parse(parser, event)) {
        if (parser->error == YAML_MEMORY_ERROR)
            FAIL(STATUS_MEMORY, "%s: not enough memory to read it", reader->path);
        bool scanned = parser->error != YAML_READER_ERROR;
        FAIL(STATUS_USAGE, "%s:%zu: this is not YAML: %s%s%s", reader->path,
             scanned ? parser->problem_mark.line + 1 : (size_t)1,
             parser->problem ? parser->problem : "it cannot be read", parser->context ? ", " : "",
             parser->context ? parser->context : "");
    }
    const char *wrong = what_is_wrong(event);
    if (!wrong) return STATUS_OK;
    size_t line = event->start_mark.line + 1;
    yaml_event_delete(event);
    FAIL(STATUS_USAGE, "%s:%zu: %s cannot stand in %s; write the value itself", reader->path, line,
         wrong, reader->schema->kind);
}

static enum status next_of_type(struct reader *reader, yaml_event_type_t type)
{
    yaml_event_t event;
    TRY(next_event(reader, &event));
    bool right = event.type == type;
    size_t line = event.start_mark.line + 1;
    yaml_event_delete(&event);
    if (!right)
        FAIL(STATUS_USAGE, "%s:%zu: %s is one mapping of keys", reader->path, line,
             reader->schema->kind);
    return STATUS_OK;
}

static enum status unknown_key(const struct reader *reader, size_t line, const char *name)
{
    const char *nearest = schema_nearest(reader->schema, name);
    bool section = !reader->section[0] && strchr(name, '.');
    if (section && schema_find(reader->schema, name) >= 0)
        FAIL(STATUS_USAGE, "%s:%zu: %s: keys stand inside their section; write \"%.*s: {%s: …}\"",
             reader->path, line, name, (int)strcspn(name, "."), name, strchr(name, '.') + 1);
    FAIL(STATUS_USAGE, "%s:%zu: %s: unknown key; %s%s%s", reader->path, line, name,
         nearest ? "did you mean " : reader->schema->listed, nearest ? nearest : "",
         nearest ? "?" : " lists the keys");
}

static enum status read_value(struct reader *reader, int key, size_t key_line)
{
    yaml_event_t event;
    TRY(next_event(reader, &event));
    char place[PLACE];
    size_t line = event.start_mark.line + 1;
    snprintf(place, sizeof place, "%s:%zu", reader->path, line);
    enum status status = STATUS_OK;
    if (event.type != YAML_SCALAR_EVENT) {
        status = error_at(STATUS_USAGE, __FILE__, __LINE__,
                          "%s: %s: a single value stands here, not a mapping", place,
                          reader->schema->row[key].name);
        goto delete_event;
    }
    const char *text = (const char *)event.data.scalar.value;
    bool quoted = event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (strlen(text) != event.data.scalar.length) {
        status = error_at(STATUS_USAGE, __FILE__, __LINE__, "%s: %s: the value holds a NUL byte",
                          place, reader->schema->row[key].name);
        goto delete_event;
    }
    if (!quoted && (!strcmp(text, "~") || !strcmp(text, "null"))) text = "";
    status = schema_assign(reader->schema, key, reader->object, text, quoted, place);
    if (status == STATUS_OK) reader->origin[key] = (int)key_line;

delete_event:
    yaml_event_delete(&event);
    return status;
}

// A section's name was read: goes into its mapping. An empty section (nothing behind the colon) is
// fine.
static enum status enter_section(struct reader *reader, const char *name, size_t line)
{
    for (int i = 0; i < reader->sections; i++)
        if (!strcmp(reader->sections_seen[i], name))
            FAIL(STATUS_USAGE, "%s:%zu: %s: the section stands there twice", reader->path, line,
                 name);
    snprintf(reader->sections_seen[reader->sections++], WORD, "%s", name);
    yaml_event_t event;
    TRY(next_event(reader, &event));
    yaml_event_type_t type = event.type;
    bool empty = type == YAML_SCALAR_EVENT && event.data.scalar.length == 0 &&
                 event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    yaml_event_delete(&event);
    if (type == YAML_MAPPING_START_EVENT)
        snprintf(reader->section, WORD, "%s", name);
    else if (!empty)
        FAIL(STATUS_USAGE, "%s:%zu: %s: a section holds keys; write \"%s: {key: value}\"",
             reader->path, line, name, name);
    return STATUS_OK;
}

static enum status read_key(struct reader *reader, const yaml_event_t *event)
{
    size_t line = event->start_mark.line + 1;
    const char *word = (const char *)event->data.scalar.value;
    char name[NAME];
    size_t length = event->data.scalar.length;
    if (strlen(word) != length)
        FAIL(STATUS_USAGE, "%s:%zu: a key holds a NUL byte", reader->path, line);
    for (size_t i = 0; i < length; i++)
        if (length >= WORD || (unsigned char)word[i] < 0x20)
            FAIL(STATUS_USAGE, "%s:%zu: this is no key's name", reader->path, line);
    if (!reader->section[0] && schema_is_section(reader->schema, word, length))
        return enter_section(reader, word, line);
    snprintf(name, sizeof name, "%s%s%s", reader->section, reader->section[0] ? "." : "", word);
    int key = schema_find(reader->schema, name);
    if (key < 0 || (!reader->section[0] && strchr(name, '.')) || strchr(word, '.'))
        return unknown_key(reader, line, name);
    if (reader->seen[key])
        FAIL(STATUS_USAGE, "%s:%zu: %s: the key stands there twice", reader->path, line, name);
    reader->seen[key] = true;
    return read_value(reader, key, line);
}

// Keys until the mapping at the top ends.
static enum status read_mapping(struct reader *reader)
{
    for (;;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        enum status status = STATUS_OK;
        bool done = false;
        if (event.type == YAML_MAPPING_END_EVENT) {
            done = !reader->section[0];
            reader->section[0] = 0;
        } else if (event.type == YAML_SCALAR_EVENT) {
            status = read_key(reader, &event);
        } else {
            status = error_at(STATUS_USAGE, __FILE__, __LINE__, "%s:%zu: a key is a word",
                              reader->path, event.start_mark.line + 1);
        }
        yaml_event_delete(&event);
        if (status || done) return status;
    }
}

static enum status read_document(struct reader *reader)
{
    TRY(next_of_type(reader, YAML_STREAM_START_EVENT));
    yaml_event_t event;
    TRY(next_event(reader, &event));
    bool empty = event.type == YAML_STREAM_END_EVENT; // nothing but comments
    yaml_event_delete(&event);
    if (empty) return STATUS_OK;
    TRY(next_of_type(reader, YAML_MAPPING_START_EVENT));
    TRY(read_mapping(reader));
    TRY(next_of_type(reader, YAML_DOCUMENT_END_EVENT));
    TRY(next_event(reader, &event));
    bool end = event.type == YAML_STREAM_END_EVENT;
    size_t line = event.start_mark.line + 1;
    yaml_event_delete(&event);
    if (!end) FAIL(STATUS_USAGE, "%s:%zu: a second document begins here", reader->path, line);
    return STATUS_OK;
}

// Checks what libyaml would report badly or not at all.
static enum status check_bytes(const char *kind, const char *path, const char *text, size_t bytes)
{
    size_t line = 1;
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        int length = utf8_read((const uint8_t *)text + i, bytes - i, &code);
        if (!length || code == 0)
            FAIL(STATUS_INPUT, "%s:%zu: byte %zu is %s; %s is a text in UTF-8", path, line, i,
                 length ? "NUL" : "not UTF-8", kind);
        line += code == '\n';
        i += (size_t)length;
    }
    return STATUS_OK;
}

enum status schema_read(const struct schema *schema, const char *path, void *object, int *origin)
{
    char *text;
    size_t bytes;
    if (strlen(path) >= RUN_PATH)
        FAIL(STATUS_USAGE, "the path of %s has more than %d bytes", schema->kind, RUN_PATH - 1);
    TRY(file_read(path, FILE_LIMIT, &text, &bytes));
    struct reader reader = {.schema = schema, .object = object, .path = path};
    reader.origin = origin;
    enum status status = check_bytes(schema->kind, path, text, bytes);
    if (status) goto free_text;
    if (!yaml_parser_initialize(&reader.parser)) {
        status =
            error_at(STATUS_MEMORY, __FILE__, __LINE__, "%s: not enough memory to read it", path);
        goto free_text;
    }
    // With an encoding that was set libyaml takes a byte order mark for text.
    size_t mark = bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text + mark, bytes - mark);
    status = read_document(&reader);
    yaml_parser_delete(&reader.parser);

free_text:
    free(text);
    return status;
}
