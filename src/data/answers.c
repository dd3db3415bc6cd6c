// SPDX-License-Identifier: Apache-2.0
#include "data/answers.h"

#include "base/memory.h"
#include "base/number.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { QUESTION, CONTEXT, ANSWER, START, TITLE, ID, COLUMNS };
enum { SOURCE = 320, MOST_ANSWERS = 1 << 24 };

struct reading {
    const struct answers_setup *setup;
    struct answers answers;
    char source[SOURCE]; // file and question, for messages
    int64_t ids_room, windows_room, questions_room;
    // Of the question, and of the context, which several questions of a paragraph share.
    int32_t *ids[2];
    size_t room[2], count[2];
    struct offset *offset;
};

// ---- tokens ----
static enum status encode(struct reading *reading, int text, const struct row_field *field)
{
    size_t wanted = tokenizer_room(reading->setup->tokenizer, field->bytes) + 1;
    const uint8_t *bytes = (const uint8_t *)field->text;
    if (field->bytes > UINT32_MAX)
        FAIL(STATUS_INPUT, "%s: a text of more than 4 GiB", reading->source);
    if (wanted > reading->room[text]) {
        TRY(memory_grow(&reading->ids[text], wanted, sizeof *reading->ids[text], "a text"));
        if (text == CONTEXT)
            TRY(memory_grow(&reading->offset, wanted, sizeof *reading->offset, "a text"));
        reading->room[text] = wanted;
    }
    int64_t unknown = 0;
    if (reading->setup->known)
        TRY(tokenizer_encode_known(reading->setup->tokenizer, bytes, field->bytes,
                                   reading->ids[text], &reading->count[text], &unknown));
    else
        TRY(tokenizer_encode(reading->setup->tokenizer, bytes, field->bytes, reading->source, 0,
                             reading->ids[text], &reading->count[text]));
    reading->answers.unknown += unknown;
    if (text == QUESTION) return STATUS_OK;
    return tokenizer_offsets(reading->setup->tokenizer, bytes, field->bytes, reading->ids[text],
                             reading->count[text], reading->offset);
}

static enum status keep_text(struct reading *reading, const struct row_field *field, int64_t *at_p,
                             int64_t *bytes_p)
{
    *at_p = (int64_t)reading->answers.text.bytes;
    *bytes_p = (int64_t)field->bytes;
    return buffer_add(&reading->answers.text, (struct text){field->text, field->bytes});
}

// Questions of one paragraph follow one another: their context is kept once.
static enum status keep_context(struct reading *reading, const struct row_field *field,
                                struct question *question)
{
    struct answers *a = &reading->answers;
    const struct question *before = a->count ? &a->question[a->count - 1] : NULL;
    if (before && (size_t)before->context_bytes == field->bytes &&
        (field->bytes == 0 ||
         memcmp(a->text.at + before->context, field->text, field->bytes) == 0)) {
        question->context = before->context;
        question->context_bytes = before->context_bytes;
        return STATUS_OK;
    }
    TRY(encode(reading, CONTEXT, field));
    return keep_text(reading, field, &question->context, &question->context_bytes);
}

// ---- where the answer stands ----
// The byte where character `start` begins; -1: there is none.
static int64_t byte_of(const struct row_field *context, int64_t start)
{
    size_t at = 0;
    uint32_t code;
    while (start > 0 && at < context->bytes) {
        int length = utf8_read((const uint8_t *)context->text + at, context->bytes - at, &code);
        at += (size_t)(length > 0 ? length : 1);
        start--;
    }
    return start == 0 ? (int64_t)at : -1;
}

// The nearest to `wanted` of the places where `answer` stands; -1: nowhere.
static int64_t nearest(const struct row_field *context, struct text answer, int64_t wanted)
{
    int64_t best = -1;
    const char *end = context->text + context->bytes;
    for (const char *at = context->text; answer.bytes > 0 && at < end; at++) {
        at = memmem(at, (size_t)(end - at), answer.at, answer.bytes);
        if (!at) break;
        int64_t place = at - context->text;
        if (best < 0 || llabs(place - wanted) < llabs(best - wanted)) best = place;
        if (place >= wanted) break;
    }
    return best;
}

static struct text first_answer(const struct row_field *field)
{
    const char *end = field->bytes ? memchr(field->text, ANSWER_END, field->bytes) : NULL;
    return (struct text){field->text, end ? (size_t)(end - field->text) : field->bytes};
}

// The first and last token of the first answer; first -1: there is none.
static enum status find_answer(const struct reading *reading, const struct row *row,
                               int64_t span[2], bool *lost_p)
{
    const struct row_field *context = &row->field[CONTEXT];
    struct text answer = first_answer(&row->field[ANSWER]),
                start = first_answer(&row->field[START]);
    char number[32];
    int64_t place = 0;
    span[0] = span[1] = -1;
    *lost_p = false;
    if (answer.bytes == 0) return STATUS_OK;
    snprintf(number, sizeof number, "%.*s", text_cut_bytes(start.at, start.bytes, 31), start.at);
    if (!number_parse_integer(number, &place) || place < 0 || byte_of(context, place) < 0)
        FAIL(STATUS_INPUT, "%s: answer_start is %s, which is no place in the context",
             reading->source, number);
    int64_t from = nearest(context, answer, byte_of(context, place));
    *lost_p = from < 0;
    if (from < 0) return STATUS_OK;
    int64_t to = from + (int64_t)answer.bytes;
    for (int64_t i = 0; i < (int64_t)reading->count[CONTEXT]; i++) {
        const struct offset *token = &reading->offset[i];
        if (span[0] < 0 && token->to > from) span[0] = i;
        if (token->from < to && token->to > from) span[1] = i;
    }
    *lost_p = span[0] < 0 || span[1] < span[0];
    if (*lost_p) span[0] = -1;
    return STATUS_OK;
}

// ---- windows ----
static enum status grow_windows(struct reading *reading, int64_t ids)
{
    struct answers *a = &reading->answers;
    struct examples *w = &a->windows;
    int64_t used = w->count ? w->place[2 * w->count] : 0;
    if (w->count == INT32_MAX / 2)
        FAIL(STATUS_INPUT, "%s: more than %d windows", reading->setup->path, INT32_MAX / 2);
    if (w->count == reading->windows_room) {
        size_t room = reading->windows_room ? 2 * (size_t)reading->windows_room : 1024;
        TRY(memory_grow(&w->place, 2 * room + 1, sizeof *w->place, "the questions"));
        TRY(memory_grow(&w->label, room, sizeof *w->label, "the questions"));
        TRY(memory_grow(&a->last, room, sizeof *a->last, "the questions"));
        TRY(memory_grow(&a->asked, room, sizeof *a->asked, "the questions"));
        reading->windows_room = (int64_t)room;
    }
    if (!w->ids || used + ids > reading->ids_room) {
        int64_t room = 2 * reading->ids_room + ids + 4096;
        TRY(memory_grow(&w->ids, (size_t)room, sizeof *w->ids, "the questions"));
        TRY(memory_grow(&a->offset, (size_t)room, sizeof *a->offset, "the questions"));
        reading->ids_room = room;
    }
    w->place[0] = 0;
    return STATUS_OK;
}

// Tokens from .. from + n - 1 of the context behind the question's first q.
static enum status add_window(struct reading *reading, int64_t q, int64_t from, int64_t n,
                              const int64_t span[2])
{
    struct answers *a = &reading->answers;
    struct examples *w = &a->windows;
    TRY(grow_windows(reading, q + n));
    int64_t at = w->place[2 * w->count];
    bool there = span[0] >= from && span[1] < from + n;
    for (int64_t i = 0; i < q; i++) {
        w->ids[at + i] = reading->ids[QUESTION][i];
        a->offset[at + i] = (struct offset){0, 0};
    }
    for (int64_t i = 0; i < n; i++) {
        w->ids[at + q + i] = reading->ids[CONTEXT][from + i];
        a->offset[at + q + i] = reading->offset[from + i];
    }
    w->place[2 * w->count + 1] = at + q;
    w->place[2 * w->count + 2] = at + q + n;
    w->label[w->count] = there ? (int32_t)(q + 2 + span[0] - from) : 0;
    a->last[w->count] = there ? (int32_t)(q + 2 + span[1] - from) : 0;
    a->asked[w->count++] = (int32_t)a->count;
    return STATUS_OK;
}

static enum status add_windows(struct reading *reading, const int64_t span[2])
{
    int64_t room = reading->setup->context - 2, q = (int64_t)reading->count[QUESTION];
    int64_t n = (int64_t)reading->count[CONTEXT], from = 0;
    if (q > room / 2) {
        q = room / 2;
        reading->answers.windows.cut++;
    }
    int64_t longest = room - q, step = longest / 2 < 1 ? 1 : longest / 2;
    for (; from + longest < n; from += step) TRY(add_window(reading, q, from, longest, span));
    return add_window(reading, q, from, n - from, span);
}

// ---- questions ----
static enum status add_question(struct reading *reading, const struct row *row)
{
    struct answers *a = &reading->answers;
    struct question question = {.first_window = a->windows.count};
    int64_t span[2];
    if (a->count == reading->questions_room) {
        size_t room = a->count ? 2 * (size_t)a->count : 1024;
        TRY(memory_grow(&a->question, room, sizeof *a->question, "the questions"));
        reading->questions_room = (int64_t)room;
    }
    snprintf(reading->source, sizeof reading->source, "%.*s question %llu", CUT(row->path, 280),
             (unsigned long long)row->line);
    const struct row_field *title = &row->field[row->field[TITLE].bytes ? TITLE : CONTEXT];
    question.article = XXH3_64bits(title->bytes ? title->text : "", title->bytes);
    TRY(encode(reading, QUESTION, &row->field[QUESTION]));
    TRY(keep_context(reading, &row->field[CONTEXT], &question));
    TRY(keep_text(reading, &row->field[ANSWER], &question.answers, &question.answers_bytes));
    TRY(keep_text(reading, &row->field[ID], &question.id, &question.id_bytes));
    TRY(find_answer(reading, row, span, &question.lost));
    TRY(add_windows(reading, span));
    question.windows = a->windows.count - question.first_window;
    a->lost += question.lost;
    a->question[a->count++] = question;
    return STATUS_OK;
}

static enum status read_rows(struct reading *reading, struct rows *rows)
{
    struct row row;
    bool more;
    for (;;) {
        TRY(rows_next(rows, &row, &more));
        if (!more) break;
        TRY(add_question(reading, &row));
    }
    if (reading->answers.count == 0)
        FAIL(STATUS_INPUT, "%s has no questions", reading->setup->path);
    return STATUS_OK;
}

static uint64_t hash_of(const struct answers *a)
{
    size_t windows = (size_t)a->windows.count, ids = (size_t)a->windows.place[2 * windows];
    uint64_t hash = XXH3_64bits(a->windows.place, (2 * windows + 1) * sizeof *a->windows.place);
    if (ids) hash = XXH3_64bits_withSeed(a->windows.ids, ids * sizeof *a->windows.ids, hash);
    hash = XXH3_64bits_withSeed(a->windows.label, windows * sizeof *a->windows.label, hash);
    return XXH3_64bits_withSeed(a->last, windows * sizeof *a->last, hash);
}

struct rows_setup answers_texts(const char *path, bool replace)
{
    return (struct rows_setup){.path = path,
                               .format = "squad",
                               .column = {"question", "context"},
                               .columns = 2,
                               .replace = replace};
}

enum status answers_read(const struct answers_setup *setup, struct answers *answers_p)
{
    static const char *const more[] = {"answer", "start", "title", "id"};
    struct reading reading = {.setup = setup, .answers = {.windows = {.texts = 2}}};
    struct rows_setup with = answers_texts(setup->path, setup->replace);
    struct rows *rows;
    INVARIANT(setup->context >= ANSWERS_CONTEXT, "windows of %lld", (long long)setup->context);
    for (int i = ANSWER; i < COLUMNS; i++) with.column[i] = more[i - ANSWER];
    with.columns = COLUMNS;
    with.stop = setup->stop;
    TRY(rows_open(&with, &rows));
    enum status status = read_rows(&reading, rows);
    rows_close(rows);
    for (int i = 0; i < 2; i++) free(reading.ids[i]);
    free(reading.offset);
    if (status) {
        answers_release(&reading.answers);
        return status;
    }
    reading.answers.windows.hash = hash_of(&reading.answers);
    *answers_p = reading.answers;
    return STATUS_OK;
}

void answers_release(struct answers *answers)
{
    examples_release(&answers->windows);
    free(answers->last);
    free(answers->asked);
    free(answers->offset);
    free(answers->question);
    buffer_release(&answers->text);
    *answers = (struct answers){0};
}

size_t answers_bytes(const struct answers *a, const struct examples *windows)
{
    size_t count = (size_t)windows->count;
    if (!a->last) return 0; // rows without questions
    return count * (sizeof *a->last + sizeof *a->asked) +
           (size_t)windows->place[2 * count] * sizeof *a->offset +
           (size_t)a->count * sizeof *a->question + a->text.bytes;
}

// ---- what a model says ----
enum answer_kind answers_kind(const struct answers *answers)
{
    struct letters letters = {0};
    for (int64_t i = 0; i < answers->count; i++) {
        const struct question *q = &answers->question[i];
        if (i > 0 && q->context == q[-1].context) continue; // the same paragraph
        unicode_count_letters((const uint8_t *)answers->text.at + q->context,
                              (size_t)q->context_bytes, &letters);
    }
    return unicode_letters_are_chinese(&letters) ? ANSWER_CMRC : ANSWER_SQUAD;
}

int64_t answers_base(const struct examples *windows, int64_t window)
{
    int64_t question;
    (void)example_text(windows, window, 0, &question);
    return question + 2;
}

// COMMON: a token that stands more often in the window tells of no place.
enum { COMMON = 4, LEVELS = 8 };
enum form_of_token { PLAIN, CAPITAL, DIGIT, MARK, FORMS };
_Static_assert(ANSWERS_MATCHES == 1 + LEVELS * 2 * FORMS, "kinds of places");

// A window's context, token by token.
struct reader {
    const int32_t *ids;
    const struct offset *offset;
    const char *text; // of the whole context
    int64_t count;
};

// The first character that is no space (pieces of words have the space before them); 0: there is none.
static uint32_t first_character(const struct reader *r, int64_t i)
{
    uint32_t code = 0;
    uint32_t at = r->offset[i].from, to = r->offset[i].to;
    while (at < to && r->text[at] == ' ') at++;
    if (at < to) unicode_read((const uint8_t *)r->text + at, to - at, &code);
    return code;
}

static enum form_of_token form_of(uint32_t first)
{
    if (first >= '0' && first <= '9') return DIGIT;
    if (!unicode_is_word(first)) return MARK;
    return unicode_lower(first) != first ? CAPITAL : PLAIN;
}

static bool ends_sentence(uint32_t first)
{
    static const uint32_t marks[] = {'.', '!', '?', 0x3002, 0xFF01, 0xFF1F, 0xFF1B};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (first == marks[i]) return true;
    return false;
}

static int64_t times_in(const int32_t *ids, int64_t count, int32_t id)
{
    int64_t times = 0;
    for (int64_t i = 0; i < count; i++) times += ids[i] == id;
    return times;
}

// How many of the question's tokens, those that are everywhere left out, stand among `count` ids.
static int32_t told_of(const struct reader *r, const int32_t *question, int64_t asked,
                       const int32_t *ids, int64_t count)
{
    int32_t told = 0;
    for (int64_t i = 0; i < asked; i++)
        told += times_in(ids, count, question[i]) > 0 && times_in(question, i, question[i]) == 0 &&
                times_in(r->ids, r->count, question[i]) <= COMMON;
    return told;
}

// level: how much of the question stands in the sentence of each place. Returns the most, at least 1.
static int32_t read_sentences(const struct reader *r, const int32_t *question, int64_t asked,
                              int32_t *level)
{
    int32_t most = 1;
    for (int64_t from = 0, to; from < r->count; from = to) {
        for (to = from; to < r->count && !ends_sentence(first_character(r, to)); to++) {
        }
        if (to < r->count) to++;
        int32_t told = told_of(r, question, asked, r->ids + from, to - from);
        for (int64_t i = from; i < to; i++) level[i] = told;
        if (told > most) most = told;
    }
    return most;
}

void answers_matches(const struct answers *answers, const struct examples *windows, int64_t window,
                     int64_t tokens, int32_t *matches)
{
    memset(matches, 0, (size_t)tokens * sizeof *matches);
    if (window < 0) return;
    int64_t asked;
    struct reader r = {
        .offset = answers->offset + windows->place[2 * window + 1],
        .text = answers->text.at + answers->question[answers->asked[window]].context,
    };
    const int32_t *question = example_text(windows, window, 0, &asked);
    r.ids = example_text(windows, window, 1, &r.count);
    int32_t *level = matches + answers_base(windows, window);
    int32_t most = read_sentences(&r, question, asked, level);
    for (int64_t i = 0; i < r.count; i++) {
        bool same = times_in(question, asked, r.ids[i]) > 0;
        level[i] = 1 + (level[i] * (LEVELS - 1) / most * 2 + same) * FORMS +
                   (int32_t)form_of(first_character(&r, i));
    }
}

struct text answers_text(const struct answers *answers, const struct examples *windows,
                         int64_t window, struct answer_span span)
{
    const struct question *question = &answers->question[answers->asked[window]];
    int64_t at = windows->place[2 * window + 1] - answers_base(windows, window);
    if (span.first == 0) return (struct text){"", 0};
    const char *context = answers->text.at + question->context;
    size_t from = answers->offset[at + span.first].from, to = answers->offset[at + span.last].to;
    // Tokens may be parts of characters.
    while (from > 0 && ((uint8_t)context[from] & 0xC0) == 0x80) from--;
    while (to < (size_t)question->context_bytes && ((uint8_t)context[to] & 0xC0) == 0x80) to++;
    return text_strip((struct text){context + from, to - from});
}

// The right answers of a question, one at least; the caller frees the list.
static enum status list_right(const struct answers *answers, const struct question *q,
                              struct text **right_p, int *count_p)
{
    struct row_field rest = {.text = answers->text.at + q->answers,
                             .bytes = (size_t)q->answers_bytes};
    struct text *right;
    size_t room = 1;
    int count = 0;
    for (size_t i = 0; i < rest.bytes; i++) room += rest.text[i] == ANSWER_END;
    if (room > MOST_ANSWERS)
        FAIL(STATUS_INPUT, "a question has %zu answers; at most %d may be right", room,
             (int)MOST_ANSWERS);
    TRY(memory_allocate(room, sizeof *right, "the answers", &right));
    while (count == 0 || rest.bytes > 0) {
        struct text one = first_answer(&rest);
        size_t used = one.bytes < rest.bytes ? one.bytes + 1 : one.bytes;
        right[count++] = one;
        rest.text += used, rest.bytes -= used;
    }
    *right_p = right;
    *count_p = count;
    return STATUS_OK;
}

enum status answers_score(const struct answers *answers, int64_t question, struct text prediction,
                          enum answer_kind kind, struct measure_work *work,
                          struct answer_counts *counts)
{
    struct text *right;
    int count;
    TRY(list_right(answers, &answers->question[question], &right, &count));
    enum status status = answer_add(work, kind, prediction, right, count, counts);
    free(right);
    return status;
}
