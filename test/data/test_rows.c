// SPDX-License-Identifier: Apache-2.0
// Rows of every format: fields as they were written, any line length, and what is damaged refused with file and line.
#include "data/rows.h"
#include "text_files.h"

#include <zlib.h>

// ---- what comes out: fields between |, rows between newlines ----
static char got[1 << 16];

static void read_all(struct rows *rows, int columns, enum status *status_p)
{
    struct row row;
    bool more;
    size_t used = 0;
    got[0] = 0;
    while ((*status_p = rows_next(rows, &row, &more)) == STATUS_OK && more) {
        used += (size_t)snprintf(got + used, sizeof got - used, "%d:", (int)row.line);
        for (int i = 0; i < columns; i++)
            used += (size_t)snprintf(got + used, sizeof got - used, "%s%.*s", i ? "|" : "",
                                     (int)row.field[i].bytes, row.field[i].text);
        used += (size_t)snprintf(got + used, sizeof got - used, "\n");
    }
}

static enum status read_rows(const struct rows_setup *setup)
{
    struct rows *rows;
    enum status status = rows_open(setup, &rows);
    if (status) return status;
    read_all(rows, setup->columns, &status);
    rows_close(rows);
    return status;
}

static struct rows_setup setup_of(const char *path, const char *first, const char *second)
{
    return (struct rows_setup){.path = path, .column = {first, second}, .columns = second ? 2 : 1};
}

static void expect(struct rows_setup setup, const char *rows)
{
    enum status status = read_rows(&setup);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
    assert_string_equal(got, rows);
}

static void refuse(struct rows_setup setup, enum status wanted, const char *words)
{
    enum status status = read_rows(&setup);
    assert_int_equal(status, wanted);
    assert_true(error_says(words));
}

static void refuse_text(const char *name, const char *text, const char *first, const char *second,
                        const char *words)
{
    refuse(setup_of(put_text(name, text), first, second), STATUS_INPUT, words);
}

// ---- lines ----
static void lines_are_rows(void **state)
{
    (void)state;
    expect(setup_of(put_text("a.txt", "\xEF\xBB\xBFone\r\n\n三\nlast"), "1", NULL),
           "1:one\n2:\n3:三\n4:last\n");
    expect(setup_of(put_text("a.txt", ""), "1", NULL), "");
    expect(setup_of(put_text("a.txt", "\n"), "1", NULL), "1:\n");
    struct rows_setup pair = setup_of(put_text("a.de", "ja\nnein\n"), "2", "1");
    pair.pair = put_text("a.en", "yes\nno");
    expect(pair, "1:yes|ja\n2:no|nein\n");
}

static void long_lines_are_whole(void **state)
{
    (void)state;
    // Around the room that a reader starts with, and far beyond it.
    static const size_t bytes[] = {65534, 65535, 65536, 65537, 131072, 1 << 20, 5000001};
    for (size_t k = 0; k < sizeof bytes / sizeof *bytes; k++) {
        char *text = malloc(bytes[k] + 4);
        memset(text, 'x', bytes[k]);
        memcpy(text + bytes[k], "\nyz\n", 4);
        struct rows_setup setup =
            setup_of(put_file(scratch_path("long.txt"), text, bytes[k] + 4), "1", NULL);
        struct rows *rows;
        struct row row;
        bool more;
        assert_int_equal(rows_open(&setup, &rows), STATUS_OK);
        assert_int_equal(rows_next(rows, &row, &more), STATUS_OK);
        assert_true(more && row.field[0].bytes == bytes[k]);
        assert_memory_equal(row.field[0].text, text, bytes[k]);
        assert_int_equal(rows_next(rows, &row, &more), STATUS_OK);
        assert_true(more && row.line == 2 && row.field[0].bytes == 2);
        assert_int_equal(rows_next(rows, &row, &more), STATUS_OK);
        assert_false(more);
        rows_close(rows);
        free(text);
    }
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    put_file(scratch_path("zero.txt"), "a\nb\0c\n", 6);
    refuse(setup_of(scratch_path("zero.txt"), "1", NULL), STATUS_INPUT,
           "zero.txt line 2: byte 2 is 0");
    refuse_text("latin.txt",
                "gut\nm\xFC"
                "de\n",
                "1", NULL, "latin.txt line 2: byte 2 (0xFC) is not UTF-8");
    refuse_text("cut.txt", "ok\n\xE4\xB8", "1", NULL, "cut.txt line 2: byte 1 (0xE4) is not UTF-8");
    refuse_text("a.txt", "one\n", "2", NULL, "has no column \"2\"");
    refuse_text("a.txt", "one\n", "text", NULL, "has no column \"text\"");
    struct rows_setup pair = setup_of(put_text("a.de", "eins\nzwei\n"), "1", "2");
    pair.pair = put_text("a.en", "one\ntwo\nthree\n");
    refuse(pair, STATUS_INPUT, "a.de has 2 lines and ");
    pair.pair = put_text("b.en", "one\n");
    refuse(pair, STATUS_INPUT, "b.en has 1 lines and ");
    pair.path = put_text("b.de", "eins\nzwei\ndrei\n\n");
    pair.pair = put_text("c.en", "one\n\nthree\n\n");
    refuse(pair, STATUS_INPUT, "c.en line 2 is empty");
    pair.pair = put_text("d.en", "one\ntwo\nthree\nfour\n");
    refuse(pair, STATUS_INPUT, "b.de line 4 is empty");
    pair.pair = put_text("e.en", "one\ntwo\nthree\n\n");
    expect(pair, "1:eins|one\n2:zwei|two\n3:drei|three\n");
    pair.path = put_text("c.de", "eins\n\n\ndrei\n");
    pair.pair = put_text("f.en", "one\n\n\nthree\n");
    refuse(pair, STATUS_INPUT, "c.de line 2 is empty");
    refuse(setup_of(scratch_path("nowhere.txt"), "1", NULL), STATUS_INPUT, "nowhere.txt");
    refuse(setup_of(scratch(), "1", NULL), STATUS_INPUT, "is a folder");
}

static void stray_bytes_may_be_replaced(void **state)
{
    (void)state;
    struct rows_setup setup = setup_of(put_text("latin.tsv", "m\xFC"
                                                             "de\t\xE4\xB8\n\xE4\xB8\xAD\tb\n"),
                                       "1", "2");
    setup.replace = true;
    expect(setup, "1:m?de|??\n2:中|b\n");
    put_file(scratch_path("zero.tsv"), "a\0\tb\n", 5);
    setup.path = scratch_path("zero.tsv");
    refuse(setup, STATUS_INPUT, "line 1: byte 2 is 0");
}

// ---- tables ----
static void commas_and_quotes(void **state)
{
    (void)state;
    const char *text = "id,text,label\r\n1,plain,a\r\n2,\"with, comma and \"\"quotes\"\"\",b\n"
                       "3,\"two\nlines, \"\"so\"\"\",\"\"\n4,,\n\n";
    expect(setup_of(put_text("a.csv", text), "text", "label"),
           "2:plain|a\n3:with, comma and \"quotes\"|b\n4:two\nlines, \"so\"|\n6:|\n");
    expect(setup_of(put_text("b.csv", "\"3\",\"x\"\n\"4\",\"\"\"\"\n"), "2", "1"),
           "1:x|3\n2:\"|4\n");
    expect(setup_of(put_text("d.csv", "\"a \"\"q\"\"\",b\n1,2\n"), "a \"q\"", "b"), "2:1|2\n");
    refuse_text("d.csv", "\"a \"\"q\"\"\",b\n1,2\n", "a \"\"q\"\"", NULL, "a \"\"q\"\"");
    struct rows_setup header = setup_of(put_text("c.csv", "a,b\n1,2\n"), "2", NULL);
    header.header = true;
    expect(header, "2:2\n");
}

static void a_quoted_field_may_be_long(void **state)
{
    (void)state;
    // Lines are joined over many fillings of the buffer.
    enum { LINES = 30000 };
    char *text = malloc(LINES * 10 + 100), *end = text;
    end += sprintf(end, "a,\"");
    for (int i = 0; i < LINES; i++) end += sprintf(end, "line%04d\n", i % 10000);
    end += sprintf(end, "\",z\nb,c,d\n");
    struct rows_setup setup =
        setup_of(put_file(scratch_path("q.csv"), text, (size_t)(end - text)), "2", "3");
    struct rows *rows;
    struct row row;
    bool more;
    assert_int_equal(rows_open(&setup, &rows), STATUS_OK);
    assert_int_equal(rows_next(rows, &row, &more), STATUS_OK);
    assert_int_equal(row.field[0].bytes, LINES * 9);
    assert_memory_equal(row.field[0].text, text + 3, LINES * 9);
    assert_int_equal(rows_next(rows, &row, &more), STATUS_OK);
    assert_true(more && row.line == LINES + 2 && row.field[1].text[0] == 'd');
    rows_close(rows);
    free(text);
}

static void tabs_and_blanks(void **state)
{
    (void)state;
    expect(setup_of(put_text("a.tsv", "label\ttext_a\n1\t这间\n0\t\"quoted\n"), "text_a", "label"),
           "2:这间|1\n3:\"quoted|0\n");
    struct rows_setup spaced = setup_of(put_text("trec.txt", "0 How did it ?\n1 What\n"), "2", "1");
    spaced.format = "spaced";
    expect(spaced, "1:How did it ?|0\n2:What|1\n");
}

static void packed_tables(void **state)
{
    (void)state;
#ifdef HAVE_ZLIB
    gzFile file = gzopen(scratch_path("p.tsv.gz"), "wb");
    assert_int_equal(gzputs(file, "a\tb\nc\td\n"), 8);
    gzclose(file);
    expect(setup_of(scratch_path("p.tsv.gz"), "2", NULL), "1:b\n2:d\n");
#else
    skip();
#endif
}

static void bad_tables_are_named(void **state)
{
    (void)state;
    refuse_text("r.csv", "a,b\nc,d\ne\n", "1", "2",
                "r.csv line 3 has 1 field between commas, the rows before it 2");
    refuse_text("r.tsv", "a\tb\nc\td\te\n", "1", "2",
                "r.tsv line 2 has 3 fields between tabs, the rows before it 2");
    refuse_text("r.csv", "text,label\nx\n", "text", "label", "r.csv line 2 has 1 field between");
    refuse_text("r.csv", "a,b\n", "3", NULL, "column 3 is not there");
    refuse_text("r.csv", "text,label\nx,y\n", "text", "3",
                "r.csv line 1 has 2 fields between commas; column 3 is not there");
    struct rows_setup named = setup_of(put_text("r.csv", "a,b\nc,d\n"), "99999", NULL);
    named.header = true;
    refuse(named, STATUS_INPUT, "r.csv line 1 has 2 fields between commas; column 99999 is not");
    refuse_text("r.csv", "text,label\n", "sentence", NULL,
                "names no column \"sentence\"; it has text, label");
    refuse_text("r.csv", "text,label,text\na,b,c\n", "label", "text",
                "r.csv line 1 names columns 1 and 3 both \"text\"");
    refuse(setup_of(scratch_path("."), "1", NULL), STATUS_INPUT,
           " is a folder; one file is wanted");
    refuse_text("r.csv", "a,\"b\nc,d\n", "1", "2",
                "r.csv line 1: a quote is opened in this row and not closed");
    refuse_text("r.csv", "a,\"b\"c\n", "1", "2",
                "r.csv line 1: behind the quoted field number 2 stands \"c\"");
    refuse_text("r.csv", "a,b\n\nc,d\n", "1", "2", "r.csv line 2 is empty, and rows follow it");
    refuse_text("r.csv", "", "text", NULL, "is empty; its first row should name the columns");
    struct rows_setup setup = setup_of(put_text("r.csv", "a\n"), "1", NULL);
    setup.format = "xls";
    refuse(setup, STATUS_USAGE, "there is no format \"xls\"");
    setup.format = NULL;
    setup.pair = "other";
    refuse(setup, STATUS_USAGE, "a second file such as other belongs to plain lines");
}

// ---- JSON ----
static void an_object_a_line(void **state)
{
    (void)state;
    expect(
        setup_of(
            put_text("a.jsonl",
                     "{\"t\": [\"one\", \"two\"], \"y\": 3}\n\n{\"y\": true, \"t\": \"a\\nb\"}\n"),
            "t", "y"),
        "1:one\ntwo|3\n3:a\nb|true\n");
    // A part of a list is one line; other fields may hold what fits no 64 bits; blanks are no row.
    expect(setup_of(put_text("c.jsonl", "{\"t\": [\"a\\nb\", \"c\"], \"y\": 0.1, \"id\": "
                                        "18446744073709551615}\n \t\r\n{\"t\": [0.7, 3], \"y\": "
                                        "9223372036854775807}\n"),
                    "t", "y"),
           "1:a b\nc|0.1\n3:0.7\n3|9223372036854775807\n");
    refuse_text("b.jsonl", "{\"t\": 18446744073709551615}\n", "t", NULL,
                "b.jsonl line 1: \"t\" is a number of 64 bits or more; write it as a string");
    refuse_text("b.jsonl", "{\"t\": \"x\"}\n{\"u\": 1}\n", "t", NULL,
                "b.jsonl line 2 has no key \"t\"; it has u");
    refuse_text("b.jsonl", "{\"t\": {}}\n", "t", NULL,
                "b.jsonl line 1: \"t\" is an object; it must be text");
    refuse_text("b.jsonl", "{\"t\": [[\"x\"]]}\n", "t", NULL, "\"t\" is a list; it must be text");
    refuse_text("b.jsonl", "[1]\n", "t", NULL, "b.jsonl line 1 is a list; it must be an object");
    refuse_text("b.jsonl", "{\"t\": \"x\n", "t", NULL, "b.jsonl line 1, column 8: not valid JSON");
    refuse_text("b.jsonl", "{\"t\": \"x\"}\n", "1", NULL, "columns of .jsonl are keys");
}

static void questions(void **state)
{
    (void)state;
    const char *text = "{\"data\": [{\"title\": \"T\", \"paragraphs\": [{\"context\": \"c\", "
                       "\"qas\": []}, {\"context\": \"战国\","
                       " \"qas\": [{\"id\": \"q1\", \"question\": \"who\", \"answers\": "
                       "[{\"text\": \"战\", \"answer_start\": 0},"
                       " {\"text\": \"国\", \"answer_start\": 1}]}, {\"id\": \"q2\", \"question\": "
                       "\"why\", \"answers\": []}]}]},"
                       " {\"paragraphs\": [{\"context\": \"d\", \"qas\": [{\"id\": \"q3\", "
                       "\"question\": \"x\", \"answers\":"
                       " [{\"text\": \"d\", \"answer_start\": 0}]}]}]}]}";
    struct rows_setup setup = {.path = put_text("s.json", text),
                               .column = {"id", "context", "answer", "start", "title"},
                               .columns = 5};
    expect(setup, "1:q1|战国|战\x1e"
                  "国|0\x1e"
                  "1|T\n2:q2|战国|||T\n3:q3|d|d|0|\n");
    refuse(setup_of(scratch_path("s.json"), "label", NULL), STATUS_INPUT,
           "there is no column \"label\"");
    refuse_text("t.json", "{\"data\": {}}", "id", NULL, "\"data\" is an object");
    refuse_text("t.json", "{\"data\": [{}]}", "id", NULL, "article 1 has no list of paragraphs");
    refuse_text("t.json", "{\"data\": [{\"paragraphs\": [{\"qas\": []}]}]}", "id", NULL,
                "paragraph 1 lacks its context");
    refuse_text("t.json",
                "{\"data\": [{\"paragraphs\": [{\"context\": \"c\", \"qas\": [{\"id\": \"a\", "
                "\"answers\": [{\"text\": \"x\"}]}]}]}]}",
                "start", NULL, "question 1: the key \"answer_start\" is missing");
    // As Windows' editors write it.
    expect(setup_of(put_text("m.json", "\xEF\xBB\xBF{\"data\": []}"), "id", NULL), "");
}

// Whatever bytes stand in a file, it is read or refused: run under the sanitizers.
static void any_bytes(void **state)
{
    (void)state;
    static const char *const format[] = {"lines", "csv", "tsv", "spaced", "jsonl", "squad"};
    static const char alphabet[] = "ab,\"\"\t \n\r\n{}[]:\xE4\xB8\xAD\x80";
    struct philox_address at = {.seed = 77, .stream = philox_stream(PHILOX_TEST, 3)};
    int fine = 0;
    for (int i = 0; i < 3000; i++) {
        char text[64];
        size_t bytes = philox_bits(at, (uint64_t)i * 100) % sizeof text;
        for (size_t j = 0; j < bytes; j++)
            text[j] = alphabet[philox_bits(at, (uint64_t)i * 100 + j + 1) % (sizeof alphabet - 1)];
        struct rows_setup setup = setup_of(put_file(scratch_path("any"), text, bytes),
                                           i % 6 == 5   ? "id"
                                           : i % 6 == 4 ? "a"
                                                        : "1",
                                           NULL);
        setup.format = format[i % 6];
        setup.replace = i % 2;
        if (read_rows(&setup) == STATUS_OK) fine++;
        error_clear();
    }
    assert_in_range(fine, 100, 2900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lines_are_rows, clear),
        cmocka_unit_test_setup(long_lines_are_whole, clear),
        cmocka_unit_test_setup(bad_lines_are_named, clear),
        cmocka_unit_test_setup(stray_bytes_may_be_replaced, clear),
        cmocka_unit_test_setup(commas_and_quotes, clear),
        cmocka_unit_test_setup(a_quoted_field_may_be_long, clear),
        cmocka_unit_test_setup(tabs_and_blanks, clear),
        cmocka_unit_test_setup(packed_tables, clear),
        cmocka_unit_test_setup(bad_tables_are_named, clear),
        cmocka_unit_test_setup(an_object_a_line, clear),
        cmocka_unit_test_setup(questions, clear),
        cmocka_unit_test_setup(any_bytes, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
