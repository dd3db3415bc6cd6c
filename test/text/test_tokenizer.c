// SPDX-License-Identifier: Apache-2.0
// Tokenizers: exact round trips over any bytes, ids in code-point order, cuts, and errors that name the character.
#include "base/philox.h"
#include "scratch.h"
#include "text/match_tokens.h"
#include "text/specials.h"

#include <stdlib.h>
#include <string.h>

// cmocka.h wants the others before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

static int clear(void **state)
{
    (void)state;
    error_clear();
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

static struct tokenizer *char_tokenizer(const void *text, size_t bytes)
{
    struct char_set *set;
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(char_set_create(&set), STATUS_OK);
    char_set_add(set, text, bytes);
    assert_int_equal(tokenizer_char_create(set, &tokenizer), STATUS_OK);
    char_set_destroy(set);
    return tokenizer;
}

static struct tokenizer *byte_tokenizer(void)
{
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(tokenizer_byte_create(&tokenizer), STATUS_OK);
    return tokenizer;
}

// Encodes, decodes, compares; then the same in two parts cut where the tokenizer says.
static void check_round_trip(const struct tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                             size_t near)
{
    int32_t *ids = malloc((bytes + 1) * sizeof *ids), *parts = malloc((bytes + 1) * sizeof *parts);
    size_t count, at = 0, first, second;
    assert_int_equal(tokenizer_encode(tokenizer, text, bytes, "text", 0, ids, &count), STATUS_OK);
    assert_true(count <= bytes);
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        const uint8_t *piece = tokenizer_piece(tokenizer, ids[i], &length);
        assert_non_null(piece);
        assert_true(at + length <= bytes);
        assert_memory_equal(text + at, piece, length);
        at += length;
    }
    assert_int_equal(at, bytes);
    size_t cut = tokenizer_cut(tokenizer, text, near);
    assert_true(cut <= near);
    assert_int_equal(tokenizer_encode(tokenizer, text, cut, "text", 0, parts, &first), STATUS_OK);
    assert_int_equal(
        tokenizer_encode(tokenizer, text + cut, bytes - cut, "text", cut, parts + first, &second),
        STATUS_OK);
    assert_int_equal(first + second, count);
    assert_memory_equal(parts, ids, count * sizeof *ids);
    free(parts);
    free(ids);
}

// Text of several kinds: 0 any bytes, 1 ASCII, 2 Chinese, 3 all planes, 4 characters with stray bytes between.
static size_t random_text(uint8_t *text, size_t room, int kind, uint32_t round)
{
    struct philox_address at = {.seed = 3,
                                .stream = philox_stream(PHILOX_TEST, 2),
                                .step = (uint32_t)kind,
                                .sequence = round};
    size_t wanted = philox_bits(at, 0) % (room - 4), bytes = 0;
    for (uint64_t i = 1; bytes < wanted; i++) {
        uint32_t bits = philox_bits(at, i), code = kind == 1   ? bits % 128
                                                   : kind == 2 ? 0x4E00 + bits % 20000
                                                               : bits % 0x110000;
        bool stray =
            kind == 0 || (kind == 4 && bits >> 30 == 0) || (code >= 0xD800 && code < 0xE000);
        if (stray)
            text[bytes++] = (uint8_t)(bits >> 8);
        else
            bytes += (size_t)utf8_write(code, text + bytes);
    }
    return bytes;
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    static uint8_t text[2000];
    struct tokenizer *byte = byte_tokenizer();
    for (int kind = 0; kind < 5; kind++)
        for (uint32_t round = 0; round < 200; round++) {
            size_t bytes = random_text(text, sizeof text, kind, round);
            check_round_trip(byte, text, bytes, bytes / 3);
            if (bytes == 0) continue;
            struct tokenizer *tokenizer = char_tokenizer(text, bytes);
            check_round_trip(tokenizer, text, bytes, bytes / 2);
            check_round_trip(tokenizer, text, bytes, bytes);
            tokenizer_destroy(tokenizer);
        }
    tokenizer_destroy(byte);
}

static void hostile_bytes_come_back(void **state)
{
    (void)state;
    static const char text[] = "a\0b\xC0\xAF\xED\xA0\x80\xF4\x90\x80\x80\xFF\xFE\x80 "
                               "\xEF\xBB\xBF\xE4\xBD\xA0\xE4\xBD\n\xF0\x9F\x98\x80\xF0\x9F\xE4";
    size_t bytes = sizeof text - 1;
    struct tokenizer *tokenizer = char_tokenizer(text, bytes);
    for (size_t near = 0; near <= bytes; near++)
        check_round_trip(tokenizer, (const uint8_t *)text, bytes, near);
    tokenizer_destroy(tokenizer);
}

static void char_ids_are_in_code_point_order_and_stray_bytes_behind(void **state)
{
    (void)state;
    static const char text[] = "b\xFF\nz\xE4\xBD\xA0\xF0\x9F\x98\x80\x80\xC3\xA9"
                               "bb";
    static const char *const pieces[] = {
        "\n", "b", "z", "\xC3\xA9", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "\x80", "\xFF"};
    struct tokenizer *tokenizer = char_tokenizer(text, sizeof text - 1);
    assert_int_equal(tokenizer_size(tokenizer), 8);
    assert_string_equal(tokenizer_kind(tokenizer), "char");
    for (int32_t id = 0; id < 8; id++) {
        size_t length = 0;
        const uint8_t *piece = tokenizer_piece(tokenizer, id, &length);
        assert_int_equal(length, strlen(pieces[id]));
        assert_memory_equal(piece, pieces[id], length);
    }
    size_t length;
    assert_null(tokenizer_piece(tokenizer, -1, &length));
    assert_null(tokenizer_piece(tokenizer, 8, &length));
    assert_null(tokenizer_piece(tokenizer, INT32_MAX, &length));
    tokenizer_destroy(tokenizer);
}

static void byte_ids_are_the_bytes(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = byte_tokenizer();
    assert_int_equal(tokenizer_size(tokenizer), 256);
    assert_string_equal(tokenizer_kind(tokenizer), "byte");
    for (int32_t id = 0; id < 256; id++) {
        size_t length = 0;
        assert_int_equal(tokenizer_piece(tokenizer, id, &length)[0], id);
        assert_int_equal(length, 1);
    }
    tokenizer_destroy(tokenizer);
}

static void a_missing_character_is_named_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        const char *says;
    } cases[] = {
        {"hello, w\xE4\xBD\xA0rld", 15,
         "poem.txt: the character U+4F60 \"\xE4\xBD\xA0\" at byte 1008 is not in"},
        {"hexlo", 5, "the character U+0078 \"x\" at byte 1002"},
        {"hello hello hello x", 19, "the character U+0078 \"x\" at byte 1018"},
        {"h\x1b[2J", 5, "the character U+001B at byte 1001"},
        {"h\xC2\x9B", 3, "the character U+009B at byte 1001"},
        {"h\0h", 3, "the character U+0000 at byte 1001"},
        {"held\xFF", 5, "byte 1004 is 0xFF, which is not valid UTF-8"},
    };
    struct tokenizer *tokenizer = char_tokenizer("hello, world", 12);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t ids[32];
        size_t count = 99;
        assert_int_equal(tokenizer_encode(tokenizer, (const uint8_t *)cases[i].text, cases[i].bytes,
                                          "poem.txt", 1000, ids, &count),
                         STATUS_INPUT);
        assert_int_equal(count, 99);
        assert_true(error_says(cases[i].says));
    }
    tokenizer_destroy(tokenizer);
}

static void a_missing_character_joins_no_bytes(void **state)
{
    (void)state;
    static const char known[] = "ab\xE4 \xBD \xA0", text[] = "a\xE4?\xBD\xA0?b";
    static const char *const pieces[] = {"a", "\xE4", "\xBD", "\xA0", "b"};
    struct tokenizer *tokenizer = char_tokenizer(known, sizeof known - 1);
    int32_t ids[sizeof text];
    size_t count, length;
    int64_t unknown;
    assert_int_equal(tokenizer_encode_known(tokenizer, (const uint8_t *)text, sizeof text - 1, ids,
                                            &count, &unknown),
                     STATUS_OK);
    assert_int_equal(unknown, 2);
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *piece = tokenizer_piece(tokenizer, ids[i], &length);
        assert_int_equal(length, 1);
        assert_memory_equal(piece, pieces[i], length);
    }
    tokenizer_destroy(tokenizer);
}

static void sets_merge_to_the_whole_in_any_order(void **state)
{
    (void)state;
    static uint8_t text[3000];
    size_t bytes = random_text(text, sizeof text, 4, 5), cut = utf8_cut(text, bytes / 2);
    struct char_set *left, *right;
    assert_int_equal(char_set_create(&left), STATUS_OK);
    assert_int_equal(char_set_create(&right), STATUS_OK);
    char_set_add(left, text, cut);
    char_set_add(right, text + cut, bytes - cut);
    char_set_merge(right, left);
    struct tokenizer *merged, *whole = char_tokenizer(text, bytes);
    assert_int_equal(tokenizer_char_create(right, &merged), STATUS_OK);
    assert_true(tokenizer_hash(merged) == tokenizer_hash(whole));
    assert_int_equal(tokenizer_size(merged), tokenizer_size(whole));
    tokenizer_destroy(merged);
    tokenizer_destroy(whole);
    char_set_destroy(left);
    char_set_destroy(right);
}

static void the_hash_tells_vocabularies_apart(void **state)
{
    (void)state;
    struct tokenizer *one = char_tokenizer("abc", 3), *two = char_tokenizer("abd", 3),
                     *byte = byte_tokenizer();
    static uint8_t all[256];
    for (int i = 0; i < 256; i++) all[i] = (uint8_t)i;
    struct tokenizer *chars = char_tokenizer(all, 256);
    assert_int_equal(tokenizer_size(chars), 256);
    assert_true(tokenizer_hash(one) != tokenizer_hash(two));
    assert_true(tokenizer_hash(byte) != tokenizer_hash(chars)); // same pieces, another kind
    tokenizer_destroy(one);
    tokenizer_destroy(two);
    tokenizer_destroy(byte);
    tokenizer_destroy(chars);
}

static void tokens_are_matched_by_their_bytes(void **state)
{
    (void)state;
    int32_t there[8 + SPECIALS];
    const char *text = "Zab\xE4\xBD\xA0"; // ids: Z, a, b, 你
    struct tokenizer *here = char_tokenizer("abcz\xE4\xBD\xA0", 7), *bytes = byte_tokenizer();
    struct tokenizer *other = char_tokenizer(text, strlen(text));
    assert_int_equal(tokenizer_size(here), 5);
    assert_int_equal(match_tokens(here, other, there), STATUS_OK);
    const int32_t right[] = {1, 2, -1, 0, 3, 4, 5, 6}; // z is Z's, the specials lie behind
    assert_memory_equal(there, right, sizeof right);
    assert_int_equal(match_tokens(here, bytes, there), STATUS_OK);
    const int32_t in_bytes[] = {'a', 'b', 'c', 'z', -1, 256, 257, 258};
    assert_memory_equal(there, in_bytes, sizeof in_bytes);
    tokenizer_destroy(here);
    tokenizer_destroy(other);
    tokenizer_destroy(bytes);
}

static void an_empty_set_makes_no_tokenizer(void **state)
{
    (void)state;
    struct char_set *set;
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(char_set_create(&set), STATUS_OK);
    assert_int_equal(tokenizer_char_create(set, &tokenizer), STATUS_INPUT);
    assert_null(tokenizer);
    char_set_destroy(set);
}

static void every_code_point_and_byte_fit_one_tokenizer(void **state)
{
    (void)state;
    size_t room = 0x110000 * 4 + 256, bytes = 0;
    uint8_t *text = malloc(room);
    for (uint32_t code = 0; code < 0x110000; code++)
        if (code < 0xD800 || code >= 0xE000) bytes += (size_t)utf8_write(code, text + bytes);
    for (int byte = 0x80; byte < 0x100; byte++)
        text[bytes++] = (uint8_t)(byte ^ 0x40), text[bytes++] = '\n';
    struct tokenizer *tokenizer = char_tokenizer(text, bytes), *back;
    assert_int_equal(tokenizer_size(tokenizer), 0x110000 - 0x800 + 128);
    check_round_trip(tokenizer, text, bytes, bytes - 7);
    assert_int_equal(tokenizer_save(tokenizer, scratch_path("all")), STATUS_OK);
    assert_int_equal(tokenizer_load(scratch_path("all"), &back), STATUS_OK);
    assert_true(tokenizer_hash(back) == tokenizer_hash(tokenizer));
    tokenizer_destroy(back);
    tokenizer_destroy(tokenizer);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(any_bytes_come_back, clear),
        cmocka_unit_test_setup(hostile_bytes_come_back, clear),
        cmocka_unit_test_setup(char_ids_are_in_code_point_order_and_stray_bytes_behind, clear),
        cmocka_unit_test_setup(byte_ids_are_the_bytes, clear),
        cmocka_unit_test_setup(a_missing_character_is_named_with_its_place, clear),
        cmocka_unit_test_setup(a_missing_character_joins_no_bytes, clear),
        cmocka_unit_test_setup(sets_merge_to_the_whole_in_any_order, clear),
        cmocka_unit_test_setup(the_hash_tells_vocabularies_apart, clear),
        cmocka_unit_test_setup(tokens_are_matched_by_their_bytes, clear),
        cmocka_unit_test_setup(an_empty_set_makes_no_tokenizer, clear),
        cmocka_unit_test_setup(every_code_point_and_byte_fit_one_tokenizer, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
