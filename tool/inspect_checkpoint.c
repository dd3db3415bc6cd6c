// SPDX-License-Identifier: Apache-2.0
// stentor inspect checkpoints/step-N: where its run stands, whether its files are whole, and the digest of what they hold.
#include "base/file.h"
#include "base/sha256.h"
#include "inspect.h"
#include "output.h"
#include "store/manifest.h"
#include "store/model_directory.h"
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, NAME_BYTES = 1200 };

// Adds one tensor's elements, which are float32 on disk as in memory.
static enum status hash_tensor(struct sha256 *hash, const struct safetensors *file,
                               const char *name)
{
    const struct tensor_entry *tensor = safetensors_find(file, name);
    if (!tensor) FAIL(STATUS_INPUT, "%s: tensor %s is missing", file->path, name);
    if (strcmp(tensor->dtype, "F32") != 0)
        FAIL(STATUS_INPUT, "%s: tensor %s has the dtype %.16s; a checkpoint has F32", file->path,
             name, tensor->dtype);
    uint64_t bytes = tensor->end - tensor->begin;
    float *data;
    TRY(memory_allocate(bytes ? bytes : 1, 1, "a tensor", &data));
    enum status status = safetensors_read_float(file, tensor, data);
    if (status == STATUS_OK) sha256_add(hash, data, bytes);
    free(data);
    return status;
}

static enum status hash_file(struct sha256 *hash, const char *directory, const char *name,
                             const struct parameters *parameters, const char *state)
{
    char path[PATH_BYTES], tensor[NAME_BYTES];
    struct safetensors *file;
    TRY(path_join(path, sizeof path, directory, name));
    TRY(safetensors_open(path, &file));
    enum status status = STATUS_OK;
    for (int i = 0; i < parameters->count && status == STATUS_OK; i++) {
        snprintf(tensor, sizeof tensor, "%s%s%s", state ? state : "", state ? "." : "",
                 parameters->list[i].name);
        status = hash_tensor(hash, file, tensor);
    }
    safetensors_close(file);
    return status;
}

// In the trainer's order: weights as the model declares them, then each state array of the optimizer.
static enum status checkpoint_digest(const char *directory, const struct run_config *run,
                                     char digest[65])
{
    struct parameters parameters;
    struct sha256 hash;
    struct model_config model = run->model;
    const struct optimizer *optimizer;
    TRY(optimizer_find(run->optimizer.name, &optimizer));
    // Only names are needed, and those do not depend on sizes that the data said and the run file does not hold; that there are such does.
    model.vocabulary = 256;
    if (run->data.features[0]) model.features = 1;
    if (run->data.source_tokenizer[0]) model.source_vocabulary = 256;
    parameters_init(&parameters);
    sha256_start(&hash);
    enum status status = model_declare(&model, &parameters);
    if (status == STATUS_OK)
        status = hash_file(&hash, directory, "weights.safetensors", &parameters, NULL);
    int states = optimizer->states(&run->optimizer);
    for (int i = 0; i < states && status == STATUS_OK; i++)
        status = hash_file(&hash, directory, "optimizer.safetensors", &parameters,
                           optimizer->state_name[i]);
    parameters_release(&parameters);
    if (status == STATUS_OK) sha256_finish(&hash, digest);
    return status;
}

static enum status read_run(const char *directory, struct run_config *run)
{
    char path[PATH_BYTES];
    run_config_defaults(run);
    TRY(path_join(path, sizeof path, directory, "run.yaml"));
    return run_config_read(run, path);
}

static enum status digest_of(const char *directory, char digest[65])
{
    static struct run_config run;
    TRY(read_run(directory, &run));
    TRY(run_config_check(&run));
    return checkpoint_digest(directory, &run, digest);
}

// ---- who made it ----
const char *inspect_crew(const struct manifest *manifest, char text[CREW_TEXT])
{
    const struct checkpoint_crew *crew = &manifest->crew;
    char exchange[64] = "", start[64] = "", a[256], b[256];
    text[0] = 0;
    if (crew->processes == 0) return text;
    if (crew->processes > 1)
        snprintf(exchange, sizeof exchange, ", exchange %s (%s)", output_clean(crew->exchange, a),
                 output_clean(crew->exactness, b));
    if (manifest->term > 1)
        snprintf(start, sizeof start, ", in start %lld of the run", (long long)manifest->term);
    snprintf(text, CREW_TEXT, "made by %lld process%s with %lld worker%s%s%s",
             (long long)crew->processes, crew->processes == 1 ? "" : "es", (long long)crew->workers,
             crew->workers == 1 ? "" : "s", exchange, start);
    return text;
}

void inspect_crew_json(const struct manifest *manifest, json_t *object)
{
    const struct checkpoint_crew *crew = &manifest->crew;
    if (crew->processes == 0) return;
    json_object_set_new(object, "processes", json_integer((json_int_t)crew->processes));
    json_object_set_new(object, "workers", json_integer((json_int_t)crew->workers));
    json_object_set_new(object, "exchange", json_string(crew->exchange));
    json_object_set_new(object, "exactness", json_string(crew->exactness));
    json_object_set_new(object, "start", json_integer((json_int_t)manifest->term));
}

// What the best evaluation is worth, by the measure of the run.
struct best {
    const char *measure;
    double value;
};

static enum status print_object(const struct manifest *manifest, struct best best,
                                const char *digest)
{
    const struct run_position *p = &manifest->position;
    json_t *files = json_object(), *value = output_json_number(best.value);
    for (int i = 0; i < manifest->files; i++)
        json_object_set_new(files, manifest->file[i].name,
                            json_integer((json_int_t)manifest->file[i].bytes));
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:s, s:o, s:I, s:f, s:o, s:b}", "kind", "checkpoint", "step",
                  (json_int_t)p->step, "samples", (json_int_t)p->samples, "measure", best.measure,
                  "best", value, "best_step", (json_int_t)p->best_step, "seconds", p->seconds,
                  "files", files, "verified", 1);
    if (object && !strcmp(best.measure, "loss"))
        json_object_set_new(object, "best_validation_loss", output_json_number(best.value));
    inspect_crew_json(manifest, object);
    if (digest) json_object_set_new(object, "sha256", json_string(digest));
    return output_json(object);
}

static enum status print_checkpoint(const struct manifest *manifest, struct best best,
                                    const char *digest)
{
    const struct run_position *p = &manifest->position;
    char a[32], crew[CREW_TEXT];
    TRY(output_print("checkpoint after step %lld, %s sequences and %.0f s of training\n",
                     (long long)p->step, output_count((double)p->samples, a), p->seconds));
    if (inspect_crew(manifest, crew)[0]) TRY(output_print("%s\n", crew));
    if (isfinite(best.value))
        TRY(output_print("best validation %s %.4f, at step %lld\n", best.measure, best.value,
                         (long long)p->best_step));
    for (int i = 0; i < manifest->files; i++)
        TRY(output_print("  %-28s %16s bytes  xxh3 %s\n", manifest->file[i].name,
                         output_count((double)manifest->file[i].bytes, a), manifest->file[i].hash));
    TRY(output_print("all files are as they were written\n"));
    return digest ? output_print("sha256 of weights and optimizer state: %s\n", digest) : STATUS_OK;
}

enum status inspect_checkpoint(const struct options *options, const char *directory)
{
    static struct manifest manifest;
    static struct run_config run;
    char digest[65];
    bool wanted = option_given(options, "digest");
    TRY(checkpoint_verify(directory));
    if (wanted) TRY(digest_of(directory, digest));
    if (read_run(directory, &run)) error_clear(); // of another build: by default, the loss
    TRY(manifest_read(directory, &manifest));
    struct best best = {run.measure, run_best(&run, manifest.position.best_loss)};
    enum status status = option_given(options, "json")
                             ? print_object(&manifest, best, wanted ? digest : NULL)
                             : print_checkpoint(&manifest, best, wanted ? digest : NULL);
    manifest_release(&manifest);
    return status;
}
