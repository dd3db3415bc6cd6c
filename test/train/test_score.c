// SPDX-License-Identifier: Apache-2.0
// Bytes and characters that a model is measured on are those of the text, and none where its tokenizer does not keep them.
#include "model/small_model.h"
#include "scratch.h"
#include "text/train_tokenizer.h"
#include "train/score.h"

enum { CONTEXT = 4, ROWS = 2 };

// Transfers `tokenizer`.
static struct score score_of(const char *text, size_t bytes, struct tokenizer *tokenizer)
{
    struct loaded_model model;
    struct score score;
    small_model(small_config(tokenizer_size(tokenizer), CONTEXT, 8, 1, 1), 5, 0.5f, tokenizer,
                &model);
    const struct corpus_source source = {.path = put_file(scratch_path("text.txt"), text, bytes),
                                         .field = "text"};
    assert_ok(score_text(&model, &source, ROWS, 2, false, &score));
    small_model_release(&model);
    return score;
}

static struct tokenizer *trained(bool words, const char *text)
{
    struct tokenizer_training training = {
        .pattern = words ? SPLIT_WORDS : SPLIT_GPT2, .words = words, .vocabulary = words ? 0 : 262};
    struct tokenizer *blank, *tokenizer;
    struct piece_table counts = {0};
    assert_ok(tokenizer_train_start(&training, &blank));
    assert_ok(tokenizer_count(blank, (const uint8_t *)text, strlen(text), &counts));
    assert_ok(tokenizer_train(&training, &counts, &tokenizer));
    piece_table_release(&counts);
    tokenizer_destroy(blank);
    return tokenizer;
}

// Windows end within characters here. What continues none, and what ends none, counts by the byte.
static void a_stray_byte_is_a_character(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t characters; // but the first
    } cases[] = {
        {"abcdefg", 6},
        {"a\x80\xBF", 2},
        {"aé中😀z", 4},
        {"aé\x80é\xC3"
         "b",
         5},
        {"a\xE4\xBD z\xF0\x9F\x98", 7},
        {"a\xED\xA0\x80\xF4\x90\x80\x80\xC0\xAF", 9},
        {"éa", 2}, // the first token is a half of it
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *byte;
        size_t bytes = strlen(cases[i].text);
        assert_ok(tokenizer_byte_create(&byte));
        struct score score = score_of(cases[i].text, bytes, byte);
        assert_int_equal(score.tokens, (int64_t)bytes - 1);
        assert_int_equal(score.bytes, (int64_t)bytes - 1);
        assert_int_equal(score.characters, cases[i].characters);
    }
}

static void pieces_count_as_their_text(void **state)
{
    (void)state;
    static const char text[] = "the cat 中 the cat 中 the cat\n";
    struct score score = score_of(text, strlen(text), trained(false, text));
    assert_true(score.tokens < 20);
    assert_int_equal(score.bytes, strlen(text) - 3);
    assert_int_equal(score.characters, score.bytes - 4);
}

static void words_keep_no_bytes(void **state)
{
    (void)state;
    static const char known[] = "the cat sat on a mat\n", text[] = "the cat q\nsat    on q mat\n";
    struct score score = score_of(text, strlen(text), trained(true, known));
    assert_int_equal(score.tokens, 8);
    assert_int_equal(score.bytes, 0);
    assert_int_equal(score.characters, 0);
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stray_byte_is_a_character),
        cmocka_unit_test(pieces_count_as_their_text),
        cmocka_unit_test(words_keep_no_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
