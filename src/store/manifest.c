// SPDX-License-Identifier: Apache-2.0
// Manifests: written by us, distrusted all the same when they are read.
#include "store/manifest.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MANIFEST = 24 << 20 };
static const char tail_start[] = "\"manifest_xxh3_128\": \"", tail_end[] = "\"\n}\n";

// ---- position ----
static const struct {
    const char *key;
    size_t offset;
    int64_t least;
    bool is_real;
    bool optional; // 0 in checkpoints that are older than the field, but for scheduled_best
} fields[] = {
    {"step", offsetof(struct run_position, step), 0, false, false},
    {"samples", offsetof(struct run_position, samples), 0, false, false},
    {"best_loss", offsetof(struct run_position, best_loss), 0, true, false},
    {"best_step", offsetof(struct run_position, best_step), -1, false, false},
    {"scheduled_best", offsetof(struct run_position, scheduled_best), 0, true, true},
    {"evaluations_waited", offsetof(struct run_position, evaluations_waited), 0, false, false},
    {"schedule_factor", offsetof(struct run_position, schedule_factor), 0, true, false},
    {"schedule_best", offsetof(struct run_position, schedule_best), 0, true, false},
    {"schedule_waited", offsetof(struct run_position, schedule_waited), 0, false, false},
    {"seconds", offsetof(struct run_position, seconds), 0, true, false},
    {"evaluation_due", offsetof(struct run_position, evaluation_due), 0, false, true},
};
enum { FIELDS = sizeof fields / sizeof *fields };

// JSON has no infinity, and "no evaluation yet" is one.
static json_t *real_to_json(double number)
{
    if (isfinite(number)) return json_real(number);
    return json_string(isnan(number) ? "nan" : number > 0 ? "infinity" : "-infinity");
}

static enum status real_from_json(json_t *object, const char *key, const char *source,
                                  double *number_p)
{
    const char *word = json_string_value(json_object_get(object, key));
    if (!word) return json_get_number(object, key, source, true, -HUGE_VAL, HUGE_VAL, 0, number_p);
    if (strcmp(word, "nan") == 0)
        *number_p = (double)NAN;
    else if (strcmp(word, "infinity") == 0)
        *number_p = HUGE_VAL;
    else if (strcmp(word, "-infinity") == 0)
        *number_p = -HUGE_VAL;
    else
        FAIL(STATUS_INPUT, "%s: \"%s\" must be a number, infinity, -infinity or nan", source, key);
    return STATUS_OK;
}

static json_t *position_to_json(const struct run_position *position)
{
    json_t *object = json_object();
    int bad = 0;
    for (int i = 0; i < FIELDS; i++) {
        const char *at = (const char *)position + fields[i].offset;
        int64_t whole;
        double number;
        memcpy(&whole, at, sizeof whole);
        memcpy(&number, at, sizeof number);
        bad |= json_object_set_new(object, fields[i].key,
                                   fields[i].is_real ? real_to_json(number) : json_integer(whole));
    }
    if (!bad) return object;
    json_decref(object);
    return NULL;
}

static enum status position_from_json(json_t *object, const char *source,
                                      struct run_position *position)
{
    *position = (struct run_position){0};
    for (int i = 0; i < FIELDS; i++) {
        char *at = (char *)position + fields[i].offset;
        int64_t whole = 0;
        double number = 0;
        if (fields[i].optional && !json_object_get(object, fields[i].key)) continue;
        if (fields[i].is_real)
            TRY(real_from_json(object, fields[i].key, source, &number));
        else
            TRY(json_get_integer(object, fields[i].key, source, true, fields[i].least, INT64_MAX, 0,
                                 &whole));
        memcpy(at, fields[i].is_real ? (const void *)&number : &whole, sizeof whole);
    }
    if (!json_object_get(object, "scheduled_best")) position->scheduled_best = position->best_loss;
    return STATUS_OK;
}

// ---- writing ----
enum status manifest_add(struct manifest *manifest, const char *name, uint64_t bytes,
                         const char *hash, const struct tensor_hashes *tensors)
{
    INVARIANT(manifest->files < MOST_FILES && strlen(name) < FILE_NAME, "file %s of a checkpoint",
              name);
    if (!manifest->root) manifest->root = json_pack("{s:[]}", "files");
    json_t *list = json_object_get(manifest->root, "files"), *file = json_object(), *hashes = NULL;
    int bad = json_object_set_new(file, "name", json_string(name));
    bad |= json_object_set_new(file, "bytes", json_integer((json_int_t)bytes));
    bad |= json_object_set_new(file, "xxh3_128", json_string(hash));
    if (tensors) bad |= json_object_set_new(file, "tensors", hashes = json_object());
    for (int i = 0; tensors && i < tensors->count && !bad; i++)
        bad |= json_object_set_new(hashes, tensors->tensor[i].name, json_string(tensors->hash[i]));
    bad |= json_array_append_new(list, file);
    if (bad) FAIL(STATUS_MEMORY, "not enough memory for a checkpoint's manifest");
    manifest->files++;
    return STATUS_OK;
}

static enum status make_root(const struct manifest *manifest, json_t **root_p)
{
    char config[20];
    json_t *root = json_object();
    snprintf(config, sizeof config, "%016llx", (unsigned long long)manifest->config_hash);
    int bad = json_object_set_new(root, "format", json_string("stentor checkpoint"));
    bad |= json_object_set_new(root, "version", json_integer(MANIFEST_VERSION));
    bad |= json_object_set_new(root, "library", json_string(STENTOR_VERSION));
    bad |= json_object_set_new(root, "config_hash", json_string(config));
    bad |= json_object_set_new(root, "term", json_integer(manifest->term));
    if (manifest->crew.processes > 0)
        bad |= json_object_set_new(
            root, "made_by",
            json_pack("{s:I, s:I, s:s, s:s}", "processes", (json_int_t)manifest->crew.processes,
                      "workers", (json_int_t)manifest->crew.workers, "exchange",
                      manifest->crew.exchange, "exactness", manifest->crew.exactness));
    bad |= json_object_set_new(root, "position", position_to_json(&manifest->position));
    bad |= json_object_set(root, "files", json_object_get(manifest->root, "files"));
    if (bad) {
        json_decref(root);
        FAIL(STATUS_MEMORY, "not enough memory for a checkpoint's manifest");
    }
    *root_p = root;
    return STATUS_OK;
}

// The document with its own hash as the last member.
static enum status write_signed(const char *text, size_t bytes, const char *path)
{
    struct hash hash;
    struct writer writer;
    char hex[HASH_TEXT];
    size_t body = bytes - strlen("\n}\n");
    hash_start(&hash);
    hash_add(&hash, text, body);
    hash_add(&hash, ",\n  ", 4);
    hash_finish(&hash, hex);
    writer_start(&writer, path);
    writer_add(&writer, text, body);
    writer_add(&writer, ",\n  ", 4);
    writer_add(&writer, tail_start, strlen(tail_start));
    writer_add(&writer, hex, strlen(hex));
    writer_add(&writer, tail_end, strlen(tail_end));
    return writer_finish(&writer, NULL, NULL);
}

enum status manifest_write(const struct manifest *manifest, const char *folder)
{
    json_t *root = NULL;
    char *text, path[STORE_PATH];
    size_t bytes;
    TRY(path_join(path, sizeof path, folder, "manifest.json"));
    TRY(make_root(manifest, &root));
    enum status status = json_print(root, &text, &bytes);
    json_decref(root);
    if (status) return status;
    status = write_signed(text, bytes, path);
    free(text);
    return status;
}

// ---- reading ----
static enum status check_signature(const char *text, size_t bytes, const char *path)
{
    size_t tail = strlen(tail_start) + (HASH_TEXT - 1) + strlen(tail_end);
    const char *at = text + bytes - tail;
    if (bytes < tail || memcmp(at, tail_start, strlen(tail_start)) != 0 ||
        memcmp(text + bytes - strlen(tail_end), tail_end, strlen(tail_end)) != 0)
        FAIL(STATUS_INPUT, "%s does not end in the hash of itself: it was cut short or changed",
             path);
    struct hash hash;
    char hex[HASH_TEXT];
    hash_start(&hash);
    hash_add(&hash, text, bytes - tail);
    hash_finish(&hash, hex);
    if (memcmp(hex, at + strlen(tail_start), HASH_TEXT - 1) != 0)
        FAIL(STATUS_INPUT, "%s is damaged: its hash is %s, not the one in its last line", path,
             hex);
    return STATUS_OK;
}

static bool is_hash(const char *text)
{
    return strlen(text) == HASH_TEXT - 1 && strspn(text, "0123456789abcdef") == HASH_TEXT - 1;
}

// A name of a file in the checkpoint's own folder, nothing that leads out of it.
static bool is_plain_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= FILE_NAME || name[0] == '.') return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] == '/' || name[i] == '\\' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

static enum status read_file_entry(json_t *object, const char *path, struct manifest *manifest)
{
    struct manifest_file *file = &manifest->file[manifest->files];
    const char *name, *hash;
    char name_shown[SHOWN];
    int64_t bytes;
    TRY(json_get_string(object, "name", path, true, NULL, &name));
    if (!is_plain_name(name))
        FAIL(STATUS_INPUT, "%s names the file \"%s\"; a file of the same folder is needed", path,
             shown(name, name_shown, sizeof name_shown));
    if (manifest_has(manifest, name)) FAIL(STATUS_INPUT, "%s names the file %s twice", path, name);
    TRY(json_get_integer(object, "bytes", path, true, 0, INT64_MAX, 0, &bytes));
    TRY(json_get_string(object, "xxh3_128", path, true, NULL, &hash));
    if (!is_hash(hash))
        FAIL(STATUS_INPUT, "%s: the hash of %s is not 32 hexadecimal digits", path, name);
    snprintf(file->name, sizeof file->name, "%s", name);
    snprintf(file->hash, sizeof file->hash, "%s", hash);
    file->bytes = (uint64_t)bytes;
    file->tensors = json_object_get(object, "tensors");
    manifest->files++;
    return STATUS_OK;
}

static enum status read_config_hash(json_t *root, const char *path, uint64_t *hash_p)
{
    const char *text;
    TRY(json_get_string(root, "config_hash", path, true, NULL, &text));
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        FAIL(STATUS_INPUT, "%s: \"config_hash\" is not 16 hexadecimal digits", path);
    *hash_p = strtoull(text, NULL, 16);
    return STATUS_OK;
}

static enum status read_crew(json_t *object, const char *path, struct checkpoint_crew *crew)
{
    const char *exchange, *exactness;
    if (!object) return STATUS_OK;
    TRY(json_get_integer(object, "processes", path, true, 1, INT32_MAX, 0, &crew->processes));
    TRY(json_get_integer(object, "workers", path, true, 1, INT64_MAX, 0, &crew->workers));
    TRY(json_get_string(object, "exchange", path, true, NULL, &exchange));
    TRY(json_get_string(object, "exactness", path, true, NULL, &exactness));
    if (strlen(exchange) >= sizeof crew->exchange || strlen(exactness) >= sizeof crew->exactness)
        FAIL(STATUS_INPUT, "%s: \"exchange\" and \"exactness\" have at most %zu bytes", path,
             sizeof crew->exchange - 1);
    snprintf(crew->exchange, sizeof crew->exchange, "%s", exchange);
    snprintf(crew->exactness, sizeof crew->exactness, "%s", exactness);
    return STATUS_OK;
}

static enum status read_root(json_t *root, const char *path, struct manifest *manifest)
{
    int64_t version;
    const char *format;
    TRY(json_get_string(root, "format", path, true, NULL, &format));
    if (strcmp(format, "stentor checkpoint") != 0)
        FAIL(STATUS_INPUT, "%s is not the manifest of a checkpoint", path);
    TRY(json_get_integer(root, "version", path, true, 1, INT64_MAX, 0, &version));
    if (version > MANIFEST_VERSION)
        FAIL(STATUS_UNSUPPORTED,
             "%s has format version %lld; this program reads up to %d: use the newer program that "
             "wrote it",
             path, (long long)version, (int)MANIFEST_VERSION);
    TRY(read_config_hash(root, path, &manifest->config_hash));
    TRY(read_crew(json_object_get(root, "made_by"), path, &manifest->crew));
    TRY(json_get_integer(root, "term", path, false, 0, INT64_MAX, 0, &manifest->term));
    TRY(position_from_json(json_object_get(root, "position"), path, &manifest->position));
    json_t *files = json_object_get(root, "files"), *file;
    size_t i, count = json_array_size(files);
    if (count < 1 || count > MOST_FILES)
        FAIL(STATUS_INPUT, "%s names %zu files; 1 to %d are expected", path, count,
             (int)MOST_FILES);
    json_array_foreach(files, i, file) TRY(read_file_entry(file, path, manifest));
    if (!manifest_has(manifest, "weights.safetensors"))
        FAIL(STATUS_INPUT, "%s names no weights.safetensors", path);
    return STATUS_OK;
}

static enum status read_open(int file, uint64_t size, const char *path, char **text_p)
{
    char *text;
    if (size > MOST_MANIFEST)
        FAIL(STATUS_INPUT, "%s has %llu bytes; a manifest has at most %d", path,
             (unsigned long long)size, (int)MOST_MANIFEST);
    TRY(memory_allocate(size + 1, 1, "a manifest", &text));
    enum status status = file_read_at(file, text, size, 0, path);
    if (status)
        free(text);
    else
        *text_p = text;
    return status;
}

static enum status read_text(const char *path, char **text_p, size_t *bytes_p)
{
    int file;
    uint64_t size;
    TRY(file_open(path, false, &file, &size));
    enum status status = read_open(file, size, path, text_p);
    file_close(file);
    if (!status) *bytes_p = size;
    return status;
}

enum status manifest_read(const char *folder, struct manifest *manifest)
{
    char path[STORE_PATH], *text = NULL;
    size_t bytes = 0;
    struct manifest read = {0};
    TRY(path_join(path, sizeof path, folder, "manifest.json"));
    TRY(read_text(path, &text, &bytes));
    enum status status = check_signature(text, bytes, path);
    if (!status) status = json_parse(text, bytes, path, &read.root);
    free(text);
    if (!status) status = read_root(read.root, path, &read);
    if (status)
        manifest_release(&read);
    else
        *manifest = read;
    return status;
}

void manifest_release(struct manifest *manifest)
{
    json_decref(manifest->root);
    manifest->root = NULL;
}

bool manifest_has(const struct manifest *manifest, const char *name)
{
    for (int i = 0; i < manifest->files; i++)
        if (strcmp(manifest->file[i].name, name) == 0) return true;
    return false;
}

// ---- files ----
// A file's hash is wrong: says which tensor it is, as far as that can be said.
static enum status fail_damaged(const struct manifest_file *file, const char *path,
                                const char *hash)
{
    struct safetensors *tensors = NULL;
    if (json_is_object(file->tensors)) TRY(safetensors_open_plain(path, &tensors));
    enum status status = STATUS_OK;
    for (int i = 0; tensors && i < tensors->count && !status; i++) {
        const struct tensor_entry *entry = &tensors->tensor[i];
        const char *expected = json_string_value(json_object_get(file->tensors, entry->name));
        char found[HASH_TEXT];
        status = hash_file_part(tensors->file, tensors->data_start + entry->begin,
                                entry->end - entry->begin, path, found);
        if (!status && (!expected || strcmp(expected, found) != 0))
            status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                              "%s is damaged: tensor \"%s\" has the hash %s, the manifest says %s",
                              path, entry->name, found, expected ? expected : "nothing of it");
    }
    safetensors_close(tensors);
    if (status) return status;
    FAIL(STATUS_INPUT, "%s is damaged: its hash is %s, the manifest says %s", path, hash,
         file->hash);
}

static enum status check_file(const struct manifest_file *file, const char *folder)
{
    char path[STORE_PATH], hash[HASH_TEXT];
    int descriptor;
    uint64_t bytes;
    TRY(path_join(path, sizeof path, folder, file->name));
    TRY(file_open(path, false, &descriptor, &bytes));
    enum status status = bytes == file->bytes
                             ? hash_file_part(descriptor, 0, bytes, path, hash)
                             : error_at(STATUS_INPUT, __FILE__, __LINE__,
                                        "%s has %llu bytes, the manifest says %llu", path,
                                        (unsigned long long)bytes, (unsigned long long)file->bytes);
    file_close(descriptor);
    if (!status && strcmp(hash, file->hash) != 0) status = fail_damaged(file, path, hash);
    return status;
}

enum status manifest_check_files(const struct manifest *manifest, const char *folder)
{
    for (int i = 0; i < manifest->files; i++) TRY(check_file(&manifest->file[i], folder));
    return STATUS_OK;
}
