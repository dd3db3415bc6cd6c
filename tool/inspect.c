// SPDX-License-Identifier: Apache-2.0
// stentor inspect: looks at what it is given, and says what is in it or what it would need.
#include "inspect.h"

#include "base/file.h"
#include "base/sha256.h"
#include "output.h"
#include "store/checkpoint_folder.h"
#include "store/model_directory.h"
#include "store/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_row rows[] = {
    {"digest", NULL, "tensors: their SHA-256; of a checkpoint, what `stentor train` prints"},
    {"tensors", NULL, "tensors, no checkpoint: a line for each (of a model: instead of a summary)"},
    {"set", "KEY=VALUE", "run file: changes a key; may be repeated"},
    {"workers", "N", "run file: as --set parallel.workers=N"},
    {"out", "DIR", "run file: as --set out=DIR"},
    {"json", NULL, "prints the result as one JSON object"},
    {NULL, NULL, NULL},
};

// ---- models ----
static void print_shape(const int64_t *size, int rank, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (int i = 0; i < rank && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i ? ", " : "",
                                 (long long)size[i]);
    if (used < bytes) snprintf(text + used, bytes - used, "]");
}

static void model_digest(const struct loaded_model *model, char digest[65])
{
    struct sha256 hash;
    sha256_start(&hash);
    const float *weights = model->weights.data;
    for (int i = 0; i < model->parameters.count; i++) {
        const struct parameter *p = &model->parameters.list[i];
        sha256_add(&hash, weights + p->offset, (size_t)p->count * sizeof(float));
    }
    sha256_finish(&hash, digest);
}

static json_t *shape_json(const int64_t *size, int rank)
{
    json_t *list = json_array();
    for (int i = 0; i < rank; i++) json_array_append_new(list, json_integer(size[i]));
    return list;
}

// The newest checkpoint of the run whose folder this is; false where there is none that can be read.
static bool newest_checkpoint(const char *directory, struct manifest *manifest)
{
    char checkpoints[4096], path[4096];
    struct checkpoint_name *list = NULL;
    int count = 0;
    enum status status = path_join(checkpoints, sizeof checkpoints, directory, "checkpoints");
    if (!status && directory_exists(checkpoints))
        status = checkpoint_names(checkpoints, &list, &count);
    if (!status && count) status = path_join(path, sizeof path, checkpoints, list[0].name);
    if (!status && count) status = manifest_read(path, manifest);
    free(list);
    error_clear();
    return !status && count > 0;
}

static enum status model_json(const struct options *options, const struct loaded_model *model)
{
    const struct model_config *c = &model->config;
    json_int_t parameters = parameters_total(&model->parameters);
    char digest[65];
    json_t *tensors = json_array();
    for (int i = 0; i < model->parameters.count; i++) {
        const struct parameter *p = &model->parameters.list[i];
        json_array_append_new(tensors, json_pack("{s:s, s:o}", "name", p->name, "shape",
                                                 shape_json(p->shape.size, p->shape.rank)));
    }
    json_t *object =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "kind", "model",
                  "type", c->type, "layers", (json_int_t)c->layers, "heads", (json_int_t)c->heads,
                  "width", (json_int_t)c->width, "hidden", (json_int_t)c->hidden, "context",
                  (json_int_t)c->context, "vocabulary", (json_int_t)c->vocabulary, "parameters",
                  parameters, "bytes", 4 * parameters, "tokenizer",
                  model->tokenizer ? tokenizer_kind(model->tokenizer) : "none", "tensors", tensors);
    static struct manifest manifest;
    if (newest_checkpoint(options->argument[0], &manifest)) {
        json_t *run = json_pack("{s:I}", "step", (json_int_t)manifest.position.step);
        inspect_crew_json(&manifest, run);
        json_object_set_new(object, "run", run);
        manifest_release(&manifest);
    }
    if (option_given(options, "digest")) {
        model_digest(model, digest);
        json_object_set_new(object, "sha256", json_string(digest));
    }
    return output_json(object);
}

// Parameters below one name without its numbers: "transformer.h.*.mlp.c_fc.weight  4 x [128, 512]".
static void without_numbers(const char *name, char *text, size_t bytes)
{
    size_t used = 0;
    for (const char *at = name; *at && used + 2 < bytes; at++) {
        bool digit = *at >= '0' && *at <= '9' && (at == name || at[-1] == '.');
        if (digit && (at[strspn(at, "0123456789")] == '.')) {
            text[used++] = '*';
            at += strspn(at, "0123456789") - 1;
        } else {
            text[used++] = *at;
        }
    }
    text[used] = 0;
}

static enum status print_tensors(const struct parameters *parameters, bool each)
{
    char shape[64], name[256], other[256], count[32];
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *p = &parameters->list[i];
        int64_t same = 0, total = 0;
        bool first = true;
        without_numbers(p->name, name, sizeof name);
        for (int j = 0; !each && j < parameters->count && first; j++) {
            without_numbers(parameters->list[j].name, other, sizeof other);
            if (strcmp(name, other) != 0) continue;
            if (j < i) first = false;
            same++;
            total += parameters->list[j].count;
        }
        if (!first) continue;
        print_shape(p->shape.size, p->shape.rank, shape, sizeof shape);
        if (each)
            TRY(output_print("  %-44s %-18s %14s\n", p->name, shape,
                             output_count((double)p->count, count)));
        else
            TRY(output_print("  %-40s %4lld x %-14s %14s\n", name, (long long)same, shape,
                             output_count((double)total, count)));
    }
    return STATUS_OK;
}

static enum status model_text(const struct options *options, const struct loaded_model *model)
{
    const struct model_config *c = &model->config;
    double parameters = (double)parameters_total(&model->parameters);
    char a[32], b[32], digest[65], crew[CREW_TEXT];
    TRY(output_print("model: %s, %lld layers, %lld heads, width %lld, hidden %lld, context %lld\n",
                     c->type, (long long)c->layers, (long long)c->heads, (long long)c->width,
                     (long long)c->hidden, (long long)c->context));
    if (model->tokenizer)
        TRY(output_print("tokenizer: %s, %lld tokens\n", tokenizer_kind(model->tokenizer),
                         (long long)tokenizer_size(model->tokenizer)));
    else
        TRY(output_print("tokenizer: none that is known here; %lld tokens\n",
                         (long long)c->vocabulary));
    TRY(output_print("parameters: %s in %d tensors, %s in float32\n", output_count(parameters, a),
                     model->parameters.count, output_bytes(4 * parameters, b)));
    static struct manifest manifest;
    if (newest_checkpoint(options->argument[0], &manifest)) {
        const char *made = inspect_crew(&manifest, crew);
        long long step = (long long)manifest.position.step;
        manifest_release(&manifest);
        TRY(output_print("run: its newest checkpoint is step-%lld%s%s\n", step, made[0] ? ", " : "",
                         made));
    }
    TRY(print_tensors(&model->parameters, option_given(options, "tensors")));
    if (!option_given(options, "digest")) return STATUS_OK;
    model_digest(model, digest);
    return output_print("sha256 of the weights: %s\n", digest);
}

enum status inspect_model(const struct options *options, const char *directory)
{
    struct loaded_model *model;
    TRY(model_directory_load(directory, &model));
    enum status status =
        option_given(options, "json") ? model_json(options, model) : model_text(options, model);
    loaded_model_destroy(model);
    return status;
}

// ---- safetensors files ----
// Raw bytes of all tensors, in order of their names.
static enum status file_digest(const struct safetensors *file, char digest[65])
{
    enum { CHUNK = 1 << 20 };
    static uint8_t chunk[CHUNK];
    struct sha256 hash;
    sha256_start(&hash);
    for (int i = 0; i < file->count; i++) {
        const struct tensor_entry *t = &file->tensor[i];
        for (uint64_t at = t->begin; at < t->end;) {
            size_t bytes = t->end - at < CHUNK ? (size_t)(t->end - at) : CHUNK;
            TRY(file_read_at(file->file, chunk, bytes, file->data_start + at, file->path));
            sha256_add(&hash, chunk, bytes);
            at += bytes;
        }
    }
    sha256_finish(&hash, digest);
    return STATUS_OK;
}

static enum status print_file(const struct safetensors *file, const char *digest)
{
    char shape[200], a[32], b[32], key[256], value[256];
    double bytes = 0, elements = 0;
    for (int i = 0; i < file->count; i++) {
        const struct tensor_entry *t = &file->tensor[i];
        double count = 1;
        for (int r = 0; r < t->rank; r++) count *= (double)t->size[r];
        elements += count;
        bytes += (double)(t->end - t->begin);
        print_shape(t->size, t->rank, shape, sizeof shape);
        TRY(output_print("%-48s %-5s %-18s %14s bytes\n", t->name, t->dtype, shape,
                         output_count((double)(t->end - t->begin), a)));
    }
    for (int i = 0; file->metadata && file->metadata[i] && file->metadata[i + 1]; i += 2)
        TRY(output_print("metadata: %s: %s\n", output_clean(file->metadata[i], key),
                         output_clean(file->metadata[i + 1], value)));
    TRY(output_print("%d tensors, %s elements, %s\n", file->count, output_count(elements, a),
                     output_bytes(bytes, b)));
    return digest ? output_print("sha256 of the tensors: %s\n", digest) : STATUS_OK;
}

static enum status file_json(const struct safetensors *file, const char *digest)
{
    json_t *tensors = json_array(), *metadata = json_object();
    for (int i = 0; i < file->count; i++) {
        const struct tensor_entry *t = &file->tensor[i];
        json_array_append_new(tensors, json_pack("{s:s, s:s, s:o, s:I}", "name", t->name, "dtype",
                                                 t->dtype, "shape", shape_json(t->size, t->rank),
                                                 "bytes", (json_int_t)(t->end - t->begin)));
    }
    for (int i = 0; file->metadata && file->metadata[i] && file->metadata[i + 1]; i += 2)
        json_object_set_new(metadata, file->metadata[i], json_string(file->metadata[i + 1]));
    json_t *object = json_pack("{s:s, s:o, s:o}", "kind", "safetensors", "tensors", tensors,
                               "metadata", metadata);
    if (digest) json_object_set_new(object, "sha256", json_string(digest));
    return output_json(object);
}

enum status inspect_safetensors(const struct options *options, const char *path)
{
    struct safetensors *file;
    char digest[65];
    bool wanted = option_given(options, "digest");
    TRY(safetensors_open(path, &file));
    enum status status = wanted ? file_digest(file, digest) : STATUS_OK;
    if (status == STATUS_OK)
        status = option_given(options, "json") ? file_json(file, wanted ? digest : NULL)
                                               : print_file(file, wanted ? digest : NULL);
    safetensors_close(file);
    return status;
}

// ---- which one ----
static bool holds(const char *directory, const char *name)
{
    char path[4096];
    if (path_join(path, sizeof path, directory, name)) {
        error_clear();
        return false;
    }
    return file_exists(path) || directory_exists(path);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && !strcmp(text + length - end_length, end);
}

// An option that means nothing for what `path` is, is a mistake.
static enum status refuse(const struct options *options, const char *what, const char *path,
                          const char *kind, const char *wanted)
{
    const char *name = option_for(options, &inspect_command, what, NULL);
    if (name) FAIL(STATUS_USAGE, "inspect: --%s is for %s; %s is %s", name, wanted, path, kind);
    return STATUS_OK;
}

static enum status run(const struct options *options)
{
    const char *path = options->argument[0];
    if (directory_exists(path)) {
        if (holds(path, "manifest.json")) {
            TRY(refuse(options, "run file", path, "a checkpoint", "a run file"));
            TRY(refuse(options, "no checkpoint", path, "a checkpoint",
                       "a model or a .safetensors"));
            return inspect_checkpoint(options, path);
        }
        if (holds(path, "config.json")) {
            TRY(refuse(options, "run file", path, "a model", "a run file"));
            return inspect_model(options, path);
        }
        bool run = holds(path, "checkpoints");
        FAIL(STATUS_INPUT,
             "%s is a folder without config.json (a model) or manifest.json (a checkpoint)%s%s%s",
             path, run ? "; what its run has written so far is in " : "", run ? path : "",
             run ? "/checkpoints" : "");
    }
    if (ends_with(path, ".safetensors")) {
        TRY(refuse(options, "run file", path, "a file of tensors", "a run file"));
        return inspect_safetensors(options, path);
    }
    TRY(refuse(options, "tensors", path, "taken as a run file",
               "a model, a checkpoint or a .safetensors"));
    return inspect_run(options, path);
}

const struct command inspect_command = {
    "inspect", "DIR|FILE", "what is in a model, checkpoint or file, or what a run would need",
    1,         1,          rows,
    NULL,      run,
};
