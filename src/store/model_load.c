// SPDX-License-Identifier: Apache-2.0
// Reading model directories. Order: config.json, headers of the tensor files, the registry, all shapes; only then memory and data.
#include "base/log.h"
#include "base/memory.h"
#include "store/family.h"
#include "store/internal.h"
#include "store/model_directory.h"
#include "store/model_words.h"
#include "store/shards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Where a parameter's numbers are.
struct place {
    const struct safetensors *file;
    const struct tensor_entry *entry;
};
struct loading {
    const char *directory;
    struct loaded_model *model;
    const struct model_family *family;
    bool zero_bias; // config.json says that biases are zeros
    struct shards shards;
    struct place *place; // of each parameter
    bool **used;         // used[file][tensor]
};

// ---- names ----
// The entry called `name`, with or without the family's prefix.
static struct place find_place(const struct loading *loading, const char *name)
{
    struct place place = {0};
    size_t prefix = strlen(loading->family->prefix);
    place.entry = shards_find(&loading->shards, name, &place.file);
    if (!place.entry && strncmp(name, loading->family->prefix, prefix) == 0)
        place.entry = shards_find(&loading->shards, name + prefix, &place.file);
    return place;
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static const char *print_sizes(const int64_t *size, int rank, char text[SHOWN])
{
    int used = snprintf(text, SHOWN, "[");
    for (int i = 0; i < rank && used < SHOWN - 24; i++)
        used += snprintf(text + used, (size_t)(SHOWN - used), "%s%lld", i ? ", " : "",
                         (long long)size[i]);
    snprintf(text + used, (size_t)(SHOWN - used), "]");
    return text;
}

// ---- before memory is taken ----
// A config.json that asks for more numbers or layers than the files hold is refused before anything is built after it.
static enum status check_amount(const struct loading *loading)
{
    const struct model_config *config = &loading->model->config;
    unsigned __int128 wanted = loading->family->count(config), there = 0;
    for (int f = 0; f < loading->shards.files; f++)
        for (int i = 0; i < loading->shards.file[f]->count; i++) {
            const struct tensor_entry *entry = &loading->shards.file[f]->tensor[i];
            there += (entry->end - entry->begin) * 8 / (uint64_t)dtype_bits(entry->dtype);
        }
    if (wanted > there)
        FAIL(STATUS_INPUT,
             "%s: config.json describes a model of %.6g numbers; the tensor files hold %.6g",
             loading->directory, (double)wanted, (double)there);
    int64_t layers =
        config->layers > config->encoder_layers ? config->layers : config->encoder_layers;
    if (layers > shards_count(&loading->shards))
        FAIL(STATUS_INPUT, "%s: config.json describes %lld layers; the files hold %d tensors",
             loading->directory, (long long)layers, shards_count(&loading->shards));
    return STATUS_OK;
}

static enum status is_zero(const struct place *place, bool *zero_p)
{
    enum { MOST_BIAS = 1 << 24 };
    uint64_t count =
        (place->entry->end - place->entry->begin) * 8 / (uint64_t)dtype_bits(place->entry->dtype);
    float *numbers;
    bool zero = true;
    if (place->entry->rank != 1 || count > MOST_BIAS)
        FAIL(STATUS_INPUT, "%s: tensor %s is no bias: it has %d dimensions", place->file->path,
             place->entry->name, place->entry->rank);
    TRY(memory_allocate(count, sizeof *numbers, "a bias", &numbers));
    enum status status = safetensors_read_float(place->file, place->entry, numbers);
    for (uint64_t i = 0; i < count && !status; i++) zero = zero && numbers[i] == 0;
    free(numbers);
    if (!status) *zero_p = zero;
    return status;
}

static bool is_bias(const struct loading *loading, const char *name)
{
    return ends_in(name, ".bias") && !loading->family->is_ignored(name);
}

// Our own key says that the model has no biases. Somebody may have trained it on with them since: then they count.
static enum status settle_bias(struct loading *loading)
{
    bool zero = true;
    if (!loading->zero_bias) return STATUS_OK;
    for (int f = 0; f < loading->shards.files && zero; f++)
        for (int i = 0; i < loading->shards.file[f]->count && zero; i++) {
            struct place place = {loading->shards.file[f], &loading->shards.file[f]->tensor[i]};
            if (is_bias(loading, place.entry->name)) TRY(is_zero(&place, &zero));
        }
    loading->model->config.bias = !zero;
    if (!zero)
        log_warning("%s: config.json says that the model has no biases, but they are not zero: "
                    "they are used",
                    loading->directory);
    return STATUS_OK;
}

// ---- matching ----
static enum status check_entry(const struct place *place, const struct parameter *parameter)
{
    const struct tensor_entry *entry = place->entry;
    char found[SHOWN], wanted[SHOWN];
    bool same = entry->rank == parameter->shape.rank;
    for (int i = 0; same && i < entry->rank; i++) same = entry->size[i] == parameter->shape.size[i];
    if (!same)
        FAIL(STATUS_INPUT, "%s: tensor %s is %s; config.json asks for %s", place->file->path,
             entry->name, print_sizes(entry->size, entry->rank, found),
             print_sizes(parameter->shape.size, parameter->shape.rank, wanted));
    if (strcmp(entry->dtype, "F32") != 0 && strcmp(entry->dtype, "F16") != 0 &&
        strcmp(entry->dtype, "BF16") != 0 && strcmp(entry->dtype, "F64") != 0)
        FAIL(STATUS_INPUT, "%s: tensor %s holds %s; F32, F64, F16 or BF16 is needed",
             place->file->path, entry->name, entry->dtype);
    return STATUS_OK;
}

static void mark_used(const struct loading *loading, const struct place *place)
{
    for (int f = 0; f < loading->shards.files; f++)
        if (loading->shards.file[f] == place->file)
            loading->used[f][place->entry - place->file->tensor] = true;
}

static enum status match_parameters(struct loading *loading)
{
    const struct parameters *parameters = &loading->model->parameters;
    TRY(memory_allocate((size_t)parameters->count, sizeof *loading->place, "places of tensors",
                        &loading->place));
    for (int i = 0; i < parameters->count; i++) {
        struct place place = find_place(loading, parameters->list[i].name);
        if (!place.entry)
            FAIL(STATUS_INPUT, "%s: the tensor %s is in none of the files", loading->directory,
                 parameters->list[i].name);
        TRY(check_entry(&place, &parameters->list[i]));
        mark_used(loading, &place);
        loading->place[i] = place;
    }
    return STATUS_OK;
}

// The second name of a tied parameter says nothing new when it has the parameter's shape.
static bool is_tied(const struct loading *loading, const struct tensor_entry *entry)
{
    int index = parameters_find(&loading->model->parameters, loading->family->tied_to);
    if (index < 0 || strcmp(entry->name, loading->family->tied) != 0) return false;
    const struct shape *shape = &loading->model->parameters.list[index].shape;
    return entry->rank == 2 && shape->rank == 2 && entry->size[0] == shape->size[0] &&
           entry->size[1] == shape->size[1];
}

static enum status check_rest(const struct loading *loading)
{
    char name_shown[SHOWN], sizes[SHOWN];
    for (int f = 0; f < loading->shards.files; f++)
        for (int i = 0; i < loading->shards.file[f]->count; i++) {
            const struct tensor_entry *entry = &loading->shards.file[f]->tensor[i];
            if (loading->used[f][i] || loading->family->is_ignored(entry->name) ||
                is_tied(loading, entry))
                continue;
            if (!loading->model->config.bias && is_bias(loading, entry->name)) continue;
            FAIL(STATUS_INPUT,
                 "%s: the tensor %s %s is no part of the model that config.json describes",
                 loading->shards.file[f]->path, shown(entry->name, name_shown, sizeof name_shown),
                 print_sizes(entry->size, entry->rank, sizes));
        }
    return STATUS_OK;
}

static enum status match(struct loading *loading)
{
    TRY(memory_allocate((size_t)loading->shards.files, sizeof *loading->used, "a list of files",
                        &loading->used));
    for (int f = 0; f < loading->shards.files; f++)
        TRY(memory_allocate((size_t)loading->shards.file[f]->count, sizeof **loading->used,
                            "marks of tensors", &loading->used[f]));
    TRY(match_parameters(loading));
    return check_rest(loading);
}

// ---- all of it ----
static enum status read_weights(struct loading *loading)
{
    struct loaded_model *model = loading->model;
    size_t bytes = checked_multiply((size_t)model->parameters.elements, sizeof(float));
    TRY(block_create(bytes, "the model's weights", &model->weights));
    for (int i = 0; i < model->parameters.count; i++) {
        float *to = (float *)model->weights.data + model->parameters.list[i].offset;
        TRY(safetensors_read_float(loading->place[i].file, loading->place[i].entry, to));
    }
    return STATUS_OK;
}

// The limits of the model itself. They are told in the words of run files, so the folder is put before them.
static enum status validate(const char *directory, struct loaded_model *model)
{
    char reason[1024];
    if (!model->type->validate(&model->config)) return STATUS_OK;
    error_copy(reason, sizeof reason);
    error_clear();
    FAIL(STATUS_INPUT, "%s/config.json: %s", directory, reason);
}

static enum status load(struct loading *loading)
{
    struct loaded_model *model = loading->model;
    TRY(model_config_read(loading->directory, &model->config, &loading->family,
                          &loading->zero_bias));
    TRY(model_find(model->config.type, &model->type));
    TRY(validate(loading->directory, model));
    if (!(model->type->tasks & model_task_of(model->type, &model->config)))
        FAIL(STATUS_INPUT,
             "%s: config.json describes a model of type %s with a head that it has not",
             loading->directory, model->config.type);
    TRY(shards_open(loading->directory, &loading->shards));
    TRY(settle_bias(loading));
    TRY(check_amount(loading));
    TRY(model_declare(&model->config, &model->parameters));
    TRY(match(loading));
    TRY(read_weights(loading));
    return model_words_load(loading->directory, model);
}

enum status model_directory_load(const char *directory, struct loaded_model **model_p)
{
    struct loading loading = {.directory = directory};
    TRY(memory_allocate(1, sizeof *loading.model, "a model", &loading.model));
    parameters_init(&loading.model->parameters);
    enum status status = load(&loading);
    for (int f = 0; loading.used && f < loading.shards.files; f++) free(loading.used[f]);
    free(loading.used);
    free(loading.place);
    shards_close(&loading.shards);
    if (status)
        loaded_model_destroy(loading.model);
    else
        *model_p = loading.model;
    return status;
}

void loaded_model_destroy(struct loaded_model *model)
{
    if (!model) return;
    model_words_release(model);
    parameters_release(&model->parameters);
    block_destroy(&model->weights);
    free(model);
}
