// SPDX-License-Identifier: Apache-2.0
// UTF-8, strictly: shortest forms only, no surrogates, nothing above U+10FFFF. Source: RFC 3629.
#include "text/tokenizer.h"

// Length that a lead byte announces and the range of the byte behind it (which rules out overlong forms and surrogates);
// 0 when the byte leads nothing.
static int lead_length(uint8_t lead, uint8_t *least_p, uint8_t *most_p)
{
    *least_p = 0x80;
    *most_p = 0xBF;
    if (lead < 0xC2) return 0;
    if (lead < 0xE0) return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0) *least_p = 0xA0;
        if (lead == 0xED) *most_p = 0x9F;
        return 3;
    }
    if (lead == 0xF0) *least_p = 0x90;
    if (lead == 0xF4) *most_p = 0x8F;
    return lead <= 0xF4 ? 4 : 0;
}

static bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

int utf8_read(const uint8_t *text, size_t bytes, uint32_t *code_p)
{
    if (bytes == 0) return 0;
    if (text[0] < 0x80) {
        *code_p = text[0];
        return 1;
    }
    uint8_t least, most;
    int length = lead_length(text[0], &least, &most);
    if (length == 0 || (size_t)length > bytes || text[1] < least || text[1] > most) return 0;
    uint32_t code = (uint32_t)(text[0] & (0x7F >> length)) << 6 | (text[1] & 0x3Fu);
    for (int i = 2; i < length; i++) {
        if (!continues(text[i])) return 0;
        code = code << 6 | (text[i] & 0x3Fu);
    }
    *code_p = code;
    return length;
}

int utf8_write(uint32_t code, uint8_t out[4])
{
    static const uint8_t mark[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    int length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (uint8_t)(mark[length] | code);
    return length;
}

size_t utf8_cut(const uint8_t *text, size_t bytes)
{
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        const uint8_t *start = text + bytes - back;
        if (continues(*start)) continue;
        uint8_t least, most;
        int length = lead_length(*start, &least, &most);
        bool open = (size_t)length > back && (back == 1 || (start[1] >= least && start[1] <= most));
        return open ? bytes - back : bytes;
    }
    return bytes;
}
