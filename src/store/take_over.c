// SPDX-License-Identifier: Apache-2.0
#include "store/take_over.h"

#include "base/file.h"
#include "store/family.h"
#include "store/internal.h"
#include "store/shards.h"

#include <math.h>
#include <stdio.h>
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

// "[3, 5]": element i of a tensor.
static const char *print_place(const struct tensor_entry *entry, int64_t i, char text[SHOWN])
{
    int64_t at[SAFETENSORS_MAX_RANK] = {0};
    int used = snprintf(text, SHOWN, "[");
    for (int d = entry->rank - 1; d >= 0; d--) {
        at[d] = i % entry->size[d];
        i /= entry->size[d];
    }
    for (int d = 0; d < entry->rank && used < SHOWN - 24; d++)
        used += snprintf(text + used, (size_t)(SHOWN - used), "%s%lld", d ? ", " : "",
                         (long long)at[d]);
    snprintf(text + used, (size_t)(SHOWN - used), "]");
    return text;
}

// Training from a number that is none would end steps later as a loss that is not finite.
static enum status check_finite(const struct safetensors *file, const struct tensor_entry *entry,
                                const float *numbers, int64_t count)
{
    char place[SHOWN];
    int64_t i = 0;
    while (i < count && isfinite(numbers[i])) i++;
    if (i == count) return STATUS_OK;
    FAIL(STATUS_INPUT,
         "%s: tensor %s is %s at %s (as float32); training starts from finite numbers: take the "
         "model as it was before it diverged",
         file->path, entry->name,
         isnan(numbers[i]) ? "nan"
         : numbers[i] > 0  ? "inf"
                           : "-inf",
         print_place(entry, i, place));
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
    TRY(safetensors_read_first(file, entry, elements, weights + parameter->offset));
    return check_finite(file, entry, weights + parameter->offset, elements);
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
    if (!file_exists(path)) return model_missing(directory);
    TRY(shards_open(directory, &shards));
    enum status status = STATUS_OK;
    for (int i = 0; i < parameters->count && !status; i++)
        status = take(&shards, family ? family->prefix : "", &parameters->list[i], is_table[i],
                      weights, &takeover[i]);
    shards_close(&shards);
    return status;
}
