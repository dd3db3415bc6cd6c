// SPDX-License-Identifier: Apache-2.0
// A small model in a directory, and what it takes to spoil it: for the tests of model directories.
#ifndef STN_TEST_STORE_SMALL_MODEL_H
#define STN_TEST_STORE_SMALL_MODEL_H

#include "base/file_fault.h"
#include "base/log.h"
#include "base/philox.h"
#include "scratch.h"
#include "store/model_directory.h"
#include "store/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct model_config small_config = {
    .type = "gpt2",
    .vocabulary = 65,
    .context = 16,
    .width = 8,
    .layers = 2,
    .heads = 2,
    .hidden = 24,
    .embedding_dropout = 0.1,
    .attention_dropout = 0.2,
    .residual_dropout = 0.3,
    .activation = ACTIVATION_GELU_TANH,
    .norm_epsilon = 1e-5,
    .init_deviation = 0.02,
    .bias = true,
};

struct small_model {
    struct model_config config;
    struct parameters parameters;
    float *weights;
};
static struct small_model model;
static char last_warning[2048];
static int warnings;

static inline void hear(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", line);
}

static inline void small_model_init(struct small_model *small, const struct model_config *config)
{
    small->config = *config;
    parameters_init(&small->parameters);
    if (model_declare(config, &small->parameters)) {
        fprintf(stderr, "# %s\n", error_message());
        abort();
    }
    small->weights = calloc((size_t)small->parameters.elements, sizeof(float));
    parameters_initialise(&small->parameters, 7, small->weights);
    for (int i = 0; i < small->parameters.count;
         i++) { // no number of a bias or a norm stays 0 or 1
        const struct parameter *parameter = &small->parameters.list[i];
        for (int64_t k = 0; k < parameter->count; k++)
            small->weights[parameter->offset + k] += (float)(i + 1) * 0.001f;
    }
}

static inline void small_model_release(struct small_model *small)
{
    parameters_release(&small->parameters);
    free(small->weights);
}

static inline const char *folder(void) { return scratch_path("model"); }

static inline void save(void)
{
    enum status status =
        model_directory_save(folder(), &model.config, &model.parameters, model.weights, NULL);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
}

static inline int start(void **state)
{
    (void)state;
    error_clear();
    warnings = 0;
    log_set_sink(hear, NULL);
    if (directory_remove(folder())) return 1;
    small_model_init(&model, &small_config);
    save();
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    small_model_release(&model);
    log_set_sink(NULL, NULL);
    file_fault_set(NULL, NULL);
    return 0;
}

static inline int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

static inline struct loaded_model *load_from(const char *directory)
{
    struct loaded_model *loaded = NULL;
    enum status status = model_directory_load(directory, &loaded);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
    return loaded;
}

static inline void assert_same(const struct loaded_model *loaded, const struct small_model *small)
{
    assert_int_equal(loaded->parameters.count, small->parameters.count);
    assert_int_equal(loaded->parameters.elements, small->parameters.elements);
    assert_true(loaded->parameters.closed);
    assert_memory_equal(loaded->weights.data, small->weights,
                        (size_t)small->parameters.elements * sizeof(float));
}

// ---- other people's tensor files ----
enum { MOST = 200 };
// A copy of model.safetensors to change: names, numbers, more and fewer tensors.
struct draft {
    struct tensor_source tensor[MOST];
    char name[MOST][96];
    float *data;
    int count;
};

static inline struct draft *draft_read(void)
{
    struct draft *draft = calloc(1, sizeof *draft);
    struct safetensors *file;
    assert_int_equal(safetensors_open(scratch_path("model/model.safetensors"), &file), STATUS_OK);
    draft->data = calloc(100000, sizeof(float));
    float *next = draft->data;
    for (int i = 0; i < file->count; i++) {
        const struct tensor_entry *entry = &file->tensor[i];
        snprintf(draft->name[i], sizeof draft->name[i], "%s", entry->name);
        draft->tensor[i] =
            (struct tensor_source){.name = draft->name[i], .rank = entry->rank, .data = next};
        memcpy(draft->tensor[i].size, entry->size, sizeof entry->size);
        assert_int_equal(safetensors_read_float(file, entry, next), STATUS_OK);
        next += (entry->end - entry->begin) / sizeof(float);
    }
    draft->count = file->count;
    safetensors_close(file);
    return draft;
}

static inline void draft_add(struct draft *draft, const char *name, int rank, int64_t first,
                             int64_t second)
{
    int i = draft->count++;
    snprintf(draft->name[i], sizeof draft->name[i], "%s", name);
    draft->tensor[i] = (struct tensor_source){
        .name = draft->name[i], .rank = rank, .size = {first, second}, .data = draft->data};
}

static inline int draft_find(const struct draft *draft, const char *name)
{
    for (int i = 0; i < draft->count; i++)
        if (strcmp(draft->name[i], name) == 0) return i;
    fail_msg("no tensor %s", name);
    return -1;
}

static inline void draft_write(const struct draft *draft)
{
    assert_int_equal(safetensors_write(scratch_path("model/model.safetensors"), draft->tensor,
                                       draft->count, NULL),
                     STATUS_OK);
}

static inline void draft_free(struct draft *draft)
{
    free(draft->data);
    free(draft);
}

static inline void assert_refused(const char *says)
{
    struct loaded_model *loaded = NULL;
    size_t before = block_total_bytes();
    assert_int_equal(model_directory_load(folder(), &loaded), STATUS_INPUT);
    assert_null(loaded);
    assert_int_equal(block_total_bytes(), before);
    assert_true(error_says(says));
}

#endif
