// SPDX-License-Identifier: Apache-2.0
#include "text/answer.h"

#include "base/memory.h"
#include "text/treebank.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

// A text's two lists: what exact match compares, and what F1 does.
enum { EXACT, WORDS, KINDS };

// ---- SQuAD ----
static bool is_ascii_mark(uint32_t code)
{
    return code > ' ' && code < 0x7F &&
           !((code >= '0' && code <= '9') || (code >= 'A' && code <= 'Z') ||
             (code >= 'a' && code <= 'z'));
}

static bool is_article(const char *at, size_t bytes)
{
    return (bytes == 1 && at[0] == 'a') || (bytes == 2 && memcmp(at, "an", 2) == 0) ||
           (bytes == 3 && memcmp(at, "the", 3) == 0);
}

// Without marks, into `out`; then without articles, in place: a run of letters and digits that is one becomes a space.
static enum status normalise(struct text lower, struct buffer *out)
{
    TRY(buffer_reserve(out, lower.bytes));
    for (size_t i = 0; i < lower.bytes; i++)
        if (!is_ascii_mark((uint8_t)lower.at[i])) out->at[out->bytes++] = lower.at[i];
    size_t start = 0, end = 0; // of the run; of what is kept
    for (size_t i = 0; i <= out->bytes;) {
        uint32_t code = ' ';
        size_t length = 1;
        if (i < out->bytes)
            length = (size_t)unicode_read((uint8_t *)out->at + i, out->bytes - i, &code);
        if (!unicode_is_word(code)) {
            if (is_article(out->at + start, i - start)) {
                out->at[end++] = ' ';
            } else {
                memmove(out->at + end, out->at + start, i - start);
                end += i - start;
            }
            if (i == out->bytes) break;
            memmove(out->at + end, out->at + i, length);
            end += length;
            start = i + length;
        }
        i += length;
    }
    out->bytes = end;
    return STATUS_OK;
}

static enum status read_squad(struct measure_work *work, struct text text,
                              struct symbols lists[KINDS])
{
    struct buffer *lower = measure_buffer(work, 0), *plain = measure_buffer(work, 1);
    buffer_clear(lower);
    buffer_clear(plain);
    TRY(buffer_add_lower(lower, text));
    TRY(normalise(buffer_text(lower), plain));
    return measure_words(work, buffer_text(plain), &lists[WORDS]);
}

static enum status squad_f1(struct measure_work *work, const struct symbols *prediction,
                            const struct symbols *answer, double *f1_p)
{
    int64_t matches;
    TRY(ngram_matches(work, prediction, answer, 1, 1, &matches));
    *f1_p = matches ? f1_of((double)matches / (double)prediction->count,
                            (double)matches / (double)answer->count)
                    : 0;
    // Of two without a word F1 is what exact match is, as in SQuAD 2.0's script.
    if (!prediction->count && !answer->count) *f1_p = 1;
    return STATUS_OK;
}

// ---- CMRC ----
static bool is_cmrc_mark(uint32_t code)
{
    static const uint32_t marks[] = {
        '-',    ':',    '_',    '*',    '^',    '/',    '\\',   '~',    '`',    '+',    '=',
        0xFF0C, 0x3002, 0xFF1A, 0xFF1F, 0xFF01, 0x201C, 0x201D, 0xFF1B, 0x2019, 0x300A, 0x300B,
        0xB7,   0x3001, 0x300C, 0x300D, 0xFF08, 0xFF09, 0xFF0D, 0xFF5E, 0x300E, 0x300F};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (code == marks[i]) return true;
    return false;
}

// Appends the words of what stood between Chinese characters, and empties it.
static enum status flush_words(struct measure_work *work, struct buffer *between,
                               struct symbols *words)
{
    struct treebank *treebank;
    struct buffer *split = measure_buffer(work, 2);
    if (!between->bytes) return STATUS_OK;
    TRY(measure_treebank(work, &treebank));
    TRY(treebank_split(treebank, buffer_text(between), split));
    buffer_clear(between);
    return measure_words(work, buffer_text(split), words);
}

static enum status read_cmrc(struct measure_work *work, struct text text,
                             struct symbols lists[KINDS])
{
    struct buffer *lower = measure_buffer(work, 0), *between = measure_buffer(work, 1);
    buffer_clear(lower);
    buffer_clear(between);
    TRY(buffer_add_lower(lower, text));
    struct text plain = text_strip(buffer_text(lower));
    for (size_t i = 0; i < plain.bytes;) {
        uint32_t code;
        size_t length = (size_t)unicode_read((const uint8_t *)plain.at + i, plain.bytes - i, &code);
        struct text character = {plain.at + i, length};
        int32_t id;
        i += length;
        if (is_cmrc_mark(code)) continue;
        TRY(symbols_push(&lists[EXACT], (int32_t)code));
        if (code < 0x4E00 || code > 0x9FA5) {
            TRY(buffer_add(between, character));
            continue;
        }
        TRY(flush_words(work, between, &lists[WORDS]));
        TRY(measure_intern(work, character, &id));
        TRY(symbols_push(&lists[WORDS], id));
    }
    return flush_words(work, between, &lists[WORDS]);
}

// F1 from the longest run of words that both have.
static enum status cmrc_f1(const struct symbols *prediction, const struct symbols *answer,
                           double *f1_p)
{
    int64_t *row, longest = 0;
    TRY(memory_allocate((size_t)prediction->count + 1, sizeof *row, "a row of lengths", &row));
    for (int64_t i = 0; i < answer->count; i++) {
        for (int64_t j = prediction->count; j > 0; j--) {
            row[j] = answer->ids[i] == prediction->ids[j - 1] ? row[j - 1] + 1 : 0;
            if (row[j] > longest) longest = row[j];
        }
    }
    free(row);
    *f1_p = longest ? f1_of((double)longest / (double)prediction->count,
                            (double)longest / (double)answer->count)
                    : 0;
    return STATUS_OK;
}

// ---- both ----
static bool equal(const struct symbols *one, const struct symbols *two)
{
    return one->count == two->count &&
           (one->count == 0 ||
            memcmp(one->ids, two->ids, (size_t)one->count * sizeof *one->ids) == 0);
}

enum status answer_add(struct measure_work *work, enum answer_kind kind, struct text prediction,
                       const struct text *answers, int count, struct answer_counts *counts)
{
    struct symbols *lists;
    double best = 0, f1 = 0;
    bool exact = false;
    int compared = kind == ANSWER_SQUAD ? WORDS : EXACT;
    if (count < 1) FAIL(STATUS_USAGE, "a question without an answer cannot be judged");
    measure_work_start(work);
    TRY(measure_lists(work, KINDS * (count + 1), &lists));
    for (int i = 0; i <= count; i++) {
        struct text text = i ? answers[i - 1] : prediction;
        TRY(kind == ANSWER_SQUAD ? read_squad(work, text, lists + (ptrdiff_t)KINDS * i)
                                 : read_cmrc(work, text, lists + (ptrdiff_t)KINDS * i));
    }
    for (int i = 1; i <= count; i++) {
        const struct symbols *answer = lists + (ptrdiff_t)KINDS * i;
        exact = exact || equal(&lists[compared], &answer[compared]);
        TRY(kind == ANSWER_SQUAD ? squad_f1(work, &lists[WORDS], &answer[WORDS], &f1)
                                 : cmrc_f1(&lists[WORDS], &answer[WORDS], &f1));
        if (f1 > best) best = f1;
    }
    counts->questions++;
    counts->exact += exact;
    counts->f1 += share_fixed(best);
    return STATUS_OK;
}

struct answer_score answer_score(const struct answer_counts *counts)
{
    struct answer_score score = {0};
    if (counts->questions) score.exact = 100 * (double)counts->exact / (double)counts->questions;
    score.f1 = 100 * share_mean(counts->f1, counts->questions);
    return score;
}
