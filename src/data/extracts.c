// SPDX-License-Identifier: Apache-2.0
#include "data/extracts.h"

#include "base/memory.h"
#include "text/sentences.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { TEXT, SUMMARY, COLUMNS };

// A row as it was read: where its fields are in `bytes`, and its line.
struct kept_row {
    size_t at[COLUMNS], bytes[COLUMNS];
    bool list[COLUMNS];
    uint64_t line;
};
struct reading {
    const struct extracts_setup *setup;
    struct extracts extracts;
    int64_t ids_room, sentences_room; // of the arrays
    struct kept_row *rows;
    int64_t rows_room;
    struct buffer bytes[COLUMNS];
    struct measure_work *work;
    struct rouge_options rouge;
    int32_t *ids; // of the sentence under way
    size_t room;
};

// ---- shared with inference ----
bool extracts_next(struct text text, bool list, size_t *at, struct text *sentence_p)
{
    return list ? sentence_next_line(text, at, sentence_p) : sentence_next(text, at, sentence_p);
}

enum status extracts_references(struct text text, bool list, struct text **references_p,
                                int *count_p)
{
    struct text *references, one;
    size_t at = 0;
    int count = 0;
    while (list && count < INT32_MAX && sentence_next_line(text, &at, &one)) count++;
    TRY(memory_allocate(count ? (size_t)count : 1, sizeof *references, "summaries", &references));
    references[0] = text;
    at = 0;
    for (int i = 0; i < count; i++) (void)sentence_next_line(text, &at, &references[i]);
    *references_p = references;
    *count_p = count ? count : 1;
    return STATUS_OK;
}

// ---- rows ----
static enum status keep_row(struct reading *reading, const struct row *row)
{
    struct kept_row kept = {.line = row->line};
    int64_t count = reading->extracts.count;
    if (count == INT32_MAX) FAIL(STATUS_INPUT, "%s has more than %d rows", row->path, INT32_MAX);
    if (count == reading->rows_room) {
        size_t room = count ? 2 * (size_t)count : 1024;
        TRY(memory_grow(&reading->rows, room, sizeof *reading->rows, "the rows"));
        reading->rows_room = (int64_t)room;
    }
    for (int i = 0; i < COLUMNS; i++) {
        const struct row_field *field = &row->field[i];
        kept.at[i] = reading->bytes[i].bytes;
        kept.bytes[i] = field->bytes;
        kept.list[i] = field->list;
        TRY(buffer_add(&reading->bytes[i], (struct text){field->text, field->bytes}));
    }
    reading->rows[reading->extracts.count++] = kept;
    return STATUS_OK;
}

static enum status keep_rows(struct reading *reading, struct rows *rows)
{
    struct row row;
    bool more;
    for (;;) {
        TRY(rows_next(rows, &row, &more));
        if (!more) break;
        TRY(keep_row(reading, &row));
    }
    if (reading->extracts.count == 0)
        FAIL(STATUS_INPUT, "%s has no rows", reading->setup->rows.path);
    return STATUS_OK;
}

static struct text field_of(const struct reading *reading, const struct kept_row *row, int column)
{
    const char *at = reading->bytes[column].at;
    return (struct text){at ? at + row->at[column] : "", row->bytes[column]};
}

// ---- sentences ----
static enum status grow(struct reading *reading, int64_t ids)
{
    struct extracts *x = &reading->extracts;
    struct examples *s = &x->sentences;
    int64_t used = s->count ? s->place[s->count] : 0;
    if (s->count == INT32_MAX)
        FAIL(STATUS_INPUT, "%s has more than %d sentences", reading->setup->rows.path, INT32_MAX);
    if (s->count == reading->sentences_room) {
        size_t room = s->count ? 2 * (size_t)s->count : 1024;
        TRY(memory_grow(&s->place, room + 1, sizeof *s->place, "the sentences"));
        TRY(memory_grow(&s->number, room, sizeof *s->number, "the sentences"));
        TRY(memory_grow(&x->row, room, sizeof *x->row, "the sentences"));
        TRY(memory_grow(&x->rouge, room, sizeof *x->rouge, "the sentences"));
        reading->sentences_room = (int64_t)room;
    }
    s->place[0] = 0;
    if (s->ids && used + ids <= reading->ids_room) return STATUS_OK;
    reading->ids_room = 2 * reading->ids_room + ids + 4096;
    return memory_grow(&s->ids, (size_t)reading->ids_room, sizeof *s->ids, "the sentences");
}

static enum status encode(struct reading *reading, const struct kept_row *row, struct text sentence,
                          int64_t *count_p)
{
    size_t wanted = tokenizer_room(reading->setup->tokenizer, sentence.bytes) + 1, count = 0;
    int64_t longest = reading->setup->longest - SENTENCE_MARKS;
    char source[320];
    if (wanted > reading->room) {
        TRY(memory_grow(&reading->ids, 2 * wanted, sizeof *reading->ids, "a sentence's tokens"));
        reading->room = 2 * wanted;
    }
    snprintf(source, sizeof source, "%.280s line %llu", reading->setup->rows.path,
             (unsigned long long)row->line);
    TRY(tokenizer_encode(reading->setup->tokenizer, (const uint8_t *)sentence.at, sentence.bytes,
                         source, 0, reading->ids, &count));
    if ((int64_t)count > longest) reading->extracts.sentences.cut++;
    *count_p = (int64_t)count > longest ? longest : (int64_t)count;
    return STATUS_OK;
}

// What a sentence is worth as the summary.
static enum status judge(struct reading *reading, struct text sentence, const struct text *summary,
                         int summaries, int64_t rouge[EXTRACT_MEASURES])
{
    struct rouge_counts counts = {0};
    TRY(rouge_add(reading->work, &reading->rouge, sentence, summary, summaries, &counts));
    memcpy(rouge, counts.f1, EXTRACT_MEASURES * sizeof *rouge);
    return STATUS_OK;
}

static enum status add_sentence(struct reading *reading, const struct kept_row *row, int64_t number,
                                int64_t sentences, struct text sentence)
{
    struct extracts *x = &reading->extracts;
    struct examples *s = &x->sentences;
    int64_t count;
    TRY(encode(reading, row, sentence, &count));
    TRY(grow(reading, count + SENTENCE_MARKS));
    int32_t *to = s->ids + s->place[s->count];
    form_sentence(reading->setup->form, number, sentences, count, to);
    if (count) memcpy(to + SENTENCE_MARKS, reading->ids, (size_t)count * sizeof *to);
    x->row[s->count] = (int32_t)(row - reading->rows);
    s->place[s->count + 1] = s->place[s->count] + SENTENCE_MARKS + count;
    s->count++;
    return STATUS_OK;
}

static enum status cut_row(struct reading *reading, const struct kept_row *row)
{
    struct text text = field_of(reading, row, TEXT), sentence;
    int64_t sentences = 0, number = 0;
    size_t at = 0;
    while (extracts_next(text, row->list[TEXT], &at, &sentence)) sentences++;
    if (sentences == 0) return add_sentence(reading, row, 0, 1, (struct text){"", 0});
    for (at = 0; extracts_next(text, row->list[TEXT], &at, &sentence); number++)
        TRY(add_sentence(reading, row, number, sentences, sentence));
    return STATUS_OK;
}

// Sentences of a row are there from `first` on.
static enum status judge_row(struct reading *reading, const struct kept_row *row, int64_t first)
{
    struct extracts *x = &reading->extracts;
    struct text text = field_of(reading, row, TEXT), sentence = {"", 0}, *summary;
    size_t at = 0;
    int summaries;
    TRY(extracts_references(field_of(reading, row, SUMMARY), row->list[SUMMARY], &summary,
                            &summaries));
    enum status status = STATUS_OK;
    for (int64_t i = first; i < x->sentences.count && !status; i++) {
        (void)extracts_next(text, row->list[TEXT], &at, &sentence);
        status = judge(reading, sentence, summary, summaries, x->rouge[i]);
        x->sentences.number[i] = (float)share_mean(x->rouge[i][ROUGE_1], 1);
    }
    free(summary);
    return status;
}

static enum status cut_rows(struct reading *reading)
{
    struct extracts *x = &reading->extracts;
    const struct buffer *summaries = &reading->bytes[SUMMARY];
    reading->rouge.characters =
        summaries->bytes && unicode_is_chinese((const uint8_t *)summaries->at, summaries->bytes);
    TRY(measure_work_create(&reading->work));
    TRY(memory_allocate((size_t)x->count + 1, sizeof *x->first, "the rows", &x->first));
    for (int64_t i = 0; i < x->count; i++) {
        int64_t first = x->sentences.count;
        TRY(stop_check(reading->setup->rows.stop, "the sentences were judged"));
        TRY(cut_row(reading, &reading->rows[i]));
        TRY(judge_row(reading, &reading->rows[i], first));
        x->first[i + 1] = x->sentences.count;
    }
    return STATUS_OK;
}

static uint64_t hash_of(const struct extracts *x)
{
    const struct examples *s = &x->sentences;
    size_t sentences = (size_t)s->count, ids = (size_t)s->place[sentences];
    uint64_t hash = XXH3_64bits(s->place, (sentences + 1) * sizeof *s->place);
    hash = XXH3_64bits_withSeed(s->ids, ids * sizeof *s->ids, hash);
    hash = XXH3_64bits_withSeed(x->row, sentences * sizeof *x->row, hash);
    return XXH3_64bits_withSeed(x->rouge, sentences * sizeof *x->rouge, hash);
}

static enum status read_all(struct reading *reading)
{
    struct rows *rows;
    TRY(rows_open(&reading->setup->rows, &rows));
    enum status status = keep_rows(reading, rows);
    rows_close(rows);
    TRY(status);
    return cut_rows(reading);
}

enum status extracts_read(const struct extracts_setup *setup, struct extracts *extracts_p)
{
    struct reading reading = {.setup = setup, .extracts = {.sentences = {.texts = 1}}};
    INVARIANT(setup->rows.columns == COLUMNS && setup->longest > SENTENCE_MARKS,
              "%d columns, sentences of %lld", setup->rows.columns, (long long)setup->longest);
    enum status status = read_all(&reading);
    measure_work_destroy(reading.work);
    free(reading.rows);
    free(reading.ids);
    for (int i = 0; i < COLUMNS; i++) buffer_release(&reading.bytes[i]);
    if (status) {
        extracts_release(&reading.extracts);
        return status;
    }
    reading.extracts.sentences.hash = hash_of(&reading.extracts);
    *extracts_p = reading.extracts;
    return STATUS_OK;
}

void extracts_release(struct extracts *extracts)
{
    examples_release(&extracts->sentences);
    free(extracts->first);
    free(extracts->row);
    free(extracts->rouge);
    *extracts = (struct extracts){0};
}

size_t extracts_bytes(const struct extracts *x)
{
    if (!x->first) return 0; // rows without sentences
    size_t rows = (size_t)x->count, sentences = (size_t)x->first[rows];
    return (rows + 1) * sizeof *x->first + sentences * (sizeof *x->row + sizeof *x->rouge);
}
