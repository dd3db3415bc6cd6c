// SPDX-License-Identifier: Apache-2.0
#include "text/sentences.h"

#include "text/unicode.h"

#include <string.h>

// Small letters; behind these a sentence goes on, whatever follows.
static const char *const abbreviations[] = {
    "mr",  "mrs", "ms", "dr",   "prof",   "st",   "vs",  "cf",  "al", "fig", "figs", "eq",
    "eqs", "sec", "ch", "resp", "approx", "dept", "gov", "sgt", "lt", "gen", "capt", NULL};
// Only where a digit follows.
static const char *const before_numbers[] = {"no",  "nos", "vol", "pp",  "art", "jan",
                                             "feb", "mar", "apr", "aug", "sep", "sept",
                                             "oct", "nov", "dec", NULL};
enum { LONGEST_ABBREVIATION = 24 };

static int read_at(struct text text, size_t at, uint32_t *code_p)
{
    return unicode_read((const uint8_t *)text.at + at, text.bytes - at, code_p);
}

static bool is_line_end(uint32_t code)
{
    return code == '\n' || code == '\r' || code == 0x85 || code == 0x2028 || code == 0x2029;
}

static bool is_western_end(uint32_t code)
{
    return code == '.' || code == '!' || code == '?' || code == 0x2026; // …
}

static bool is_chinese_end(uint32_t code)
{
    return code == 0x3002 || code == 0xFF01 || code == 0xFF1F || code == 0xFF1B; // 。！？；
}

static bool closes(uint32_t code)
{
    static const uint32_t marks[] = {'"',    '\'',   ')',    ']',    '}',    0xBB,
                                     0x2019, 0x201D, 0x203A, 0x300B, 0x300D, 0x300F,
                                     0x3009, 0x3011, 0x3015, 0xFF09, 0xFF3D, 0xFF5D};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (code == marks[i]) return true;
    return false;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static char small(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool is_in(const char *const *list, struct text word)
{
    for (; *list; list++) {
        size_t i = 0;
        while (i < word.bytes && (*list)[i] && (*list)[i] == small(word.at[i])) i++;
        if (i == word.bytes && !(*list)[i]) return true;
    }
    return false;
}

// Letters, one or two between points: J, e.g, U.S, Ph.D; one part only if it is a single letter.
static bool is_initials(struct text word)
{
    size_t letters = 0, parts = 1;
    for (size_t i = 0; i < word.bytes; i++) {
        if (word.at[i] == '.' && letters == 0) return false;
        if (word.at[i] != '.' && !is_letter(word.at[i])) return false;
        letters = word.at[i] == '.' ? 0 : letters + 1;
        parts += word.at[i] == '.';
        if (letters > 2) return false;
    }
    return letters > 0 && (parts > 1 || letters == 1);
}

// The word that ends before the point at `at`, without what opens in front of it.
static struct text word_before(struct text text, size_t start, size_t at)
{
    size_t from = at;
    while (
        from > start && at - from <= LONGEST_ABBREVIATION &&
        (is_letter(text.at[from - 1]) || is_digit(text.at[from - 1]) || text.at[from - 1] == '.'))
        from--;
    return (struct text){text.at + from, at - from};
}

// Whether a sentence that began at `start` goes on behind its point at `at`; next: what follows behind spaces.
static bool is_abbreviated(struct text text, size_t start, size_t at, uint32_t next)
{
    struct text word = word_before(text, start, at);
    size_t digits = 0;
    if (word.bytes == 0 || word.bytes > LONGEST_ABBREVIATION) return false;
    while (digits < word.bytes && is_digit(word.at[digits])) digits++;
    if (digits == word.bytes) return word.at == text.at + start;
    if (is_in(before_numbers, word)) return next < 0x80 && is_digit((char)next);
    return is_initials(word) || is_in(abbreviations, word);
}

// Behind all marks that end sentences, and all that closes, from `at` on.
static size_t skip_ends(struct text text, size_t at)
{
    uint32_t code;
    while (at < text.bytes) {
        int length = read_at(text, at, &code);
        if (!is_western_end(code) && !is_chinese_end(code) && !closes(code)) break;
        at += (size_t)length;
    }
    return at;
}

// Behind spaces that end no line.
static size_t skip_spaces(struct text text, size_t at, uint32_t *next_p)
{
    uint32_t code = '\n';
    while (at < text.bytes) {
        int length = read_at(text, at, &code);
        if (!unicode_is_space(code) || is_line_end(code)) break;
        at += (size_t)length;
        code = '\n';
    }
    *next_p = code;
    return at;
}

static bool opens(uint32_t code)
{
    static const uint32_t marks[] = {0x2018, 0x201C, 0x3008, 0x300A, 0x300C,
                                     0x300E, 0x3010, 0x3014, 0xFF08};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (code == marks[i]) return true;
    return false;
}

static uint32_t code_before(struct text text, size_t start, size_t at)
{
    size_t from = at;
    uint32_t code = 0;
    while (from > start && at - from < 4) {
        from--;
        if (((unsigned char)text.at[from] & 0xC0) != 0x80) break;
    }
    if (from < at) read_at(text, from, &code);
    return code;
}

// Whether a Western mark at `at`, behind which `next` stands without a space, ends a sentence of Chinese, as in papers: 方法.结果.
// Not the points of 我...我, 中文.com or 2.方法.
static bool ends_chinese(struct text text, size_t start, size_t at, uint32_t next)
{
    bool dots = at + 1 < text.bytes && text.at[at] == '.' && text.at[at + 1] == '.';
    bool number = at > start && is_digit(text.at[at - 1]);
    if (dots || number || (unsigned char)text.at[at] >= 0x80) return false;
    if (unicode_is_ideograph(next) || opens(next)) return true;
    bool capital = unicode_is_cased(next) && unicode_lower(next) != next;
    return capital && unicode_is_ideograph(code_before(text, start, at));
}

// Whether a sentence that began at `start` ends where the mark at `at` and what belongs to it end, at `behind`.
static bool ends(struct text text, size_t start, size_t at, size_t behind)
{
    uint32_t next, mark;
    int length = read_at(text, at, &mark);
    if (is_chinese_end(mark)) return true;
    size_t word = skip_spaces(text, behind, &next);
    if (is_line_end(next)) return true; // or the text's end
    if (word == behind && !ends_chinese(text, start, at, next)) return false;
    if (unicode_is_cased(next) && unicode_lower(next) == next) return false;
    bool alone = mark == '.' && behind == at + (size_t)length;
    return !alone || !is_abbreviated(text, start, at, next);
}

static bool give(struct text text, size_t start, size_t end, size_t next, size_t *at,
                 struct text *sentence_p)
{
    *at = next;
    *sentence_p = text_strip((struct text){text.at + start, end - start});
    return true;
}

static size_t skip_blank(struct text text, size_t at)
{
    uint32_t code;
    while (at < text.bytes) {
        int length = read_at(text, at, &code);
        if (!unicode_is_space(code) && !is_line_end(code)) break;
        at += (size_t)length;
    }
    return at;
}

static bool next_of(struct text text, bool lines, size_t *at, struct text *sentence_p)
{
    size_t start = skip_blank(text, *at), i = start;
    uint32_t code;
    if (start == text.bytes) {
        *at = start;
        return false;
    }
    while (i < text.bytes) {
        size_t mark = i;
        i += (size_t)read_at(text, i, &code);
        if (is_line_end(code)) return give(text, start, mark, i, at, sentence_p);
        if (lines || (!is_western_end(code) && !is_chinese_end(code))) continue;
        i = skip_ends(text, i);
        if (ends(text, start, mark, i)) return give(text, start, i, i, at, sentence_p);
    }
    return give(text, start, i, i, at, sentence_p);
}

bool sentence_next(struct text text, size_t *at, struct text *sentence_p)
{
    return next_of(text, false, at, sentence_p);
}

bool sentence_next_line(struct text text, size_t *at, struct text *sentence_p)
{
    return next_of(text, true, at, sentence_p);
}
