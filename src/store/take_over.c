// SPDX-License-Identifier: Apache-2.0
#include "store/take_over.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/family.h"
#include "store/internal.h"
#include "store/shards.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

// Training from a number that is none would end steps later as a loss that is not finite. numbers: of elements [first, last).
static enum status check_finite(const struct safetensors *file, const struct tensor_entry *entry,
                                const float *numbers, int64_t first, int64_t last)
{
    char place[SHOWN];
    int64_t i = first;
    while (i < last && isfinite(numbers[i - first])) i++;
    if (i == last) return STATUS_OK;
    float number = numbers[i - first];
    FAIL(STATUS_INPUT,
         "%s: tensor %s is %s at %s (as float32); training starts from finite numbers: take the "
         "model as it was before it diverged",
         file->path, entry->name,
         isnan(number) ? "nan"
         : number > 0  ? "inf"
                       : "-inf",
         print_place(entry, i, place));
}

// ---- one parameter ----

struct source {
    struct shards shards;
    bool same_type;          // else only `table` is taken
    const char *prefix;      // that files of the directory's type may leave out
    const char *table;       // this model's table of tokens, NULL: none
    const char *table_there; // the directory's
    const struct takeover_tables *tables;
};

// Rows of the table that is read whole: its file has them in another order.
static enum status take_matching(const struct row_map *map, const struct safetensors *file,
                                 const struct tensor_entry *entry,
                                 const struct parameter *parameter, float *weights,
                                 struct takeover *takeover)
{
    const int32_t *there = map->there;
    int64_t rows = parameter->shape.size[0], width = parameter->shape.size[1];
    float *table = NULL;
    if (rows > map->count) rows = map->count;
    for (int64_t i = 0; i < rows; i++) takeover->rows += there[i] >= 0 && there[i] < entry->size[0];
    takeover->taken = takeover->rows == 0                         ? TAKEN_NOT
                      : takeover->rows < parameter->shape.size[0] ? TAKEN_ROWS
                                                                  : TAKEN_ALL;
    takeover->unknown = takeover->rows == 0;
    if (takeover->unknown || !weights) return STATUS_OK;
    int64_t elements = entry->size[0] * width;
    TRY(memory_allocate((size_t)elements, sizeof *table, "a table to start from", &table));
    enum status status = safetensors_read_float(file, entry, table);
    for (int64_t i = 0; i < rows && !status; i++) {
        if (there[i] < 0 || there[i] >= entry->size[0]) continue;
        int64_t first = there[i] * width;
        status = check_finite(file, entry, table + first, first, first + width);
        memcpy(weights + i * width, table + first, (size_t)width * sizeof *table);
    }
    free(table);
    return status;
}

// The tensor that gives a parameter its numbers, NULL: none.
static const struct tensor_entry *giver(const struct source *source, const char *name,
                                        struct takeover *takeover,
                                        const struct safetensors **file_p)
{
    if (source->same_type) return find(&source->shards, source->prefix, name, file_p);
    if (!source->table || !source->table_there || strcmp(name, source->table) != 0) return NULL;
    if (strcmp(name, source->table_there) != 0) takeover->name = source->table_there;
    return find(&source->shards, source->prefix, source->table_there, file_p);
}

static enum status take(const struct source *source, const struct parameter *parameter,
                        enum table table, float *weights, struct takeover *takeover)
{
    const struct safetensors *file = NULL;
    *takeover = (struct takeover){.rank = -1};
    if (table == TABLE_ANEW) return STATUS_OK;
    const struct tensor_entry *entry = giver(source, parameter->name, takeover, &file);
    if (!entry) return STATUS_OK;
    takeover->rank = entry->rank;
    memcpy(takeover->size, entry->size, sizeof takeover->size);
    bool rows_fit = parameter->shape.rank == 2 && fits(entry, &parameter->shape, 1);
    const struct row_map *map = &source->tables->map[table];
    if (map->there && rows_fit)
        return take_matching(map, file, entry, parameter, weights, takeover);
    int64_t rows = parameter->shape.rank ? parameter->shape.size[0] : 1,
            elements = parameter->count;
    if (fits(entry, &parameter->shape, 0)) {
        takeover->taken = TAKEN_ALL;
    } else if (table != TABLE_NONE && rows_fit) {
        takeover->taken = TAKEN_ROWS;
        if (entry->size[0] < rows) rows = entry->size[0];
        elements = rows * parameter->shape.size[1];
    }
    takeover->rows = rows;
    if (takeover->taken == TAKEN_NOT || !weights) return STATUS_OK;
    TRY(safetensors_read_first(file, entry, elements, weights));
    return check_finite(file, entry, weights, 0, elements);
}

// ---- all ----

static enum status compare_types(const char *directory, const char *type, struct source *source)
{
    const struct model_family *family = NULL;
    const struct model_type *mine, *other;
    struct model_config config = {.vocabulary = 0};
    bool zero_bias = false;
    TRY(model_config_read(directory, &config, &family, &zero_bias));
    TRY(model_find(type, &mine));
    TRY(model_find(config.type, &other));
    source->same_type = mine == other;
    source->prefix = family->prefix;
    source->table = mine->table;
    source->table_there = other->table;
    return STATUS_OK;
}

enum status take_over(const char *directory, const char *type, const struct parameters *parameters,
                      const struct takeover_tables *tables, float *weights,
                      struct takeover *takeover)
{
    struct source source = {.tables = tables};
    char path[STORE_PATH];
    TRY(path_join(path, sizeof path, directory, "config.json"));
    if (!directory_exists(directory))
        FAIL(STATUS_INPUT, "%s is no folder; a model directory is needed", directory);
    if (!file_exists(path)) return model_missing(directory);
    TRY(compare_types(directory, type, &source));
    TRY(shards_open(directory, &source.shards));
    enum status status = STATUS_OK;
    for (int i = 0; i < parameters->count && !status; i++) {
        const struct parameter *p = &parameters->list[i];
        status =
            take(&source, p, tables->kind[i], weights ? weights + p->offset : NULL, &takeover[i]);
    }
    shards_close(&source.shards);
    return status;
}
