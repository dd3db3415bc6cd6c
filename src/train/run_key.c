// SPDX-License-Identifier: Apache-2.0
// One key: finding it by name, reading its value from text, printing it.
#include "base/nearest.h"
#include "base/number.h"
#include "text/tokenizer.h"
#include "train/run_schema.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

// ---- finding ----
const struct schema run_file_schema = {"a run file", "`stentor train --help`", run_schema,
                                       &run_schema_count, run_sections};

int schema_find(const struct schema *schema, const char *name)
{
    for (int i = 0; i < *schema->count; i++)
        if (!strcmp(schema->row[i].name, name)) return i;
    return -1;
}

bool schema_is_section(const struct schema *schema, const char *name, size_t length)
{
    for (int i = 0; i < *schema->count; i++)
        if (!strncmp(schema->row[i].name, name, length) && schema->row[i].name[length] == '.')
            return true;
    return false;
}

static const char *leaf_name(const char *name)
{
    const char *point = strrchr(name, '.');
    return point ? point + 1 : name;
}

// The nearest key of a section ("" for all keys), by its name without the section.
static const char *leaf_nearest(const struct schema *schema, const char *section, const char *leaf)
{
    struct nearest nearest;
    const char *best = NULL;
    size_t length = strlen(section);
    nearest_start(&nearest, leaf);
    for (int i = 0; i < *schema->count; i++) {
        int before = nearest.distance;
        if (strncmp(schema->row[i].name, section, length) != 0) continue;
        nearest_offer(&nearest, leaf_name(schema->row[i].name));
        if (nearest.distance < before) best = schema->row[i].name;
    }
    return nearest_get(&nearest) ? best : NULL;
}

static const char *section_nearest(const struct schema *schema, const char *word)
{
    struct nearest nearest;
    nearest_start(&nearest, word);
    for (int i = 0; schema->sections[i]; i++) nearest_offer(&nearest, schema->sections[i]);
    return nearest_get(&nearest);
}

const char *schema_nearest(const struct schema *schema, const char *name)
{
    // The right word in the wrong section is nearer than any misspelling.
    for (int i = 0; i < *schema->count; i++)
        if (!strcasecmp(leaf_name(schema->row[i].name), leaf_name(name)))
            return schema->row[i].name;
    const char *leaf = leaf_name(name), *found = NULL;
    if (leaf == name) {
        found = section_nearest(schema, name);
        return found ? found : leaf_nearest(schema, "", leaf);
    }
    char section[32], whole[128];
    snprintf(section, sizeof section, "%.*s", (int)(leaf - name), name); // with the point
    found = leaf_nearest(schema, section, leaf);
    if (found || schema_is_section(schema, name, (size_t)(leaf - name - 1)))
        return found ? found : leaf_nearest(schema, "", leaf);
    // Both words are wrong.
    snprintf(whole, sizeof whole, "%.*s", (int)(leaf - name - 1), name);
    const char *meant = section_nearest(schema, whole);
    if (!meant) return leaf_nearest(schema, "", leaf);
    snprintf(whole, sizeof whole, "%s.", meant);
    return leaf_nearest(schema, whole, leaf);
}

int run_key_find(const char *name) { return schema_find(&run_file_schema, name); }

bool run_section_is(const char *name, size_t length)
{
    return schema_is_section(&run_file_schema, name, length);
}

const char *run_key_nearest(const char *name) { return schema_nearest(&run_file_schema, name); }

const char *run_key_place(const struct run_config *config, const char *name,
                          char text[RUN_PATH + 32])
{
    int key = run_key_find(name);
    int origin = key >= 0 ? config->origin[key] : RUN_DEFAULT;
    if (origin == RUN_OPTION)
        snprintf(text, RUN_PATH + 32, "--set: ");
    else if (origin == RUN_CALL)
        snprintf(text, RUN_PATH + 32, "stn_config_set: ");
    else if (origin == RUN_ENVIRONMENT)
        snprintf(text, RUN_PATH + 32, "environment: ");
    else if (origin > 0 && config->file[0])
        snprintf(text, RUN_PATH + 32, "%s:%d: ", config->file, origin);
    else
        text[0] = 0;
    return text;
}

// ---- assigning ----
static enum status assign_integer(void *field, const struct run_key *row, const char *text,
                                  const char *place)
{
    int64_t value;
    if (!number_parse_integer(text, &value))
        FAIL(STATUS_USAGE, "%s: %s: \"%s\" is not a whole number, such as 200", place, row->name,
             text);
    if ((double)value < row->least || (double)value > row->most)
        FAIL(STATUS_USAGE, "%s: %s: %s is out of range; it goes from %.0f to %.0f", place,
             row->name, text, row->least, row->most);
    memcpy(field, &value, sizeof value);
    return STATUS_OK;
}

static enum status assign_number(void *field, const struct run_key *row, const char *text,
                                 const char *place)
{
    double value;
    if (!number_parse(text, &value))
        FAIL(STATUS_USAGE, "%s: %s: \"%s\" is not a number; write it as 0.001 or 1e-3", place,
             row->name, text);
    if (value < row->least || value > row->most || (row->open && value == row->least))
        FAIL(STATUS_USAGE, "%s: %s: %s is out of range; it goes from %g%s to %.10g", place,
             row->name, text, row->least, row->open ? " (not included)" : "", row->most);
    memcpy(field, &value, sizeof value);
    return STATUS_OK;
}

static enum status assign_bytes(void *field, const struct run_key *row, const char *text,
                                const char *place)
{
    char digits[NUMBER_TEXT];
    size_t length = strspn(text, "0123456789.e+");
    double value, unit = 1;
    const char *suffix = text + length, *prefixes = "KMGT";
    bool good = length < sizeof digits;
    if (good && *suffix) {
        const char *prefix = strchr(prefixes, *suffix & ~0x20);
        double step = suffix[1] == 'i' ? 1024 : 1000;
        const char *rest = suffix + 1 + (suffix[1] == 'i');
        good = prefix && (!*rest || !strcmp(rest, "B"));
        for (long i = 0; good && i <= prefix - prefixes; i++) unit *= step;
    }
    if (good) snprintf(digits, sizeof digits, "%.*s", (int)length, text);
    if (!good || !number_parse(digits, &value) || value < 0 || value * unit > row->most)
        FAIL(STATUS_USAGE, "%s: %s: \"%s\" is not a number of bytes; write 2000000000, 2G or 512Mi",
             place, row->name, text);
    value = (double)(int64_t)(value * unit);
    memcpy(field, &value, sizeof value);
    return STATUS_OK;
}

static enum status assign_boolean(void *field, const struct run_key *row, const char *text,
                                  const char *place)
{
    bool yes = !strcmp(text, "true"), no = !strcmp(text, "false");
    if (!yes && !no)
        FAIL(STATUS_USAGE, "%s: %s: \"%s\" is neither true nor false", place, row->name, text);
    *(bool *)field = yes;
    return STATUS_OK;
}

static enum status assign_text(void *field, const struct run_key *row, const char *text,
                               const char *place)
{
    size_t bytes = strlen(text);
    if (bytes >= row->bytes)
        FAIL(STATUS_USAGE, "%s: %s: the text has %zu bytes; at most %zu fit", place, row->name,
             bytes, row->bytes - 1);
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        int length = utf8_read((const uint8_t *)text + i, bytes - i, &code);
        if (!length || code < 0x20 || code == 0x7f)
            FAIL(STATUS_USAGE, "%s: %s: byte %zu is not UTF-8 or is a control character", place,
                 row->name, i);
        i += (size_t)length;
    }
    memset(field, 0, row->bytes);
    memcpy(field, text, bytes);
    return STATUS_OK;
}

// Place of `text` among "a | b | c", -1 when it is none of them.
static int choice_find(const char *choices, const char *text)
{
    size_t length = strlen(text);
    int place = 0;
    for (const char *at = choices; at && *at; place++) {
        size_t word = strcspn(at, " ");
        if (word == length && memcmp(at, text, length) == 0) return place;
        at += word + strspn(at + word, " |");
    }
    return -1;
}

static enum status assign_choice(void *field, const struct run_key *row, const char *text,
                                 const char *place)
{
    int choice = choice_find(row->choices, text);
    if (choice < 0)
        FAIL(STATUS_USAGE, "%s: %s: \"%s\" is unknown; there is %s", place, row->name, text,
             row->choices);
    if (row->type == RUN_ENUM) {
        int value = choice + 1;
        memcpy(field, &value, sizeof value);
        return STATUS_OK;
    }
    return assign_text(field, row, text, place);
}

enum status schema_assign(const struct schema *schema, int key, void *object, const char *text,
                          bool quoted, const char *place)
{
    const struct run_key *row = &schema->row[key];
    void *field = (char *)object + row->offset;
    bool is_text = row->type == RUN_TEXT || row->type == RUN_CHOICE || row->type == RUN_ENUM;
    if (quoted && !is_text)
        FAIL(STATUS_USAGE, "%s: %s: \"%s\" is a text; write the value without quotes", place,
             row->name, text);
    if (!quoted && !*text && row->type != RUN_TEXT)
        FAIL(STATUS_USAGE, "%s: %s: the value is missing", place, row->name);
    if (row->choices && row->type != RUN_ENUM) return assign_choice(field, row, text, place);
    switch (row->type) {
    case RUN_INTEGER:
        return assign_integer(field, row, text, place);
    case RUN_NUMBER:
        return assign_number(field, row, text, place);
    case RUN_BYTES:
        return assign_bytes(field, row, text, place);
    case RUN_BOOLEAN:
        return assign_boolean(field, row, text, place);
    case RUN_TEXT:
        return assign_text(field, row, text, place);
    case RUN_CHOICE:
    case RUN_ENUM:
        return assign_choice(field, row, text, place);
    case RUN_SEED:
        if (!number_parse_unsigned(text, field))
            FAIL(STATUS_USAGE,
                 "%s: %s: \"%s\" is not a whole number from 0 to 18446744073709551615", place,
                 row->name, text);
        return STATUS_OK;
    }
    return STATUS_OK;
}

enum status run_key_assign(struct run_config *config, int key, const char *text, bool quoted,
                           const char *place)
{
    return schema_assign(&run_file_schema, key, config, text, quoted, place);
}

const char *run_key_text(const struct run_config *config, int key, char text[RUN_PATH])
{
    const struct run_key *row = &run_schema[key];
    const void *field = (const char *)config + row->offset;
    const char *at = row->choices;
    switch (row->type) {
    case RUN_INTEGER:
        snprintf(text, RUN_PATH, "%lld", (long long)*(const int64_t *)field);
        break;
    case RUN_SEED:
        snprintf(text, RUN_PATH, "%llu", (unsigned long long)*(const uint64_t *)field);
        break;
    case RUN_NUMBER:
        number_print(*(const double *)field, text);
        break;
    case RUN_BYTES:
        snprintf(text, RUN_PATH, "%.0f", *(const double *)field);
        break;
    case RUN_BOOLEAN:
        snprintf(text, RUN_PATH, "%s", *(const bool *)field ? "true" : "false");
        break;
    case RUN_TEXT:
    case RUN_CHOICE:
        snprintf(text, RUN_PATH, "%s", (const char *)field);
        break;
    case RUN_ENUM:
        for (int i = *(const int *)field; i > 1; i--) at += strcspn(at, "|") + 2;
        snprintf(text, RUN_PATH, "%.*s", (int)strcspn(at, " "), at);
        break;
    }
    return text;
}

bool run_key_is_start(const struct run_config *config, const char *name)
{
    char text[RUN_PATH];
    int key = run_key_find(name);
    const struct run_key *row = &run_schema[key];
    double start;
    if (row->type == RUN_NUMBER && number_parse(row->start, &start))
        return *(const double *)((const char *)config + row->offset) == start;
    return strcmp(run_key_text(config, key, text), row->start) == 0;
}
