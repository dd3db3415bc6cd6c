// SPDX-License-Identifier: Apache-2.0
// Saving: all into a temporary folder and to the disk, then one rename. Until then nothing that was there is touched.
#include "store/checkpoint.h"

#include "base/log.h"
#include "base/memory.h"
#include "store/checkpoint_folder.h"
#include "store/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- tensors ----
static struct tensor_source source_of(const struct parameter *parameter, const char *name,
                                      const float *block)
{
    struct tensor_source source = {.name = name,
                                   .rank = parameter->shape.rank,
                                   .data = block ? block + parameter->offset : NULL,
                                   .place = parameter->offset};
    memcpy(source.size, parameter->shape.size, sizeof parameter->shape.size);
    return source;
}

int checkpoint_states(const struct checkpoint_content *content)
{
    int count = 0;
    while (count < CHECKPOINT_STATES &&
           (content->state[count] || checkpoint_streams(content, count)))
        count++;
    return count;
}

bool checkpoint_streams(const struct checkpoint_content *content, int s)
{
    return !content->state[s] && content->stream && content->state_name[s];
}

// A tensor of a state that comes through the stream.
static enum status get_part(const struct tensor_source *source, int64_t first, int64_t n,
                            const float **data_p)
{
    const struct checkpoint_stream *stream = source->context;
    return stream->get(stream->context, source->part, source->place + first, n, data_p);
}

// Tensors of one file and what becomes of them: hashes in the same order.
struct tensor_list {
    struct arena *arena; // names
    struct tensor_source *tensor;
    char (*hash)[HASH_TEXT];
    int count;
};

static void tensor_list_release(struct tensor_list *list)
{
    arena_destroy(list->arena);
    free(list->tensor);
    free(list->hash);
}

static enum status tensor_list_init(struct tensor_list *list, int capacity)
{
    enum status status = arena_create(&list->arena);
    if (!status)
        status = memory_allocate((size_t)capacity, sizeof *list->tensor, "a list of tensors",
                                 &list->tensor);
    if (!status)
        status =
            memory_allocate((size_t)capacity, sizeof *list->hash, "hashes of tensors", &list->hash);
    return status;
}

static enum status list_weights(const struct checkpoint_content *content, struct tensor_list *list)
{
    TRY(tensor_list_init(list, content->parameters->count));
    for (int i = 0; i < content->parameters->count; i++) {
        const struct parameter *parameter = &content->parameters->list[i];
        list->tensor[list->count++] = source_of(parameter, parameter->name, content->weights);
    }
    return STATUS_OK;
}

// Names are "<state>.<parameter>": "mean.transformer.wte.weight".
static enum status list_states(const struct checkpoint_content *content, struct tensor_list *list)
{
    int states = checkpoint_states(content);
    TRY(tensor_list_init(list, states * content->parameters->count));
    for (int s = 0; s < states; s++) {
        for (int i = 0; i < content->parameters->count; i++) {
            const struct parameter *parameter = &content->parameters->list[i];
            const char *name =
                arena_print(list->arena, "%s.%s", content->state_name[s], parameter->name);
            if (!name) FAIL(STATUS_MEMORY, "not enough memory for names of tensors");
            struct tensor_source *source = &list->tensor[list->count++];
            *source = source_of(parameter, name, content->state[s]);
            source->get = get_part;
            source->context = content->stream;
            source->part = s;
        }
    }
    return STATUS_OK;
}

static enum status list_carried(const struct checkpoint_content *content, struct tensor_list *list)
{
    TRY(tensor_list_init(list, 1));
    list->tensor[list->count++] = (struct tensor_source){
        .name = "carried", .rank = 1, .size = {content->carried_count}, .data = content->carried};
    return STATUS_OK;
}

// ---- files ----
static enum status write_tensors(const char *folder, const char *name,
                                 const struct tensor_list *list, struct manifest *manifest)
{
    char path[STORE_PATH];
    struct written written = {.tensor_hashes = list->hash};
    struct tensor_hashes hashes = {
        .tensor = list->tensor, .hash = list->hash, .count = list->count};
    TRY(path_join(path, sizeof path, folder, name));
    TRY(safetensors_write_hashed(path, list->tensor, list->count, NULL, &written));
    return manifest_add(manifest, name, written.bytes, written.hash, &hashes);
}

static enum status write_run_file(const char *folder, const char *text, struct manifest *manifest)
{
    char path[STORE_PATH], hash[HASH_TEXT];
    struct writer writer;
    uint64_t bytes = 0;
    TRY(path_join(path, sizeof path, folder, "run.yaml"));
    writer_start(&writer, path);
    writer_add(&writer, text, strlen(text));
    TRY(writer_finish(&writer, &bytes, hash));
    return manifest_add(manifest, "run.yaml", bytes, hash, NULL);
}

typedef enum status (*tensor_lister)(const struct checkpoint_content *content,
                                     struct tensor_list *list);

static enum status write_listed(const char *folder, const char *name,
                                const struct checkpoint_content *content, tensor_lister lister,
                                struct manifest *manifest)
{
    struct tensor_list list = {0};
    enum status status = lister(content, &list);
    if (!status) status = write_tensors(folder, name, &list, manifest);
    tensor_list_release(&list);
    return status;
}

static enum status write_files(const char *folder, const struct checkpoint_content *content,
                               struct manifest *manifest)
{
    TRY(write_listed(folder, "weights.safetensors", content, list_weights, manifest));
    if (checkpoint_states(content) > 0)
        TRY(write_listed(folder, "optimizer.safetensors", content, list_states, manifest));
    if (content->carried)
        TRY(write_listed(folder, "carried.safetensors", content, list_carried, manifest));
    if (content->run_file) TRY(write_run_file(folder, content->run_file, manifest));
    TRY(manifest_write(manifest, folder));
    return file_sync_directory(folder);
}

// ---- the rename ----
// Puts the finished folder in the place of step-<n>; an older one there steps aside first and comes back when that fails.
static enum status publish(const char *directory, const char *temporary, int64_t step)
{
    char path[STORE_PATH], aside[STORE_PATH];
    TRY(checkpoint_path(path, directory, STEP_PREFIX, step));
    TRY(checkpoint_path(aside, directory, REPLACED_PREFIX, step));
    bool replaces = directory_exists(path);
    if (replaces) {
        TRY(directory_remove(aside));
        TRY(file_rename(path, aside));
    }
    enum status status = file_rename(temporary, path);
    if (status && replaces && rename(aside, path))
        log_warning("%s keeps the former checkpoint of step %lld", aside, (long long)step);
    if (status) return status;
    TRY(file_sync_directory(directory));
    if (replaces) TRY(directory_remove(aside));
    return STATUS_OK;
}

static enum status write_latest(const char *directory, int64_t step)
{
    char path[STORE_PATH], text[48];
    TRY(path_join(path, sizeof path, directory, "latest"));
    int length = snprintf(text, sizeof text, "step-%lld\n", (long long)step);
    return file_replace(path, text, (size_t)length);
}

// ---- pruning ----
// Renamed before it is emptied, so that a half removed checkpoint is never taken for one.
static enum status remove_checkpoint(const char *directory, const struct checkpoint_name *old)
{
    char path[STORE_PATH], temporary[STORE_PATH];
    TRY(path_join(path, sizeof path, directory, old->name));
    TRY(checkpoint_temporary(temporary, directory, old->step));
    TRY(directory_remove(temporary));
    TRY(file_rename(path, temporary));
    return directory_remove(temporary);
}

// Older checkpoints go only after the new one was read back and found right.
static enum status prune(const char *directory, int64_t saved, int keep, int64_t protect_step)
{
    char path[STORE_PATH];
    struct checkpoint_name *list;
    int count, kept = 0;
    TRY(checkpoint_names(directory, &list, &count));
    bool checked = false;
    enum status status = STATUS_OK;
    for (int i = 0; i < count && !status; i++) {
        if (kept < keep || list[i].step == saved || list[i].step == protect_step) {
            kept++;
            continue;
        }
        if (!checked) {
            status = checkpoint_path(path, directory, STEP_PREFIX, saved);
            if (!status) status = checkpoint_verify(path);
        }
        checked = true;
        if (!status) status = remove_checkpoint(directory, &list[i]);
    }
    free(list);
    return status;
}

// ---- all of it ----
static enum status ask_fence(const struct checkpoint_content *content)
{
    return content->fence ? content->fence(content->fence_context) : STATUS_OK;
}

static enum status save_into(const char *directory, const char *temporary,
                             const struct checkpoint_content *content)
{
    struct manifest manifest = {.position = content->position,
                                .config_hash = content->config_hash,
                                .term = content->term,
                                .crew = content->crew};
    TRY(checkpoint_sweep(directory));
    TRY(directory_create(temporary));
    enum status status = write_files(temporary, content, &manifest);
    manifest_release(&manifest);
    if (!status && content->stream) status = content->stream->commit(content->stream->context);
    if (!status) status = ask_fence(content);
    if (!status) status = publish(directory, temporary, content->position.step);
    return status;
}

enum status checkpoint_save(const char *directory, const struct checkpoint_content *content,
                            int keep, int64_t protect_step)
{
    char temporary[STORE_PATH];
    int64_t step = content->position.step;
    INVARIANT(step >= 0, "checkpoint of step %lld", (long long)step);
    TRY(ask_fence(content));
    TRY(directory_create(directory));
    TRY(checkpoint_temporary(temporary, directory, step));
    enum status status = save_into(directory, temporary, content);
    if (status) {
        // The error that made the save fail is the one to tell; what is left over is swept by the next save.
        enum status ignored = directory_remove(temporary);
        (void)ignored;
        bool other = status == STATUS_MEMORY || status == STATUS_PEER || status == STATUS_USAGE;
        return other ? status : STATUS_DISK;
    }
    TRY(ask_fence(content));
    TRY(write_latest(directory, step));
    if (prune(directory, step, keep < 1 ? 1 : keep, protect_step)) {
        log_warning("older checkpoints are kept: %s", error_message());
        error_clear();
    }
    return STATUS_OK;
}
