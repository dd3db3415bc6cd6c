// SPDX-License-Identifier: Apache-2.0
// Checkpoints: what is saved comes back to the bit; what is torn, flipped, swapped, forged or foreign is found and passed over.
#include "store/checkpoint.h"

#include "base/json.h"
#include "base/log.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "scratch.h"
#include "store/small_content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <xxhash.h>

#include <cmocka.h>

enum { PARAMETERS = 12, ROWS = 120 };

static char last_warning[4096];
static int warnings;

static void hear(void *context, enum log_level level, const char *line)
{
    (void)context;
    if (level != LOG_WARNING) return;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", line);
}

static struct small_run saved, loaded;

static const char *folder(void) { return scratch_path("checkpoints"); }

static int start(void **state)
{
    (void)state;
    error_clear();
    log_set_sink(hear, NULL);
    warnings = 0;
    last_warning[0] = 0;
    small_run_init(&saved, PARAMETERS, ROWS);
    small_run_init(&loaded, PARAMETERS, ROWS);
    return directory_remove(folder()) != STATUS_OK;
}

static int stop(void **state)
{
    (void)state;
    small_run_release(&saved);
    small_run_release(&loaded);
    log_set_sink(NULL, NULL);
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

static void save(int64_t step, int keep)
{
    small_run_set(&saved, step);
    enum status status = checkpoint_save(folder(), &saved.content, keep, -1);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
}

static void assert_loads(int64_t step)
{
    bool found = false;
    enum status status = checkpoint_load_newest(folder(), &loaded.content, &found);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
    assert_true(found);
    assert_true(small_run_is(&loaded, step));
}

static void read_all(const char *path, char **data_p, size_t *bytes_p)
{
    assert_int_equal(file_read(path, 1 << 28, data_p, bytes_p), STATUS_OK);
}

static void assert_names(const char *expected)
{
    char **names, text[1024] = "";
    int count;
    assert_int_equal(directory_list(folder(), &names, &count), STATUS_OK);
    for (int i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", names[i]);
    names_free(names, count);
    assert_string_equal(text, expected);
}

// ---- saving and loading ----
static void what_is_saved_comes_back_to_the_bit(void **state)
{
    (void)state;
    save(7, 2);
    memset(loaded.content.weights, 0xff, (size_t)loaded.parameters.elements * sizeof(float));
    assert_loads(7);
    assert_names("latest step-7");
    char *text;
    size_t bytes;
    read_all(scratch_path("checkpoints/latest"), &text, &bytes);
    assert_string_equal(text, "step-7\n");
    free(text);
    read_all(scratch_path("checkpoints/step-7/run.yaml"), &text, &bytes);
    assert_string_equal(text, "task: lm\n");
    free(text);
    assert_int_equal(checkpoint_verify(scratch_path("checkpoints/step-7")), STATUS_OK);
    assert_int_equal(warnings, 0);
}

static void no_folder_and_no_checkpoint_are_no_error(void **state)
{
    (void)state;
    bool found = true;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    assert_false(found);
    found = true;
    assert_int_equal(directory_create(folder()), STATUS_OK);
    put_file(scratch_path("checkpoints/latest"), "step-3\n", 7);
    static const char *const others[] = {"step-", "step--1", "step-07", "step-1x", "step-99999999999999999999", "Step-1", "notes"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder(), others[i]);
        assert_int_equal(directory_create(path), STATUS_OK);
    }
    put_file(scratch_path("checkpoints/step-5"), "a file", 6);
    assert_int_equal(symlink("notes", scratch_path("checkpoints/step-6")), 0);
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    assert_false(found);
}

static void optimizers_with_less_state_save_less(void **state)
{
    (void)state;
    float *second = saved.content.state[1], *first = saved.content.state[0];
    saved.content.state[1] = loaded.content.state[1] = NULL;
    saved.content.run_file = NULL;
    small_fill(&saved.parameters, saved.content.weights, 1);
    small_fill(&saved.parameters, first, 2);
    assert_int_equal(checkpoint_save(folder(), &saved.content, 1, -1), STATUS_OK);
    bool found;
    float *loaded_first = loaded.content.state[0], *loaded_second = small_block(&saved.parameters);
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    assert_memory_equal(first, loaded_first, (size_t)saved.parameters.elements * sizeof(float));
    // A run whose optimizer needs more than is there is told so.
    loaded.content.state[1] = loaded_second;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_true(error_says("optimizer.safetensors holds 12 tensors; this model has 24 there"));
    saved.content.state[0] = NULL;
    saved.content.position.step = 1;
    assert_int_equal(checkpoint_save(folder(), &saved.content, 1, -1), STATUS_OK);
    assert_false(file_exists(scratch_path("checkpoints/step-1/optimizer.safetensors")));
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_true(error_says("holds no optimizer state"));
    loaded.content.state[0] = loaded.content.state[1] = NULL;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    loaded.content.state[0] = loaded_first;
    loaded.content.state[1] = loaded_second;
    free(second);
    saved.content.state[0] = first;
}

static void the_newest_are_kept_and_the_protected_one(void **state)
{
    (void)state;
    for (int64_t step = 8; step <= 12; step++) {
        small_run_set(&saved, step);
        assert_int_equal(checkpoint_save(folder(), &saved.content, 2, step >= 9 ? 9 : -1), STATUS_OK);
    }
    assert_names("latest step-11 step-12 step-9");
    assert_loads(12);
    save(13, 0);
    assert_names("latest step-13");
}

static void older_ones_stay_when_a_newer_one_is_there(void **state)
{
    (void)state;
    save(30, 1);
    save(20, 1); // the run went back
    assert_names("latest step-20 step-30");
}

static void a_step_saved_again_is_replaced(void **state)
{
    (void)state;
    save(5, 2);
    small_run_set(&saved, 6);
    saved.content.position.step = 5;
    assert_int_equal(checkpoint_save(folder(), &saved.content, 2, -1), STATUS_OK);
    assert_names("latest step-5");
    bool found;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_OK);
    loaded.content.position.step = 6;
    assert_true(small_run_is(&loaded, 6));
}

static void digest_of(const char *path, char hex[65])
{
    struct sha256 hash;
    char *data;
    size_t bytes;
    read_all(path, &data, &bytes);
    sha256_start(&hash);
    sha256_add(&hash, data, bytes);
    sha256_finish(&hash, hex);
    free(data);
}

static void tensor_files_depend_on_the_numbers_alone(void **state)
{
    (void)state;
    char first[2][65], second[2][65];
    save(5, 9);
    digest_of(scratch_path("checkpoints/step-5/weights.safetensors"), first[0]);
    digest_of(scratch_path("checkpoints/step-5/optimizer.safetensors"), first[1]);
    saved.content.position.step = 6;
    saved.content.position.seconds = 1e6;
    saved.content.position.best_loss = 0.5;
    saved.content.config_hash++;
    saved.content.run_file = "another: run\n";
    assert_int_equal(checkpoint_save(folder(), &saved.content, 9, -1), STATUS_OK);
    digest_of(scratch_path("checkpoints/step-6/weights.safetensors"), second[0]);
    digest_of(scratch_path("checkpoints/step-6/optimizer.safetensors"), second[1]);
    assert_string_equal(first[0], second[0]);
    assert_string_equal(first[1], second[1]);
    assert_string_not_equal(first[0], first[1]);
}

static void another_runs_checkpoint_is_refused_with_advice(void **state)
{
    (void)state;
    bool found = false;
    save(5, 2);
    loaded.content.config_hash = 0x1234;
    loaded.content.position.step = 77;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_non_null(strstr(error_message(), "fedcba9876543210 there, 0000000000001234 here"));
    assert_true(error_says("step-5/run.yaml, or train into another `out` folder"));
    assert_int_equal(loaded.content.position.step, 77);
    assert_false(found);
}

static void another_models_checkpoint_is_refused(void **state)
{
    (void)state;
    bool found;
    save(5, 2);
    loaded.parameters.list[4].shape.size[0] = ROWS - 1;
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_true(error_says("tensor transformer.h.1.u has another shape"));
    loaded.parameters.list[4].shape.size[0] = ROWS;
    char *name = loaded.parameters.list[4].name;
    loaded.parameters.list[4].name = "transformer.other";
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_true(error_says("has no tensor transformer.other"));
    loaded.parameters.list[4].name = name;
}

// ---- leftovers ----
static void leftovers_of_dead_runs_are_removed_by_the_next_save(void **state)
{
    (void)state;
    pid_t dead = fork();
    if (dead == 0) _exit(0);
    int result;
    assert_int_equal(waitpid(dead, &result, 0), dead);
    char name[64];
    snprintf(name, sizeof name, "checkpoints/.tmp-3-%ld", (long)dead);
    assert_int_equal(directory_create(scratch_path(name)), STATUS_OK);
    snprintf(name, sizeof name, "checkpoints/.tmp-3-%ld/weights.safetensors", (long)dead);
    put_file(scratch_path(name), "torn", 4);
    snprintf(name, sizeof name, "checkpoints/.tmp-4-%ld", (long)getpid());
    assert_int_equal(directory_create(scratch_path(name)), STATUS_OK);
    snprintf(name, sizeof name, "checkpoints/.tmp-5-%ld", (long)getppid());
    assert_int_equal(directory_create(scratch_path(name)), STATUS_OK);
    put_file(scratch_path("checkpoints/latest.tmp-99-1"), "step", 4);
    put_file(scratch_path("checkpoints/.tmp-notes"), "mine", 4);
    save(6, 2);
    char expected[128];
    snprintf(expected, sizeof expected, ".tmp-5-%ld .tmp-notes latest step-6", (long)getppid());
    assert_names(expected);
}

static void an_interrupted_replacement_loses_nothing(void **state)
{
    (void)state;
    save(4, 9);
    save(5, 9);
    assert_int_equal(rename(scratch_path("checkpoints/step-5"), scratch_path("checkpoints/.replaced-5")), 0);
    assert_loads(5);
    save(6, 9);
    assert_names("latest step-4 step-5 step-6");
    // Both there: the new one counts, the old one goes with the next save.
    assert_int_equal(rename(scratch_path("checkpoints/step-5"), scratch_path("checkpoints/.replaced-6")), 0);
    assert_loads(6);
    assert_int_equal(warnings, 0);
    save(7, 9);
    assert_names("latest step-4 step-6 step-7");
}

// ---- damage ----
static const char *const files[] = {"weights.safetensors", "optimizer.safetensors", "run.yaml", "manifest.json"};
enum { FILES = 4 };

static const char *file_path(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "checkpoints/step-2/%s", name);
    return scratch_path(path);
}

// Loads after damage to step-2: step-1 must come, with a warning that names the file.
static void assert_damage_is_found(const char *file)
{
    warnings = 0;
    assert_loads(1);
    assert_int_equal(warnings, 1);
    if (!strstr(last_warning, file) || !strstr(last_warning, "step-2")) fail_msg("%s: %s", file, last_warning);
}

static void torn_files_are_refused_at_every_length(void **state)
{
    (void)state;
    int refused = 0;
    save(1, 9);
    save(2, 9);
    for (int f = 0; f < FILES; f++) {
        char *data;
        size_t bytes, lengths[64], count = 0;
        read_all(file_path(files[f]), &data, &bytes);
        uint64_t header = 0;
        if (f < 2) memcpy(&header, data, 8);
        const size_t edges[] = {0, 1, 8, 8 + header - 1, 8 + header, bytes - 1};
        for (size_t i = 0; i < 6; i++) lengths[count++] = edges[i];
        for (size_t at = 4096; at < bytes && count < 64; at += 4096) lengths[count++] = at;
        for (size_t i = 0; i < count; i++) {
            if (lengths[i] >= bytes) continue;
            put_file(file_path(files[f]), data, lengths[i]);
            assert_damage_is_found(files[f]);
            refused++;
        }
        assert_int_equal(unlink(file_path(files[f])), 0);
        assert_damage_is_found(files[f]);
        put_file(file_path(files[f]), data, bytes);
        char *longer = calloc(1, bytes + 1);
        memcpy(longer, data, bytes);
        assert_damage_is_found((put_file(file_path(files[f]), longer, bytes + 1), files[f]));
        put_file(file_path(files[f]), data, bytes);
        free(longer);
        free(data);
        assert_loads(2);
    }
    print_message("# %d torn files refused\n", refused);
    assert_true(refused > 30);
}

static struct philox_address test_address = {.seed = 4711, .stream = (uint32_t)PHILOX_TEST << 24};
static uint32_t draw(uint32_t below)
{
    static uint64_t element;
    return (uint32_t)((uint64_t)philox_bits(test_address, element++) * below >> 32);
}

// In the data of a tensor file the warning names the tensor.
static void assert_tensor_is_named(const char *data, size_t at)
{
    uint64_t header;
    memcpy(&header, data, 8);
    if (at >= 8 + header) assert_non_null(strstr(last_warning, "tensor \""));
}

static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    save(1, 9);
    save(2, 9);
    char *data[FILES];
    size_t bytes[FILES];
    for (int f = 0; f < FILES; f++) read_all(file_path(files[f]), &data[f], &bytes[f]);
    for (int i = 0; i < 1000; i++) {
        int f = i % 10 == 0 ? 2 : i % 10 < 4 ? 3 : i % 2;
        size_t at = draw((uint32_t)bytes[f]);
        char mask = (char)(1 << draw(8));
        data[f][at] ^= mask;
        put_file(file_path(files[f]), data[f], bytes[f]);
        assert_damage_is_found(files[f]);
        if (f < 2) assert_tensor_is_named(data[f], at);
        data[f][at] ^= mask;
        put_file(file_path(files[f]), data[f], bytes[f]);
    }
    assert_loads(2);
    for (int f = 0; f < FILES; f++) free(data[f]);
}

static void every_swapped_block_is_found(void **state)
{
    (void)state;
    enum { BLOCK = 4096 };
    save(1, 9);
    save(2, 9);
    for (int i = 0; i < 100; i++) {
        const char *path = file_path(files[i % 2]);
        char *data, keep[BLOCK];
        size_t bytes;
        read_all(path, &data, &bytes);
        size_t blocks = bytes / BLOCK, first = draw((uint32_t)blocks), second = draw((uint32_t)blocks - 1);
        if (second >= first) second++;
        assert_true(blocks > 2);
        memcpy(keep, data + first * BLOCK, BLOCK);
        memcpy(data + first * BLOCK, data + second * BLOCK, BLOCK);
        memcpy(data + second * BLOCK, keep, BLOCK);
        put_file(path, data, bytes);
        assert_damage_is_found(files[i % 2]);
        memcpy(data + second * BLOCK, data + first * BLOCK, BLOCK);
        memcpy(data + first * BLOCK, keep, BLOCK);
        put_file(path, data, bytes);
        free(data);
    }
    assert_loads(2);
}

static void when_none_can_be_used_the_newest_reason_is_told(void **state)
{
    (void)state;
    bool found = false;
    save(1, 9);
    save(2, 9);
    put_file(file_path("weights.safetensors"), "x", 1);
    put_file(scratch_path("checkpoints/step-1/manifest.json"), "x", 1);
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_INPUT);
    assert_non_null(strstr(error_message(), "none of the 2 checkpoints"));
    assert_non_null(strstr(error_message(), "weights.safetensors has 1 bytes"));
    assert_true(error_says("move that folder away"));
    assert_int_equal(warnings, 2);
    assert_false(found);
}

// ---- forged manifests ----
static void sign_and_put(const char *text, size_t bytes)
{
    char path[1024], hex[40];
    snprintf(path, sizeof path, "%s", file_path("manifest.json"));
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(text, bytes));
    for (int i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", canonical.digest[i]);
    FILE *out = fopen(path, "wb");
    fwrite(text, 1, bytes, out);
    fprintf(out, "\"manifest_xxh3_128\": \"%s\"\n}\n", hex);
    fclose(out);
}

// The manifest up to its signature.
static char *signed_part(size_t *bytes_p)
{
    char *text;
    read_all(file_path("manifest.json"), &text, bytes_p);
    char *tail = strstr(text, "\"manifest_xxh3_128\"");
    assert_non_null(tail);
    *bytes_p = (size_t)(tail - text);
    return text;
}

// One replacement in the manifest of step-2, signed again.
static void forge(const char *original, size_t bytes, const char *from, const char *to)
{
    char text[1 << 16];
    const char *at = memmem(original, bytes, from, strlen(from));
    if (!at) fail_msg("the manifest has no %s", from);
    int length = snprintf(text, sizeof text, "%.*s%s%.*s", (int)(at - original), original, to,
                          (int)(bytes - (size_t)(at - original) - strlen(from)), at + strlen(from));
    sign_and_put(text, (size_t)length);
}

static void forged_manifests_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } forgeries[] = {
        {"\"weights.safetensors\"", "\"../step-1/weights.safetensors\"", "names the file \"../step-1/weights.safetensors\""},
        {"\"weights.safetensors\"", "\"/etc/passwd\"", "names the file \"/etc/passwd\""},
        {"\"weights.safetensors\"", "\"..\"", "names the file"},
        {"\"weights.safetensors\"", "\"\"", "names the file"},
        {"\"weights.safetensors\"", "\"C:\\\\x\"", "names the file"},
        {"\"weights.safetensors\"", "\"optimizer.safetensors\"", "twice"},
        {"\"weights.safetensors\"", "\"other.safetensors\"", "names no weights.safetensors"},
        {"\"weights.safetensors\"", "7", "\"name\" is 7"},
        {"\"step\": 2", "\"step\": -1", "\"step\" is -1"},
        {"\"step\": 2", "\"step\": 1.5", "\"step\" is 1.5"},
        {"\"step\": 2", "\"step\": \"2\"", "\"step\" is \"2\""},
        {"\"step\": 2", "\"step\": 9223372036854775808", "too big integer"},
        {"\"step\": 2", "\"step\": 3", "holds the checkpoint of step 3"},
        {"\"step\": 2", "\"stop\": 2", "\"step\" is missing"},
        {"\"step\": 2", "\"step\": 2, \"step\": 2", "duplicate"},
        {"\"samples\": 24", "\"samples\": -5", "\"samples\" is -5"},
        {"\"best_step\": 1", "\"best_step\": -2", "\"best_step\" is -2"},
        {"\"schedule_best\": \"infinity\"", "\"schedule_best\": \"much\"", "infinity, -infinity or nan"},
        {"\"seconds\": ", "\"seconds\": [", "not valid JSON"},
        {"\"version\": 1", "\"version\": 0", "\"version\" is 0"},
        {"\"version\": 1", "\"version\": null", "\"version\" is missing"},
        {"stentor checkpoint", "another thing", "is not the manifest of a checkpoint"},
        {"fedcba9876543210", "fedcba987654321", "16 hexadecimal digits"},
        {"fedcba9876543210", "fedcba987654321G", "16 hexadecimal digits"},
        {"\"xxh3_128\": \"", "\"xxh3_128\": \"0", "32 hexadecimal digits"},
        {"\"bytes\": ", "\"bytes\": 9", "the manifest says 9"},
        {"\"bytes\": ", "\"bytes\": -", "\"bytes\" is -"},
        {"\"files\"", "\"fails\"", "names 0 files"},
        {"\"position\"", "\"positron\"", "an object with the key \"step\""},
        {"\"tensors\": {", "\"tensors\": {\"x\": [[[", "not valid JSON"},
    };
    save(1, 9);
    save(2, 9);
    size_t bytes;
    char *original = signed_part(&bytes);
    for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
        forge(original, bytes, forgeries[i].from, forgeries[i].to);
        warnings = 0;
        assert_loads(1);
        assert_int_equal(warnings, 1);
        if (!strstr(last_warning, forgeries[i].says)) fail_msg("%s: %s", forgeries[i].to, last_warning);
    }
    sign_and_put(original, bytes);
    assert_loads(2);
    free(original);
}

static void a_later_format_is_not_passed_over(void **state)
{
    (void)state;
    bool found;
    save(1, 9);
    save(2, 9);
    size_t bytes;
    char *original = signed_part(&bytes);
    forge(original, bytes, "\"version\": 1", "\"version\": 2");
    assert_int_equal(checkpoint_load_newest(folder(), &loaded.content, &found), STATUS_UNSUPPORTED);
    assert_true(error_says("format version 2"));
    free(original);
}

static void links_in_a_checkpoint_are_not_followed(void **state)
{
    (void)state;
    save(1, 9);
    save(2, 9);
    for (int f = 0; f < FILES; f++) {
        char there[1024], here[1024];
        snprintf(here, sizeof here, "%s", file_path(files[f]));
        snprintf(there, sizeof there, "%s", scratch_path("elsewhere"));
        assert_int_equal(rename(here, there), 0);
        assert_int_equal(symlink(there, here), 0);
        assert_damage_is_found(files[f]);
        assert_non_null(strstr(last_warning, "is a link"));
        assert_int_equal(unlink(here), 0);
        assert_int_equal(mkfifo(here, 0600), 0);
        assert_damage_is_found(files[f]);
        assert_int_equal(unlink(here), 0);
        assert_int_equal(rename(there, here), 0);
    }
    assert_loads(2);
}

static void mutated_manifests_are_read_or_refused(void **state)
{
    (void)state;
    static const char alphabet[] = "{}[]\",:0123456789-+.eE\\u \t\n\xff\xc3n";
    save(1, 9);
    save(2, 9);
    size_t bytes;
    int refused = 0;
    char *original = signed_part(&bytes), *text = malloc(bytes);
    for (int i = 0; i < 5000; i++) {
        memcpy(text, original, bytes);
        for (uint32_t changes = 1 + draw(3); changes; changes--)
            text[draw((uint32_t)bytes)] = draw(2) ? alphabet[draw(sizeof alphabet - 1)] : (char)draw(256);
        sign_and_put(text, bytes);
        enum status status = checkpoint_verify(scratch_path("checkpoints/step-2"));
        if (!status) continue;
        assert_true(status == STATUS_INPUT || status == STATUS_UNSUPPORTED);
        assert_non_null(strstr(error_message(), "step-2"));
        for (const char *at = error_message(); *at; at++) assert_false((unsigned char)*at < 0x20);
        error_clear();
        refused++;
    }
    print_message("# %d of 5000 mutated manifests refused\n", refused);
    assert_true(refused > 1000);
    free(text);
    free(original);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(what_is_saved_comes_back_to_the_bit),
        CASE(no_folder_and_no_checkpoint_are_no_error),
        CASE(optimizers_with_less_state_save_less),
        CASE(the_newest_are_kept_and_the_protected_one),
        CASE(older_ones_stay_when_a_newer_one_is_there),
        CASE(a_step_saved_again_is_replaced),
        CASE(tensor_files_depend_on_the_numbers_alone),
        CASE(another_runs_checkpoint_is_refused_with_advice),
        CASE(another_models_checkpoint_is_refused),
        CASE(leftovers_of_dead_runs_are_removed_by_the_next_save),
        CASE(an_interrupted_replacement_loses_nothing),
        CASE(torn_files_are_refused_at_every_length),
        CASE(every_flipped_bit_is_found),
        CASE(every_swapped_block_is_found),
        CASE(when_none_can_be_used_the_newest_reason_is_told),
        CASE(forged_manifests_are_refused),
        CASE(a_later_format_is_not_passed_over),
        CASE(links_in_a_checkpoint_are_not_followed),
        CASE(mutated_manifests_are_read_or_refused),
    };
    return cmocka_run_group_tests_name("store/checkpoint", tests, NULL, remove_scratch);
}
