// SPDX-License-Identifier: Apache-2.0
// Examples in memory: texts, classes and numbers as they stand in the file; what does not fit is named.
#include "base/json.h"
#include "data/examples.h"
#include "data/row_tokenizer.h"
#include "text_files.h"

static struct tokenizer *bytes_of(void)
{
    struct tokenizer *tokenizer;
    assert_int_equal(tokenizer_byte_create(&tokenizer), STATUS_OK);
    return tokenizer;
}

static struct examples_setup setup_of(const char *path, int texts, enum example_target target,
                                      const struct tokenizer *tokenizer)
{
    struct examples_setup setup = {
        .rows = {.path = path, .column = {"1", "2", "3"}}, .texts = texts, .target = target};
    setup.rows.columns = texts + (target != TARGET_NONE);
    setup.tokenizer[0] = setup.tokenizer[1] = tokenizer;
    return setup;
}

static void assert_text(const struct examples *examples, int64_t i, int text, const char *expected)
{
    int64_t count;
    const int32_t *ids = example_text(examples, i, text, &count);
    assert_int_equal(count, strlen(expected));
    for (int64_t k = 0; k < count; k++) assert_int_equal(ids[k], (unsigned char)expected[k]);
}

static struct labels collect(const char *path, const char *column)
{
    struct labels labels;
    struct rows_setup rows = {.path = path, .column = {column}, .columns = 1};
    assert_int_equal(labels_collect(&rows, &labels), STATUS_OK);
    return labels;
}

static void texts_and_classes(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = bytes_of();
    const char *path = put_text("a.tsv", "one\tsport\n\tnews\n中\tsport\n");
    struct labels labels = collect(path, "2");
    struct examples_setup setup = setup_of(path, 1, TARGET_CLASS, tokenizer);
    struct examples examples;
    setup.labels = &labels;
    assert_int_equal(labels.count, 2);
    assert_string_equal(labels.name[0], "news");
    assert_int_equal(labels_find(&labels, "sports", 5), 1);
    assert_int_equal(labels_find(&labels, "spor", 4), -1);
    assert_int_equal(labels_find(&labels, "sports", 6), -1);
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    assert_int_equal(examples.count, 3);
    assert_text(&examples, 0, 0, "one");
    assert_text(&examples, 1, 0, "");
    assert_text(&examples, 2, 0, "中");
    const int32_t wanted[] = {1, 0, 1};
    assert_memory_equal(examples.label, wanted, sizeof wanted);
    uint64_t hash = examples.hash;
    examples_release(&examples);
    put_text("a.tsv", "one\tsport\n\tnews\n中\tnews\n");
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    assert_true(examples.hash != hash);
    examples_release(&examples);
    labels_release(&labels);
    tokenizer_destroy(tokenizer);
}

static void pairs_are_cut_each(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = bytes_of();
    struct examples_setup setup =
        setup_of(put_text("a.de", "guten Tag\nja\n"), 2, TARGET_NONE, tokenizer);
    struct examples examples;
    setup.rows.pair = put_text("a.en", "good day\nyes\n");
    setup.longest[0] = 5;
    setup.longest[1] = 8;
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    assert_int_equal(examples.count, 2);
    assert_int_equal(examples.cut, 1);
    assert_text(&examples, 0, 0, "guten");
    assert_text(&examples, 0, 1, "good day");
    assert_text(&examples, 1, 0, "ja");
    assert_text(&examples, 1, 1, "yes");
    examples_release(&examples);
    tokenizer_destroy(tokenizer);
}

// Nothing is lost: a long text is several examples of like length, in order.
static void long_texts_become_pieces(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = bytes_of();
    struct examples_setup setup = setup_of(put_text("long.txt", "0123456789ab\n\nabcde\nabcdef\n"),
                                           1, TARGET_NONE, tokenizer);
    struct examples examples;
    setup.pieces = true;
    setup.longest[0] = 5;
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    static const char *const wanted[] = {"0123", "4567", "89ab", "", "abcde", "abc", "def"};
    assert_int_equal(examples.count, 7);
    assert_int_equal(examples.whole, 4);
    assert_int_equal(examples.cut, 0);
    for (int i = 0; i < 7; i++) assert_text(&examples, i, 0, wanted[i]);
    uint64_t hash = examples.hash;
    examples_release(&examples);
    setup.longest[0] = 4;
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    assert_true(examples.count == 8 && examples.hash != hash);
    examples_release(&examples);
    setup.longest[0] = 12;
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    assert_int_equal(examples.count, 4);
    assert_int_equal(examples.whole, 0);
    examples_release(&examples);
    tokenizer_destroy(tokenizer);
}

// A text of more pieces than there is room for at once.
static void many_pieces(void **state)
{
    (void)state;
    enum { BYTES = 10000 };
    struct tokenizer *tokenizer = bytes_of();
    static char text[BYTES + 2];
    for (int i = 0; i < BYTES; i++) text[i] = (char)('a' + i % 23);
    text[BYTES] = '\n';
    struct examples_setup setup = setup_of(put_text("one.txt", text), 1, TARGET_NONE, tokenizer);
    struct examples examples;
    setup.pieces = true;
    setup.longest[0] = 3;
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    assert_int_equal(examples.count, (BYTES + 2) / 3);
    int64_t at = 0, count;
    for (int64_t i = 0; i < examples.count; i++) {
        const int32_t *ids = example_text(&examples, i, 0, &count);
        assert_true(count == 2 || count == 3);
        for (int64_t k = 0; k < count; k++) assert_int_equal(ids[k], text[at++]);
    }
    assert_int_equal(at, BYTES);
    examples_release(&examples);
    tokenizer_destroy(tokenizer);
}

static void many_rows(void **state)
{
    (void)state;
    enum { ROWS = 20000 };
    struct tokenizer *tokenizer = bytes_of();
    FILE *file = fopen(scratch_path("many.csv"), "w");
    for (int i = 0; i < ROWS; i++) fprintf(file, "row %d,%.10g\n", i, i / 8.0);
    fclose(file);
    struct examples_setup setup = setup_of(scratch_path("many.csv"), 1, TARGET_NUMBER, tokenizer);
    struct examples examples;
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    assert_int_equal(examples.count, ROWS);
    for (int i = 0; i < ROWS; i++) {
        char text[32];
        snprintf(text, sizeof text, "row %d", i);
        assert_text(&examples, i, 0, text);
        assert_true(examples.number[i] == (float)(i / 8.0));
    }
    examples_release(&examples);
    tokenizer_destroy(tokenizer);
}

static void numbered_classes_are_in_order(void **state)
{
    (void)state;
    struct labels labels = collect(put_text("n.txt", "10\n9\n-1\n9\n"), "1");
    assert_int_equal(labels.count, 3);
    assert_string_equal(labels.name[0], "-1");
    assert_string_equal(labels.name[2], "10");
    const char *const names[] = {"-1", "9", "10"};
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(labels_find(&labels, names[i], strlen(names[i])), i);
    assert_int_equal(labels_find(&labels, "1", 1), -1);
    labels_release(&labels);
    // One that is no number: bytes decide.
    labels = collect(put_text("n.txt", "10\n9\nx\n"), "1");
    assert_string_equal(labels.name[0], "10");
    assert_string_equal(labels.name[2], "x");
    labels_release(&labels);
}

static void refuse(const struct examples_setup *setup, const char *words)
{
    struct examples examples;
    assert_int_equal(examples_read(setup, &examples), STATUS_INPUT);
    assert_true(error_says(words));
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = bytes_of();
    struct labels labels = collect(put_text("known.txt", "good\nbad\n"), "1");
    struct examples_setup setup =
        setup_of(put_text("a.tsv", "x\tgood\ny\tbetter\n"), 1, TARGET_CLASS, tokenizer);
    setup.labels = &labels;
    refuse(&setup, "a.tsv line 2: there is no class \"better\"; the training data have bad, good");
    setup = setup_of(put_text("a.tsv", "x\t1.5\ny\tnan\n"), 1, TARGET_NUMBER, tokenizer);
    refuse(&setup, "a.tsv line 2: \"nan\" is no number, in column 2");
    put_text("a.tsv", "x\t\n");
    refuse(&setup, "a.tsv line 1: \"\" is no number, in column 2");
    put_text("a.tsv", "text\tvalue\nx\t1\n");
    refuse(&setup, "a.tsv line 1: \"value\" is no number, in column 2; data.header: true leaves "
                   "out a first row of names");
    put_text("a.tsv", "");
    refuse(&setup, "a.tsv has no rows");
    struct rows_setup rows = {
        .path = put_text("l.tsv", "x\ta\ny\t\n"), .column = {"2"}, .columns = 1};
    struct labels none;
    assert_int_equal(labels_collect(&rows, &none), STATUS_INPUT);
    assert_true(error_says("l.tsv line 2: the label is empty"));
    // Names that labels.txt could not hold.
    char long_name[1200];
    memset(long_name, 'x', sizeof long_name);
    memcpy(long_name, "a,", 2);
    long_name[sizeof long_name - 1] = 0;
    rows = (struct rows_setup){
        .path = put_text("l.jsonl", "{\"l\": [1, 2]}\n"), .column = {"l"}, .columns = 1};
    assert_int_equal(labels_collect(&rows, &none), STATUS_INPUT);
    assert_true(error_says("l.jsonl line 1: the label is a list; a row is of one class"));
    rows.column[0] = "2";
    const struct {
        const char *text, *words;
    } cases[] = {{"a,one\nb,\"t\nwo\"\n", "l.csv line 2: the label has a line break in it"},
                 {long_name, "has 1197 bytes, more than 1000"},
                 {"", "l.csv has no rows"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error_clear();
        rows.path = put_text("l.csv", cases[i].text);
        assert_int_equal(labels_collect(&rows, &none), STATUS_INPUT);
        assert_true(error_says(cases[i].words));
    }
    error_clear();
    setup = setup_of(put_text("a.tsv", "x\t1\ny\t-1e39\n"), 1, TARGET_NUMBER, tokenizer);
    refuse(&setup, "a.tsv line 2: -1e39 is out of range; a float32 holds up to 3.4e38");
    labels_release(&labels);
    tokenizer_destroy(tokenizer);
}

// A character of form C may take three times the bytes of what it was made from: there is room for that.
static void form_c_has_room(void **state)
{
    (void)state;
    enum { NOTES = 20000 };
    const struct tokenizer_training training = {.pattern = SPLIT_GPT2, .vocabulary = 257};
    struct rows_setup rows = {.path = put_text("a.txt", "ab ab\n"), .column = {"1"}, .columns = 1};
    const char *path = scratch_path("form/tokenizer.json"), *note = "\U0001D160";
    struct tokenizer *tokenizer;
    size_t bytes;
    assert_int_equal(rows_train_tokenizer(&rows, 1, &training, &tokenizer), STATUS_OK);
    assert_int_equal(tokenizer_save(tokenizer, scratch_path("form")), STATUS_OK);
    tokenizer_destroy(tokenizer);
    json_t *root;
    assert_int_equal(json_read_file(path, 1 << 20, &root), STATUS_OK);
    json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    assert_int_equal(tokenizer_load(path, &tokenizer), STATUS_OK);
    char *text = malloc(NOTES * strlen(note) + 1);
    assert_non_null(text);
    for (bytes = 0; bytes < NOTES * strlen(note); bytes += strlen(note))
        memcpy(text + bytes, note, strlen(note));
    text[bytes] = 0;
    struct examples_setup setup = setup_of(put_text("notes.txt", text), 1, TARGET_NONE, tokenizer);
    struct examples examples;
    int64_t count;
    assert_int_equal(examples_read(&setup, &examples), STATUS_OK);
    (void)example_text(&examples, 0, 0, &count);
    assert_int_equal(count, 3 * bytes);
    free(text);
    examples_release(&examples);
    tokenizer_destroy(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(texts_and_classes, clear),
        cmocka_unit_test_setup(pairs_are_cut_each, clear),
        cmocka_unit_test_setup(long_texts_become_pieces, clear),
        cmocka_unit_test_setup(many_pieces, clear),
        cmocka_unit_test_setup(many_rows, clear),
        cmocka_unit_test_setup(numbered_classes_are_in_order, clear),
        cmocka_unit_test_setup(form_c_has_room, clear),
        cmocka_unit_test_setup(what_does_not_fit_is_named, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
