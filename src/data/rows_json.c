// SPDX-License-Identifier: Apache-2.0
// Rows that are JSON: an object a line, or questions in SQuAD's layout.
#include "base/json.h"
#include "base/number.h"
#include "data/rows_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_NAME = 300 };
enum { SQUAD_LIMIT = 1 << 30 };

// ---- text of the row ----

static enum status append(struct rows *rows, const char *text, size_t bytes)
{
    if (bytes == 0) return STATUS_OK;
    TRY(rows_text_room(rows, bytes));
    memcpy(rows->text + rows->text_bytes, text, bytes);
    rows->text_bytes += bytes;
    return STATUS_OK;
}

static const char *kind_of(const json_t *value)
{
    static const char *const name[] = {"an object", "a list", "a string", "a whole number",
                                       "a number",  "true",   "false",    "null"};
    return value ? name[json_typeof(value)] : "nothing";
}

static enum status append_text(struct rows *rows, const json_t *value, const char *key,
                               const char *source)
{
    const char *text = json_string_value(value);
    size_t bytes = json_string_length(value);
    if (strlen(text) != bytes)
        FAIL(STATUS_INPUT, "%s: \"%s\" has the character 0 in it; this is no text", source, key);
    return append(rows, text, bytes);
}

static enum status append_number(struct rows *rows, const json_t *value)
{
    char text[NUMBER_TEXT];
    if (json_is_real(value))
        number_print(json_real_value(value), text);
    else
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    return append(rows, text, strlen(text));
}

// A string as it is, a number as it is printed, a list of them with newlines between, and none inside.
static enum status append_value(struct rows *rows, const json_t *value, const char *key,
                                const char *source, bool inside)
{
    size_t i;
    json_t *part;
    if (json_is_string(value)) return append_text(rows, value, key, source);
    if (json_is_number(value)) return append_number(rows, value);
    if (json_is_boolean(value))
        return append(rows, json_is_true(value) ? "true" : "false", json_is_true(value) ? 4 : 5);
    if (!value) FAIL(STATUS_INPUT, "%s: the key \"%s\" is missing", source, key);
    if (!json_is_array(value) || inside)
        FAIL(STATUS_INPUT, "%s: \"%s\" is %s; it must be text or a number%s", source, key,
             kind_of(value), inside ? "" : ", or a list of them");
    json_array_foreach(value, i, part)
    {
        if (i) TRY(append(rows, "\n", 1));
        size_t from = rows->text_bytes;
        TRY(append_value(rows, part, key, source, true));
        for (size_t at = from; at < rows->text_bytes; at++)
            if (rows->text[at] == '\n') rows->text[at] = ' ';
    }
    return STATUS_OK;
}

// ---- an object a line ----

static enum status start_jsonl(struct rows *rows)
{
    for (int i = 0; i < rows->setup.columns; i++)
        if (column_number(rows->setup.column[i]) >= 0)
            FAIL(STATUS_INPUT, "%s: columns of .jsonl are keys, not numbers such as %s",
                 rows->setup.path, rows->setup.column[i]);
    return lines_open(rows->setup.path, rows->setup.replace, &rows->lines);
}

static enum status missing_key(const json_t *object, const char *key, const char *source)
{
    char there[300] = "";
    size_t used = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        int wrote =
            snprintf(there + used, sizeof there - used, "%s%.*s", used ? ", " : "", CUT(name, 40));
        used += (size_t)wrote;
        if (used + 50 > sizeof there) break;
    }
    FAIL(STATUS_INPUT, "%s has no key \"%s\"; it has %s", source, key, there[0] ? there : "none");
}

// Whether digits are lost of a whole number that was read as a double, or of one of a list.
static bool is_rounded(const json_t *value)
{
    size_t i;
    json_t *part;
    if (json_is_real(value)) return fabs(json_real_value(value)) >= 0x1p53;
    json_array_foreach(value, i, part)
    {
        if (json_is_real(part) && fabs(json_real_value(part)) >= 0x1p53) return true;
    }
    return false;
}

static enum status read_object(struct rows *rows, const json_t *object, bool wide,
                               const char *source, size_t at[ROW_FIELDS + 1], struct row *row)
{
    if (!json_is_object(object))
        FAIL(STATUS_INPUT, "%s is %s; it must be an object", source, kind_of(object));
    rows->text_bytes = 0;
    for (int i = 0; i < rows->setup.columns; i++) {
        const char *key = rows->setup.column[i];
        const json_t *value = json_object_get(object, key);
        at[i] = rows->text_bytes;
        if (!value) return missing_key(object, key, source);
        if (wide && is_rounded(value))
            FAIL(STATUS_INPUT, "%s: \"%s\" is a number of 64 bits or more; write it as a string",
                 source, key);
        row->field[i].list = json_is_array(value);
        TRY(append_value(rows, value, key, source, false));
    }
    at[rows->setup.columns] = rows->text_bytes;
    return STATUS_OK;
}

static enum status next_object(struct rows *rows, struct row *row, bool *more_p)
{
    struct line line = {0};
    char source[SOURCE_NAME];
    json_t *object = NULL;
    bool wide = false;
    size_t at[ROW_FIELDS + 1];
    do {
        TRY(lines_next(rows->lines, &line, more_p));
        if (!*more_p) return STATUS_OK;
    } while (line_is_blank(line.text, line.bytes));
    snprintf(source, sizeof source, "%.*s line %llu", CUT(lines_path(rows->lines), 200),
             (unsigned long long)line.number);
    TRY(json_parse_wide(line.text, line.bytes, source, &wide, &object));
    enum status status = read_object(rows, object, wide, source, at, row);
    json_decref(object);
    if (status) return status;
    for (int i = 0; i < rows->setup.columns; i++)
        row->field[i] = (struct row_field){rows->text ? rows->text + at[i] : "", at[i + 1] - at[i],
                                           row->field[i].list};
    row->path = lines_path(rows->lines);
    row->line = line.number;
    return STATUS_OK;
}

const struct rows_format rows_jsonl = {"jsonl", ".jsonl", start_jsonl, next_object, NULL};

// ---- SQuAD ----

enum squad_column {
    SQUAD_ID,
    SQUAD_TITLE,
    SQUAD_CONTEXT,
    SQUAD_QUESTION,
    SQUAD_ANSWER,
    SQUAD_START,
    SQUAD_COLUMNS
};
static const char *const squad_name[SQUAD_COLUMNS] = {"id",       "title",  "context",
                                                      "question", "answer", "start"};

struct squad {
    json_t *root;
    size_t article, paragraph, question; // of the row that comes
    uint64_t row;
};

static enum status start_squad(struct rows *rows)
{
    for (int i = 0; i < rows->setup.columns; i++) {
        int j = 0;
        while (j < SQUAD_COLUMNS && strcmp(squad_name[j], rows->setup.column[i]) != 0) j++;
        if (j == SQUAD_COLUMNS)
            FAIL(STATUS_INPUT,
                 "%s: there is no column \"%s\"; SQuAD's layout has id, title, context, question, "
                 "answer, start",
                 rows->setup.path, rows->setup.column[i]);
        rows->place[i] = j;
    }
    char *text;
    size_t bytes;
    struct squad *squad = calloc(1, sizeof *squad);
    if (!squad) FAIL(STATUS_MEMORY, "not enough memory to read %s", rows->setup.path);
    rows->own = squad;
    TRY(reader_read_whole(rows->setup.path, SQUAD_LIMIT, &text, &bytes));
    enum status status = json_parse(text, bytes, rows->setup.path, &squad->root);
    free(text);
    TRY(status);
    if (!json_is_array(json_object_get(squad->root, "data")))
        FAIL(STATUS_INPUT, "%s: \"data\" is %s; SQuAD's layout has a list of articles there",
             rows->setup.path, kind_of(json_object_get(squad->root, "data")));
    return STATUS_OK;
}

static void stop_squad(struct rows *rows)
{
    struct squad *squad = rows->own;
    if (squad) json_decref(squad->root);
    free(squad);
}

// Moves to the next question; all NULL behind the last.
static enum status find_question(struct rows *rows, json_t **article_p, json_t **paragraph_p,
                                 json_t **question_p)
{
    struct squad *squad = rows->own;
    json_t *articles = json_object_get(squad->root, "data");
    for (; squad->article < json_array_size(articles); squad->article++, squad->paragraph = 0) {
        json_t *article = json_array_get(articles, squad->article),
               *paragraphs = json_object_get(article, "paragraphs");
        if (!json_is_array(paragraphs))
            FAIL(STATUS_INPUT, "%s: article %zu has no list of paragraphs", rows->setup.path,
                 squad->article + 1);
        for (; squad->paragraph < json_array_size(paragraphs);
             squad->paragraph++, squad->question = 0) {
            json_t *paragraph = json_array_get(paragraphs, squad->paragraph),
                   *questions = json_object_get(paragraph, "qas");
            if (!json_is_array(questions) || !json_is_string(json_object_get(paragraph, "context")))
                FAIL(STATUS_INPUT,
                     "%s: article %zu, paragraph %zu lacks its context or its list qas",
                     rows->setup.path, squad->article + 1, squad->paragraph + 1);
            if (squad->question == json_array_size(questions)) continue;
            *article_p = article;
            *paragraph_p = paragraph;
            *question_p = json_array_get(questions, squad->question++);
            squad->row++;
            return STATUS_OK;
        }
    }
    *question_p = NULL;
    return STATUS_OK;
}

// The texts, or the places, of all answers.
static enum status append_answers(struct rows *rows, const json_t *question, const char *key,
                                  const char *source)
{
    const json_t *answers = json_object_get(question, "answers");
    size_t i;
    json_t *answer;
    if (answers && !json_is_array(answers))
        FAIL(STATUS_INPUT, "%s: \"answers\" is %s; it must be a list", source, kind_of(answers));
    json_array_foreach(answers, i, answer)
    {
        const json_t *value = json_object_get(answer, key);
        if (i) TRY(append(rows, &(char){ANSWER_END}, 1));
        if (value && strcmp(key, "answer_start") == 0 && !json_is_integer(value))
            FAIL(STATUS_INPUT, "%s: \"answer_start\" is %s; it must be a whole number", source,
                 kind_of(value));
        TRY(append_value(rows, value, key, source, true));
    }
    return STATUS_OK;
}

static enum status next_question(struct rows *rows, struct row *row, bool *more_p)
{
    json_t *article, *paragraph, *question;
    struct squad *squad = rows->own;
    char source[SOURCE_NAME];
    size_t at[ROW_FIELDS + 1];
    TRY(find_question(rows, &article, &paragraph, &question));
    *more_p = question != NULL;
    if (!question) return STATUS_OK;
    snprintf(source, sizeof source, "%.*s question %llu", CUT(rows->setup.path, 200),
             (unsigned long long)squad->row);
    rows->text_bytes = 0;
    for (int i = 0; i < rows->setup.columns; i++) {
        enum squad_column column = (enum squad_column)rows->place[i];
        at[i] = rows->text_bytes;
        const json_t *title = json_object_get(article, "title");
        if (column == SQUAD_ANSWER)
            TRY(append_answers(rows, question, "text", source));
        else if (column == SQUAD_START)
            TRY(append_answers(rows, question, "answer_start", source));
        else if (column == SQUAD_CONTEXT)
            TRY(append_value(rows, json_object_get(paragraph, "context"), "context", source, true));
        else if (column != SQUAD_TITLE)
            TRY(append_value(rows, json_object_get(question, squad_name[column]),
                             squad_name[column], source, true));
        else if (title)
            TRY(append_value(rows, title, "title", source, true));
    }
    at[rows->setup.columns] = rows->text_bytes;
    for (int i = 0; i < rows->setup.columns; i++)
        row->field[i] =
            (struct row_field){rows->text ? rows->text + at[i] : "", at[i + 1] - at[i], false};
    row->path = rows->setup.path;
    row->line = squad->row;
    return STATUS_OK;
}

const struct rows_format rows_squad = {"squad", ".json", start_squad, next_question, stop_squad};
