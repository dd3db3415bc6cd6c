// SPDX-License-Identifier: Apache-2.0
// Loading: the newest checkpoint whose manifest and hashes verify. Verified first, then read, so that a damaged one changes nothing.
#include "base/log.h"
#include "base/memory.h"
#include "store/checkpoint.h"
#include "store/checkpoint_folder.h"
#include "store/manifest.h"

#include <stdlib.h>
#include <string.h>

// ---- verifying ----
static enum status verify(const char *path, struct manifest *manifest)
{
    TRY(manifest_read(path, manifest));
    enum status status = manifest_check_files(manifest, path);
    if (status) manifest_release(manifest);
    return status;
}

enum status checkpoint_verify(const char *path)
{
    struct manifest manifest;
    TRY(verify(path, &manifest));
    manifest_release(&manifest);
    return STATUS_OK;
}

// Also that the folder is called what it holds.
static enum status verify_named(const char *path, int64_t step, struct manifest *manifest)
{
    TRY(verify(path, manifest));
    if (manifest->position.step == step) return STATUS_OK;
    int64_t found = manifest->position.step;
    manifest_release(manifest);
    FAIL(STATUS_INPUT, "%s holds the checkpoint of step %lld", path, (long long)found);
}

// ---- reading ----
static bool same_shape(const struct tensor_entry *entry, const struct parameter *parameter)
{
    if (entry->rank != parameter->shape.rank) return false;
    for (int i = 0; i < entry->rank; i++)
        if (entry->size[i] != parameter->shape.size[i]) return false;
    return true;
}

// The tensor of a parameter; state "": the weights.
static enum status find_tensor(const struct safetensors *file, const struct parameter *parameter,
                               const char *state, const struct tensor_entry **entry_p)
{
    char name[MOST_NAME + 64];
    snprintf(name, sizeof name, "%s%s%s", state, state[0] ? "." : "", parameter->name);
    const struct tensor_entry *entry = safetensors_find(file, name);
    if (!entry) FAIL(STATUS_INPUT, "%s has no tensor %s, which this model needs", file->path, name);
    if (!same_shape(entry, parameter) || strcmp(entry->dtype, "F32") != 0)
        FAIL(STATUS_INPUT, "%s: tensor %s has another shape or dtype than this model's", file->path,
             name);
    *entry_p = entry;
    return STATUS_OK;
}

// One tensor for every parameter into `block`; what lies between parameters becomes 0.
static enum status read_block(const struct safetensors *file, const struct parameters *parameters,
                              const char *state, float *block)
{
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *parameter = &parameters->list[i];
        const struct tensor_entry *entry;
        TRY(find_tensor(file, parameter, state, &entry));
        TRY(safetensors_read_float(file, entry, block + parameter->offset));
        int64_t end = parameter->offset + parameter->count;
        int64_t next =
            i + 1 < parameters->count ? parameters->list[i + 1].offset : parameters->elements;
        memset(block + end, 0, (size_t)(next - end) * sizeof *block);
    }
    return STATUS_OK;
}

// The same in pieces, to wherever they belong.
static enum status read_stream(const struct safetensors *file,
                               const struct checkpoint_content *content, int s)
{
    const struct checkpoint_stream *stream = content->stream;
    float *piece = NULL;
    TRY(memory_allocate(CHECKPOINT_PIECE, sizeof *piece, "a piece of a checkpoint", &piece));
    enum status status = STATUS_OK;
    for (int i = 0; i < content->parameters->count && !status; i++) {
        const struct parameter *parameter = &content->parameters->list[i];
        const struct tensor_entry *entry;
        status = find_tensor(file, parameter, content->state_name[s], &entry);
        for (int64_t first = 0; first < parameter->count && !status; first += CHECKPOINT_PIECE) {
            int64_t left = parameter->count - first;
            int64_t n = left < CHECKPOINT_PIECE ? left : CHECKPOINT_PIECE;
            status = safetensors_read_part(file, entry, first, n, piece);
            if (!status)
                status = stream->put(stream->context, s, parameter->offset + first, n, piece);
        }
    }
    free(piece);
    return status;
}

// `more`: tensors that may be there besides.
static enum status open_part(const char *folder, const char *name, int count, int more,
                             struct safetensors **file_p)
{
    char path[STORE_PATH];
    struct safetensors *file;
    TRY(path_join(path, sizeof path, folder, name));
    TRY(safetensors_open_plain(path, &file));
    int found = file->count;
    if (found == count || found == count + more) {
        *file_p = file;
        return STATUS_OK;
    }
    safetensors_close(file);
    FAIL(STATUS_INPUT, "%s holds %d tensors; this model has %d there", path, found, count);
}

static enum status read_weights(const char *folder, struct checkpoint_content *content)
{
    struct safetensors *file;
    TRY(open_part(folder, "weights.safetensors", content->parameters->count, 0, &file));
    enum status status = read_block(file, content->parameters, "", content->weights);
    safetensors_close(file);
    return status;
}

static bool is_outer(const struct checkpoint_content *content, int s)
{
    return strcmp(content->state_name[s], "outer") == 0;
}

static enum status read_states(const char *folder, const struct manifest *manifest,
                               struct checkpoint_content *content)
{
    int states = checkpoint_states(content), needed = 0, each = content->parameters->count;
    struct safetensors *file;
    for (int s = 0; s < states; s++) needed += !is_outer(content, s);
    if (states == 0) return STATUS_OK;
    if (!manifest_has(manifest, "optimizer.safetensors")) {
        if (needed == 0) return STATUS_OK;
        FAIL(STATUS_INPUT, "%s holds no optimizer state, which this run's optimizer needs", folder);
    }
    TRY(open_part(folder, "optimizer.safetensors", needed * each, each, &file));
    bool outer = file->count > needed * each;
    enum status status = STATUS_OK;
    for (int s = 0; s < states && !status; s++) {
        if (is_outer(content, s) && !outer) continue;
        if (checkpoint_streams(content, s))
            status = read_stream(file, content, s);
        else
            status =
                read_block(file, content->parameters, content->state_name[s], content->state[s]);
    }
    safetensors_close(file);
    return status;
}

static enum status read_carried(const char *folder, const struct manifest *manifest,
                                struct checkpoint_content *content)
{
    struct safetensors *file;
    if (!content->carried) return STATUS_OK;
    if (!manifest_has(manifest, "carried.safetensors"))
        FAIL(STATUS_INPUT, "%s holds no carried states, which this run goes on with", folder);
    TRY(open_part(folder, "carried.safetensors", 1, 0, &file));
    const struct tensor_entry *entry = safetensors_find(file, "carried");
    enum status status = STATUS_OK;
    if (!entry || entry->rank != 1 || entry->size[0] != content->carried_count ||
        strcmp(entry->dtype, "F32") != 0)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                          "%s: carried.safetensors holds no tensor \"carried\" of %lld numbers",
                          folder, (long long)content->carried_count);
    if (!status) status = safetensors_read_float(file, entry, content->carried);
    safetensors_close(file);
    return status;
}

static enum status check_config(const char *path, const struct manifest *manifest,
                                uint64_t config_hash)
{
    if (manifest->config_hash == config_hash) return STATUS_OK;
    FAIL(STATUS_INPUT,
         "%s belongs to another run: its model, tokenizer, data, batch, leaves, seed or optimizer "
         "differ from this run's "
         "(settings %016llx there, %016llx here); go on with the settings in %s/run.yaml, or train "
         "into another `out` folder",
         path, (unsigned long long)manifest->config_hash, (unsigned long long)config_hash, path);
}

static enum status read_content(const char *path, const struct manifest *manifest,
                                struct checkpoint_content *content)
{
    enum status status = check_config(path, manifest, content->config_hash);
    if (status) snprintf(content->other_run, sizeof content->other_run, "%s", path);
    if (status) return status;
    TRY(read_weights(path, content));
    TRY(read_states(path, manifest, content));
    TRY(read_carried(path, manifest, content));
    content->position = manifest->position;
    content->term = manifest->term;
    return STATUS_OK;
}

// ---- choosing ----
// Finds the newest that verifies. *index_p is `count` when none does; then the first reason is kept in `reason`.
static enum status choose(const char *directory, const struct checkpoint_name *list, int count,
                          struct manifest *manifest, int *index_p, char reason[1024])
{
    for (int i = 0; i < count; i++) {
        char path[STORE_PATH];
        TRY(path_join(path, sizeof path, directory, list[i].name));
        enum status status = verify_named(path, list[i].step, manifest);
        *index_p = i;
        if (status != STATUS_INPUT) return status;
        log_warning("the checkpoint %s is passed over: %s", list[i].name, error_message());
        if (i == 0) error_copy(reason, 1024);
        error_clear();
    }
    *index_p = count;
    return STATUS_OK;
}

enum status checkpoint_load_newest(const char *directory, struct checkpoint_content *content,
                                   bool *found_p)
{
    struct checkpoint_name *list = NULL;
    struct manifest manifest = {0};
    int count = 0, index = 0;
    char path[STORE_PATH], reason[1024] = "";
    TRY(checkpoint_names(directory, &list, &count));
    enum status status = choose(directory, list, count, &manifest, &index, reason);
    if (!status && count && index == count)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                          "none of the %d checkpoints in %s can be used; the newest: %s; to start "
                          "afresh, move that folder away",
                          count, directory, reason);
    if (!status && count) {
        status = path_join(path, sizeof path, directory, list[index].name);
        if (!status) status = read_content(path, &manifest, content);
    }
    manifest_release(&manifest);
    free(list);
    if (!status) *found_p = count > 0;
    return status;
}
