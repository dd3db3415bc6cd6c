// SPDX-License-Identifier: Apache-2.0
// Index files: {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}}, kept to the letter.
#include "store/shards.h"

#include "base/log.h"
#include "base/memory.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_INDEX = 32 << 20, MOST_SHARDS = 1024, MOST_FILE_NAME = 255, MOST_DEPTH = 16 };

struct mapping {
    char *tensor;
    int shard;
};
struct index {
    const char *path;
    char *text;
    struct mapping *map;
    int count;
    char *shard[MOST_SHARDS]; // names, in the text
    int shards;
    bool has_total, mapped;
    uint64_t total;
};

// ---- reading the index ----
static bool is_plain_name(const char *name)
{
    if (!name[0] || name[0] == '.') return false;
    for (; *name; name++)
        if (*name == '/' || *name == '\\' || *name == ':' || (unsigned char)*name < 0x20 ||
            *name == 0x7f)
            return false;
    return true;
}

static enum status find_shard(struct index *index, char *name, int *shard_p)
{
    char name_shown[SHOWN];
    // Tensors of one file mostly follow one another.
    for (int i = index->shards - 1; i >= 0; i--) {
        if (strcmp(index->shard[i], name) != 0) continue;
        *shard_p = i;
        return STATUS_OK;
    }
    if (!is_plain_name(name))
        FAIL(STATUS_INPUT, "%s names the file \"%s\"; a file of the same folder is needed",
             index->path, shown(name, name_shown, sizeof name_shown));
    if (index->shards == MOST_SHARDS)
        FAIL(STATUS_INPUT, "%s names more than %d files", index->path, (int)MOST_SHARDS);
    *shard_p = index->shards;
    index->shard[index->shards++] = name;
    return STATUS_OK;
}

static enum status read_map(struct scan *scan, struct index *index)
{
    int capacity = 0;
    bool more;
    if (index->mapped) FAIL(STATUS_INPUT, "%s has two weight_maps", index->path);
    index->mapped = true;
    TRY(scan_open(scan, '{'));
    for (;;) {
        char *name, *file;
        TRY(scan_more(scan, '}', &more));
        if (!more) return STATUS_OK;
        if (index->count == MOST_TENSORS)
            FAIL(STATUS_INPUT, "%s: more than %d tensors", index->path, (int)MOST_TENSORS);
        if (index->count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            TRY(memory_grow(&index->map, (size_t)capacity, sizeof *index->map,
                            "a list of tensors"));
        }
        TRY(scan_key(scan, MOST_NAME, &name));
        TRY(scan_string(scan, MOST_FILE_NAME, &file));
        index->map[index->count].tensor = name;
        TRY(find_shard(index, file, &index->map[index->count].shard));
        index->count++;
    }
}

static enum status read_metadata(struct scan *scan, struct index *index)
{
    bool more;
    TRY(scan_open(scan, '{'));
    for (;;) {
        char *key, *before;
        TRY(scan_more(scan, '}', &more));
        if (!more) return STATUS_OK;
        TRY(scan_key(scan, MOST_NAME, &key));
        before = scan->at;
        TRY(scan_skip(scan, MOST_DEPTH));
        if (strcmp(key, "total_size") != 0) continue;
        index->has_total = true;
        index->total =
            strtoull(before, NULL, 10); // 0 for what is no number: only a warning hangs on it
    }
}

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const struct mapping *)a)->tensor, ((const struct mapping *)b)->tensor);
}

static enum status parse_index(struct index *index, size_t bytes)
{
    struct scan scan;
    char name_shown[SHOWN];
    bool more;
    scan_start(&scan, index->text, bytes, index->path);
    TRY(scan_open(&scan, '{'));
    for (;;) {
        char *key;
        TRY(scan_more(&scan, '}', &more));
        if (!more) break;
        TRY(scan_key(&scan, MOST_NAME, &key));
        if (strcmp(key, "weight_map") == 0)
            TRY(read_map(&scan, index));
        else if (strcmp(key, "metadata") == 0)
            TRY(read_metadata(&scan, index));
        else
            TRY(scan_skip(&scan, MOST_DEPTH));
    }
    TRY(scan_finish(&scan));
    if (!index->count) FAIL(STATUS_INPUT, "%s has no weight_map, or an empty one", index->path);
    qsort(index->map, (size_t)index->count, sizeof *index->map, by_tensor);
    for (int i = 1; i < index->count; i++)
        if (strcmp(index->map[i].tensor, index->map[i - 1].tensor) == 0)
            FAIL(STATUS_INPUT, "%s names the tensor \"%s\" twice", index->path,
                 shown(index->map[i].tensor, name_shown, sizeof name_shown));
    return STATUS_OK;
}

// ---- index against files ----
static enum status check_shard(const struct index *index, int shard, const struct safetensors *file,
                               uint64_t *bytes)
{
    char name_shown[SHOWN];
    for (int i = 0; i < file->count; i++) {
        struct mapping wanted = {.tensor = file->tensor[i].name};
        const struct mapping *found =
            bsearch(&wanted, index->map, (size_t)index->count, sizeof *index->map, by_tensor);
        *bytes += file->tensor[i].end - file->tensor[i].begin;
        if (found && found->shard == shard) continue;
        FAIL(STATUS_INPUT, "%s: tensor \"%s\" is in this file; the index says it is %s%s",
             file->path, shown(file->tensor[i].name, name_shown, sizeof name_shown),
             found ? "in " : "nowhere", found ? index->shard[found->shard] : "");
    }
    return STATUS_OK;
}

static enum status check_index(const struct index *index, const struct shards *shards)
{
    char name_shown[SHOWN];
    uint64_t bytes = 0;
    for (int i = 0; i < shards->files; i++) TRY(check_shard(index, i, shards->file[i], &bytes));
    for (int i = 0; i < index->count; i++) {
        const struct mapping *mapping = &index->map[i];
        if (!safetensors_find(shards->file[mapping->shard], mapping->tensor))
            FAIL(STATUS_INPUT, "%s: tensor \"%s\" is not in %s", index->path,
                 shown(mapping->tensor, name_shown, sizeof name_shown),
                 index->shard[mapping->shard]);
    }
    if (index->has_total && index->total != bytes)
        log_warning("%s says that the tensors have %llu bytes; they have %llu", index->path,
                    (unsigned long long)index->total, (unsigned long long)bytes);
    return STATUS_OK;
}

static enum status open_files(const char *directory, char *const *names, int count,
                              struct shards *shards)
{
    TRY(memory_allocate((size_t)count, sizeof(void *), "a list of files", &shards->file));
    for (int i = 0; i < count; i++) {
        char path[STORE_PATH];
        TRY(path_join(path, sizeof path, directory, names[i]));
        TRY(safetensors_open(path, &shards->file[i]));
        shards->files++;
    }
    return STATUS_OK;
}

static enum status open_indexed(const char *directory, const char *path, struct shards *shards)
{
    struct index *index;
    size_t bytes;
    TRY(memory_allocate(1, sizeof *index, "an index of tensors", &index));
    index->path = path;
    enum status status = file_read(path, MOST_INDEX, &index->text, &bytes);
    if (!status) status = parse_index(index, bytes);
    if (!status) status = open_files(directory, index->shard, index->shards, shards);
    if (!status) status = check_index(index, shards);
    free(index->map);
    free(index->text);
    free(index);
    return status;
}

enum status shards_open(const char *directory, struct shards *shards)
{
    char single[STORE_PATH], index[STORE_PATH], pickle[STORE_PATH], name[] = "model.safetensors";
    struct shards opened = {0};
    TRY(path_join(single, sizeof single, directory, name));
    TRY(path_join(index, sizeof index, directory, "model.safetensors.index.json"));
    TRY(path_join(pickle, sizeof pickle, directory, "pytorch_model.bin"));
    if (!file_exists(single) && !file_exists(index) && file_exists(pickle))
        FAIL(STATUS_INPUT,
             "%s holds the weights as pickle, which can run code and is never read; convert it "
             "first: in Python, "
             "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)",
             pickle);
    enum status status = !file_exists(single) && file_exists(index)
                             ? open_indexed(directory, index, &opened)
                             : open_files(directory, (char *const[]){name}, 1, &opened);
    if (status)
        shards_close(&opened);
    else
        *shards = opened;
    return status;
}

void shards_close(struct shards *shards)
{
    for (int i = 0; i < shards->files; i++) safetensors_close(shards->file[i]);
    free(shards->file);
    *shards = (struct shards){0};
}

const struct tensor_entry *shards_find(const struct shards *shards, const char *name,
                                       const struct safetensors **file_p)
{
    for (int i = 0; i < shards->files; i++) {
        const struct tensor_entry *entry = safetensors_find(shards->file[i], name);
        if (!entry) continue;
        *file_p = shards->file[i];
        return entry;
    }
    return NULL;
}

int shards_count(const struct shards *shards)
{
    int count = 0;
    for (int i = 0; i < shards->files; i++) count += shards->file[i]->count;
    return count;
}
