// SPDX-License-Identifier: Apache-2.0
// Corpora of plain files, folders and .jsonl: the ids are the text's, for any number of workers; what is no text is refused by name.
#include "data/corpus.h"
#include "text_files.h"

#include <sys/stat.h>

// ---- plain files ----
static void a_file_comes_back_whatever_the_workers(void **state)
{
    (void)state;
    // Around the length of a piece (262,144 bytes), so that characters lie across its border; and many pieces.
    static const size_t rooms[] = {1, 5, 300, 262143, 262144, 262145, 262150, 524288, 3000000};
    for (size_t k = 0; k < sizeof rooms / sizeof *rooms; k++)
        for (int stray = 0; stray < 2; stray++) {
            size_t bytes;
            uint8_t *text = make_text(rooms[k] + 4, (uint32_t)k, stray, &bytes);
            if (bytes == 0) bytes = 1, text[0] = 'a';
            struct corpus_source source = source_of(put_file(scratch_path("a.txt"), text, bytes));
            assert_char_text(&source, text, bytes);
            free(text);
        }
}

static void ids_are_those_of_the_whole_text(void **state)
{
    (void)state;
    size_t bytes, count;
    uint8_t *text = make_text(1000000, 77, true, &bytes);
    struct corpus_source source = source_of(put_file(scratch_path("a.txt"), text, bytes));
    struct tokenizer *tokenizer;
    struct corpus *corpus = open_char(&source, NULL, 3, &tokenizer);
    assert_non_null(corpus);
    int32_t *ids = malloc(bytes * sizeof *ids);
    assert_int_equal(tokenizer_encode(tokenizer, text, bytes, "", 0, ids, &count), STATUS_OK);
    assert_int_equal(corpus->count, count);
    for (size_t i = 0; i < count; i++) assert_int_equal(corpus_id(corpus, (int64_t)i), ids[i]);
    free(ids);
    free(text);
    corpus_close(corpus);
    tokenizer_destroy(tokenizer);
}

static void a_large_vocabulary_takes_four_bytes_an_id(void **state)
{
    (void)state;
    size_t bytes = 0;
    uint8_t *text = malloc(70000 * 4);
    for (uint32_t code = 0x10000; code < 0x10000 + 70000; code++)
        bytes += (size_t)utf8_write(code, text + bytes);
    struct corpus_source source = source_of(put_file(scratch_path("wide.txt"), text, bytes));
    struct tokenizer *tokenizer;
    struct corpus *corpus = open_char(&source, NULL, 2, &tokenizer);
    assert_non_null(corpus);
    assert_null(corpus->ids16);
    assert_non_null(corpus->ids32);
    assert_int_equal(corpus->count, 70000);
    for (int64_t i = 0; i < 70000; i++) assert_int_equal(corpus_id(corpus, i), i);
    corpus_close(corpus);
    tokenizer_destroy(tokenizer);
    assert_char_text(&source, text, bytes);
    free(text);
}

static void a_byte_order_mark_is_no_text(void **state)
{
    (void)state;
    struct corpus_source source = source_of(put_text("bom.txt", "\xEF\xBB\xBF"
                                                                "one \xEF\xBB\xBF two"));
    assert_char_text(&source, "one \xEF\xBB\xBF two", 11);
    struct tokenizer *tokenizer = byte_tokenizer();
    struct corpus *corpus;
    assert_int_equal(corpus_open(&source, tokenizer, NULL, 1, &corpus), STATUS_OK);
    assert_int_equal(corpus->count, 14); // bytes are taken as they are
    corpus_close(corpus);
    tokenizer_destroy(tokenizer);
}

static void several_sources_share_one_tokenizer(void **state)
{
    (void)state;
    struct corpus_source sources[2] = {source_of(put_text("train.txt", "abc")),
                                       source_of(put_text("valid.txt", "bcd"))};
    struct tokenizer *tokenizer;
    assert_int_equal(corpus_char_tokenizer(sources, 2, 2, &tokenizer), STATUS_OK);
    assert_int_equal(tokenizer_size(tokenizer), 4);
    tokenizer_destroy(tokenizer);
    struct corpus *corpus;
    assert_int_equal(corpus_char_tokenizer(sources, 1, 2, &tokenizer), STATUS_OK);
    assert_int_equal(corpus_open(&sources[1], tokenizer, NULL, 2, &corpus), STATUS_INPUT);
    assert_true(error_says("valid.txt: the character U+0064 \"d\" at byte 2 is not in the "
                           "tokenizer's vocabulary of 3"));
    tokenizer_destroy(tokenizer);
}

// ---- folders ----
static void a_folder_is_its_text_files_in_the_order_of_names(void **state)
{
    (void)state;
    assert_int_equal(directory_create(scratch_path("f/sub/deep")), STATUS_OK);
    assert_int_equal(directory_create(scratch_path("f/.git")), STATUS_OK);
    put_text("f/a.txt", "first");
    put_text("f/B.md", "upper\n");
    put_text("f/plain", "no extension");
    put_text("f/plain.dat", "index");
    put_text("f/z.text", "last");
    put_text("f/sub/deep/x.TXT", "deep");
    put_text("f/sub/empty.txt", "");
    put_text("f/y.jsonl", "{\"text\":\"line\"}\n{\"text\":\"two\\n\"}\n");
    put_text("f/.hidden.txt", "hidden");
    put_text("f/.git/config", "hidden");
    put_text("f/prog.c", "code");
    put_text("f/archive.tar.gz", "not taken");
    assert_int_equal(symlink("plain", scratch_path("f/plain.txt")), 0);
    assert_int_equal(symlink("nowhere", scratch_path("f/dangling.txt")), 0);
    assert_int_equal(symlink("..", scratch_path("f/loop")), 0);
    assert_int_equal(mkfifo(scratch_path("f/pipe"), 0600), 0);
    static const char text[] = "upper\nfirst\nno extension\ndeep\nline\ntwo\nlast";
    struct corpus_source source = source_of(scratch_path("f"));
    assert_char_text(&source, text, sizeof text - 1);
    char with_slash[SCRATCH_PATH + 8];
    snprintf(with_slash, sizeof with_slash, "%s/f/", scratch());
    source = source_of(with_slash);
    assert_char_text(&source, text, sizeof text - 1);
}

static void a_newline_stands_between_files_also_at_a_border_of_pieces(void **state)
{
    (void)state;
    for (size_t less = 0; less < 3; less++) {
        size_t bytes = 262144 * 2 - less;
        char *text = malloc(bytes + 8);
        memset(text, 'x', bytes);
        assert_int_equal(directory_create(scratch_path("two")), STATUS_OK);
        put_file(scratch_path("two/1.txt"), text, bytes);
        put_text("two/2.txt", "end");
        memcpy(text + bytes, "\nend", 4);
        struct corpus_source source = source_of(scratch_path("two"));
        assert_char_text(&source, text, bytes + 4);
        free(text);
    }
}

static void a_linked_file_or_folder_can_be_named(void **state)
{
    (void)state;
    assert_int_equal(directory_create(scratch_path("real")), STATUS_OK);
    put_text("real/a.txt", "text");
    assert_int_equal(symlink("real", scratch_path("linked")), 0);
    assert_int_equal(symlink("real/a.txt", scratch_path("linked.dat")), 0);
    struct corpus_source folder = source_of(scratch_path("linked")),
                         file = source_of(scratch_path("linked.dat"));
    assert_char_text(&folder, "text", 4);
    assert_char_text(&file, "text", 4);
}

// ---- .jsonl ----
static void lines_give_their_field(void **state)
{
    (void)state;
    put_text("a.jsonl", "\xEF\xBB\xBF{\"text\":\"one\",\"n\":18446744073709551615}\r\n\n  \t\r\n"
                        "{\"id\":[1,{\"text\":\"inner\"}],\"text\":"
                        "\"t\\u00e9\\n\\ud83d\\ude00\\\"\",\"body\":\"b1\"}\n"
                        "{\"text\":\"\"}\n{\"text\":\"a\\u0000b\"}\n{\"text\":\"ends\\n\"}\n{"
                        "\"text\":\"no newline behind\"}");
    static const char text[] =
        "one\nt\xC3\xA9\n\xF0\x9F\x98\x80\"\na\0b\nends\nno newline behind\n";
    struct corpus_source source = source_of(scratch_path("a.jsonl"));
    assert_char_text(&source, text, sizeof text - 1);
    put_text("b.jsonl", "{\"text\":1,\"body\":\"b1\"}\n{\"body\":\"b2\"}\n");
    source = (struct corpus_source){.path = scratch_path("b.jsonl"), .field = "body"};
    assert_char_text(&source, "b1\nb2\n", 6);
}

static void many_and_long_lines_are_read(void **state)
{
    (void)state;
    size_t room = 24 << 20, bytes = 0, expected = 0, longest = 9 << 20;
    char *lines = malloc(room), *text = malloc(room);
    for (int i = 0; i < 30000; i++) {
        bool huge = i == 17000 || i == 17001;
        size_t length = huge ? longest / (size_t)(i - 16999) : (size_t)(i * 7919 % 97);
        bytes += (size_t)sprintf(lines + bytes, "{\"text\": \"%d ", i);
        expected += (size_t)sprintf(text + expected, "%d ", i);
        memset(lines + bytes, 'a' + i % 26, length);
        memset(text + expected, 'a' + i % 26, length);
        bytes += length;
        expected += length;
        bytes += (size_t)sprintf(lines + bytes, "\"}\n");
        text[expected++] = '\n';
    }
    struct corpus_source source = source_of(put_file(scratch_path("long.jsonl"), lines, bytes));
    assert_char_text(&source, text, expected);
    free(lines);
    free(text);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{\"text\":\"a\"}\n\n{\"text\":\n", "bad.jsonl line 3 is not JSON"},
        {"{\"text\":\"a\"}\n{\"text\":\"b\"} x\n", "bad.jsonl line 2 is not JSON"},
        {"[\"text\"]\n", "bad.jsonl line 1: an object is needed here, not a list"},
        {"\"text\"", "bad.jsonl line 1: an object is needed here, not a string"},
        {"{\"txt\":\"a\"}\n", "bad.jsonl line 1: the object has no field \"text\"; did you mean "
                              "\"txt\"? (data.field names another)"},
        {"{\"body\":\"a\"}\n", "bad.jsonl line 1: the object has no field \"text\" (data.field"},
        {"{}\n", "line 1: the object has no field \"text\""},
        {"{\"text\":null}\n", "line 1: \"text\" is null; a string is needed"},
        {"{\"text\":[\"a\"]}\n", "line 1: \"text\" is a list; a string is needed"},
        {"{\"text\":17}\n", "line 1: \"text\" is a number; a string is needed"},
        {"{\"text\":\"a\",\"text\":\"b\"}\n", "line 1 is not JSON: duplicate"},
        {"{\"text\":\"\xFF\"}\n", "line 1 is not JSON"},
        {"{\"text\":\"\\ud800\"}\n", "line 1 is not JSON"},
        {"\n \n", "is empty"},
        {"{\"text\":\"\"}\n", "is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct corpus_source source = source_of(put_text("bad.jsonl", cases[i].text));
        assert_char_refused(&source, cases[i].says);
        assert_byte_status(&source, STATUS_INPUT, cases[i].says);
    }
    struct corpus_source source =
        source_of(put_text("good.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"abxd\"}\n"));
    struct tokenizer *tokenizer;
    struct corpus_source known = source_of(put_text("known.txt", "abc\n"));
    struct corpus *corpus;
    assert_int_equal(corpus_char_tokenizer(&known, 1, 1, &tokenizer), STATUS_OK);
    assert_int_equal(corpus_open(&source, tokenizer, NULL, 1, &corpus), STATUS_INPUT);
    assert_true(error_says("good.jsonl line 2: the character U+0078 \"x\" at byte 2"));
    tokenizer_destroy(tokenizer);
}

static void a_line_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    static const char head[] = "{\"text\":\"short\"}\n{\"text\":\"";
    for (int newline = 0; newline < 2; newline++) {
        size_t bytes = sizeof head - 1 + (16 << 20) + 100;
        char *text = malloc(bytes);
        memset(text, 'x', bytes);
        memcpy(text, head, sizeof head - 1);
        if (newline) memcpy(text + bytes - 3, "\"}\n", 3);
        struct corpus_source source = source_of(put_file(scratch_path("over.jsonl"), text, bytes));
        assert_char_refused(&source, "over.jsonl line 2 is longer than 16 MiB");
        free(text);
    }
}

// ---- refusals ----
static void what_is_no_text_is_refused(void **state)
{
    (void)state;
    struct corpus_source source = source_of(scratch_path("missing.txt"));
    assert_char_refused(&source, "cannot open");
    assert_byte_status(&source, STATUS_INPUT, "missing.txt: No such file");
    source = source_of(put_text("empty.txt", ""));
    assert_char_refused(&source, "empty.txt is empty");
    assert_byte_status(&source, STATUS_INPUT, "empty.txt is empty");
    source = source_of(put_text("only_mark.txt", "\xEF\xBB\xBF"));
    assert_char_refused(&source, "only_mark.txt is empty");
    source = source_of(put_file(scratch_path("binary"), "text\0more", 9));
    assert_char_refused(&source,
                        "binary looks binary: byte 4 is 0; the byte tokenizer takes any file");
    assert_byte_status(&source, STATUS_OK, "");
    source = source_of(put_file(scratch_path("wide.txt"), "\xFF\xFEt\0e\0x\0t\0", 10));
    assert_char_refused(&source, "wide.txt looks like UTF-16; text must be UTF-8");
    assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
    source = source_of(scratch_path("fifo"));
    assert_char_refused(&source, "fifo is neither a file nor a folder");
    source = source_of("/dev/zero");
    assert_char_refused(&source, "/dev/zero is neither a file nor a folder");
    assert_int_equal(directory_create(scratch_path("none/empty")), STATUS_OK);
    put_text("none/image.png", "x");
    source = source_of(scratch_path("none"));
    assert_char_refused(&source, "none: no text in this folder; .txt, .text, .md, .jsonl");
    put_text("none/empty/a.txt", "");
    assert_char_refused(&source, "none is empty");
    source = source_of("");
    assert_char_refused(&source, "cannot open");
}

static void a_file_that_may_not_be_read_is_refused(void **state)
{
    (void)state;
    struct corpus_source source = source_of(put_text("secret.txt", "text"));
    assert_int_equal(chmod(scratch_path("secret.txt"), 0), 0);
    assert_int_equal(chmod(scratch(), 0755), 0);
    bool root = geteuid() == 0;
    if (root) assert_int_equal(seteuid(65534), 0); // root may read everything
    struct tokenizer *tokenizer = NULL;
    enum status status = corpus_char_tokenizer(&source, 1, 1, &tokenizer);
    if (root) assert_int_equal(seteuid(0), 0);
    assert_int_equal(status, STATUS_INPUT);
    assert_true(error_says("secret.txt: Permission denied"));
}

// The earliest error in the text is reported, though with several workers a later one may be met before.
static void the_first_error_in_the_text_is_reported(void **state)
{
    (void)state;
    size_t bytes = 4 << 20;
    char *text = malloc(bytes);
    memset(text, 'a', bytes);
    text[1500000] = 'X';
    text[1600000] = 'Y';
    text[3900000] = 'Z';
    struct corpus_source known = source_of(put_text("known.txt", "a")),
                         source = source_of(put_file(scratch_path("errors.txt"), text, bytes));
    struct tokenizer *tokenizer;
    struct corpus *corpus = NULL;
    assert_int_equal(corpus_char_tokenizer(&known, 1, 1, &tokenizer), STATUS_OK);
    for (int round = 0; round < 20; round++) {
        assert_int_equal(corpus_open(&source, tokenizer, NULL, 1 + round % 7, &corpus),
                         STATUS_INPUT);
        assert_null(corpus);
        assert_true(error_says("errors.txt: the character U+0058 \"X\" at byte 1500000"));
    }
    tokenizer_destroy(tokenizer);
    free(text);
}

static void absurd_numbers_of_workers_are_served(void **state)
{
    (void)state;
    struct corpus_source source = source_of(put_text("a.txt", "text"));
    static const int workers[] = {-5, 0, 256, 100000};
    for (int i = 0; i < 4; i++) {
        struct tokenizer *tokenizer;
        struct corpus *corpus = open_char(&source, NULL, workers[i], &tokenizer);
        assert_non_null(corpus);
        assert_int_equal(corpus->count, 4);
        corpus_close(corpus);
        tokenizer_destroy(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_file_comes_back_whatever_the_workers, clear),
        cmocka_unit_test_setup(ids_are_those_of_the_whole_text, clear),
        cmocka_unit_test_setup(a_large_vocabulary_takes_four_bytes_an_id, clear),
        cmocka_unit_test_setup(a_byte_order_mark_is_no_text, clear),
        cmocka_unit_test_setup(several_sources_share_one_tokenizer, clear),
        cmocka_unit_test_setup(a_folder_is_its_text_files_in_the_order_of_names, clear),
        cmocka_unit_test_setup(a_newline_stands_between_files_also_at_a_border_of_pieces, clear),
        cmocka_unit_test_setup(a_linked_file_or_folder_can_be_named, clear),
        cmocka_unit_test_setup(lines_give_their_field, clear),
        cmocka_unit_test_setup(many_and_long_lines_are_read, clear),
        cmocka_unit_test_setup(bad_lines_are_named, clear),
        cmocka_unit_test_setup(a_line_beyond_the_limit_is_refused, clear),
        cmocka_unit_test_setup(what_is_no_text_is_refused, clear),
        cmocka_unit_test_setup(a_file_that_may_not_be_read_is_refused, clear),
        cmocka_unit_test_setup(the_first_error_in_the_text_is_reported, clear),
        cmocka_unit_test_setup(absurd_numbers_of_workers_are_served, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
