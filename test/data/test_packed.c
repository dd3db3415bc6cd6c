// SPDX-License-Identifier: Apache-2.0
// .gz and .zst: the same text as unpacked; damage, early ends, bombs and foreign data are refused with file and place.
// Skips by name what the build was made without.
#include "data/corpus.h"
#include "data/reader.h"
#include "text_files.h"

#include <sys/stat.h>
#include <time.h>
#include <utime.h>
#ifdef HAVE_ZLIB
#    include <zlib.h>
#endif
#ifdef HAVE_ZSTD
#    include <zstd.h>
#endif

#ifdef HAVE_ZLIB
// One gzip member; the caller frees.
static uint8_t *gzip(const void *text, size_t bytes, size_t *packed_p)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&stream, bytes) + 100;
    uint8_t *packed = malloc(room);
    stream.next_in = (Bytef *)(uintptr_t)text;
    stream.avail_in = (uInt)bytes;
    stream.next_out = packed;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *packed_p = stream.total_out;
    deflateEnd(&stream);
    return packed;
}
#endif

#ifdef HAVE_ZSTD
// One frame whose header names this window (0: what the level takes); the caller frees.
static uint8_t *zstd(const void *text, size_t bytes, int window_log, size_t *packed_p)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    size_t room = ZSTD_compressBound(bytes) + 100;
    uint8_t *packed = malloc(room);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    if (window_log) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    // Two steps, so that the text's length stays unknown and the frame must name a window.
    ZSTD_inBuffer input = {text, bytes, 0};
    ZSTD_outBuffer output = {packed, room, 0};
    assert_false(ZSTD_isError(ZSTD_compressStream2(context, &output, &input, ZSTD_e_continue)));
    assert_int_equal(ZSTD_compressStream2(context, &output, &input, ZSTD_e_end), 0);
    *packed_p = output.pos;
    ZSTD_freeCCtx(context);
    return packed;
}
#endif

#if defined HAVE_ZLIB || defined HAVE_ZSTD
typedef uint8_t *(*packer)(const void *text, size_t bytes, size_t *packed_p);
#    ifdef HAVE_ZSTD
static uint8_t *zstd_plain(const void *text, size_t bytes, size_t *packed_p)
{
    return zstd(text, bytes, 0, packed_p);
}
#    endif

static const struct {
    const char *ending;
    packer pack;
} packings[] = {
#    ifdef HAVE_ZLIB
    {"gz", gzip},
#    endif
#    ifdef HAVE_ZSTD
    {"zst", zstd_plain},
#    endif
    {NULL, NULL},
};

static const char *named(const char *stem, const char *ending)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", stem, ending);
    return scratch_path(name);
}

static void packed_text_is_the_same_text(void **state)
{
    (void)state;
    static const size_t rooms[] = {5, 1000, 262148, 3000000};
    for (size_t p = 0; packings[p].pack; p++)
        for (size_t k = 0; k < sizeof rooms / sizeof *rooms; k++) {
            size_t bytes, packed_bytes;
            uint8_t *text = make_text(rooms[k], 3, true, &bytes),
                    *packed = packings[p].pack(text, bytes, &packed_bytes);
            put_file(named("a", packings[p].ending), packed, packed_bytes);
            struct corpus_source source = source_of(named("a", packings[p].ending));
            assert_char_text(&source, text, bytes);
            free(packed);
            free(text);
        }
}

static void a_whole_file_is_bounded_and_has_no_mark(void **state)
{
    (void)state;
    size_t bytes, marked_bytes, packed_bytes, got = 0;
    char *read = NULL;
    uint8_t *text = make_text(300000, 3, true, &bytes), *marked = malloc(bytes + 3);
    memcpy(marked, "\xEF\xBB\xBF", 3);
    memcpy(marked + 3, text, bytes);
    marked_bytes = bytes + 3;
    for (size_t p = 0; packings[p].pack; p++) {
        uint8_t *packed = packings[p].pack(marked, marked_bytes, &packed_bytes);
        const char *path = put_file(named("w", packings[p].ending), packed, packed_bytes);
        assert_int_equal(reader_read_whole(path, marked_bytes, &read, &got), STATUS_OK);
        assert_int_equal(got, bytes);
        assert_memory_equal(read, text, bytes);
        assert_int_equal(read[got], 0);
        free(read);
        assert_int_equal(reader_read_whole(path, marked_bytes - 1, &read, &got), STATUS_INPUT);
        assert_true(error_says("has more than"));
        free(packed);
    }
    free(marked);
    free(text);
}

static void members_one_after_another_are_one_text(void **state)
{
    (void)state;
    static const char text[] = "first member, second member, \xE4\xBD\xA0\xE5\xA5\xBD";
    size_t bytes = sizeof text - 1, half = bytes - 4, one, two; // cuts a character
    for (size_t p = 0; packings[p].pack; p++) {
        uint8_t *a = packings[p].pack(text, half, &one),
                *b = packings[p].pack(text + half, bytes - half, &two), *empty;
        size_t none;
        empty = packings[p].pack("", 0, &none);
        uint8_t *all = calloc(1, one + none + two + 20);
        memcpy(all, a, one);
        memcpy(all + one, empty, none);
        memcpy(all + one + none, b, two);
        bool padded = strcmp(packings[p].ending, "gz") ==
                      0; // gzip writes zeros behind on tapes; zstd has no such thing
        put_file(named("b", packings[p].ending), all, one + none + two + (padded ? 20 : 0));
        struct corpus_source source = source_of(named("b", packings[p].ending));
        assert_char_text(&source, text, bytes);
        free(a);
        free(b);
        free(empty);
        free(all);
    }
}

static void packed_lines_give_their_field(void **state)
{
    (void)state;
    static const char lines[] = "{\"text\":\"one\"}\n{\"text\":\"two\"}\n";
    assert_int_equal(directory_create(scratch_path("lines")), STATUS_OK);
    for (size_t p = 0; packings[p].pack; p++) {
        size_t bytes;
        uint8_t *packed = packings[p].pack(lines, sizeof lines - 1, &bytes);
        put_file(named("lines/c.jsonl", packings[p].ending), packed, bytes);
        struct corpus_source source = source_of(named("lines/c.jsonl", packings[p].ending));
        assert_char_text(&source, "one\ntwo\n", 8);
        free(packed);
    }
    if (!packings[1].pack) return;
    struct corpus_source source = source_of(scratch_path("lines"));
    assert_char_text(&source, "one\ntwo\none\ntwo\n", 16);
}

// Every early end is an error, wherever it falls.
static void an_early_end_is_refused(void **state)
{
    (void)state;
    size_t bytes, packed_bytes;
    uint8_t *text = make_text(600, 4, false, &bytes);
    for (size_t p = 0; packings[p].pack; p++) {
        uint8_t *packed = packings[p].pack(text, bytes, &packed_bytes);
        for (size_t length = 0; length < packed_bytes; length++) {
            put_file(named("cut", packings[p].ending), packed, length);
            struct corpus_source source = source_of(named("cut", packings[p].ending));
            assert_byte_status(&source, STATUS_INPUT,
                               length ? "data end early, at byte" : "the file is empty");
        }
        free(packed);
    }
    free(text);
}

// A changed bit is an error, or changes no byte of the text (a gzip header holds a time and a system).
static void damage_is_refused_or_harmless(void **state)
{
    (void)state;
    size_t bytes, packed_bytes;
    uint8_t *text = make_text(500, 6, false, &bytes);
    struct tokenizer *tokenizer = byte_tokenizer();
    for (size_t p = 0; packings[p].pack; p++) {
        uint8_t *packed = packings[p].pack(text, bytes, &packed_bytes);
        int refused = 0;
        for (size_t bit = 0; bit < packed_bytes * 8; bit += 3) {
            packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            put_file(named("bad", packings[p].ending), packed, packed_bytes);
            packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            struct corpus_source source = source_of(named("bad", packings[p].ending));
            struct corpus *corpus = NULL;
            enum status status = corpus_open(&source, tokenizer, NULL, 1, &corpus);
            assert_int_equal(status == STATUS_OK, corpus != NULL);
            if (status) {
                assert_int_equal(status, STATUS_INPUT);
                assert_true(error_says("bad."));
                refused++;
                continue;
            }
            assert_int_equal(corpus->count, bytes);
            for (size_t i = 0; i < bytes; i++)
                assert_int_equal(corpus_id(corpus, (int64_t)i), text[i]);
            corpus_close(corpus);
        }
        assert_true((size_t)refused * 3 > packed_bytes * 8 * 4 / 5);
        free(packed);
    }
    tokenizer_destroy(tokenizer);
    free(text);
}

static void foreign_data_are_refused(void **state)
{
    (void)state;
    for (size_t p = 0; packings[p].pack; p++) {
        size_t bytes;
        put_file(named("foreign", packings[p].ending), "this is no packed text", 22);
        struct corpus_source source = source_of(named("foreign", packings[p].ending));
        assert_byte_status(&source, STATUS_INPUT, "data near byte");
        uint8_t *packed = packings[p].pack("some text", 9, &bytes), *longer = malloc(bytes + 9);
        memcpy(longer, packed, bytes);
        memcpy(longer + bytes, "trailing", 9);
        put_file(named("foreign", packings[p].ending), longer, bytes + 8);
        assert_byte_status(&source, STATUS_INPUT, "data near byte");
        free(packed);
        free(longer);
    }
}

static void a_bomb_is_refused(void **state)
{
    (void)state;
    size_t bytes = 100 << 20, packed_bytes;
    char *text = malloc(bytes);
    memset(text, 'a', bytes);
    for (size_t p = 0; packings[p].pack; p++) {
        uint8_t *packed = packings[p].pack(text, bytes, &packed_bytes);
        put_file(named("bomb", packings[p].ending), packed, packed_bytes);
        struct corpus_source source = source_of(named("bomb", packings[p].ending));
        assert_byte_status(&source, STATUS_INPUT, "unpacks to more than 1000 times its size");
        free(packed);
    }
    free(text);
}

#endif

#ifdef HAVE_ZSTD
static void a_window_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    size_t bytes;
    for (int window_log = 27; window_log <= 28; window_log++) {
        uint8_t *packed = zstd("some text", 9, window_log, &bytes);
        put_file(scratch_path("window.zst"), packed, bytes);
        free(packed);
        struct corpus_source source = source_of(scratch_path("window.zst"));
        if (window_log == 27)
            assert_char_text(&source, "some text", 9);
        else
            assert_byte_status(&source, STATUS_INPUT,
                               "wants a window above 128 MiB; pack it anew with --long=27 or less");
    }
}
#endif

static void a_file_that_changes_meanwhile_is_refused(void **state)
{
    (void)state;
    static const char *const edits[] = {"longer text", "shor", "other"};
    for (int edit = 0; edit < 3; edit++)
        for (int moment = 0; moment < 2; moment++) {
            struct file_list list;
            struct reader *reader = NULL;
            uint8_t text[32];
            size_t got;
            put_text("changing.txt", "text!");
            struct utimbuf old = {.actime = 1000000, .modtime = 1000000};
            assert_int_equal(utime(scratch_path("changing.txt"), &old), 0);
            assert_int_equal(file_list_create(scratch_path("changing.txt"), &list), STATUS_OK);
            if (moment) assert_int_equal(reader_open(&list.files[0], &reader), STATUS_OK);
            put_text("changing.txt", edits[edit]);
            enum status status = moment ? reader_read(reader, text, sizeof text, &got)
                                        : reader_open(&list.files[0], &reader);
            assert_int_equal(status, STATUS_INPUT);
            assert_true(error_says("changing.txt"));
            if (moment) reader_close(reader);
            file_list_destroy(&list);
        }
}

#ifndef HAVE_ZLIB
static void a_build_without_zlib_says_so(void **state)
{
    (void)state;
    struct corpus_source source = source_of(put_text("a.gz", "x"));
    assert_byte_status(
        &source, STATUS_INPUT,
        "reading .gz files needs zlib, which this build was made without (zlib1g-dev)");
}
#endif
#ifndef HAVE_ZSTD
static void a_build_without_zstd_says_so(void **state)
{
    (void)state;
    struct corpus_source source = source_of(put_text("a.zst", "x"));
    assert_byte_status(
        &source, STATUS_INPUT,
        "reading .zst files needs zstd, which this build was made without (libzstd-dev)");
}
#endif

// The cases run over the packings that the build has; those it lacks are named.
int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined HAVE_ZLIB || defined HAVE_ZSTD
        cmocka_unit_test_setup(packed_text_is_the_same_text, clear),
        cmocka_unit_test_setup(a_whole_file_is_bounded_and_has_no_mark, clear),
        cmocka_unit_test_setup(members_one_after_another_are_one_text, clear),
        cmocka_unit_test_setup(packed_lines_give_their_field, clear),
        cmocka_unit_test_setup(an_early_end_is_refused, clear),
        cmocka_unit_test_setup(damage_is_refused_or_harmless, clear),
        cmocka_unit_test_setup(foreign_data_are_refused, clear),
        cmocka_unit_test_setup(a_bomb_is_refused, clear),
#endif
        cmocka_unit_test_setup(a_file_that_changes_meanwhile_is_refused, clear),
#ifdef HAVE_ZSTD
        cmocka_unit_test_setup(a_window_beyond_the_limit_is_refused, clear),
#else
        cmocka_unit_test_setup(a_build_without_zstd_says_so, clear),
#endif
#ifndef HAVE_ZLIB
        cmocka_unit_test_setup(a_build_without_zlib_says_so, clear),
#endif
    };
    int failed = cmocka_run_group_tests(tests, NULL, remove_scratch);
#ifndef HAVE_ZLIB
    printf("ok 11 - packed_text_in_gz # SKIP this build has no zlib\n");
#endif
#ifndef HAVE_ZSTD
    printf("ok 12 - packed_text_in_zst # SKIP this build has no zstd\n");
#endif
    return failed;
}
