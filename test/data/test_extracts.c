// SPDX-License-Identifier: Apache-2.0
// Texts for models that choose sentences: cut once, marked with their places, worth what ROUGE says; lists are sentences and several
// summaries; what does not fit is named.
#include "data/extracts.h"
#include "text_files.h"

static struct form form_of(const struct tokenizer *tokenizer)
{
    return (struct form){.size = tokenizer_size(tokenizer), .sentence = true};
}

static enum status read_file(const char *path, const struct tokenizer *tokenizer, int64_t longest,
                             struct extracts *extracts_p)
{
    const struct form form = form_of(tokenizer);
    const struct extracts_setup setup = {
        .rows = {.path = path, .column = {"text", "summary"}, .columns = 2},
        .tokenizer = tokenizer,
        .form = &form,
        .longest = longest};
    return extracts_read(&setup, extracts_p);
}

static double f1(const struct extracts *x, int64_t sentence, enum rouge_type type)
{
    return share_mean(x->rouge[sentence][type], 1);
}

#define assert_near(one, two) assert_float_equal((one), (two), 1e-6)

static void assert_text(const struct extracts *x, const struct tokenizer *tokenizer,
                        int64_t sentence, const char *expected)
{
    int64_t count;
    const int32_t *ids = example_text(&x->sentences, sentence, 0, &count);
    assert_int_equal(count - SENTENCE_MARKS, strlen(expected));
    for (int64_t i = SENTENCE_MARKS; i < count; i++)
        assert_int_equal(ids[i], (uint8_t)expected[i - SENTENCE_MARKS]);
    for (int64_t i = 0; i < SENTENCE_MARKS; i++)
        assert_in_range(ids[i], tokenizer_size(tokenizer) + SPECIALS,
                        tokenizer_size(tokenizer) + SPECIALS + SENTENCE_MARK_IDS - 1);
}

static void a_sentence_is_an_example(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = byte_tokenizer();
    struct extracts x;
    const char *path = put_text("rows.csv", "text,summary\n"
                                            "The cat sat. A dog ran away. It slept,a dog ran\n"
                                            ",nothing\n"
                                            "Alone,\n");
    assert_int_equal(read_file(path, tokenizer, 100, &x), STATUS_OK);
    assert_int_equal(x.count, 3);
    assert_int_equal(x.sentences.count, 5);
    assert_int_equal(x.first[1], 3);
    assert_int_equal(x.first[3], 5);
    assert_text(&x, tokenizer, 0, "The cat sat.");
    assert_text(&x, tokenizer, 1, "A dog ran away.");
    assert_text(&x, tokenizer, 2, "It slept");
    assert_text(&x, tokenizer, 3, "");
    assert_text(&x, tokenizer, 4, "Alone");
    // 3 of 4 words, all 3 of the summary's; 2 of 3 pairs, both.
    assert_near(f1(&x, 1, ROUGE_1), 6.0 / 7);
    assert_near(f1(&x, 1, ROUGE_2), 4.0 / 5);
    assert_near(f1(&x, 1, ROUGE_L), 6.0 / 7);
    assert_near(x.sentences.number[1], 6.0 / 7);
    for (int64_t i = 0; i < 5; i++)
        if (i != 1) assert_true(x.sentences.number[i] == 0);
    for (int64_t i = 0; i < 5; i++) assert_int_equal(x.row[i], i < 3 ? 0 : i - 2);
    assert_int_equal(x.sentences.cut, 0);
    extracts_release(&x);
    // Marks keep their places where a sentence is cut.
    assert_int_equal(read_file(path, tokenizer, SENTENCE_MARKS + 5, &x), STATUS_OK);
    assert_text(&x, tokenizer, 1, "A dog");
    assert_int_equal(x.sentences.cut, 3);
    assert_near(f1(&x, 1, ROUGE_1), 6.0 / 7);
    extracts_release(&x);
    tokenizer_destroy(tokenizer);
}

static void lists_are_sentences_and_summaries(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = byte_tokenizer();
    struct extracts x;
    const char *path = put_text(
        "rows.jsonl", "{\"text\": [\"One. Two\", \"three\"], \"summary\": [\"three four\", "
                      "\"two\", \"\"]}\n"
                      "{\"text\": \"One. Two\", \"summary\": \"three\\ntwo\"}\n"
                      "{\"text\": [], \"summary\": []}\n");
    assert_int_equal(read_file(path, tokenizer, 100, &x), STATUS_OK);
    assert_int_equal(x.sentences.count, 5);
    assert_text(&x, tokenizer, 0, "One. Two");
    assert_text(&x, tokenizer, 1, "three");
    assert_text(&x, tokenizer, 3, "Two");
    assert_near(f1(&x, 0, ROUGE_1), 2.0 / 3); // of "two"
    assert_near(f1(&x, 1, ROUGE_1), 2.0 / 3); // of "three four"
    assert_near(f1(&x, 3, ROUGE_1), 2.0 / 3); // of one summary in two lines
    extracts_release(&x);
    tokenizer_destroy(tokenizer);
}

static void chinese_goes_by_characters(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = byte_tokenizer();
    struct extracts x;
    const char *path = put_text("rows.tsv", "text\tsummary\n今天下雨。我们不去\t不去了\n");
    assert_int_equal(read_file(path, tokenizer, 100, &x), STATUS_OK);
    assert_int_equal(x.sentences.count, 2);
    assert_near(f1(&x, 0, ROUGE_1), 0);
    assert_near(f1(&x, 1, ROUGE_1), 2 * 2.0 / (4 + 3));
    extracts_release(&x);
    tokenizer_destroy(tokenizer);
}

// From both ends, in tenths, and longer sentences have higher marks.
static void marks_say_where_a_sentence_stands(void **state)
{
    (void)state;
    const struct form form = {.size = 100, .order = 2, .hash = 7, .sentence = true};
    int32_t one[SENTENCE_MARKS], two[SENTENCE_MARKS], base = 100 + SPECIALS;
    form_sentence(&form, 0, 1, 0, one);
    assert_int_equal(one[0], base);
    assert_int_equal(one[1], base + SENTENCE_PLACES);
    assert_int_equal(one[2], base + 2 * SENTENCE_PLACES);
    assert_int_equal(one[3], base + 3 * SENTENCE_PLACES);
    form_sentence(&form, 1000000, 1000001, INT64_C(1) << 40, one);
    assert_int_equal(one[0], base + SENTENCE_PLACES - 1);
    assert_int_equal(one[1], base + SENTENCE_PLACES);
    assert_int_equal(one[2], base + 3 * SENTENCE_PLACES - 1);
    assert_int_equal(one[3], base + SENTENCE_MARK_IDS - 1);
    for (int64_t length = 0; length < 400; length++) {
        form_sentence(&form, 2, 7, length, one);
        form_sentence(&form, 2, 7, length + 1, two);
        assert_int_equal(one[0], base + 2);
        assert_int_equal(one[1], base + SENTENCE_PLACES + 4);
        assert_in_range(two[3], one[3], one[3] + 1);
        if (length < 8) assert_int_equal(two[3], one[3] + 1);
    }
    // n-grams have rows of their own behind the marks.
    const int32_t ids[] = {1, 2, 3};
    const struct form_text text[2] = {{ids, 3}, {NULL, -1}};
    int32_t tokens[8];
    assert_int_equal(form_vocabulary(&form), base + SENTENCE_MARK_IDS + 7);
    assert_int_equal(form_write(&form, text, NULL, tokens), 5);
    for (int i = 3; i < 5; i++)
        assert_in_range(tokens[i], base + SENTENCE_MARK_IDS, base + SENTENCE_MARK_IDS + 6);
}

// What is drawn for a text leaves its marks alone.
static void augmentation_spares_marks(void **state)
{
    (void)state;
    const struct form form = {.size = 100, .sentence = true};
    const struct augmentation all = {.mask = 0.999999, .mask_id = 101, .seed = 5};
    const struct form_change change = {&all, 3, 4};
    const int32_t ids[] = {103, 113, 123, 133, 1, 2, 3};
    int32_t tokens[8];
    for (int n = SENTENCE_MARKS; n <= 7; n++) {
        const struct form_text text[2] = {{ids, n}, {NULL, -1}};
        assert_int_equal(form_write(&form, text, &change, tokens), n);
        for (int i = 0; i < n; i++) assert_int_equal(tokens[i], i < SENTENCE_MARKS ? ids[i] : 101);
    }
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = byte_tokenizer();
    struct extracts x;
    assert_int_equal(read_file(put_text("a.csv", "text,summary\n"), tokenizer, 9, &x),
                     STATUS_INPUT);
    assert_true(error_says("has no rows"));
    assert_int_equal(read_file(put_text("b.csv", "text,summary\na\n"), tokenizer, 9, &x),
                     STATUS_INPUT);
    assert_true(error_says("b.csv line 2"));
    assert_int_equal(read_file(put_text("c.csv", "text,summary\na\xFF,b\n"), tokenizer, 9, &x),
                     STATUS_INPUT);
    assert_true(error_says("c.csv line 2"));
    tokenizer_destroy(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_sentence_is_an_example, clear),
        cmocka_unit_test_setup(lists_are_sentences_and_summaries, clear),
        cmocka_unit_test_setup(chinese_goes_by_characters, clear),
        cmocka_unit_test_setup(marks_say_where_a_sentence_stands, clear),
        cmocka_unit_test_setup(augmentation_spares_marks, clear),
        cmocka_unit_test_setup(what_does_not_fit_is_named, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
