// SPDX-License-Identifier: Apache-2.0
#include "text/splitter.h"

#include "base/memory.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

// Spaces as Python's regex and Hugging Face's splitters have them: Unicode's White_Space. PCRE2's \s is U+180E, too, which is none since
// Unicode 6.3. So the patterns have places for a space, another character, and spaces in a class.
#define SPACES                                                                                     \
    "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}"       \
    "\\x{3000}"
#define IN_FILES(pattern) pattern("\\s", "\\S", "\\s")
#define COMPILED(pattern) pattern("[" SPACES "]", "[^" SPACES "]", SPACES)

#define ENDS(space, other) space "+(?!" other ")|" space "+"
#define GPT2(space, other, spaces)                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" spaces "\\p{L}\\p{N}]+|" ENDS(space, other)
#define BY_DIGITS(digits, space, other, spaces)                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^" spaces            \
    "\\p{L}\\p{N}]+[\\r\\n]*|" space "*[\\r\\n]+|" ENDS(space, other)
#define LLAMA3(space, other, spaces) BY_DIGITS("\\p{N}{1,3}", space, other, spaces)
#define QWEN2(space, other, spaces)  BY_DIGITS("\\p{N}", space, other, spaces)

#define BETWEEN_SPACES(space, other, spaces) "\\n|" other "+"
#define OF_WORDS                             "\\p{L}\\p{M}\\p{N}\\p{Pc}"
// By ranges: what \p{Han} means differs between libraries.
#define CHINESE "[\\x{3400}-\\x{4DBF}\\x{4E00}-\\x{9FFF}\\x{F900}-\\x{FAFF}\\x{20000}-\\x{3FFFF}]"
#define WORDS(repeat, spaces)                                                                      \
    "\\n|" CHINESE "|(?:(?!" CHINESE ")[" OF_WORDS "])" repeat "|[^" spaces OF_WORDS "]+"

// regex is as files have it. Compiled, WORDS has a possessive repeat: the same pieces, but no memory for each character of one.
static const struct {
    const char *name, *regex, *compiled;
    bool covers; // all of the text
} patterns[SPLIT_PATTERNS] = {
    {"gpt2", IN_FILES(GPT2), COMPILED(GPT2), true},
    {"llama3", IN_FILES(LLAMA3), COMPILED(LLAMA3), true},
    {"qwen2", IN_FILES(QWEN2), COMPILED(QWEN2), true},
    {"spaces", IN_FILES(BETWEEN_SPACES), COMPILED(BETWEEN_SPACES), false},
    {"words", WORDS("+", "\\s"), WORDS("++", SPACES), false},
};

const char *split_name(enum split_pattern pattern) { return patterns[pattern].name; }
const char *split_regex(enum split_pattern pattern) { return patterns[pattern].regex; }

bool split_find_name(const char *name, enum split_pattern *pattern_p)
{
    for (int i = 0; i < SPLIT_PATTERNS; i++)
        if (strcmp(patterns[i].name, name) == 0) {
            *pattern_p = (enum split_pattern)i;
            return true;
        }
    return false;
}

bool split_find_regex(const char *regex, enum split_pattern *pattern_p)
{
    for (int i = 0; i < SPLIT_PATTERNS; i++)
        if (strcmp(patterns[i].regex, regex) == 0) {
            *pattern_p = (enum split_pattern)i;
            return true;
        }
    return false;
}

// ---- life cycle ----
struct splitter {
    enum split_pattern pattern;
    pcre2_code *code;
    bool compiled; // to machine code
};

enum status splitter_create(enum split_pattern pattern, struct splitter **splitter_p)
{
    struct splitter *splitter;
    int error;
    size_t place;
    TRY(memory_allocate(1, sizeof *splitter, "a splitter", &splitter));
    splitter->pattern = pattern;
    splitter->code = pcre2_compile((PCRE2_SPTR)patterns[pattern].compiled, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP, &error, &place, NULL);
    if (!splitter->code) {
        free(splitter);
        FAIL(STATUS_MEMORY, "the pattern %s was not compiled (PCRE2 error %d at %zu)",
             patterns[pattern].name, error, place);
    }
    splitter->compiled = pcre2_jit_compile(splitter->code, PCRE2_JIT_COMPLETE) == 0;
    *splitter_p = splitter;
    return STATUS_OK;
}

void splitter_destroy(struct splitter *splitter)
{
    if (!splitter) return;
    pcre2_code_free(splitter->code);
    free(splitter);
}

// ---- splitting ----
static bool is_ascii_letter(uint8_t byte) { return (uint8_t)((byte | 0x20) - 'a') < 26; }

// Most pieces of English: letters of ASCII, a space before them or not. Their length where one begins here and ends before
// another character of ASCII, else 0. All patterns that cover the text agree on these.
static size_t plain_word(const uint8_t *text, size_t bytes)
{
    size_t i = text[0] == ' ', first = i;
    while (i < bytes && is_ascii_letter(text[i])) i++;
    return i > first && i < bytes && text[i] < 0x80 ? i : 0;
}

static enum status match(const struct splitter *splitter, pcre2_match_data *data,
                         const uint8_t *text, size_t bytes, size_t from, int *result_p)
{
    int result = PCRE2_ERROR_JIT_STACKLIMIT;
    if (splitter->compiled)
        result = pcre2_jit_match(splitter->code, text, bytes, from, 0, data, NULL);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
        result = pcre2_match(splitter->code, text, bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                             data, NULL);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH)
        FAIL(STATUS_MEMORY, "text could not be split: PCRE2 error %d", result);
    *result_p = result;
    return STATUS_OK;
}

// Of text that is valid UTF-8.
static enum status split_valid(const struct splitter *splitter, pcre2_match_data *data,
                               const uint8_t *text, size_t bytes, split_piece piece, void *context)
{
    const size_t *found = pcre2_get_ovector_pointer(data);
    bool covers = patterns[splitter->pattern].covers;
    for (size_t i = 0; i < bytes;) {
        size_t length = covers ? plain_word(text + i, bytes - i) : 0;
        if (length == 0) {
            int result;
            TRY(match(splitter, data, text, bytes, i, &result));
            if (result < 0) break;
            i = found[0];
            length = found[1] - found[0];
        }
        TRY(piece(context, text + i, length));
        i += length;
    }
    return STATUS_OK;
}

// How many bytes from here on are valid UTF-8, or (when the first is not) are not.
static size_t stretch(const uint8_t *text, size_t bytes, bool *valid_p)
{
    size_t i = 0;
    uint32_t code;
    *valid_p = utf8_read(text, bytes, &code) > 0;
    while (i < bytes) {
        uint64_t word;
        if (*valid_p && i + sizeof word <= bytes) {
            memcpy(&word, text + i, sizeof word);
            if (!(word & 0x8080808080808080u)) {
                i += sizeof word;
                continue;
            }
        }
        int length = utf8_read(text + i, bytes - i, &code);
        if ((length > 0) != *valid_p) break;
        i += length ? (size_t)length : 1;
    }
    return i;
}

enum status splitter_run(const struct splitter *splitter, const uint8_t *text, size_t bytes,
                         split_piece piece, void *context)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data) FAIL(STATUS_MEMORY, "not enough memory to split a text");
    enum status status = STATUS_OK;
    for (size_t i = 0; i < bytes && !status;) {
        bool valid;
        size_t length = stretch(text + i, bytes - i, &valid);
        status = valid ? split_valid(splitter, data, text + i, length, piece, context)
                       : piece(context, text + i, length);
        i += length;
    }
    pcre2_match_data_free(data);
    return status;
}

// ---- cutting ----
static bool is_letter(uint32_t code)
{
    if (code < 0x80) return is_ascii_letter((uint8_t)code);
    if (code >= UNICODE_STRAY) return false;
    utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)code);
    return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

// A character that may become one with the letter before it.
static bool is_combining(uint32_t code)
{
    if (code < 0x300 || code >= UNICODE_STRAY) return false;
    utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)code);
    return kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
}

// The character before `at`.
static uint32_t code_before(const uint8_t *text, size_t at)
{
    uint32_t code;
    for (size_t length = 2; length <= 4 && length <= at; length++)
        if ((size_t)utf8_read(text + at - length, length, &code) == length) return code;
    return text[at - 1] < 0x80 ? text[at - 1] : UNICODE_STRAY + text[at - 1];
}

// Whether every pattern ends a piece before `at` wherever the text ends, and begins one there whatever came before: between
// something and a single space; behind a letter where no letter follows; behind a single newline.
static bool parts(const struct splitter *splitter, const uint8_t *text, size_t bytes, size_t at)
{
    uint32_t before = code_before(text, at), behind;
    unicode_read(text + at, bytes - at, &behind);
    if (!patterns[splitter->pattern].covers)
        return behind == ' ' || behind == '\n' || behind == '\t' || before == '\n';
    if (before == '\n')
        return at >= 2 && !unicode_is_space(behind) && !unicode_is_space(code_before(text, at - 1));
    if (unicode_is_space(before)) return false;
    return behind == ' ' || (is_letter(before) && !is_letter(behind) && !is_combining(behind));
}

size_t splitter_cut(const struct splitter *splitter, const uint8_t *text, size_t bytes)
{
    // The last characters may be the first part of one that goes on behind the end.
    size_t end = utf8_cut(text, bytes);
    for (size_t at = end; at-- > 1;)
        if ((text[at] & 0xC0) != 0x80 && parts(splitter, text, end, at)) return at;
    return end ? end : bytes;
}
