// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#include "text/tokenizer.h"

#include <utf8proc.h>

int unicode_read(const uint8_t *text, size_t bytes, uint32_t *code_p)
{
    int length = utf8_read(text, bytes, code_p);
    if (length) return length;
    *code_p = UNICODE_STRAY + text[0];
    return 1;
}

int unicode_write(uint32_t code, uint8_t out[4])
{
    if (code < UNICODE_STRAY) return utf8_write(code, out);
    out[0] = (uint8_t)(code - UNICODE_STRAY);
    return 1;
}

bool unicode_is_space(uint32_t code)
{
    if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13) || (code >= 28 && code <= 31);
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

static utf8proc_category_t category(uint32_t code)
{
    return code < UNICODE_STRAY ? utf8proc_category((utf8proc_int32_t)code) : UTF8PROC_CATEGORY_CN;
}

bool unicode_is_word(uint32_t code)
{
    if (code == '_') return true;
    switch (category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

// What has a case without being a letter of one, but for what is case-ignorable. Source: Unicode 14, PropList.txt, Other_Lowercase
// and Other_Uppercase.
static const struct range {
    uint32_t first, last;
} other_cased[] = {
    {0xAA, 0xAA},       {0xBA, 0xBA},       {0x2160, 0x217F},   {0x24B6, 0x24E9},
    {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
};

bool unicode_is_cased(uint32_t code)
{
    utf8proc_category_t kind = category(code);
    if (kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL ||
        kind == UTF8PROC_CATEGORY_LT)
        return true;
    for (size_t i = 0; i < sizeof other_cased / sizeof *other_cased; i++)
        if (code >= other_cased[i].first && code <= other_cased[i].last) return true;
    return false;
}

bool unicode_is_case_ignorable(uint32_t code)
{
    switch (category(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return code == '\'' || code == '.' || code == ':' || code == 0xB7 || code == 0x2018 ||
               code == 0x2019 || code == 0x2024 || code == 0x2027;
    }
}

uint32_t unicode_lower(uint32_t code)
{
    if (code < 0x80) return code >= 'A' && code <= 'Z' ? code + 32 : code;
    return code < UNICODE_STRAY ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)code) : code;
}

bool unicode_is_ideograph(uint32_t code)
{
    return (code >= 0x3400 && code <= 0x4DBF) || (code >= 0x4E00 && code <= 0x9FFF) ||
           (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x20000 && code <= 0x3FFFF);
}

// Unicode's blocks CJK Symbols and Punctuation, and what Halfwidth and Fullwidth Forms has of marks.
bool unicode_is_wide_mark(uint32_t code)
{
    bool form = code >= 0xFF00 && code <= 0xFFEF;
    return (code >= 0x3000 && code <= 0x303F) || (form && !unicode_is_word(code));
}

void unicode_count_letters(const uint8_t *text, size_t bytes, struct letters *letters)
{
    for (size_t i = 0; i < bytes;) {
        uint32_t code = 0;
        i += (size_t)unicode_read(text + i, bytes - i, &code);
        letters->chinese += code >= 0x4E00 && code <= 0x9FA5;
        letters->latin += (code | 32) >= 'a' && (code | 32) <= 'z';
    }
}

bool unicode_letters_are_chinese(const struct letters *letters)
{
    return letters->chinese > letters->latin;
}

bool unicode_is_chinese(const uint8_t *text, size_t bytes)
{
    struct letters letters = {0};
    unicode_count_letters(text, bytes, &letters);
    return unicode_letters_are_chinese(&letters);
}
