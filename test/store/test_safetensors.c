// SPDX-License-Identifier: Apache-2.0
// The safetensors reader against its enemies (corpus.h, odd files, mutations) and the writer against the reader.
// "test_safetensors corpus DIR" writes the corpus for test_safetensors_python.sh; "… show FILE" prints what a file holds.
#include "base/philox.h"
#include "base/sha256.h"
#include "corpus.h"
#include "scratch.h"
#include "store/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

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

// ---- the corpus ----
static void corpus_case_ends_as_it_must(void **state)
{
    const struct corpus_case *one = *state;
    size_t bytes;
    unsigned char *data = corpus_bytes(one, &bytes);
    const char *path = put_file(scratch_path("case.safetensors"), data, bytes);
    free(data);
    struct safetensors *file = NULL;
    enum status status = safetensors_open(path, &file);
    if (one->verdict == ACCEPTED) {
        if (status) fprintf(stderr, "# refused: %s\n", error_message());
        assert_int_equal(status, STATUS_OK);
        safetensors_close(file);
        return;
    }
    assert_int_equal(status, STATUS_INPUT);
    assert_null(file);
    assert_non_null(strstr(error_message(), "case.safetensors"));
    for (const char *at = error_message(); *at; at++) assert_false((unsigned char)*at < 0x20);
    assert_true(error_says(one->says));
}

static const struct corpus_case *find_case(const char *name)
{
    for (int i = 0; i < CORPUS_CASES; i++)
        if (strcmp(corpus[i].name, name) == 0) return &corpus[i];
    fail_msg("no case %s", name);
    return NULL;
}

static struct safetensors *open_case(const char *name)
{
    size_t bytes;
    unsigned char *data = corpus_bytes(find_case(name), &bytes);
    const char *path = put_file(scratch_path("friend.safetensors"), data, bytes);
    free(data);
    struct safetensors *file = NULL;
    assert_int_equal(safetensors_open(path, &file), STATUS_OK);
    return file;
}

static void accepted_files_give_names_shapes_and_metadata(void **state)
{
    (void)state;
    struct safetensors *file = open_case("ok_names_are_just_names");
    assert_int_equal(file->count, 4);
    assert_non_null(safetensors_find(file, "__proto__"));
    assert_non_null(safetensors_find(file, "../../etc/passwd"));
    assert_non_null(safetensors_find(file, "众声"));
    assert_non_null(safetensors_find(file, "😀"));
    assert_null(safetensors_find(file, "absent"));
    assert_null(safetensors_metadata(file, "format"));
    safetensors_close(file);
    file = open_case("ok_metadata");
    assert_string_equal(safetensors_metadata(file, "format"), "pt");
    assert_string_equal(safetensors_metadata(file, "z"), "\"last\"");
    assert_string_equal(safetensors_metadata(file, "a"), "\n");
    assert_null(safetensors_metadata(file, "b"));
    assert_null(file->metadata[2 * file->metadata_count]);
    safetensors_close(file);
    file = open_case("ok_eight_dimensions");
    assert_int_equal(file->tensor[0].rank, 8);
    assert_int_equal(file->tensor[0].size[7], 2);
    safetensors_close(file);
    file = open_case("ok_nothing");
    assert_null(safetensors_find(file, "a"));
    safetensors_close(file);
    safetensors_close(NULL);
}

// ---- texts that are made, not written down ----
// Opens a file with this header and `data` bytes (a hole on the disk) behind it.
static enum status open_header(const char *header, size_t bytes, size_t data,
                               struct safetensors **file_p)
{
    const char *path = scratch_path("made.safetensors");
    FILE *out = fopen(path, "wb");
    uint64_t length = bytes;
    assert_non_null(out);
    assert_int_equal(fwrite(&length, 8, 1, out), 1);
    assert_int_equal(fwrite(header, 1, bytes, out), bytes);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(truncate(path, (off_t)(8 + bytes + data)), 0);
    return safetensors_open(path, file_p);
}

static void names_have_1024_bytes_at_most(void **state)
{
    (void)state;
    struct safetensors *file = NULL;
    for (int length = 1024; length <= 1025; length++) {
        char name[1026], header[2000];
        memset(name, 'n', sizeof name);
        name[length] = 0;
        int bytes = snprintf(header, sizeof header, "{\"%s\":" F32_4 "}", name);
        enum status status = open_header(header, (size_t)bytes, 16, &file);
        assert_int_equal(status, length == 1024 ? STATUS_OK : STATUS_INPUT);
    }
    assert_true(error_says("more than 1024 bytes"));
    safetensors_close(file);
}

// ---- what is no plain file ----
static void links_pipes_devices_and_proc_are_refused(void **state)
{
    (void)state;
    struct safetensors *file = NULL;
    assert_int_equal(safetensors_open(scratch_path("absent"), &file), STATUS_INPUT);
    assert_true(error_says("No such file"));
    assert_int_equal(safetensors_open(scratch(), &file), STATUS_INPUT);
    assert_true(error_says("is a folder"));
    const char *fifo = scratch_path("pipe.safetensors");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(safetensors_open(fifo, &file), STATUS_INPUT);
    assert_true(error_says("is a pipe"));
    assert_int_equal(safetensors_open("/dev/zero", &file), STATUS_INPUT);
    assert_true(error_says("is a device"));
    assert_int_equal(safetensors_open("/proc/self/maps", &file), STATUS_INPUT);
    error_clear();
    assert_int_equal(symlink("/etc/passwd", scratch_path("out.safetensors")), 0);
    assert_int_equal(safetensors_open(scratch_path("out.safetensors"), &file), STATUS_INPUT);
    assert_true(error_says("is a link out of its folder"));
    assert_int_equal(symlink("/no/where", scratch_path("dangling.safetensors")), 0);
    assert_int_equal(safetensors_open(scratch_path("dangling.safetensors"), &file), STATUS_INPUT);
    assert_true(error_says("is a link"));
    assert_int_equal(symlink("loop.safetensors", scratch_path("loop.safetensors")), 0);
    assert_int_equal(safetensors_open(scratch_path("loop.safetensors"), &file), STATUS_INPUT);
    error_clear();
    assert_null(file);
}

static void links_inside_the_folder_and_into_the_cache_are_followed(void **state)
{
    (void)state;
    struct safetensors *file = NULL;
    assert_int_equal(directory_create(scratch_path("hub/snapshots/1a2b")), STATUS_OK);
    assert_int_equal(directory_create(scratch_path("hub/blobs")), STATUS_OK);
    put_file(scratch_path("hub/blobs/cafe"), "\2\0\0\0\0\0\0\0{}", 10);
    put_file(scratch_path("hub/other"), "\2\0\0\0\0\0\0\0{}", 10);
    put_file(scratch_path("hub/snapshots/1a2b/real"), "\2\0\0\0\0\0\0\0{}", 10);
    assert_int_equal(
        symlink("../../blobs/cafe", scratch_path("hub/snapshots/1a2b/model.safetensors")), 0);
    assert_int_equal(symlink("real", scratch_path("hub/snapshots/1a2b/near.safetensors")), 0);
    assert_int_equal(symlink("../../other", scratch_path("hub/snapshots/1a2b/far.safetensors")), 0);
    assert_int_equal(safetensors_open(scratch_path("hub/snapshots/1a2b/model.safetensors"), &file),
                     STATUS_OK);
    safetensors_close(file);
    assert_int_equal(safetensors_open(scratch_path("hub/snapshots/1a2b/near.safetensors"), &file),
                     STATUS_OK);
    safetensors_close(file);
    assert_int_equal(safetensors_open(scratch_path("hub/snapshots/1a2b/far.safetensors"), &file),
                     STATUS_INPUT);
    assert_true(error_says("out of its folder"));
}

static void a_file_that_shrinks_after_opening_is_an_error_not_a_signal(void **state)
{
    (void)state;
    struct safetensors *file = open_case("ok_padded_behind");
    float numbers[4];
    assert_int_equal(safetensors_read_float(file, &file->tensor[0], numbers), STATUS_OK);
    assert_int_equal(truncate(file->path, (off_t)file->data_start + 6), 0);
    assert_int_equal(safetensors_read_float(file, &file->tensor[0], numbers), STATUS_INPUT);
    assert_true(error_says("the file was cut short"));
    safetensors_close(file);
}

// ---- numbers ----
static void other_float_formats_are_widened_exactly(void **state)
{
    (void)state;
    static const uint16_t halves[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001,
                                      0x03ff, 0x8400, 0x7c00, 0xfc00, 0x7e00, 0x3555};
    static const float half_values[] = {0,        -0.0f,        1,         -2,       65504,
                                        0x1p-24f, 0x1.ff8p-15f, -0x1p-14f, INFINITY, -INFINITY,
                                        NAN,      0x1.554p-2f};
    static const uint16_t brains[] = {0x3f80, 0xbf80, 0x7f80, 0x7fc0, 0x0001, 0x4049};
    static const float brain_values[] = {1, -1, INFINITY, NAN, 0x1p-133f, 3.140625f};
    static const double doubles[] = {0.1, 1e-60, 1e60, -3, (double)NAN};
    static const float double_values[] = {0.1f, 0, INFINITY, -3, NAN};
    char header[] = "{\"h\":{\"dtype\":\"F16\",\"shape\":[12],\"data_offsets\":[0,24]},"
                    "\"b\":{\"dtype\":\"BF16\",\"shape\":[6],\"data_offsets\":[24,36]},"
                    "\"d\":{\"dtype\":\"F64\",\"shape\":[5],\"data_offsets\":[36,76]},"
                    "\"i\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[76,80]}}";
    unsigned char bytes[8 + sizeof header - 1 + 80] = {0};
    bytes[0] = (unsigned char)(sizeof header - 1);
    memcpy(bytes + 8, header, sizeof header - 1);
    unsigned char *data = bytes + 8 + sizeof header - 1;
    memcpy(data, halves, 24);
    memcpy(data + 24, brains, 12);
    memcpy(data + 36, doubles, 40);
    struct safetensors *file = NULL;
    assert_true(sizeof header - 1 < 256);
    assert_int_equal(safetensors_open(put_file(scratch_path("kinds"), bytes, sizeof bytes), &file),
                     STATUS_OK);
    float out[12];
    static const struct {
        const char *name;
        const float *expected;
        int count;
    } kinds[] = {{"h", half_values, 12}, {"b", brain_values, 6}, {"d", double_values, 5}};
    for (int k = 0; k < 3; k++) {
        assert_int_equal(safetensors_read_float(file, safetensors_find(file, kinds[k].name), out),
                         STATUS_OK);
        for (int i = 0; i < kinds[k].count; i++) {
            if (isnan(kinds[k].expected[i]))
                assert_true(isnan(out[i]));
            else
                assert_memory_equal(&out[i], &kinds[k].expected[i], sizeof out[i]);
        }
    }
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "i"), out), STATUS_INPUT);
    assert_true(error_says("tensor \"i\" holds I32; F32, F64, F16 or BF16 is needed"));
    safetensors_close(file);
}

static void large_tensors_of_other_formats_are_read_in_pieces(void **state)
{
    (void)state;
    enum { COUNT = 100003 };
    uint16_t *brains = calloc(COUNT, sizeof *brains);
    float *out = calloc(COUNT, sizeof *out);
    char header[128];
    for (int i = 0; i < COUNT; i++) brains[i] = (uint16_t)(i * 31 % 0x7f80);
    uint64_t length = (uint64_t)snprintf(
        header, sizeof header, ONE("a", ENTRY("BF16", "[%d]", "[0,%d]")), COUNT, 2 * COUNT);
    FILE *made = fopen(scratch_path("large"), "wb");
    fwrite(&length, 8, 1, made);
    fputs(header, made);
    fwrite(brains, 2, COUNT, made);
    fclose(made);
    struct safetensors *file;
    assert_int_equal(safetensors_open(scratch_path("large"), &file), STATUS_OK);
    assert_int_equal(safetensors_read_float(file, &file->tensor[0], out), STATUS_OK);
    for (int i = 0; i < COUNT; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], 4);
        assert_int_equal(bits, (uint32_t)brains[i] << 16);
    }
    safetensors_close(file);
    free(brains);
    free(out);
}

// ---- writing ----
static const float numbers[24] = {1,   -2,    0.5f, 3e-39f, INFINITY, -INFINITY,
                                  NAN, -0.0f, 7,    8,      9,        10};
static const struct tensor_source sources[] = {
    {.name = "h.10.w", .rank = 2, .size = {3, 2}, .data = numbers + 4},
    {.name = "b", .rank = 1, .size = {5}, .data = numbers},
    {.name = "h.9.w", .rank = 2, .size = {2, 3}, .data = numbers + 1},
    {.name = "scalar", .rank = 0, .size = {0}, .data = numbers + 8},
    {.name = "none", .rank = 2, .size = {0, 7}, .data = numbers},
    {.name = "odd \"名\\\n", .rank = 3, .size = {1, 1, 2}, .data = numbers + 9},
};
enum { SOURCES = sizeof sources / sizeof *sources };

static void what_is_written_reads_back_to_the_bit(void **state)
{
    (void)state;
    const char *path = scratch_path("written.safetensors");
    static const char *const metadata[] = {"note", "a \"quoted\"\tword", "format", "ignored", NULL};
    // The control character in the last name is written as an escape but refused on reading, as in every name.
    assert_int_equal(safetensors_write(path, sources, SOURCES - 1, metadata), STATUS_OK);
    struct safetensors *file;
    assert_int_equal(safetensors_open(path, &file), STATUS_OK);
    assert_int_equal(file->count, SOURCES - 1);
    assert_int_equal(file->data_start % 8, 0);
    assert_string_equal(safetensors_metadata(file, "format"), "pt");
    assert_string_equal(safetensors_metadata(file, "note"), "a \"quoted\"\tword");
    for (int i = 0; i < SOURCES - 1; i++) {
        const struct tensor_entry *entry = safetensors_find(file, sources[i].name);
        float out[24];
        assert_non_null(entry);
        assert_int_equal(entry->rank, sources[i].rank);
        for (int d = 0; d < entry->rank; d++) assert_int_equal(entry->size[d], sources[i].size[d]);
        assert_int_equal(safetensors_read_float(file, entry, out), STATUS_OK);
        assert_memory_equal(out, sources[i].data, entry->end - entry->begin);
    }
    safetensors_close(file);
}

static void the_bytes_of_a_file_are_pinned(void **state)
{
    (void)state;
    const char *path = scratch_path("pinned.safetensors");
    char *data;
    size_t bytes;
    static const char expected[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,20]},"
        "\"h.10.w\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[20,44]}}    ";
    assert_int_equal(safetensors_write(path, sources, 2, NULL), STATUS_OK);
    assert_int_equal(file_read(path, 10000, &data, &bytes), STATUS_OK);
    assert_int_equal((unsigned char)data[0], sizeof expected - 1);
    assert_memory_equal(data + 8, expected, sizeof expected - 1);
    assert_int_equal(bytes, 8 + sizeof expected - 1 + 44);
    free(data);
    assert_int_equal(safetensors_write(path, NULL, 0, NULL), STATUS_OK);
    assert_int_equal(file_read(path, 10000, &data, &bytes), STATUS_OK);
    assert_int_equal(bytes, 8 + 32);
    free(data);
}

static void the_order_of_sources_changes_no_byte(void **state)
{
    (void)state;
    struct tensor_source turned[3] = {sources[2], sources[1], sources[0]};
    char *first, *second;
    size_t bytes, again;
    assert_int_equal(safetensors_write(scratch_path("one"), sources, 3, NULL), STATUS_OK);
    assert_int_equal(safetensors_write(scratch_path("two"), turned, 3, NULL), STATUS_OK);
    assert_int_equal(file_read(scratch_path("one"), 10000, &first, &bytes), STATUS_OK);
    assert_int_equal(file_read(scratch_path("two"), 10000, &second, &again), STATUS_OK);
    assert_int_equal(bytes, again);
    assert_memory_equal(first, second, bytes);
    free(first);
    free(second);
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    put_file(scratch_path("plain"), "x", 1);
    assert_int_equal(safetensors_write(scratch_path("plain/below"), sources, 2, NULL), STATUS_DISK);
    assert_true(error_says("plain/below: Not a directory"));
}

// ---- mutations ----
static struct philox_address test_address = {.seed = 2024, .stream = (uint32_t)PHILOX_TEST << 24};
static uint32_t draw(uint32_t below)
{
    static uint64_t element;
    return (uint32_t)((uint64_t)philox_bits(test_address, element++) * below >> 32);
}

// One to four changes: a bit, a byte from JSON's alphabet, a piece cut out, a piece doubled.
static size_t mutate(unsigned char *data, size_t bytes, size_t room)
{
    static const char alphabet[] = "{}[]\",:0123456789-+.eE\\u \t\n\0\xff\xc3n";
    for (uint32_t changes = 1 + draw(4); changes && bytes; changes--) {
        size_t at = draw((uint32_t)bytes), length = 1 + draw(16);
        if (length > bytes - at) length = bytes - at;
        switch (draw(4)) {
        case 0:
            data[at] ^= (unsigned char)(1u << draw(8));
            break;
        case 1:
            data[at] = (unsigned char)alphabet[draw(sizeof alphabet - 1)];
            break;
        case 2:
            memmove(data + at, data + at + length, bytes - at - length);
            bytes -= length;
            break;
        default:
            if (bytes + length > room) break;
            memmove(data + at + length, data + at, bytes - at);
            bytes += length;
        }
    }
    return bytes;
}

static void mutated_files_are_read_or_refused(void **state)
{
    (void)state;
    enum { MUTATIONS = 5000 };
    const char *path = scratch_path("original.safetensors"),
               *mutant = scratch_path("mutant.safetensors");
    assert_int_equal(safetensors_write(path, sources, 5, NULL), STATUS_OK);
    char *original;
    size_t bytes;
    assert_int_equal(file_read(path, 10000, &original, &bytes), STATUS_OK);
    unsigned char *data = malloc(bytes + 256);
    int refused = 0;
    for (int i = 0; i < MUTATIONS; i++) {
        memcpy(data, original, bytes);
        put_file(mutant, data, mutate(data, bytes, bytes + 256));
        struct safetensors *file;
        enum status status = safetensors_open(mutant, &file);
        if (status) {
            assert_int_equal(status, STATUS_INPUT);
            assert_non_null(strstr(error_message(), "mutant.safetensors"));
            error_clear();
            refused++;
            continue;
        }
        for (int t = 0; t < file->count; t++) {
            float out[1024];
            const struct tensor_entry *entry = &file->tensor[t];
            assert_true(entry->end - entry->begin <= 256);
            if (safetensors_read_float(file, entry, out)) error_clear();
            assert_ptr_equal(safetensors_find(file, entry->name), entry);
        }
        safetensors_close(file);
    }
    print_message("# %d of %d mutations refused, the others read\n", refused, (int)MUTATIONS);
    assert_true(refused > MUTATIONS / 2 && refused < MUTATIONS);
    free(data);
    free(original);
}

// ---- for the Python test ----
static int write_corpus(const char *folder)
{
    static const char *const verdicts[] = {"refused", "accepted", "stricter"};
    for (int i = 0; i < CORPUS_CASES; i++) {
        char path[1024];
        size_t bytes;
        unsigned char *data = corpus_bytes(&corpus[i], &bytes);
        snprintf(path, sizeof path, "%s/%s.%s.safetensors", folder, verdicts[corpus[i].verdict],
                 corpus[i].name);
        put_file(path, data, bytes);
        free(data);
    }
    char path[1024];
    snprintf(path, sizeof path, "%s/written.safetensors", folder);
    if (safetensors_write(path, sources, SOURCES - 1, NULL)) return 1;
    return 0;
}

// One line a tensor: name, shape, SHA-256 of its float32 bytes.
static int show_file(const char *path)
{
    struct safetensors *file;
    if (safetensors_open(path, &file)) {
        printf("refused: %s\n", error_message());
        return 3;
    }
    for (int i = 0; i < file->count; i++) {
        const struct tensor_entry *entry = &file->tensor[i];
        int64_t count = 1;
        for (int d = 0; d < entry->rank; d++) count *= entry->size[d];
        float *data = calloc((size_t)count + 1, sizeof *data);
        char hex[65] = "unreadable";
        if (!safetensors_read_float(file, entry, data)) {
            struct sha256 hash;
            sha256_start(&hash);
            sha256_add(&hash, data, (size_t)count * sizeof *data);
            sha256_finish(&hash, hex);
        }
        printf("%s %s", entry->name, entry->dtype);
        for (int d = 0; d < entry->rank; d++) printf(" %lld", (long long)entry->size[d]);
        printf(" %s\n", hex);
        free(data);
    }
    safetensors_close(file);
    return 0;
}

int main(int count, char **words)
{
    if (count == 3 && strcmp(words[1], "corpus") == 0) return write_corpus(words[2]);
    if (count == 3 && strcmp(words[1], "show") == 0) return show_file(words[2]);
    struct CMUnitTest cases[CORPUS_CASES];
    for (int i = 0; i < CORPUS_CASES; i++)
        cases[i] = (struct CMUnitTest){.name = corpus[i].name,
                                       .test_func = corpus_case_ends_as_it_must,
                                       .setup_func = NULL,
                                       .teardown_func = clear,
                                       .initial_state = (void *)&corpus[i]};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(accepted_files_give_names_shapes_and_metadata, clear),
        cmocka_unit_test_setup(names_have_1024_bytes_at_most, clear),
        cmocka_unit_test_setup(links_pipes_devices_and_proc_are_refused, clear),
        cmocka_unit_test_setup(links_inside_the_folder_and_into_the_cache_are_followed, clear),
        cmocka_unit_test_setup(a_file_that_shrinks_after_opening_is_an_error_not_a_signal, clear),
        cmocka_unit_test_setup(other_float_formats_are_widened_exactly, clear),
        cmocka_unit_test_setup(large_tensors_of_other_formats_are_read_in_pieces, clear),
        cmocka_unit_test_setup(what_is_written_reads_back_to_the_bit, clear),
        cmocka_unit_test_setup(the_bytes_of_a_file_are_pinned, clear),
        cmocka_unit_test_setup(the_order_of_sources_changes_no_byte, clear),
        cmocka_unit_test_setup(a_place_that_cannot_be_written_is_named, clear),
        cmocka_unit_test_setup(mutated_files_are_read_or_refused, clear),
    };
    int failed = cmocka_run_group_tests_name("store/safetensors corpus", cases, NULL, NULL);
    return failed + cmocka_run_group_tests_name("store/safetensors", tests, NULL, remove_scratch);
}
