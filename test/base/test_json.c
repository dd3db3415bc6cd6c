// SPDX-License-Identifier: Apache-2.0
// JSON: strict parsing, getters that say what would be right, numbers that survive being written; and the log beside it.
#include "base/json.h"
#include "base/log.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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

static json_t *parse(const char *text)
{
    json_t *root = NULL;
    assert_int_equal(json_parse(text, strlen(text), "config.json", &root), STATUS_OK);
    return root;
}

static void documents_that_are_not_strict_json_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        const char *says;
    } bad[] = {
        {"", 0, "config.json, column 0: not valid JSON"},
        {"{", 1, "not valid JSON"},
        {"{}x", 3, "end of file expected"},
        {"{} {}", 5, "end of file expected"},
        {"{\"a\":1,\"a\":2}", 13, "duplicate"},
        {"{\"a\":1,\"\\u0061\":2}", 18, "duplicate"},
        {"{\"a\\u0000b\":1}", 14, "not valid JSON: a key with the character 0 in it"},
        {"{\"a\":\"\\u0000\"}", 14, "not valid JSON: a text with the character 0 in it"},
        {"{\"a\":\"b\0c\"}", 11, "not valid JSON"},
        {"{\"a\":\"\xff\"}", 9, "unable to decode byte"},
        {"{\"a\":\"\xc0\xaf\"}", 10, "unable to decode byte"},
        {"{\"a\":\"\xed\xa0\x80\"}", 11, "unable to decode byte"},
        {"{\"a\":\"\\ud800\"}", 14, "not valid JSON"},
        {"{\"a\":01}", 8, "not valid JSON"},
        {"{\"a\":NaN}", 9, "not valid JSON"},
        {"{\"a\":1e400}", 11, "not valid JSON"},
        {"{\"a\":99999999999999999999}", 26, "too big integer"},
        {"{'a':1}", 7, "not valid JSON"},
        {"{\"a\":1,}", 8, "not valid JSON"},
        {"{\"a\":1}\0", 8, "not valid JSON"},
        {"17", 2, "not valid JSON"},
        {"{\n\n  \"a\" 1\n}", 12, "line 3, column"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *root = NULL;
        assert_int_equal(json_parse(bad[i].text, bad[i].bytes, "config.json", &root), STATUS_INPUT);
        assert_null(root);
        assert_true(error_says(bad[i].says));
    }
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    char text[100000];
    memset(text, '[', sizeof text);
    json_t *root = NULL;
    assert_int_equal(json_parse(text, sizeof text, "bomb", &root), STATUS_INPUT);
    assert_true(error_says("maximum parsing depth"));
}

static void integers_are_checked_for_kind_and_range(void **state)
{
    (void)state;
    json_t *root =
        parse("{\"n\":12,\"half\":1.5,\"whole\":2.0,\"text\":\"12\",\"none\":null,\"list\":[1],"
              "\"yes\":true,\"below\":-1}");
    int64_t value = 77;
    assert_int_equal(json_get_integer(root, "n", "c", true, 1, 12, 0, &value), STATUS_OK);
    assert_int_equal(value, 12);
    assert_int_equal(json_get_integer(root, "absent", "c", false, 1, 5, 3, &value), STATUS_OK);
    assert_int_equal(value, 3);
    assert_int_equal(json_get_integer(root, "none", "c", false, 1, 5, 4, &value), STATUS_OK);
    assert_int_equal(value, 4);
    static const struct {
        const char *key, *says;
    } bad[] = {
        {"half", "c: \"half\" is 1.5; a whole number from 1 to 100 is needed"},
        {"whole", "is 2; a whole number"},
        {"text", "is \"12\"; a whole number"},
        {"list", "is a list"},
        {"yes", "is true"},
        {"below", "is -1; a whole number from 1"},
        {"none", "c: the key \"none\" is missing"},
        {"absent", "the key \"absent\" is missing"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(json_get_integer(root, bad[i].key, "c", true, 1, 100, 0, &value),
                         STATUS_INPUT);
        assert_true(error_says(bad[i].says));
    }
    assert_int_equal(json_get_integer(root, "n", "c", true, 1, 11, 0, &value), STATUS_INPUT);
    assert_true(error_says("from 1 to 11"));
    assert_int_equal(value, 4);
    json_t *list = parse("[1]");
    assert_int_equal(json_get_integer(list, "n", "c", false, 1, 11, 0, &value), STATUS_INPUT);
    assert_true(error_says("an object"));
    json_decref(list);
    json_decref(root);
}

static void numbers_texts_and_booleans_are_checked(void **state)
{
    (void)state;
    json_t *root =
        parse("{\"x\":0.25,\"i\":3,\"t\":\"gelu\",\"b\":false,\"nasty\":\"a\\u001b[31m\\nb\"}");
    double number = 7;
    const char *text = "before";
    bool flag = true;
    assert_int_equal(json_get_number(root, "x", "c", true, 0, 1, 0, &number), STATUS_OK);
    assert_true(number == 0.25);
    assert_int_equal(json_get_number(root, "i", "c", true, 0, 3, 0, &number), STATUS_OK);
    assert_true(number == 3);
    assert_int_equal(json_get_number(root, "i", "c", true, 0, 2.5, 0, &number), STATUS_INPUT);
    assert_true(error_says("\"i\" is 3; a number from 0 to 2.5 is needed"));
    assert_int_equal(json_get_number(root, "t", "c", true, 0, 1, 0, &number), STATUS_INPUT);
    error_clear();
    assert_int_equal(json_get_string(root, "t", "c", true, NULL, &text), STATUS_OK);
    assert_string_equal(text, "gelu");
    assert_int_equal(json_get_string(root, "absent", "c", false, "else", &text), STATUS_OK);
    assert_string_equal(text, "else");
    assert_int_equal(json_get_string(root, "x", "c", false, "else", &text), STATUS_INPUT);
    assert_true(error_says("is 0.25; a text in quotes"));
    assert_int_equal(json_get_boolean(root, "b", "c", true, &flag), STATUS_OK);
    assert_false(flag);
    assert_int_equal(json_get_boolean(root, "i", "c", true, &flag), STATUS_INPUT);
    assert_true(error_says("is 3; true or false"));
    // A terminal must not obey what a foreign file says.
    assert_int_equal(json_get_boolean(root, "nasty", "c", true, &flag), STATUS_INPUT);
    assert_null(strchr(error_message(), '\x1b'));
    assert_null(strchr(error_message(), '\n'));
    json_decref(root);
}

static void what_is_written_reads_back_equal(void **state)
{
    (void)state;
    static const double numbers[] = {0.1,    1e-5, 1.0,           1.0 / 3, 2.5e300,
                                     5e-324, -0.0, 123456789.125, 0.02};
    json_t *root = json_object(), *list = json_array();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_array_append_new(list, json_real(numbers[i]));
    json_object_set_new(root, "z_first", json_string("众\"\\\n\t\x01/"));
    json_object_set_new(root, "numbers", list);
    json_object_set_new(root, "empty", json_object());
    json_object_set_new(root, "none", json_array());
    json_object_set_new(root, "nested", json_pack("[{s:i},{s:n}]", "a", -7, "b"));
    json_object_set_new(root, "large", json_integer(INT64_MAX));
    json_object_set_new(root, "yes", json_true());
    const char *path = scratch_path("written.json");
    assert_int_equal(json_write_file(root, path), STATUS_OK);
    json_t *back;
    assert_int_equal(json_read_file(path, 10000, &back), STATUS_OK);
    assert_true(json_equal(root, back));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_true(json_real_value(json_array_get(json_object_get(back, "numbers"), i)) ==
                    numbers[i]);
    char *text;
    size_t bytes;
    assert_int_equal(file_read(path, 10000, &text, &bytes), STATUS_OK);
    assert_non_null(strstr(text, "[0.1, 1e-05, 1.0, 0.3333333333333333, "));
    assert_non_null(strstr(text, "\n  \"empty\": {},\n"));
    assert_int_equal(text[bytes - 1], '\n');
    assert_true(strstr(text, "z_first") < strstr(text, "numbers"));
    free(text);
    json_decref(back);
    json_decref(root);
}

static void a_file_with_an_error_is_named_with_its_line(void **state)
{
    (void)state;
    json_t *root = NULL;
    const char *path = put_file(scratch_path("broken.json"), "{\n  \"a\": ?\n}", 12);
    assert_int_equal(json_read_file(path, 100, &root), STATUS_INPUT);
    assert_true(error_says("broken.json, line 2"));
    assert_int_equal(json_read_file(path, 5, &root), STATUS_INPUT);
    assert_true(error_says("at most 5"));
    assert_int_equal(json_write_file(NULL, path), STATUS_MEMORY);
}

// ---- the log ----
struct heard {
    int lines;
    enum log_level level;
    char line[5000];
};

static void hear(void *context, enum log_level level, const char *line)
{
    struct heard *heard = context;
    heard->lines++;
    heard->level = level;
    snprintf(heard->line, sizeof heard->line, "%s", line);
}

static void log_lines_go_to_the_sink_by_level(void **state)
{
    (void)state;
    struct heard heard = {0};
    log_set_sink(hear, &heard);
    log_debug("not at first");
    assert_int_equal(heard.lines, 0);
    log_info("step %d", 12);
    assert_string_equal(heard.line, "step 12");
    assert_int_equal(heard.level, LOG_INFO);
    log_set_level(LOG_WARNING);
    log_info("hidden");
    log_warning("name \x1b[2J\x7f");
    assert_string_equal(heard.line, "name ?[2J?");
    assert_int_equal(heard.level, LOG_WARNING);
    log_set_level(LOG_QUIET);
    log_warning("hidden too");
    log_set_level(LOG_DEBUG);
    log_debug("%09000d", 1);
    assert_int_equal(heard.lines, 3);
    assert_true(strlen(heard.line) > 1000);
    log_set_level(LOG_INFO);
    log_set_sink(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(documents_that_are_not_strict_json_are_refused, clear),
        cmocka_unit_test_setup(nesting_is_bounded, clear),
        cmocka_unit_test_setup(integers_are_checked_for_kind_and_range, clear),
        cmocka_unit_test_setup(numbers_texts_and_booleans_are_checked, clear),
        cmocka_unit_test_setup(what_is_written_reads_back_equal, clear),
        cmocka_unit_test_setup(a_file_with_an_error_is_named_with_its_line, clear),
        cmocka_unit_test_setup(log_lines_go_to_the_sink_by_level, clear),
    };
    return cmocka_run_group_tests_name("base/json", tests, NULL, remove_scratch);
}
