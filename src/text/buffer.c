// SPDX-License-Identifier: Apache-2.0
#include "text/buffer.h"

#include "base/memory.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

struct text text_of(const char *string) { return (struct text){string, strlen(string)}; }

struct text text_bare(struct text text)
{
    while (text.bytes && (*text.at == ' ' || *text.at == '\t')) text.at++, text.bytes--;
    while (text.bytes && (text.at[text.bytes - 1] == ' ' || text.at[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->at);
    *buffer = (struct buffer){0};
}

enum status buffer_reserve(struct buffer *buffer, size_t more)
{
    if (buffer->at && more <= buffer->room - buffer->bytes) return STATUS_OK;
    size_t room = buffer->bytes + more;
    if (room < 2 * buffer->room) room = 2 * buffer->room;
    if (room < 256) room = 256;
    TRY(memory_grow(&buffer->at, room, 1, "a text"));
    buffer->room = room;
    return STATUS_OK;
}

enum status buffer_add(struct buffer *buffer, struct text text)
{
    TRY(buffer_reserve(buffer, text.bytes));
    if (text.bytes) memcpy(buffer->at + buffer->bytes, text.at, text.bytes);
    buffer->bytes += text.bytes;
    return STATUS_OK;
}

// ---- small letters ----
enum { CAPITAL_SIGMA = 0x3A3, SMALL_SIGMA = 0x3C3, FINAL_SIGMA = 0x3C2, CAPITAL_I_DOT = 0x130 };

static bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

// Whether the first character that counts, going up from `at` or down from below it, is a cased letter.
static bool cased_behind(const uint8_t *text, size_t bytes, size_t at)
{
    while (at < bytes) {
        uint32_t code;
        at += (size_t)unicode_read(text + at, bytes - at, &code);
        if (!unicode_is_case_ignorable(code)) return unicode_is_cased(code);
    }
    return false;
}

static bool cased_before(const uint8_t *text, size_t at)
{
    while (at > 0) {
        uint32_t code;
        size_t start = at - 1;
        while (start > 0 && at - start < 4 && continues(text[start])) start--;
        if ((size_t)unicode_read(text + start, at - start, &code) != at - start) {
            start = at - 1;
            unicode_read(text + start, 1, &code);
        }
        if (!unicode_is_case_ignorable(code)) return unicode_is_cased(code);
        at = start;
    }
    return false;
}

static enum status add_lower(struct buffer *buffer, struct text text, bool alone)
{
    const uint8_t *from = (const uint8_t *)text.at;
    // A small letter takes at most one byte more than its capital (U+023A: 2 -> 3); U+0130 two become three.
    TRY(buffer_reserve(buffer, text.bytes + text.bytes / 2 + 4));
    uint8_t *to = (uint8_t *)buffer->at + buffer->bytes;
    for (size_t i = 0; i < text.bytes;) {
        if (from[i] < 0x80) {
            *to++ = (uint8_t)unicode_lower(from[i++]);
            continue;
        }
        uint32_t code;
        int length = unicode_read(from + i, text.bytes - i, &code);
        if (code == CAPITAL_I_DOT) {
            *to++ = 'i';
            code = 0x307;
        } else if (code == CAPITAL_SIGMA && !alone) {
            bool last = cased_before(from, i) && !cased_behind(from, text.bytes, i + 2);
            code = last ? FINAL_SIGMA : SMALL_SIGMA;
        } else {
            code = unicode_lower(code);
        }
        to += unicode_write(code, to);
        i += (size_t)length;
    }
    buffer->bytes = (size_t)(to - (uint8_t *)buffer->at);
    return STATUS_OK;
}

enum status buffer_add_lower(struct buffer *buffer, struct text text)
{
    return add_lower(buffer, text, false);
}

enum status buffer_add_lower_alone(struct buffer *buffer, struct text text)
{
    return add_lower(buffer, text, true);
}

enum status buffer_add_replaced(struct buffer *buffer, struct text text, const char *from,
                                const char *to)
{
    size_t length = strlen(from), start = 0;
    for (size_t i = 0; i + length <= text.bytes;) {
        const char *found = memchr(text.at + i, from[0], text.bytes - length - i + 1);
        if (!found) break;
        i = (size_t)(found - text.at);
        if (memcmp(found, from, length) != 0) {
            i++;
            continue;
        }
        TRY(buffer_add(buffer, (struct text){text.at + start, i - start}));
        TRY(buffer_add(buffer, text_of(to)));
        start = i += length;
    }
    // An empty text may be nowhere.
    return buffer_add(buffer, start ? (struct text){text.at + start, text.bytes - start} : text);
}

// ---- ends ----
struct text text_strip_end(struct text text)
{
    const uint8_t *at = (const uint8_t *)text.at;
    size_t end = 0;
    for (size_t i = 0; i < text.bytes;) {
        uint32_t code;
        i += (size_t)unicode_read(at + i, text.bytes - i, &code);
        if (!unicode_is_space(code)) end = i;
    }
    return (struct text){text.at, end};
}

struct text text_strip(struct text text)
{
    text = text_strip_end(text);
    size_t i = 0;
    while (i < text.bytes) {
        uint32_t code;
        int length = unicode_read((const uint8_t *)text.at + i, text.bytes - i, &code);
        if (!unicode_is_space(code)) break;
        i += (size_t)length;
    }
    return i ? (struct text){text.at + i, text.bytes - i} : text;
}
