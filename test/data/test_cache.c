// SPDX-License-Identifier: Apache-2.0
// The token cache: made once, used again, made anew when the text changed or the file is damaged; nothing half-made ever stays.
#include "base/file_fault.h"
#include "data/corpus.h"
#include "text_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <utime.h>
#include <xxhash.h>

static const char *folder(void)
{
    static char path[SCRATCH_PATH + 8];
    if (!path[0]) snprintf(path, sizeof path, "%s/cache", scratch());
    return path;
}

static int fresh(void **state)
{
    file_fault_set(NULL, NULL);
    if (directory_remove(folder())) return 1;
    return clear(state);
}

// Names in the cache folder: how many, and the first one's path.
static int cached(char path[SCRATCH_PATH + 256])
{
    char **names;
    int count;
    assert_int_equal(directory_list(folder(), &names, &count), STATUS_OK);
    if (count) snprintf(path, SCRATCH_PATH + 256, "%s/%s", folder(), names[0]);
    names_free(names, count);
    return count;
}

// Opens text.txt with the byte tokenizer; whether it was tokenized for that.
static bool open_bytes(const char *text, size_t bytes)
{
    struct tokenizer *tokenizer = byte_tokenizer();
    struct corpus_source source = source_of(scratch_path("text.txt"));
    struct corpus *corpus = NULL;
    logged[0] = 0;
    if (corpus_open(&source, tokenizer, folder(), 2, &corpus)) fail_msg("%s", error_message());
    assert_int_equal(corpus->count, bytes);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(corpus_id(corpus, (int64_t)i), (uint8_t)text[i]);
    assert_true(corpus->hash == XXH3_64bits(corpus->ids16, bytes * 2));
    corpus_close(corpus);
    tokenizer_destroy(tokenizer);
    return strstr(logged, "tokenized") != NULL;
}

static const char words[] = "some words to be cached";
enum { WORDS = sizeof words - 1 };

static void a_cache_is_used_again(void **state)
{
    (void)state;
    char path[SCRATCH_PATH + 256];
    put_text("text.txt", words);
    assert_true(open_bytes(words, WORDS));
    assert_false(open_bytes(words, WORDS));
    assert_string_equal(logged, "");
    assert_int_equal(cached(path), 1);
    char *data;
    size_t bytes;
    assert_int_equal(file_read(path, 1000, &data, &bytes), STATUS_OK);
    assert_int_equal(bytes, 64 + 2 * WORDS);
    assert_memory_equal(data, "STNTOKEN\4\3\2\1\2\0\0\0\2\0\0\0\0\1\0\0", 24);
    free(data);
}

static void a_changed_text_is_tokenized_again(void **state)
{
    (void)state;
    char path[SCRATCH_PATH + 256];
    put_text("text.txt", words);
    struct utimbuf early = {.actime = 1000000, .modtime = 1000000},
                   late = {.actime = 1000000, .modtime = 1000001};
    assert_int_equal(utime(scratch_path("text.txt"), &early), 0);
    assert_true(open_bytes(words, WORDS));
    put_text("text.txt", "longer words to be cached again");
    assert_int_equal(utime(scratch_path("text.txt"), &early), 0);
    assert_true(open_bytes("longer words to be cached again", 31)); // the size differs
    assert_non_null(strstr(logged, "the text has changed; tokenizing again"));
    assert_null(strstr(logged, "warning"));
    put_text("text.txt", "LONGER words to be cached again");
    assert_int_equal(utime(scratch_path("text.txt"), &late), 0);
    assert_true(open_bytes("LONGER words to be cached again", 31)); // the time differs
    assert_int_equal(cached(path), 1);
}

static void sources_fields_and_tokenizers_do_not_share(void **state)
{
    (void)state;
    char path[SCRATCH_PATH + 256];
    put_text("one.jsonl", "{\"text\":\"a\",\"body\":\"bb\"}\n");
    put_text("two.jsonl", "{\"text\":\"cccc\"}\n");
    struct corpus_source sources[3] = {source_of(scratch_path("one.jsonl")),
                                       source_of(scratch_path("two.jsonl")),
                                       source_of(scratch_path("one.jsonl"))};
    sources[2].field = "body";
    static const int counts[] = {2, 5, 3};
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 3; i++) {
            struct tokenizer *bytes = byte_tokenizer(), *chars;
            struct corpus *corpus;
            assert_int_equal(corpus_open(&sources[i], bytes, folder(), 1, &corpus), STATUS_OK);
            assert_int_equal(corpus->count, counts[i]);
            corpus_close(corpus);
            corpus = open_char(&sources[i], folder(), 1, &chars);
            assert_non_null(corpus);
            assert_int_equal(corpus->count, counts[i]);
            corpus_close(corpus);
            tokenizer_destroy(bytes);
            tokenizer_destroy(chars);
        }
    assert_int_equal(cached(path), 6);
}

// Writes `data` in the cache's place, with this time for the text so that only the cache is in question.
static void assert_made_anew(const char *path, const void *data, size_t bytes, const char *why)
{
    put_file(path, data, bytes);
    assert_true(open_bytes(words, WORDS));
    if (!strstr(logged, why)) fail_msg("the log says: %s", logged);
    assert_non_null(strstr(logged, "warning: "));
    assert_false(open_bytes(words, WORDS));
}

static void a_damaged_cache_is_made_anew(void **state)
{
    (void)state;
    char path[SCRATCH_PATH + 256], *good;
    size_t bytes;
    put_text("text.txt", words);
    assert_true(open_bytes(words, WORDS));
    assert_int_equal(cached(path), 1);
    assert_int_equal(file_read(path, 1000, &good, &bytes), STATUS_OK);
    for (size_t length = 0; length < bytes; length += length < 64 ? 9 : 1)
        assert_made_anew(path, good, length, "tokenizing again");
    char *data = malloc(bytes + 10);
    for (size_t bit = 0; bit < bytes * 8; bit += 5) {
        memcpy(data, good, bytes);
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
        assert_made_anew(path, data, bytes, "tokenizing again");
    }
    memcpy(data, good, bytes);
    memcpy(data + bytes, "0123456789", 10);
    assert_made_anew(path, data, bytes + 10, "its length is wrong");
    assert_made_anew(path, "foreign file, much longer than a header of sixty-four bytes would be",
                     68, "it is no token cache");
    // A hostile one: hashes are right, an id is beyond the vocabulary.
    memcpy(data, good, bytes);
    data[64 + 1] = 1;
    uint64_t hash = XXH3_64bits(data + 64, bytes - 64);
    memcpy(data + 32, &hash, 8);
    hash = XXH3_64bits(data, 56);
    memcpy(data + 56, &hash, 8);
    assert_made_anew(path, data, bytes, "it has ids beyond the vocabulary");
    // A sound one by the rules of an earlier version.
    memcpy(data, good, bytes);
    data[12] = 1;
    hash = XXH3_64bits(data, 56);
    memcpy(data + 56, &hash, 8);
    assert_made_anew(path, data, bytes, "it has another version");
    // A count whose product with the width overflows.
    memcpy(data, good, bytes);
    uint64_t count = (1ull << 63) + WORDS;
    memcpy(data + 24, &count, 8);
    hash = XXH3_64bits(data, 56);
    memcpy(data + 56, &hash, 8);
    assert_made_anew(path, data, bytes, "its header is wrong");
    free(data);
    free(good);
    // A folder in its place can not be replaced: that is said, and what is in it stays.
    assert_int_equal(unlink(path), 0);
    assert_int_equal(directory_create(path), STATUS_OK);
    struct tokenizer *tokenizer = byte_tokenizer();
    struct corpus_source source = source_of(scratch_path("text.txt"));
    struct corpus *corpus = NULL;
    assert_int_equal(corpus_open(&source, tokenizer, folder(), 2, &corpus), STATUS_DISK);
    assert_null(corpus);
    assert_true(error_says("cannot rename"));
    assert_int_equal(cached(path), 1);
    tokenizer_destroy(tokenizer);
}

static void without_a_folder_nothing_stays(void **state)
{
    (void)state;
    char path[SCRATCH_PATH + 256], *before = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
    assert_int_equal(directory_create(folder()), STATUS_OK);
    assert_int_equal(setenv("TMPDIR", folder(), 1), 0);
    put_text("text.txt", words);
    struct tokenizer *tokenizer;
    struct corpus_source source = source_of(scratch_path("text.txt"));
    struct corpus *corpus = open_char(&source, NULL, 2, &tokenizer);
    assert_non_null(corpus);
    assert_int_equal(corpus->count, WORDS);
    assert_int_equal(cached(path), 0);
    corpus_close(corpus);
    tokenizer_destroy(tokenizer);
    if (before)
        setenv("TMPDIR", before, 1);
    else
        unsetenv("TMPDIR");
    free(before);
}

static void processes_at_once_do_not_disturb_each_other(void **state)
{
    (void)state;
    size_t bytes;
    uint8_t *text = make_text(2000000, 8, true, &bytes);
    put_file(scratch_path("text.txt"), text, bytes);
    pid_t children[6];
    for (int i = 0; i < 6; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i]) continue;
        struct tokenizer *tokenizer = NULL;
        struct corpus *corpus = NULL;
        struct corpus_source source = source_of(scratch_path("text.txt"));
        bool same = !tokenizer_byte_create(&tokenizer) &&
                    !corpus_open(&source, tokenizer, folder(), 1 + i % 3, &corpus) &&
                    corpus->count == (int64_t)bytes;
        for (size_t at = 0; same && at < bytes; at++)
            same = corpus_id(corpus, (int64_t)at) == text[at];
        _exit(same ? 0 : 1);
    }
    for (int i = 0; i < 6; i++) {
        int result;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_int_equal(result, 0);
    }
    char path[SCRATCH_PATH + 256];
    assert_int_equal(cached(path), 1);
    assert_false(open_bytes((char *)text, bytes));
    free(text);
}

// ---- a disk that fails ----
struct fault_plan {
    enum file_call call;
    int number, countdown;
};

static int fail_nth(void *context, enum file_call call, size_t *bytes)
{
    (void)bytes;
    struct fault_plan *plan = context;
    return call == plan->call && plan->countdown-- == 0 ? plan->number : 0;
}

static void a_disk_that_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    static const enum file_call calls[] = {
        FILE_CALL_OPEN,   FILE_CALL_WRITE, FILE_CALL_SYNC,          FILE_CALL_CLOSE,
        FILE_CALL_RENAME, FILE_CALL_READ,  FILE_CALL_MAKE_DIRECTORY};
    size_t bytes;
    uint8_t *text = make_text(1500000, 8, false, &bytes);
    put_file(scratch_path("text.txt"), text, bytes);
    struct corpus_source source = source_of(scratch_path("text.txt"));
    struct tokenizer *tokenizer = byte_tokenizer();
    int failures = 0;
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++)
        for (int nth = 0; nth < 12; nth++) {
            struct corpus *corpus = NULL;
            char path[SCRATCH_PATH + 256];
            assert_int_equal(directory_remove(folder()), STATUS_OK);
            struct fault_plan plan = {calls[k], ENOSPC, nth};
            file_fault_set(fail_nth, &plan);
            enum status status = corpus_open(&source, tokenizer, folder(), 2, &corpus);
            file_fault_set(NULL, NULL);
            if (!status) {
                assert_int_equal(corpus->count, bytes);
                corpus_close(corpus);
                break;
            }
            failures++;
            assert_null(corpus);
            assert_true(status == STATUS_DISK || status == STATUS_INPUT);
            assert_true(error_says("No space left"));
            if (directory_exists(folder())) assert_int_equal(cached(path), 0);
        }
    assert_true(failures >= 10);
    // And it works afterwards.
    assert_int_equal(directory_remove(folder()), STATUS_OK);
    assert_true(open_bytes((char *)text, bytes));
    tokenizer_destroy(tokenizer);
    free(text);
}

static void a_folder_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    put_text("text.txt", words);
    put_text("file", "in the way");
    struct tokenizer *tokenizer = byte_tokenizer();
    struct corpus_source source = source_of(scratch_path("text.txt"));
    struct corpus *corpus = NULL;
    assert_int_equal(corpus_open(&source, tokenizer, scratch_path("file/cache"), 1, &corpus),
                     STATUS_DISK);
    assert_true(error_says("file"));
    assert_null(corpus);
    tokenizer_destroy(tokenizer);
}

// ---- what a killed process leaves ----
static void what_a_killed_process_left_is_removed(void **state)
{
    (void)state;
    enum { LEFT = 6 };
    char path[SCRATCH_PATH + 256], left[LEFT][SCRATCH_PATH + 300];
    put_text("text.txt", words);
    assert_true(open_bytes(words, WORDS));
    assert_int_equal(cached(path), 1);
    struct utimbuf old = {.actime = 1000000, .modtime = 1000000};
    static const char *const names[] = {".making-1-0-1", ".making-2-0-1", ".making-3-0-1",
                                        ".other"};
    for (int i = 0; i < LEFT; i++) {
        if (i < 4) snprintf(left[i], sizeof left[i], "%s%s", path, names[i]);
        // Of another text or tokenizer; of another program.
        if (i == 4) snprintf(left[i], sizeof left[i], "%s/b-1.tokens.making-4-0-1", folder());
        if (i == 5) snprintf(left[i], sizeof left[i], "%s/b-1.making-4-0-1", folder());
        put_file(left[i], "x", 1);
        if (i != 1) assert_int_equal(utime(left[i], &old), 0); // the second is new
    }
    int held = open(left[2], O_RDONLY); // the third is being written
    assert_int_equal(flock(held, LOCK_EX), 0);
    assert_int_equal(unlink(path), 0);
    assert_true(open_bytes(words, WORDS));
    assert_false(file_exists(left[0]));
    assert_true(file_exists(left[1]));
    assert_true(file_exists(left[2]));
    assert_true(file_exists(left[3]));
    assert_false(file_exists(left[4]));
    assert_true(file_exists(left[5]));
    close(held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_cache_is_used_again, fresh),
        cmocka_unit_test_setup(a_changed_text_is_tokenized_again, fresh),
        cmocka_unit_test_setup(sources_fields_and_tokenizers_do_not_share, fresh),
        cmocka_unit_test_setup(a_damaged_cache_is_made_anew, fresh),
        cmocka_unit_test_setup(without_a_folder_nothing_stays, fresh),
        cmocka_unit_test_setup(processes_at_once_do_not_disturb_each_other, fresh),
        cmocka_unit_test_setup(a_disk_that_fails_leaves_nothing_behind, fresh),
        cmocka_unit_test_setup(a_folder_that_cannot_be_written_is_named, fresh),
        cmocka_unit_test_setup(what_a_killed_process_left_is_removed, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
