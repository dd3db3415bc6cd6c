// SPDX-License-Identifier: Apache-2.0
// JSON (RFC 8259) by recursive descent without the recursion: the caller's own structure is the stack.
#include "store/scan.h"

#include "text/tokenizer.h"

#include <string.h>

const char *shown(const char *text, char *out, size_t out_bytes)
{
    size_t used = 0, most = (size_t)text_cut(text, out_bytes - 4); // room for "..."
    for (; used < most; used++)
        out[used] = (unsigned char)text[used] < 0x20 || text[used] == 0x7f ? '?' : text[used];
    memcpy(out + used, text[used] ? "..." : "", text[used] ? 4 : 1);
    return out;
}

// NOLINTNEXTLINE(readability-non-const-parameter): strings are unescaped in it
void scan_start(struct scan *scan, char *text, size_t bytes, const char *source)
{
    *scan = (struct scan){
        .start = text, .at = text, .end = text + bytes, .source = source, .first = true};
}

static size_t place(const struct scan *scan) { return (size_t)(scan->at - scan->start); }

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
        scan->at++;
}

// What stands here instead of `wanted`.
static enum status fail_expected(const struct scan *scan, const char *wanted)
{
    if (scan->at >= scan->end)
        FAIL(STATUS_INPUT, "%s: the JSON text ends at byte %zu where %s is expected", scan->source,
             place(scan), wanted);
    unsigned char byte = (unsigned char)*scan->at;
    if (byte > 0x20 && byte < 0x7f)
        FAIL(STATUS_INPUT, "%s: '%c' at byte %zu of the JSON text where %s is expected",
             scan->source, byte, place(scan), wanted);
    FAIL(STATUS_INPUT, "%s: byte 0x%02x at byte %zu of the JSON text where %s is expected",
         scan->source, byte, place(scan), wanted);
}

static enum status expect(struct scan *scan, char wanted)
{
    skip_blanks(scan);
    if (scan->at >= scan->end || *scan->at != wanted)
        return fail_expected(scan, (char[4]){'\'', wanted, '\'', 0});
    scan->at++;
    return STATUS_OK;
}

enum status scan_open(struct scan *scan, char bracket)
{
    TRY(expect(scan, bracket));
    scan->first = true;
    return STATUS_OK;
}

enum status scan_more(struct scan *scan, char bracket, bool *more_p)
{
    skip_blanks(scan);
    bool more = scan->at >= scan->end || *scan->at != bracket;
    if (more && !scan->first) TRY(expect(scan, ','));
    if (!more) scan->at++;
    scan->first = false; // also for the list around this one: what was closed is a member there
    *more_p = more;
    return STATUS_OK;
}

// ---- strings ----
static enum status fail_string(const struct scan *scan, const char *what)
{
    FAIL(STATUS_INPUT, "%s: %s at byte %zu of the JSON text", scan->source, what, place(scan));
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

// Four digits at scan->at; steps over them.
static enum status read_hex(struct scan *scan, uint32_t *code_p)
{
    uint32_t code = 0;
    if (scan->end - scan->at < 4) return fail_string(scan, "a cut-off escape");
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(scan->at[i]);
        if (digit < 0) return fail_string(scan, "an escape \\u without four hexadecimal digits");
        code = code << 4 | (uint32_t)digit;
    }
    scan->at += 4;
    *code_p = code;
    return STATUS_OK;
}

// Behind "\u": one code point, two escapes where it needs a pair of surrogates.
static enum status read_code(struct scan *scan, uint32_t *code_p)
{
    uint32_t code, low;
    TRY(read_hex(scan, &code));
    if (code >= 0xDC00 && code <= 0xDFFF) return fail_string(scan, "half a pair of surrogates");
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (scan->end - scan->at < 2 || scan->at[0] != '\\' || scan->at[1] != 'u')
            return fail_string(scan, "half a pair of surrogates");
        scan->at += 2;
        TRY(read_hex(scan, &low));
        if (low < 0xDC00 || low > 0xDFFF) return fail_string(scan, "half a pair of surrogates");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code == 0) return fail_string(scan, "a NUL in a name or text");
    *code_p = code;
    return STATUS_OK;
}

// Behind a backslash: writes what the escape stands for to *out_p and moves it on. It is never longer than the escape.
static enum status read_escape(struct scan *scan, char **out_p)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (scan->at >= scan->end) return fail_string(scan, "a cut-off escape");
    char letter = *scan->at++;
    if (letter == 'u') {
        uint32_t code = 0;
        TRY(read_code(scan, &code));
        *out_p += utf8_write(code, (uint8_t *)*out_p);
        return STATUS_OK;
    }
    const char *found = letter ? strchr(names, letter) : NULL;
    if (!found) return fail_string(scan, "an unknown escape");
    *(*out_p)++ = meanings[found - names];
    return STATUS_OK;
}

static enum status read_character(struct scan *scan, char **out_p)
{
    uint32_t code;
    int length = utf8_read((const uint8_t *)scan->at, (size_t)(scan->end - scan->at), &code);
    if (length == 0) return fail_string(scan, "bytes that are not valid UTF-8");
    if (code < 0x20) return fail_string(scan, "a bare control character");
    memmove(*out_p, scan->at, (size_t)length);
    *out_p += length;
    scan->at += length;
    return STATUS_OK;
}

enum status scan_string(struct scan *scan, size_t most, char **string_p)
{
    skip_blanks(scan);
    if (scan->at >= scan->end || *scan->at != '"') return fail_expected(scan, "a text in quotes");
    char *string = ++scan->at, *out = string;
    for (;;) {
        if (scan->at >= scan->end) return fail_expected(scan, "a closing quote");
        if ((size_t)(out - string) > most)
            FAIL(STATUS_INPUT, "%s: the text at byte %zu of the JSON text has more than %zu bytes",
                 scan->source, (size_t)(string - scan->start), most);
        if (*scan->at == '"') break;
        unsigned char byte = (unsigned char)*scan->at;
        if (byte == '\\') {
            scan->at++;
            TRY(read_escape(scan, &out));
        } else if (byte >= 0x20 && byte < 0x80) {
            *out++ = *scan->at++;
        } else {
            TRY(read_character(scan, &out));
        }
    }
    scan->at++;
    *out = 0; // at most where the closing quote stood
    *string_p = string;
    return STATUS_OK;
}

enum status scan_key(struct scan *scan, size_t most, char **key_p)
{
    char *key = NULL;
    TRY(scan_string(scan, most, &key));
    TRY(expect(scan, ':'));
    *key_p = key;
    return STATUS_OK;
}

// ---- numbers and the rest ----
static bool is_digit(const struct scan *scan)
{
    return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

enum status scan_unsigned(struct scan *scan, uint64_t *number_p)
{
    skip_blanks(scan);
    if (!is_digit(scan)) return fail_expected(scan, "a whole number that is not negative");
    char *start = scan->at;
    uint64_t number = 0;
    for (; is_digit(scan); scan->at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*scan->at - '0'), &number))
            return fail_string(scan, "a number above 2^64");
    if (*start == '0' && scan->at - start > 1)
        return fail_string(scan, "a number with a leading zero");
    if (scan->at < scan->end && strchr(".eE", *scan->at) && *scan->at)
        return fail_expected(scan, "the end of a whole number");
    *number_p = number;
    return STATUS_OK;
}

static enum status skip_digits(struct scan *scan)
{
    if (!is_digit(scan)) return fail_expected(scan, "a digit");
    while (is_digit(scan)) scan->at++;
    return STATUS_OK;
}

static enum status skip_number(struct scan *scan)
{
    if (*scan->at == '-') scan->at++;
    const char *start = scan->at;
    TRY(skip_digits(scan));
    if (*start == '0' && scan->at - start > 1)
        return fail_string(scan, "a number with a leading zero");
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        TRY(skip_digits(scan));
    }
    if (scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        scan->at++;
        if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-')) scan->at++;
        TRY(skip_digits(scan));
    }
    return STATUS_OK;
}

static enum status skip_word(struct scan *scan)
{
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, words[i], length) != 0)
            continue;
        scan->at += length;
        return STATUS_OK;
    }
    return fail_expected(scan, "a value");
}

static enum status skip_list(struct scan *scan, int depth) // NOLINT(misc-no-recursion)
{
    char open = *scan->at, close = open == '{' ? '}' : ']', *key;
    if (depth == 0) return fail_string(scan, "brackets that are nested too deep");
    TRY(scan_open(scan, open));
    for (;;) {
        bool more;
        TRY(scan_more(scan, close, &more));
        if (!more) return STATUS_OK;
        if (open == '{') TRY(scan_key(scan, SIZE_MAX, &key));
        TRY(scan_skip(scan, depth - 1));
    }
}

enum status scan_skip(struct scan *scan, int depth) // NOLINT(misc-no-recursion)
{
    char *string;
    skip_blanks(scan);
    if (scan->at >= scan->end) return fail_expected(scan, "a value");
    if (*scan->at == '"') return scan_string(scan, SIZE_MAX, &string);
    if (*scan->at == '{' || *scan->at == '[') return skip_list(scan, depth);
    if (*scan->at == '-' || is_digit(scan)) return skip_number(scan);
    return skip_word(scan);
}

enum status scan_finish(struct scan *scan)
{
    skip_blanks(scan);
    if (scan->at < scan->end) return fail_expected(scan, "the end");
    return STATUS_OK;
}
