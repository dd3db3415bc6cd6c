// SPDX-License-Identifier: Apache-2.0
#include "store/take_over.h"

#include "base/file.h"
#include "store/family.h"
#include "store/internal.h"
#include "store/shards.h"

#include <string.h>

// The tensor called `name`, with or without the family's prefix.
static const struct tensor_entry *find(const struct shards *shards, const char *prefix,
                                       const char *name, const struct safetensors **file_p)
{
    size_t length = strlen(prefix);
    const struct tensor_entry *entry = shards_find(shards, name, file_p);
    if (!entry && strncmp(name, prefix, length) == 0)
        entry = shards_find(shards, name + length, file_p);
    return entry;
}

// Whether the sizes are the same from dimension `first` on.
static bool fits(const struct tensor_entry *entry, const struct shape *shape, int first)
{
    bool same = entry->rank == shape->rank;
    for (int i = first; same && i < shape->rank; i++) same = entry->size[i] == shape->size[i];
    return same;
}

static enum status take(const struct shards *shards, const char *prefix,
                        const struct parameter *parameter, bool table, float *weights,
                        struct takeover *takeover)
{
    const struct safetensors *file = NULL;
    const struct tensor_entry *entry = find(shards, prefix, parameter->name, &file);
    *takeover = (struct takeover){.rank = -1};
    if (!entry) return STATUS_OK;
    takeover->rank = entry->rank;
    memcpy(takeover->size, entry->size, sizeof takeover->size);
    int64_t elements = parameter->count;
    if (fits(entry, &parameter->shape, 0)) {
        takeover->taken = TAKEN_ALL;
    } else if (table && parameter->shape.rank == 2 && fits(entry, &parameter->shape, 1)) {
        takeover->taken = TAKEN_ROWS;
        if (entry->size[0] < parameter->shape.size[0])
            elements = entry->size[0] * parameter->shape.size[1];
    }
    if (takeover->taken == TAKEN_NOT || !weights) return STATUS_OK;
    return safetensors_read_first(file, entry, elements, weights + parameter->offset);
}

enum status take_over(const char *directory, const char *type, const struct parameters *parameters,
                      const bool *is_table, float *weights, struct takeover *takeover)
{
    const struct model_family *family = family_find(type);
    struct shards shards;
    char path[STORE_PATH];
    TRY(path_join(path, sizeof path, directory, "config.json"));
    if (!directory_exists(directory))
        FAIL(STATUS_INPUT, "%s is no folder; a model directory is needed", directory);
    if (!file_exists(path))
        FAIL(STATUS_INPUT, "%s is not a model: it has no config.json", directory);
    TRY(shards_open(directory, &shards));
    enum status status = STATUS_OK;
    for (int i = 0; i < parameters->count && !status; i++)
        status = take(&shards, family ? family->prefix : "", &parameters->list[i], is_table[i],
                      weights, &takeover[i]);
    shards_close(&shards);
    return status;
}
