// SPDX-License-Identifier: Apache-2.0
// SHA-256 against the examples of FIPS 180-4 and NIST's CAVP, in one piece and in all cuts.
#include "base/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text, *digest;
} known[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnop"
     "qrs"
     "mnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void known_texts_give_their_digests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct sha256 hash;
        char hex[65];
        sha256_start(&hash);
        sha256_add(&hash, known[i].text, strlen(known[i].text));
        sha256_finish(&hash, hex);
        assert_string_equal(hex, known[i].digest);
    }
}

static void a_million_letters_in_odd_pieces(void **state)
{
    (void)state;
    char letters[1000], hex[65];
    memset(letters, 'a', sizeof letters);
    struct sha256 hash;
    sha256_start(&hash);
    size_t left = 1000000;
    for (size_t piece = 1; left; piece = piece * 7 % 997 + 1) {
        size_t bytes = piece < left ? piece : left;
        sha256_add(&hash, letters, bytes);
        left -= bytes;
    }
    sha256_finish(&hash, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void lengths_around_a_block_do_not_depend_on_cuts(void **state)
{
    (void)state;
    unsigned char text[200];
    for (int i = 0; i < 200; i++) text[i] = (unsigned char)(i * 37);
    for (size_t bytes = 0; bytes <= sizeof text; bytes++) {
        char whole[65], cut[65];
        struct sha256 hash;
        sha256_start(&hash);
        sha256_add(&hash, text, bytes);
        sha256_finish(&hash, whole);
        for (size_t at = 0; at <= bytes; at += 13) {
            sha256_start(&hash);
            sha256_add(&hash, text, at);
            sha256_add(&hash, text + at, bytes - at);
            sha256_finish(&hash, cut);
            assert_string_equal(cut, whole);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_give_their_digests),
        cmocka_unit_test(a_million_letters_in_odd_pieces),
        cmocka_unit_test(lengths_around_a_block_do_not_depend_on_cuts),
    };
    return cmocka_run_group_tests_name("base/sha256", tests, NULL, NULL);
}
