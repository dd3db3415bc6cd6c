// SPDX-License-Identifier: Apache-2.0
// Checkpoints that are torn, flipped, swapped, forged or made of links: each is found, named and passed over.
#include "store/small_checkpoints.h"

#include <sys/stat.h>
#include <xxhash.h>

// ---- damage ----
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
        size_t blocks = bytes / BLOCK, first = draw((uint32_t)blocks),
               second = draw((uint32_t)blocks - 1);
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
        {"\"weights.safetensors\"", "\"../step-1/weights.safetensors\"",
         "names the file \"../step-1/weights.safetensors\""},
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
        {"\"evaluation_due\": 0", "\"evaluation_due\": -1", "\"evaluation_due\" is -1"},
        {"\"schedule_best\": \"infinity\"", "\"schedule_best\": \"much\"",
         "infinity, -infinity or nan"},
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
        if (!strstr(last_warning, forgeries[i].says))
            fail_msg("%s: %s", forgeries[i].to, last_warning);
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
            text[draw((uint32_t)bytes)] =
                draw(2) ? alphabet[draw(sizeof alphabet - 1)] : (char)draw(256);
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
        CASE(torn_files_are_refused_at_every_length),
        CASE(every_flipped_bit_is_found),
        CASE(every_swapped_block_is_found),
        CASE(when_none_can_be_used_the_newest_reason_is_told),
        CASE(forged_manifests_are_refused),
        CASE(a_later_format_is_not_passed_over),
        CASE(links_in_a_checkpoint_are_not_followed),
        CASE(mutated_manifests_are_read_or_refused),
    };
    return cmocka_run_group_tests_name("store/checkpoint_damage", tests, NULL, remove_scratch);
}
