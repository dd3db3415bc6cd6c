// SPDX-License-Identifier: Apache-2.0
// Sentences of Western and Chinese texts, quotes that close, abbreviations, lines; any bytes lose nothing but spaces.
#include "base/philox.h"
#include "text/sentences.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// cmocka.h wants the others before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

typedef bool (*next_function)(struct text text, size_t *at, struct text *sentence_p);

// `expected`: the sentences, each behind a |.
static void assert_cut(next_function next, const char *string, const char *expected)
{
    struct text text = text_of(string), sentence;
    char got[1000] = "";
    size_t at = 0;
    while (next(text, &at, &sentence)) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "|%.*s", (int)sentence.bytes, sentence.at);
    }
    assert_string_equal(got, expected);
    assert_false(next(text, &at, &sentence));
}

static const char *const cases[][2] = {
    {"", ""},
    {" \t\n ", ""},
    {"One", "|One"},
    {"One. Two! Three?  Four", "|One.|Two!|Three?|Four"},
    {"no space.Here it goes on", "|no space.Here it goes on"},
    {"It went on... and on. It ended… Then?! So.", "|It went on... and on.|It ended…|Then?!|So."},
    {"He said \"Go.\" She went. (It rained.) «Oui.» Fin",
     "|He said \"Go.\"|She went.|(It rained.)|«Oui.»|Fin"},
    {"\"Really?\" he asked. ‘Yes.’ A", "|\"Really?\" he asked.|‘Yes.’|A"},
    {"Dr. Smith and J. R. Jones saw Fig. 3, e.g. Table 2. Then U.S. Steel et al. Won.",
     "|Dr. Smith and J. R. Jones saw Fig. 3, e.g. Table 2.|Then U.S. Steel et al. Won."},
    {"See No. 5 of Vol. 2. He said no. Then he left.",
     "|See No. 5 of Vol. 2.|He said no.|Then he left."},
    {"1. First point. 2. Second of 3.5. And 7. Eight",
     "|1. First point.|2. Second of 3.5.|And 7.|Eight"},
    {"Pi is 3.14. In 1998. 23 came.", "|Pi is 3.14.|In 1998.|23 came."},
    {"yes. no small letter. Über. ähnlich. Ähnlich",
     "|yes. no small letter.|Über. ähnlich.|Ähnlich"},
    {"你好。今天下雨吗？是的！好；走吧", "|你好。|今天下雨吗？|是的！|好；|走吧"},
    {"他说：“你好。”她笑了（真的！）。完", "|他说：“你好。”|她笑了（真的！）。|完"},
    {"用 GDP. 中文 3.5 万。Then English. 完", "|用 GDP.|中文 3.5 万。|Then English.|完"},
    {"提出了方法(SOS).结果好!真的?“是”.A法.用B法.",
     "|提出了方法(SOS).|结果好!|真的?|“是”.A法.|用B法."},
    {"提高了23.5%.见图3.2节,e.g.此处.《诗》.完", "|提高了23.5%.|见图3.2节,e.g.此处.|《诗》.|完"},
    {"1.引言很短.2.方法...我…我看中文.com,Inc.，好",
     "|1.引言很短.2.方法...我…我看中文.com,Inc.，好"},
    {"first line\nsecond. Third\r\n\r\nfourth\xC2\x85"
     "fifth",
     "|first line|second.|Third|fourth|fifth"},
    {". . .", "|.|.|."},
    {"\xFF. B\xC3. \x80", "|\xFF.|B\xC3.|\x80"},
};

static void texts_become_sentences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_cut(sentence_next, cases[i][0], cases[i][1]);
}

static void lists_are_their_lines(void **state)
{
    (void)state;
    assert_cut(sentence_next_line, "One. Two.\n\n e.g. Three。四 \n", "|One. Two.|e.g. Three。四");
    assert_cut(sentence_next_line, "\n \n", "");
}

// All characters but spaces are there, in order.
static void nothing_is_lost(void **state)
{
    static const char alphabet[] = "ab.A. \n!?)\"3\xE3\x80\x82\xE2\x80\x9D\xFF ";
    enum { BYTES = 300, ROUNDS = 2000 };
    char bytes[BYTES];
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct philox_address at = {
            .seed = 3, .stream = philox_stream(PHILOX_TEST, 1), .sequence = round};
        for (int i = 0; i < BYTES; i++)
            bytes[i] = alphabet[philox_bits(at, (uint64_t)i) % (sizeof alphabet - 1)];
        struct text text = {bytes, round % BYTES}, sentence;
        size_t behind = 0, place = 0;
        for (bool more = true; more;) {
            more = sentence_next(text, &place, &sentence);
            size_t until = more ? (size_t)(sentence.at - bytes) : text.bytes;
            assert_true(until >= behind && place <= text.bytes);
            while (behind < until) {
                uint32_t code;
                behind +=
                    (size_t)unicode_read((const uint8_t *)bytes + behind, until - behind, &code);
                assert_true(unicode_is_space(code));
            }
            assert_true(!more || sentence.bytes > 0);
            if (more) behind += sentence.bytes;
        }
    }
}

// A megabyte of marks, spaces or letters is cut in no time that a person would see.
static void long_texts_take_linear_time(void **state)
{
    enum { BYTES = 1 << 20 };
    static const char *const patterns[] = {". ", "a.",           ".",   " ", "e.g. ",
                                           "x",  "\xE3\x80\x82", "a.  "};
    char *bytes = malloc(BYTES);
    (void)state;
    assert_non_null(bytes);
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        size_t length = strlen(patterns[p]), at = 0, count = 0;
        struct text sentence;
        for (size_t i = 0; i < BYTES; i++) bytes[i] = patterns[p][i % length];
        while (sentence_next((struct text){bytes, BYTES}, &at, &sentence)) count++;
        assert_true(count <= BYTES);
        assert_int_equal(at, BYTES);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_sentences),
        cmocka_unit_test(lists_are_their_lines),
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(long_texts_take_linear_time),
    };
    return cmocka_run_group_tests_name("sentences", tests, NULL, NULL);
}
