// SPDX-License-Identifier: Apache-2.0
// tokenizer.json: what we write reads back; what is damaged, hostile or of another kind is refused by name; mutations never crash.
#include "base/philox.h"
#include "scratch.h"
#include "text/tokenizer.h"

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

static void what_is_saved_is_loaded(void **state)
{
    (void)state;
    static const char text[] = "a\0b\"\\/"
                               "\n\x7F\x1b\xC2\x85\xFF\x80\xE4\xBD\xA0\xF0\x9F\x98\x80<0xFF>"
                               "\xEF\xBF\xBF\xEF\xBB\xBF\xE2\x80\xA8";
    struct tokenizer *made[2] = {char_tokenizer(text, sizeof text - 1), NULL}, *back;
    assert_int_equal(tokenizer_byte_create(&made[1]), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tokenizer_save(made[i], scratch_path("new/folder")), STATUS_OK);
        for (int whole = 0; whole < 2; whole++) {
            const char *path = scratch_path(whole ? "new/folder/tokenizer.json" : "new/folder");
            assert_int_equal(tokenizer_load(path, &back), STATUS_OK);
            assert_string_equal(tokenizer_kind(back), tokenizer_kind(made[i]));
            assert_int_equal(tokenizer_size(back), tokenizer_size(made[i]));
            assert_true(tokenizer_hash(back) == tokenizer_hash(made[i]));
            int32_t one[64], two[64];
            size_t count = 0, again = 0, bytes = sizeof text - 1;
            assert_int_equal(
                tokenizer_encode(made[i], (const uint8_t *)text, bytes, "", 0, one, &count),
                STATUS_OK);
            assert_int_equal(
                tokenizer_encode(back, (const uint8_t *)text, bytes, "", 0, two, &again),
                STATUS_OK);
            assert_int_equal(count, again);
            assert_memory_equal(one, two, count * sizeof *one);
            tokenizer_destroy(back);
        }
        tokenizer_destroy(made[i]);
    }
}

// ---- refusals ----
#define SPLIT                                                                                      \
    "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\\\\s\\\\S]\"},\"behavior\":" \
    "\"Isolated\",\"invert\":false}"
#define FUSE                                                                                       \
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"      \
    "\"Fuse\"}]}"
#define HEAD "{\"version\":\"1.0\",\"added_tokens\":[]," SPLIT "," FUSE ","
#define CHARS(vocab)                                                                               \
    HEAD "\"model\":{\"type\":\"WordLevel\",\"vocab\":" vocab ",\"unk_token\":\"<unk>\"}}"

static const struct {
    const char *json;
    enum status status;
    const char *says;
} refused[] = {
    {"", STATUS_INPUT, "bad.json"},
    {"{", STATUS_INPUT, "bad.json"},
    {"[]", STATUS_INPUT, "\"model\""},
    {"{\"model\":[]}", STATUS_INPUT, "\"model\""},
    {"{\"model\":{}}", STATUS_INPUT, "type"},
    {"{\"model\":{\"type\":7}}", STATUS_INPUT, "type"},
    {"{\"model\":{\"type\":\"Wor\\u001b[2J\"}}", STATUS_INPUT, "model.type is \"Wor\\u001B[2J\""},
    {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", STATUS_UNSUPPORTED,
     "a WordPiece tokenizer is not supported"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", STATUS_UNSUPPORTED,
     "a Unigram tokenizer is not supported"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", STATUS_UNSUPPORTED,
     "pre_tokenizer is absent, which is not supported in a BPE tokenizer"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}", STATUS_INPUT,
     "version is missing"},
    // ids: hostile-inputs 25
    {CHARS("{}"), STATUS_INPUT, "model.vocab has 0 entries"},
    {CHARS("[]"), STATUS_INPUT, "model.vocab is not an object"},
    {CHARS("{\"a\":-1}"), STATUS_INPUT,
     "the id of \"a\" is -1; in a vocabulary of 1 entries ids are 0 to 0"},
    {CHARS("{\"a\":0,\"b\":2147483648}"), STATUS_INPUT, "the id of \"b\" is 2147483648"},
    {CHARS("{\"a\":0,\"b\":9223372036854775807}"), STATUS_INPUT,
     "the id of \"b\" is 9223372036854775807"},
    {CHARS("{\"a\":0,\"b\":9223372036854775808}"), STATUS_INPUT, "bad.json"},
    {CHARS("{\"a\":0,\"b\":2}"), STATUS_INPUT, "the id of \"b\" is 2; in a vocabulary of 2"},
    {CHARS("{\"a\":0,\"b\":0}"), STATUS_INPUT, "the id 0 of \"b\" is another entry's too"},
    {CHARS("{\"a\":0,\"a\":1}"), STATUS_INPUT, "bad.json"},
    {CHARS("{\"a\":0,\"\\u0061\":1}"), STATUS_INPUT, "bad.json"},
    {CHARS("{\"a\":0.0}"), STATUS_INPUT, "the id of \"a\" is 0.0"},
    {CHARS("{\"a\":\"0\"}"), STATUS_INPUT, "the id of \"a\" is \"0\""},
    {CHARS("{\"a\":null}"), STATUS_INPUT, "the id of \"a\" is null"},
    {CHARS("{\"a\":{\"b\":[1]}}"), STATUS_INPUT, "the id of \"a\" is {\"b\":[1]}"},
    // entries: 30
    {CHARS("{\"ab\":0}"), STATUS_INPUT, "\"ab\" is no entry of a char tokenizer"},
    {CHARS("{\"\":0}"), STATUS_INPUT, "\"\" is no entry"},
    {CHARS("{\"<0x-1>\":0}"), STATUS_INPUT, "\"<0x-1>\" is no entry"},
    {CHARS("{\"<0xGG>\":0}"), STATUS_INPUT, "\"<0xGG>\" is no entry"},
    {CHARS("{\"<0xff>\":0}"), STATUS_INPUT, "\"<0xff>\" is no entry"},
    {CHARS("{\"<0x1\":0}"), STATUS_INPUT, "\"<0x1\" is no entry"},
    {CHARS("{\"<0x100>\":0}"), STATUS_INPUT, "\"<0x100>\" is no entry"},
    {CHARS("{\"<0x41>\":0}"), STATUS_INPUT, "\"<0x41>\" is no entry"},
    {CHARS("{\"<0x80\\u0000>\":0}"), STATUS_INPUT, "bad.json"},
    {CHARS("{\"\xED\xA0\x80\":0}"), STATUS_INPUT, "bad.json"},
    {CHARS("{\"\\ud800\":0}"), STATUS_INPUT, "bad.json"},
    {CHARS("{\"\xC0\xAF\":0}"), STATUS_INPUT, "bad.json"},
    // other fields: 31, 32
    {"{\"version\":\"1.0\",\"added_tokens\":[{\"id\":1,\"content\":\"\"}]," SPLIT "," FUSE
     ",\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"<unk>\"}}",
     STATUS_UNSUPPORTED,
     "added_tokens is [{\"id\":1,\"content\":\"\"}], which is not supported; a char tokenizer has "
     "[] there"},
    {"{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":{\"type\":\"NFC\"}," SPLIT "," FUSE
     ",\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"<unk>\"}}",
     STATUS_UNSUPPORTED,
     "normalizer is {\"type\":\"NFC\"}, which is not supported; a char tokenizer has null there"},
    {"{\"version\":\"1.0\",\"added_tokens\":[],\"pre_tokenizer\":{\"type\":\"Whitespace\"}," FUSE
     ",\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"<unk>\"}}",
     STATUS_UNSUPPORTED, "pre_tokenizer is {\"type\":\"Whitespace\"}, which is not supported"},
    {"{\"version\":\"1.0\",\"added_tokens\":[]," FUSE
     ",\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"<unk>\"}}",
     STATUS_INPUT, "pre_tokenizer is missing; a char tokenizer has {\"type\":\"Split\""},
    {"{\"version\":\"2.0\",\"added_tokens\":[]," SPLIT "," FUSE
     ",\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"<unk>\"}}",
     STATUS_UNSUPPORTED, "version is \"2.0\""},
    {HEAD "\"surprise\":1,\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"<"
          "unk>\"}}",
     STATUS_INPUT, "bad.json: \"surprise\" is a field that no char tokenizer has"},
    {HEAD
     "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"<unk>\",\"more\":[]}}",
     STATUS_INPUT, "model.\"more\" is a field"},
    {HEAD "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}}",
     STATUS_UNSUPPORTED, "model.unk_token is \"a\""},
    {HEAD "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"<unk>\"}}", STATUS_INPUT,
     "model.vocab is missing"},
    {CHARS("{\"a\":0}") "x", STATUS_INPUT, "bad.json"},
};

static void hostile_files_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct tokenizer *tokenizer = NULL;
        put_file(scratch_path("bad.json"), refused[i].json, strlen(refused[i].json));
        enum status status = tokenizer_load(scratch_path("bad.json"), &tokenizer);
        if (status != refused[i].status)
            fail_msg("case %zu: status %d, %s", i, status, error_message());
        assert_null(tokenizer);
        assert_non_null(strstr(error_message(), "bad.json"));
        assert_true(error_says(refused[i].says));
    }
    struct tokenizer *tokenizer = NULL;
    const char *good = CHARS("{\"a\":1,\"<0xFF>\":0}");
    put_file(scratch_path("good.json"), good, strlen(good));
    assert_int_equal(tokenizer_load(scratch_path("good.json"), &tokenizer), STATUS_OK);
    tokenizer_destroy(tokenizer);
}

static void missing_files_and_folders_are_named(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(tokenizer_load(scratch_path("nowhere.json"), &tokenizer), STATUS_INPUT);
    assert_true(error_says("nowhere.json"));
    assert_int_equal(tokenizer_load(scratch(), &tokenizer), STATUS_INPUT);
    assert_true(error_says("tokenizer.json"));
    char long_path[6000];
    memset(long_path, 'x', sizeof long_path);
    long_path[sizeof long_path - 1] = 0;
    assert_int_not_equal(tokenizer_load(long_path, &tokenizer), STATUS_OK);
    assert_null(tokenizer);
}

static void a_byte_vocabulary_must_be_whole_and_in_order(void **state)
{
    (void)state;
    struct tokenizer *byte, *tokenizer = NULL;
    char *text;
    size_t bytes;
    assert_int_equal(tokenizer_byte_create(&byte), STATUS_OK);
    assert_int_equal(tokenizer_save(byte, scratch_path("byte")), STATUS_OK);
    tokenizer_destroy(byte);
    assert_int_equal(file_read(scratch_path("byte/tokenizer.json"), 1 << 20, &text, &bytes),
                     STATUS_OK);
    static const struct {
        const char *from, *to;
        enum status status;
        const char *says;
    } edits[] = {
        {"\"A\": 65", "\"A\": 66", STATUS_INPUT, "the id 66 of \"B\" is another entry's too"},
        {"\"A\": 65", "\"A\":256", STATUS_INPUT, "the id of \"A\" is 256"},
        {"\"A\": 65", "\"\x7f\": 65", STATUS_INPUT, "is no entry of a byte tokenizer"},
        {"\"add_prefix_space\": false", "\"add_prefix_space\":  true", STATUS_UNSUPPORTED,
         "pre_tokenizer is"},
        {"\"ignore_merges\": false", "\"ignore_merges\":  true", STATUS_UNSUPPORTED,
         "model.ignore_merges is true"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char *copy = malloc(bytes + 1);
        memcpy(copy, text, bytes + 1);
        char *at = strstr(copy, edits[i].from);
        assert_non_null(at);
        memcpy(at, edits[i].to, strlen(edits[i].to));
        put_file(scratch_path("edited.json"), copy, bytes);
        assert_int_equal(tokenizer_load(scratch_path("edited.json"), &tokenizer), edits[i].status);
        assert_true(error_says(edits[i].says));
        assert_null(tokenizer);
        free(copy);
    }
    char *a = strstr(text, "\"A\": 65"), *b = strstr(text, "\"B\": 66");
    a[6] = '6', b[6] = '5';
    put_file(scratch_path("edited.json"), text, bytes);
    assert_int_equal(tokenizer_load(scratch_path("edited.json"), &tokenizer), STATUS_UNSUPPORTED);
    assert_true(error_says("id 65 stands for byte 0x42"));
    free(text);
}

static void nesting_and_size_are_bounded(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = NULL;
    size_t bytes = 200000;
    char *text = malloc(bytes);
    memset(text, '[', bytes);
    put_file(scratch_path("deep.json"), text, bytes);
    assert_int_equal(tokenizer_load(scratch_path("deep.json"), &tokenizer), STATUS_INPUT);
    assert_true(error_says("deep.json"));
    FILE *file = fopen(scratch_path("large.json"), "wb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 257 << 20, SEEK_SET), 0);
    assert_int_equal(fputc('}', file), '}');
    assert_int_equal(fclose(file), 0);
    assert_int_equal(tokenizer_load(scratch_path("large.json"), &tokenizer), STATUS_INPUT);
    assert_true(error_says("large.json"));
    assert_null(tokenizer);
    free(text);
}

// ---- mutations ----
static uint32_t dice(uint32_t round, uint64_t i)
{
    return philox_bits((struct philox_address){.seed = 11,
                                               .stream = philox_stream(PHILOX_TEST, 3),
                                               .sequence = round},
                       i);
}

// Changes, inserts, removes, doubles or cuts: one to four times.
static size_t mutate(char *text, size_t bytes, size_t room, uint32_t round)
{
    static const char *const words[] = {"null",    "-1",          "1e999",   "[[",
                                        "}",       "\"",          "{\"a\":", "\\u0000",
                                        "\\ud800", "99999999999", "\xFF",    "<0x80>"};
    int changes = 1 + (int)(dice(round, 0) % 4);
    for (int change = 0; change < changes && bytes > 2; change++) {
        uint64_t element = 1 + 8u * (uint64_t)change;
        size_t at = dice(round, element) % bytes, span = dice(round, element + 1) % 20;
        if (span > bytes - at) span = bytes - at;
        const char *word = words[dice(round, element + 2) % (sizeof words / sizeof *words)];
        size_t length = strlen(word);
        switch (dice(round, element + 3) % 6) {
        case 0:
            text[at] = (char)(text[at] ^ 1 << dice(round, element + 4) % 8);
            break;
        case 1:
            text[at] = (char)dice(round, element + 4);
            break;
        case 2:
            memmove(text + at, text + at + span, bytes - at - span), bytes -= span;
            break;
        case 3:
            if (bytes + length < room)
                memmove(text + at + length, text + at, bytes - at), memcpy(text + at, word, length),
                    bytes += length;
            break;
        case 4:
            if (bytes + span < room)
                memmove(text + at + span, text + at, bytes - at), bytes += span;
            break;
        default:
            if (dice(round, element + 4) % 4 == 0) bytes = at;
            break;
        }
    }
    return bytes;
}

// Uses a tokenizer that survived mutation: its pieces must be sound, and encode and decode agree on them.
static void use(const struct tokenizer *tokenizer)
{
    for (int32_t id = 0; id < tokenizer_size(tokenizer); id++) {
        size_t bytes = 0, count = 0;
        int32_t ids[4];
        const uint8_t *piece = tokenizer_piece(tokenizer, id, &bytes);
        assert_true(piece && bytes >= 1 && bytes <= 4);
        assert_int_equal(tokenizer_encode(tokenizer, piece, bytes, "piece", 0, ids, &count),
                         STATUS_OK);
        assert_int_equal(count, 1);
        assert_int_equal(ids[0], id);
    }
}

static void mutations_are_read_or_refused(void **state)
{
    (void)state;
    struct tokenizer *made[2] = {char_tokenizer("hello, w\xFFrld\n\0\xE4\xBD\xA0", 16), NULL};
    assert_int_equal(tokenizer_byte_create(&made[1]), STATUS_OK);
    int taken = 0;
    for (int kind = 0; kind < 2; kind++) {
        char *text, *copy;
        size_t bytes;
        assert_int_equal(tokenizer_save(made[kind], scratch_path("seed")), STATUS_OK);
        assert_int_equal(file_read(scratch_path("seed/tokenizer.json"), 1 << 20, &text, &bytes),
                         STATUS_OK);
        copy = malloc(bytes + 256);
        for (uint32_t round = 0; round < 2000; round++) {
            struct tokenizer *tokenizer = NULL;
            memcpy(copy, text, bytes);
            size_t changed = mutate(copy, bytes, bytes + 256, round * 2 + (uint32_t)kind);
            put_file(scratch_path("mutated.json"), copy, changed);
            enum status status = tokenizer_load(scratch_path("mutated.json"), &tokenizer);
            assert_true(status == STATUS_OK || status == STATUS_INPUT ||
                        status == STATUS_UNSUPPORTED);
            assert_int_equal(status == STATUS_OK, tokenizer != NULL);
            assert_int_equal(status == STATUS_OK, error_message()[0] == 0);
            if (tokenizer) use(tokenizer), taken++;
            tokenizer_destroy(tokenizer);
            error_clear();
        }
        free(copy);
        free(text);
        tokenizer_destroy(made[kind]);
    }
    assert_true(taken > 10 &&
                taken < 2000); // white space and untouched entries may change, little else
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_saved_is_loaded, clear),
        cmocka_unit_test_setup(hostile_files_are_refused_by_name, clear),
        cmocka_unit_test_setup(missing_files_and_folders_are_named, clear),
        cmocka_unit_test_setup(a_byte_vocabulary_must_be_whole_and_in_order, clear),
        cmocka_unit_test_setup(nesting_and_size_are_bounded, clear),
        cmocka_unit_test_setup(mutations_are_read_or_refused, clear),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
