// SPDX-License-Identifier: Apache-2.0
// The rules, in their order, are those of nltk.tokenize.destructive, written as PCRE2 takes them.
#include "text/treebank.h"

#include "base/memory.h"
#include "text/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

// White space as Python has it: without U+180E, which is none since Unicode 6.3 and still is for PCRE2.
#define BLANK "(?:(?!\\x{180E})\\s)"
static const struct {
    const char *pattern, *replacement;
} rules[] = {
    // opening quotes
    {"([«“‘„]|[`]+)", " $1 "},
    {"^\"", "``"},
    {"(``)", " $1 "},
    {"([ \\(\\[{<])(\"|'{2})", "$1 `` "},
    {"(?i)(?<!\\w)(')(?!(?:re|ve|ll|m|t|s|d|n)\\b)(?=\\w)", "$1 "},
    // marks
    {"([^\\.])(\\.)([\\]\\)}>\"'»”’ ]*+)" BLANK "*$", "$1 $2 $3 "},
    {"([:,])([^\\d])", " $1 $2"},
    {"([:,])$", " $1 "},
    {"\\.{2,}", " $0 "},
    {"[;@#$%&]", " $0 "},
    {"[\\x{2012}-\\x{2015}]", " $0 "},
    {"([^\\.])(\\.)([\\]\\)}>\"']*)" BLANK "*$", "$1 $2$3 "},
    {"[?!]", " $0 "},
    {"([^'])' ", "$1 ' "},
    {"[*]", " $0 "},
    {"[\\]\\[\\(\\)\\{\\}\\<\\>]", " $0 "},
    {"--", " -- "},
    // A space at both ends: the rules below look for them.
    {"\\A", " "},
    {"\\z", " "},
    // closing quotes
    {"([»”’])", " $1 "},
    {"''", " '' "},
    {"\"", " '' "},
    {BLANK "+", " "},
    {"([^' ])('[sS]|'[mM]|'[dD]|') ", "$1 $2 "},
    {"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "},
    // contractions
    {"(?i)\\b(can)(not)\\b", " $1 $2 "},
    {"(?i)\\b(d)('ye)\\b", " $1 $2 "},
    {"(?i)\\b(gim)(me)\\b", " $1 $2 "},
    {"(?i)\\b(gon)(na)\\b", " $1 $2 "},
    {"(?i)\\b(got)(ta)\\b", " $1 $2 "},
    {"(?i)\\b(lem)(me)\\b", " $1 $2 "},
    {"(?i)\\b(more)('n)\\b", " $1 $2 "},
    {"(?i)\\b(wan)(na)(?=" BLANK ")", " $1 $2 "},
    {"(?i) ('t)(is)\\b", " $1 $2 "},
    {"(?i) ('t)(was)\\b", " $1 $2 "},
};
enum { RULES = sizeof rules / sizeof *rules };

struct treebank {
    pcre2_code *code[RULES];
    struct buffer other;
};

void treebank_destroy(struct treebank *treebank)
{
    if (!treebank) return;
    for (int i = 0; i < RULES; i++) pcre2_code_free(treebank->code[i]);
    buffer_release(&treebank->other);
    free(treebank);
}

enum status treebank_create(struct treebank **treebank_p)
{
    struct treebank *treebank;
    TRY(memory_allocate(1, sizeof *treebank, "rules for words", &treebank));
    for (int i = 0; i < RULES; i++) {
        int error;
        size_t place;
        treebank->code[i] = pcre2_compile((PCRE2_SPTR)rules[i].pattern, PCRE2_ZERO_TERMINATED,
                                          PCRE2_UTF | PCRE2_UCP, &error, &place, NULL);
        if (treebank->code[i]) continue;
        treebank_destroy(treebank);
        FAIL(STATUS_MEMORY, "the rule %s was not compiled (PCRE2 error %d at %zu)",
             rules[i].pattern, error, place);
    }
    *treebank_p = treebank;
    return STATUS_OK;
}

// `from` with the rule applied everywhere, into `to`.
static enum status apply(const struct treebank *treebank, int rule, const struct buffer *from,
                         struct buffer *to)
{
    buffer_clear(to);
    TRY(buffer_reserve(to, 2 * from->bytes + 64));
    for (;;) {
        size_t bytes = to->room;
        int result = pcre2_substitute(treebank->code[rule], (PCRE2_SPTR)from->at, from->bytes, 0,
                                      PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH |
                                          PCRE2_NO_UTF_CHECK,
                                      NULL, NULL, (PCRE2_SPTR)rules[rule].replacement,
                                      PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)to->at, &bytes);
        if (result >= 0) {
            to->bytes = bytes;
            return STATUS_OK;
        }
        if (result != PCRE2_ERROR_NOMEMORY)
            FAIL(STATUS_INPUT, "words could not be split: the rule %s failed with PCRE2 error %d",
                 rules[rule].pattern, result);
        TRY(buffer_reserve(to, bytes + 1));
    }
}

enum status treebank_split(struct treebank *treebank, struct text text, struct buffer *words)
{
    struct buffer *other = &treebank->other;
    buffer_clear(words);
    TRY(buffer_reserve(words, 3 * text.bytes + 1));
    for (size_t i = 0; i < text.bytes;) {
        uint32_t code;
        i += (size_t)unicode_read((const uint8_t *)text.at + i, text.bytes - i, &code);
        if (code >= UNICODE_STRAY) code = 0xFFFD;
        words->bytes += (size_t)unicode_write(code, (uint8_t *)words->at + words->bytes);
    }
    for (int i = 0; i < RULES; i++) {
        TRY(apply(treebank, i, words, other));
        struct buffer swapped = *words;
        *words = *other;
        *other = swapped;
    }
    return STATUS_OK;
}
