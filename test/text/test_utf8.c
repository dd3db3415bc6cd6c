// SPDX-License-Identifier: Apache-2.0
// UTF-8: every code point there and back, every short sequence against an independent rule, cuts that never split a character.
#include "base/philox.h"
#include "text/tokenizer.h"

#include <string.h>

// cmocka.h wants the others before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

static void every_code_point_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[4];
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xD800 && code < 0xE000) continue;
        uint32_t back = 1u << 31;
        int length = utf8_write(code, bytes);
        assert_int_equal(utf8_read(bytes, (size_t)length, &back), length);
        assert_int_equal(back, code);
        for (int less = 0; less < length; less++)
            assert_int_equal(utf8_read(bytes, (size_t)less, &back), 0);
        for (int less = 1; less < length; less++)
            assert_int_equal(utf8_cut(bytes, (size_t)less), 0);
        assert_int_equal(utf8_cut(bytes, (size_t)length), length);
    }
}

// The textbook rule: decode loosely, then the result must be a scalar value that needs exactly these bytes.
static int loose_decode(const uint8_t *text, size_t bytes)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (bytes == 0) return 0;
    if (text[0] < 0x80) return 1;
    int length = text[0] >= 0xF8   ? 0
                 : text[0] >= 0xF0 ? 4
                 : text[0] >= 0xE0 ? 3
                 : text[0] >= 0xC0 ? 2
                                   : 0;
    if (length == 0 || (size_t)length > bytes) return 0;
    uint32_t code = text[0] & (0xFFu >> (length + 1));
    for (int i = 1; i < length; i++) {
        if (text[i] >> 6 != 2) return 0;
        code = code << 6 | (text[i] & 63u);
    }
    bool scalar = code < 0x110000 && !(code >= 0xD800 && code < 0xE000);
    return code >= least[length] && scalar ? length : 0;
}

static void every_sequence_of_three_bytes_agrees_with_the_rule(void **state)
{
    (void)state;
    for (uint32_t all = 0; all < 1u << 24; all++) {
        uint8_t text[4] = {(uint8_t)(all >> 16), (uint8_t)(all >> 8), (uint8_t)all, 0x80};
        uint32_t code;
        if (utf8_read(text, 3, &code) != loose_decode(text, 3)) fail_msg("three bytes %06x", all);
        if (utf8_read(text, 4, &code) != loose_decode(text, 4)) fail_msg("four bytes %06x80", all);
    }
}

static void hostile_forms_are_no_characters(void **state)
{
    (void)state;
    static const char *const hostile[] = {"\xC0\xAF",
                                          "\xC1\xBF",
                                          "\xE0\x80\xAF",
                                          "\xE0\x9F\xBF",
                                          "\xF0\x80\x80\xAF",
                                          "\xF0\x8F\xBF\xBF",
                                          "\xED\xA0\x80",
                                          "\xED\xBF\xBF",
                                          "\xF4\x90\x80\x80",
                                          "\xF5\x80\x80\x80",
                                          "\xF8\x88\x80\x80\x80",
                                          "\xFE",
                                          "\xFF",
                                          "\x80",
                                          "\xBF",
                                          "\xC2",
                                          "\xE4\xBD",
                                          "\xF0\x9F\x98"};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        uint32_t code;
        assert_int_equal(utf8_read((const uint8_t *)hostile[i], strlen(hostile[i]), &code), 0);
    }
}

// Characters and stray bytes of text: their number, and a sum over their starts.
static uint64_t units(const uint8_t *text, size_t bytes, uint64_t at)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes;) {
        uint32_t code = 0;
        int length = utf8_read(text + i, bytes - i, &code);
        sum += (at + i + 1) * (at + i + 7) * (uint64_t)(length + 1) + code;
        i += length ? (size_t)length : 1;
    }
    return sum;
}

static void a_cut_changes_nothing_and_is_the_last_such_place(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x41, 0x80, 0xBF, 0xA0, 0x9F, 0x90, 0x8F,
                                    0xC2, 0xE0, 0xE4, 0xED, 0xF0, 0xF4, 0xFF};
    struct philox_address at = {.seed = 7, .stream = philox_stream(PHILOX_TEST, 1)};
    for (uint32_t round = 0; round < 300000; round++) {
        uint8_t text[12];
        at.sequence = round;
        for (uint64_t i = 0; i < sizeof text; i++)
            text[i] = bytes[philox_bits(at, i) % sizeof bytes];
        size_t half = 1 + philox_bits(at, 20) % 8, cut = utf8_cut(text, half);
        assert_true(cut <= half && half - cut <= 3);
        assert_int_equal(units(text, cut, 0) + units(text + cut, sizeof text - cut, cut),
                         units(text, sizeof text, 0));
        // Where it cut earlier, some continuation makes one character over the later place.
        if (cut == half) continue;
        uint8_t longer[4] = {0, 0, 0, 0};
        memcpy(longer, text + cut, half - cut);
        bool possible = false;
        for (int last = 0x80; last < 0xC0; last++) {
            uint32_t code;
            for (size_t i = half - cut; i < 4; i++) longer[i] = (uint8_t)last;
            possible |= utf8_read(longer, 4, &code) > (int)(half - cut);
        }
        assert_true(possible);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_comes_back),
        cmocka_unit_test(every_sequence_of_three_bytes_agrees_with_the_rule),
        cmocka_unit_test(hostile_forms_are_no_characters),
        cmocka_unit_test(a_cut_changes_nothing_and_is_the_last_such_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
