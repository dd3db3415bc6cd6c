// SPDX-License-Identifier: Apache-2.0
// Text on its way out: the same text however tokens cut it, whole characters in every piece, no byte of a
// stop string.
#include "base/philox.h"
#include "infer/text_output.h"
#include "model/small_model.h"

struct heard {
    uint8_t text[4096];
    size_t bytes;
    bool broken; // a piece that began or ended inside a character
    int pieces, most;
};

static bool is_whole(const uint8_t *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        int length = utf8_read(text + i, bytes - i, &code);
        if (length == 0) return false;
        i += (size_t)length;
    }
    return true;
}

static bool hear(void *context, const uint8_t *text, size_t bytes)
{
    struct heard *heard = context;
    assert_true(bytes > 0 && heard->bytes + bytes <= sizeof heard->text);
    if (!is_whole(text, bytes)) heard->broken = true;
    memcpy(heard->text + heard->bytes, text, bytes);
    heard->bytes += bytes;
    return ++heard->pieces != heard->most;
}

// Hands `text` over in pieces of random length up to `longest`. Returns whether a stop string came.
static bool say(const char *text, size_t bytes, const char *const *stop, uint32_t longest,
                uint32_t round, struct heard *heard)
{
    struct text_output output;
    struct philox_address at = {.seed = 3, .stream = philox_stream(PHILOX_TEST, 0), .step = round};
    memset(heard, 0, sizeof *heard);
    assert_ok(text_output_create(stop, hear, heard, &output));
    bool going = true;
    for (size_t i = 0; i < bytes && going;) {
        size_t piece = 1 + philox_bits(at, i) % longest;
        if (piece > bytes - i) piece = bytes - i;
        going = text_output_add(&output, (const uint8_t *)text + i, piece);
        i += piece;
    }
    text_output_finish(&output);
    bool stopped = output.stopped;
    assert_true(going != stopped);
    text_output_release(&output);
    return stopped;
}

static void expect(const char *text, const char *const *stop, const char *wanted, bool stopped)
{
    for (uint32_t round = 0; round < 200; round++) {
        struct heard heard;
        assert_int_equal(say(text, strlen(text), stop, 1 + round % 9, round, &heard), stopped);
        assert_int_equal(heard.bytes, strlen(wanted));
        assert_memory_equal(heard.text, wanted, heard.bytes);
        assert_false(heard.broken);
    }
}

static void text_comes_out_whole(void **state)
{
    (void)state;
    expect("Sing, goddess", NULL, "Sing, goddess", false);
    expect("众声 héros 🎺", NULL, "众声 héros 🎺", false);
    expect("", NULL, "", false);
}

static void stop_strings_count_across_borders(void **state)
{
    (void)state;
    expect("one\n\ntwo", (const char *[]){"\n\n", NULL}, "one", true);
    expect("one\ntwo\n", (const char *[]){"\n\n", NULL}, "one\ntwo\n",
           false); // what waits comes at the end
    expect("aaaaab", (const char *[]){"aab", NULL}, "aaa", true);
    expect("abcabcabd", (const char *[]){"abcabd", NULL}, "abc", true);
    expect("众声众人", (const char *[]){"众人", NULL}, "众声", true);
    expect("stop", (const char *[]){"stop", NULL}, "", true);
    expect("ends with part of st", (const char *[]){"stop", NULL}, "ends with part of st", false);
}

static void the_first_stop_string_to_end_counts(void **state)
{
    (void)state;
    expect("xabcd", (const char *[]){"abcd", "bc", NULL}, "xa", true);
    expect("xabcd", (const char *[]){"bc", "abc", NULL}, "x", true); // both end at c: the longest
    expect("xabce", (const char *[]){"abcd", "ce", NULL}, "xab", true);
}

static void characters_wait_until_they_are_whole(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct text_output output;
    assert_ok(text_output_create(NULL, hear, &heard, &output));
    const char *horn = "\xF0\x9F\x8E\xBA";
    for (int i = 0; i < 4; i++) {
        assert_int_equal(heard.bytes, 0);
        assert_true(text_output_add(&output, (const uint8_t *)horn + i, 1));
    }
    assert_int_equal(heard.bytes, 4);
    // The first bytes of a character that never became whole are dropped at the end.
    assert_true(text_output_add(&output, (const uint8_t *)"a\xE4\xBC", 3));
    assert_int_equal(heard.bytes, 5);
    text_output_finish(&output);
    assert_int_equal(heard.bytes, 5);
    assert_false(heard.broken);
    text_output_release(&output);
}

static void stray_bytes_do_not_wait(void **state)
{
    (void)state;
    static const char *const strays[] = {"\xFF",     "\x80",     "\xC0",  "\xF5",
                                         "\xE0\x80", "\xED\xA0", "\xC3(", "\xF0\x8F"};
    for (size_t i = 0; i < sizeof strays / sizeof *strays; i++) {
        struct heard heard = {0};
        struct text_output output;
        assert_ok(text_output_create(NULL, hear, &heard, &output));
        assert_true(text_output_add(&output, (const uint8_t *)strays[i], strlen(strays[i])));
        assert_int_equal(heard.bytes, strlen(strays[i]));
        text_output_release(&output);
    }
    // Every first, second and third byte that some character begins with waits; all others go out.
    for (uint32_t code = 0x80; code < 0x110000; code += code < 0x3000 ? 1 : 61) {
        uint8_t text[4];
        int length = utf8_write(code, text);
        for (int n = 1; n < length; n++) {
            struct heard heard = {0};
            struct text_output output;
            assert_ok(text_output_create(NULL, hear, &heard, &output));
            assert_true(text_output_add(&output, text, (size_t)n));
            if (code < 0xD800 || code > 0xDFFF) assert_int_equal(heard.bytes, 0);
            text_output_release(&output);
        }
    }
}

static void long_tokens_and_long_stops_fit(void **state)
{
    (void)state;
    char text[2000], stop[600];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 3);
    for (size_t i = 0; i < sizeof stop - 1; i++) stop[i] = (char)('a' + i % 3);
    stop[sizeof stop - 2] = '!';
    stop[sizeof stop - 1] = 0;
    for (uint32_t round = 0; round < 30; round++) {
        struct heard heard;
        assert_false(say(text, sizeof text, (const char *[]){stop, NULL}, 1999, round, &heard));
        assert_int_equal(heard.bytes, sizeof text);
        assert_memory_equal(heard.text, text, sizeof text);
    }
}

static void a_refusal_ends_it(void **state)
{
    (void)state;
    struct heard heard = {.most = 2};
    struct text_output output;
    assert_ok(text_output_create(NULL, hear, &heard, &output));
    assert_true(text_output_add(&output, (const uint8_t *)"a", 1));
    assert_false(text_output_add(&output, (const uint8_t *)"b", 1));
    assert_false(text_output_add(&output, (const uint8_t *)"c", 1));
    text_output_finish(&output);
    assert_int_equal(heard.bytes, 2);
    assert_true(output.refused && !output.stopped);
    text_output_release(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_out_whole),
        cmocka_unit_test(stop_strings_count_across_borders),
        cmocka_unit_test(the_first_stop_string_to_end_counts),
        cmocka_unit_test(characters_wait_until_they_are_whole),
        cmocka_unit_test(stray_bytes_do_not_wait),
        cmocka_unit_test(long_tokens_and_long_stops_fit),
        cmocka_unit_test(a_refusal_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
