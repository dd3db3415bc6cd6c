// SPDX-License-Identifier: Apache-2.0
// Writing model directories, and the registry of a model without its weights.
#include "store/model_directory.h"

#include "base/memory.h"
#include "store/family.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 8 }; // enough for every model's windows

// ---- the registry ----
static void build(struct builder *b, const struct model_type *type,
                  const struct model_config *config)
{
    int64_t tokens = config->context < MOST_TOKENS ? config->context : MOST_TOKENS;
    const struct model_sizes sizes = {.batch = 1, .tokens = tokens, .source_tokens = tokens};
    struct model_inputs inputs =
        model_inputs_create(b->g, config, model_task_of(type, config), sizes);
    (void)type->loss(b, config, inputs, 0);
}

enum status model_declare(const struct model_config *config, struct parameters *parameters)
{
    const struct model_type *type;
    struct graph *g;
    TRY(model_find(config->type, &type));
    TRY(graph_create(&g));
    struct builder b = {.g = g, .parameters = parameters};
    build(&b, type, config);
    enum status status = graph_status(g);
    graph_destroy(g);
    if (!status) parameters->closed = true;
    return status;
}

// ---- saving ----
// The sources of model.safetensors: the parameters, and zeros for biases that transformers expects and this model lacks.
struct sources {
    struct arena *arena; // names of biases
    struct tensor_source *tensor;
    int count;
    float *zeros;
};

static void sources_release(struct sources *sources)
{
    arena_destroy(sources->arena);
    free(sources->tensor);
    free(sources->zeros);
}

static enum status add_bias(struct sources *sources, const struct parameter *parameter)
{
    size_t stem = strlen(parameter->name) - strlen("weight");
    char *name = arena_print(sources->arena, "%.*sbias", (int)stem, parameter->name);
    if (!name) FAIL(STATUS_MEMORY, "not enough memory for names of tensors");
    sources->tensor[sources->count++] = (struct tensor_source){
        .name = name, .rank = 1, .size = {shape_last(parameter->shape)}, .data = sources->zeros};
    return STATUS_OK;
}

static enum status make_sources(const struct model_config *config,
                                const struct parameters *parameters, const float *weights,
                                struct sources *sources)
{
    const struct model_family *family = family_find(config->type);
    int64_t longest = 1;
    for (int i = 0; i < parameters->count; i++)
        if (shape_last(parameters->list[i].shape) > longest)
            longest = shape_last(parameters->list[i].shape);
    TRY(arena_create(&sources->arena));
    TRY(memory_allocate(2 * (size_t)parameters->count, sizeof *sources->tensor, "a list of tensors",
                        &sources->tensor));
    TRY(memory_allocate((size_t)longest, sizeof *sources->zeros, "zero biases", &sources->zeros));
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *parameter = &parameters->list[i];
        struct tensor_source *source = &sources->tensor[sources->count++];
        *source = (struct tensor_source){.name = parameter->name,
                                         .rank = parameter->shape.rank,
                                         .data = weights + parameter->offset};
        memcpy(source->size, parameter->shape.size, sizeof parameter->shape.size);
        if (!config->bias && family->has_bias(parameter->name)) TRY(add_bias(sources, parameter));
    }
    return STATUS_OK;
}

// Through a temporary name: a reader never sees half a file, and a full disk leaves the old one. The name is always the same, so what
// a killed run left is overwritten by the next.
static enum status write_weights(const char *directory, const struct sources *sources)
{
    char path[STORE_PATH], temporary[STORE_PATH];
    TRY(path_join(path, sizeof path, directory, "model.safetensors"));
    TRY(path_join(temporary, sizeof temporary, directory, "model.safetensors.tmp"));
    TRY(safetensors_write(temporary, sources->tensor, sources->count, NULL));
    enum status status = file_rename(temporary, path);
    if (!status) return file_sync_directory(directory);
    enum status ignored = file_remove(temporary);
    (void)ignored;
    return status;
}

enum status model_directory_save(const char *directory, const struct model_config *config,
                                 const struct parameters *parameters, const float *weights,
                                 const struct tokenizer *tokenizer)
{
    struct sources sources = {0};
    TRY(directory_create(directory));
    TRY(model_config_write(directory, config));
    if (tokenizer) TRY(tokenizer_save(tokenizer, directory));
    enum status status = make_sources(config, parameters, weights, &sources);
    if (!status) status = write_weights(directory, &sources);
    sources_release(&sources);
    return status;
}
