// SPDX-License-Identifier: Apache-2.0
// Model directories: what is written comes back to the bit, files of others are read or refused by name, nothing costs memory before
// it is checked. "test_model_directory save DIR KIND" and "… show DIR" serve test_model_directory_python.sh.
#include "store/model_directory.h"

#include "base/file_fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "scratch.h"
#include "store/safetensors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

static const struct model_config small_config = {
    .type = "gpt2", .vocabulary = 65, .context = 16, .width = 8, .layers = 2, .heads = 2, .hidden = 24,
    .embedding_dropout = 0.1, .attention_dropout = 0.2, .residual_dropout = 0.3, .activation = ACTIVATION_GELU_TANH,
    .norm_epsilon = 1e-5, .init_deviation = 0.02, .bias = true,
};

struct small_model {
    struct model_config config;
    struct parameters parameters;
    float *weights;
};
static struct small_model model;
static char last_warning[2048];
static int warnings;

static void hear(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", line);
}

static void small_model_init(struct small_model *small, const struct model_config *config)
{
    small->config = *config;
    parameters_init(&small->parameters);
    if (model_declare(config, &small->parameters)) {
        fprintf(stderr, "# %s\n", error_message());
        abort();
    }
    small->weights = calloc((size_t)small->parameters.elements, sizeof(float));
    parameters_initialise(&small->parameters, 7, small->weights);
    for (int i = 0; i < small->parameters.count; i++) { // no number of a bias or a norm stays 0 or 1
        const struct parameter *parameter = &small->parameters.list[i];
        for (int64_t k = 0; k < parameter->count; k++) small->weights[parameter->offset + k] += (float)(i + 1) * 0.001f;
    }
}

static void small_model_release(struct small_model *small)
{
    parameters_release(&small->parameters);
    free(small->weights);
}

static const char *folder(void) { return scratch_path("model"); }

static void save(void)
{
    enum status status = model_directory_save(folder(), &model.config, &model.parameters, model.weights, NULL);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
}

static int start(void **state)
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

static int stop(void **state)
{
    (void)state;
    small_model_release(&model);
    log_set_sink(NULL, NULL);
    file_fault_set(NULL, NULL);
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    return scratch_remove();
}

static struct loaded_model *load_from(const char *directory)
{
    struct loaded_model *loaded = NULL;
    enum status status = model_directory_load(directory, &loaded);
    if (status) fprintf(stderr, "# %s\n", error_message());
    assert_int_equal(status, STATUS_OK);
    return loaded;
}

static void assert_same(const struct loaded_model *loaded, const struct small_model *small)
{
    assert_int_equal(loaded->parameters.count, small->parameters.count);
    assert_int_equal(loaded->parameters.elements, small->parameters.elements);
    assert_true(loaded->parameters.closed);
    assert_memory_equal(loaded->weights.data, small->weights, (size_t)small->parameters.elements * sizeof(float));
}

// ---- our own ----
static void what_is_saved_comes_back_to_the_bit(void **state)
{
    (void)state;
    struct loaded_model *loaded = load_from(folder());
    assert_same(loaded, &model);
    const struct model_config *c = &loaded->config;
    assert_string_equal(c->type, "gpt2");
    assert_int_equal(c->vocabulary, 65);
    assert_int_equal(c->context, 16);
    assert_int_equal(c->width, 8);
    assert_int_equal(c->layers, 2);
    assert_int_equal(c->heads, 2);
    assert_int_equal(c->hidden, 24);
    assert_true(c->embedding_dropout == 0.1 && c->attention_dropout == 0.2 && c->residual_dropout == 0.3);
    assert_true(c->norm_epsilon == 1e-5 && c->init_deviation == 0.02 && c->bias);
    assert_int_equal(c->activation, ACTIVATION_GELU_TANH);
    assert_null(loaded->tokenizer);
    assert_string_equal(loaded->type->name, "gpt2");
    loaded_model_destroy(loaded);
    loaded_model_destroy(NULL);
    assert_int_equal(warnings, 0);
}

static void every_activation_and_size_survives(void **state)
{
    (void)state;
    static const enum activation kinds[] = {ACTIVATION_GELU_TANH, ACTIVATION_GELU, ACTIVATION_RELU, ACTIVATION_SILU};
    for (int i = 0; i < 4; i++) {
        struct model_config config = small_config;
        config.activation = kinds[i];
        config.hidden = i % 2 ? 4 * config.width : 7;
        config.bias = i < 2;
        struct small_model other;
        small_model_init(&other, &config);
        assert_int_equal(model_directory_save(folder(), &config, &other.parameters, other.weights, NULL), STATUS_OK);
        struct loaded_model *loaded = load_from(folder());
        assert_same(loaded, &other);
        assert_int_equal(loaded->config.activation, kinds[i]);
        assert_int_equal(loaded->config.hidden, config.hidden);
        assert_int_equal(loaded->config.bias, config.bias);
        loaded_model_destroy(loaded);
        small_model_release(&other);
    }
}

static void no_file_is_left_over_and_all_are_there(void **state)
{
    (void)state;
    char **names;
    int count;
    save();
    assert_int_equal(directory_list(folder(), &names, &count), STATUS_OK);
    assert_int_equal(count, 3);
    assert_string_equal(names[0], "config.json");
    assert_string_equal(names[1], "generation_config.json");
    assert_string_equal(names[2], "model.safetensors");
    names_free(names, count);
}

static void a_tokenizer_goes_along(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    struct model_config config = small_config;
    config.vocabulary = 256;
    struct small_model other;
    small_model_init(&other, &config);
    assert_int_equal(tokenizer_byte_create(&tokenizer), STATUS_OK);
    assert_int_equal(model_directory_save(folder(), &config, &other.parameters, other.weights, tokenizer), STATUS_OK);
    struct loaded_model *loaded = load_from(folder());
    assert_non_null(loaded->tokenizer);
    assert_int_equal(tokenizer_hash(loaded->tokenizer), tokenizer_hash(tokenizer));
    loaded_model_destroy(loaded);
    // A tokenizer with more ids than the model has is refused; one of a kind that is not known is left out.
    save();
    assert_int_equal(model_directory_load(folder(), &loaded), STATUS_INPUT);
    assert_true(error_says("has 256 ids; the model's vocabulary has 65"));
    static const char foreign[] = "{\"version\":\"1.0\",\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}";
    put_file(scratch_path("model/tokenizer.json"), foreign, sizeof foreign - 1);
    loaded = load_from(folder());
    assert_null(loaded->tokenizer);
    loaded_model_destroy(loaded);
    put_file(scratch_path("model/tokenizer.json"), "{", 1);
    assert_int_equal(model_directory_load(folder(), &loaded), STATUS_INPUT);
    assert_true(error_says("tokenizer.json"));
    tokenizer_destroy(tokenizer);
    small_model_release(&other);
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

static struct draft *draft_read(void)
{
    struct draft *draft = calloc(1, sizeof *draft);
    struct safetensors *file;
    assert_int_equal(safetensors_open(scratch_path("model/model.safetensors"), &file), STATUS_OK);
    draft->data = calloc(100000, sizeof(float));
    float *next = draft->data;
    for (int i = 0; i < file->count; i++) {
        const struct tensor_entry *entry = &file->tensor[i];
        snprintf(draft->name[i], sizeof draft->name[i], "%s", entry->name);
        draft->tensor[i] = (struct tensor_source){.name = draft->name[i], .rank = entry->rank, .data = next};
        memcpy(draft->tensor[i].size, entry->size, sizeof entry->size);
        assert_int_equal(safetensors_read_float(file, entry, next), STATUS_OK);
        next += (entry->end - entry->begin) / sizeof(float);
    }
    draft->count = file->count;
    safetensors_close(file);
    return draft;
}

static void draft_add(struct draft *draft, const char *name, int rank, int64_t first, int64_t second)
{
    int i = draft->count++;
    snprintf(draft->name[i], sizeof draft->name[i], "%s", name);
    draft->tensor[i] = (struct tensor_source){.name = draft->name[i], .rank = rank, .size = {first, second}, .data = draft->data};
}

static int draft_find(const struct draft *draft, const char *name)
{
    for (int i = 0; i < draft->count; i++)
        if (strcmp(draft->name[i], name) == 0) return i;
    fail_msg("no tensor %s", name);
    return -1;
}

static void draft_write(const struct draft *draft)
{
    assert_int_equal(safetensors_write(scratch_path("model/model.safetensors"), draft->tensor, draft->count, NULL), STATUS_OK);
}

static void draft_free(struct draft *draft)
{
    free(draft->data);
    free(draft);
}

static void assert_refused(const char *says)
{
    struct loaded_model *loaded = NULL;
    size_t before = block_total_bytes();
    assert_int_equal(model_directory_load(folder(), &loaded), STATUS_INPUT);
    assert_null(loaded);
    assert_int_equal(block_total_bytes(), before);
    assert_true(error_says(says));
}

static void names_without_the_prefix_are_understood(void **state)
{
    (void)state;
    struct draft *draft = draft_read();
    for (int i = 0; i < draft->count; i++) {
        memmove(draft->name[i], draft->name[i] + strlen("transformer."), strlen(draft->name[i]) - strlen("transformer.") + 1);
        assert_null(strstr(draft->name[i], "transformer"));
    }
    draft_write(draft);
    struct loaded_model *loaded = load_from(folder());
    assert_same(loaded, &model);
    loaded_model_destroy(loaded);
    draft_add(draft, "transformer.wte.weight", 2, 65, 8);
    draft_write(draft);
    assert_refused("no part of the model");
    draft_free(draft);
}

static void masks_and_the_tied_output_are_left_out(void **state)
{
    (void)state;
    struct draft *draft = draft_read();
    draft_add(draft, "transformer.h.0.attn.bias", 2, 16, 16);
    draft_add(draft, "transformer.h.1.attn.bias", 2, 16, 16);
    draft_add(draft, "transformer.h.1.attn.masked_bias", 0, 0, 0);
    draft_add(draft, "lm_head.weight", 2, 65, 8);
    draft_write(draft);
    struct loaded_model *loaded = load_from(folder());
    assert_same(loaded, &model);
    loaded_model_destroy(loaded);
    draft->tensor[draft->count - 1].size[0] = 64;
    draft_write(draft);
    assert_refused("lm_head.weight [64, 8] is no part of the model");
    draft_free(draft);
}

static void tensors_that_do_not_fit_are_named(void **state)
{
    (void)state;
    struct draft *draft = draft_read();
    draft_add(draft, "transformer.h.2.ln_1.weight", 1, 8, 0);
    draft_write(draft);
    assert_refused("transformer.h.2.ln_1.weight [8] is no part of the model");
    draft->count--;
    int index = draft_find(draft, "transformer.h.1.mlp.c_fc.weight");
    draft->tensor[index].size[0] = 24;
    draft->tensor[index].size[1] = 8;
    draft_write(draft);
    assert_refused("tensor transformer.h.1.mlp.c_fc.weight is [24, 8]; config.json asks for [8, 24]");
    draft->tensor[index].size[0] = 8;
    draft->tensor[index].size[1] = 24;
    snprintf(draft->name[index], sizeof draft->name[index], "transformer.h.1.mlp.c_fd.weight");
    draft_write(draft);
    assert_refused("the tensor transformer.h.1.mlp.c_fc.weight is in none of the files");
    draft_free(draft);
}

static void a_file_of_whole_numbers_is_refused(void **state)
{
    (void)state;
    char *data;
    size_t bytes;
    const char *path = scratch_path("model/model.safetensors");
    assert_int_equal(file_read(path, 1 << 20, &data, &bytes), STATUS_OK);
    char *at = memmem(data, bytes, "\"F32\"", 5);
    memcpy(at, "\"I32\"", 5);
    put_file(path, data, bytes);
    assert_refused("holds I32; F32, F64, F16 or BF16 is needed");
    free(data);
}

// ---- biases ----
static void save_without_bias(void)
{
    struct model_config config = small_config;
    config.bias = false;
    small_model_release(&model);
    small_model_init(&model, &config);
    save();
}

static void missing_biases_are_written_as_zeros_and_read_as_missing(void **state)
{
    (void)state;
    save_without_bias();
    struct draft *draft = draft_read();
    assert_int_equal(draft->count, 2 + 2 * 12 + 2);
    static const struct {
        const char *name;
        int64_t size;
    } biases[] = {{"transformer.h.0.attn.c_attn.bias", 24}, {"transformer.h.1.mlp.c_fc.bias", 24}, {"transformer.ln_f.bias", 8}};
    for (int b = 0; b < 3; b++) {
        const struct tensor_source *bias = &draft->tensor[draft_find(draft, biases[b].name)];
        assert_int_equal(bias->rank, 1);
        assert_int_equal(bias->size[0], biases[b].size);
        for (int64_t i = 0; i < bias->size[0]; i++) assert_true(bias->data[i] == 0);
    }
    struct loaded_model *loaded = load_from(folder());
    assert_false(loaded->config.bias);
    assert_same(loaded, &model);
    loaded_model_destroy(loaded);
    draft_free(draft);
}

static void biases_that_were_trained_since_are_used(void **state)
{
    (void)state;
    save_without_bias();
    struct draft *draft = draft_read();
    float *bias = (float *)draft->tensor[draft_find(draft, "transformer.h.1.mlp.c_fc.bias")].data;
    bias[3] = 0.25f;
    draft_write(draft);
    struct loaded_model *loaded = load_from(folder());
    assert_true(loaded->config.bias);
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(last_warning, "not zero"));
    int index = parameters_find(&loaded->parameters, "transformer.h.1.mlp.c_fc.bias");
    assert_true(((float *)loaded->weights.data)[loaded->parameters.list[index].offset + 3] == 0.25f);
    loaded_model_destroy(loaded);
    draft_free(draft);
}

static void biases_that_are_missing_without_a_word_are_an_error(void **state)
{
    (void)state;
    struct draft *draft = draft_read();
    int kept = 0;
    for (int i = 0; i < draft->count; i++) {
        if (strstr(draft->name[i], ".bias")) continue;
        draft->tensor[kept] = draft->tensor[i];
        kept++;
    }
    draft->count = kept;
    draft_write(draft);
    assert_refused("config.json describes a model of");
    draft_free(draft);
}

// ---- shards ----
static void write_index(const char *text) { put_file(scratch_path("model/model.safetensors.index.json"), text, strlen(text)); }

// model.safetensors in two files, and the index's text up to "weight_map": {...}.
static void split(char index[16384])
{
    struct draft *draft = draft_read();
    int half = draft->count / 2;
    const char *first = scratch_path("model/model-00001-of-00002.safetensors");
    const char *second = scratch_path("model/model-00002-of-00002.safetensors");
    assert_int_equal(safetensors_write(first, draft->tensor, half, NULL), STATUS_OK);
    assert_int_equal(safetensors_write(second, draft->tensor + half, draft->count - half, NULL), STATUS_OK);
    size_t used = (size_t)snprintf(index, 16384, "{\"metadata\": {\"x\": [1, {\"y\": null}], \"total_size\": %zu}, \"weight_map\": {",
                                   (size_t)parameters_total(&model.parameters) * sizeof(float));
    for (int i = 0; i < draft->count; i++)
        used += (size_t)snprintf(index + used, 16384 - used, "%s\"%s\": \"model-0000%d-of-00002.safetensors\"", i ? ", " : "",
                                 draft->name[i], i < half ? 1 : 2);
    snprintf(index + used, 16384 - used, "}}");
    assert_int_equal(unlink(scratch_path("model/model.safetensors")), 0);
    write_index(index);
    draft_free(draft);
}

static void shards_are_read_as_one_model(void **state)
{
    (void)state;
    char index[16384];
    split(index);
    struct loaded_model *loaded = load_from(folder());
    assert_same(loaded, &model);
    assert_int_equal(warnings, 0);
    loaded_model_destroy(loaded);
}

// Replaces the first `from` of the index by `to`.
static void write_changed_index(const char *index, const char *from, const char *to)
{
    char text[20000];
    const char *at = strstr(index, from);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - index), index, to, at + strlen(from));
    write_index(text);
}

static void hostile_indexes_are_refused(void **state)
{
    (void)state;
    static const char one[] = "model-00001-of-00002.safetensors";
    static const struct {
        const char *from, *to, *says;
    } changes[] = {
        {one, "../model/model-00001-of-00002.safetensors", "a file of the same folder is needed"},
        {one, "/etc/passwd", "names the file \"/etc/passwd\""},
        {one, "C:model.safetensors", "a file of the same folder is needed"},
        {one, "..", "a file of the same folder is needed"},
        {one, "", "a file of the same folder is needed"},
        {one, "sub\\\\file", "a file of the same folder is needed"},
        {one, "absent.safetensors", "absent.safetensors: No such file"},
        {one, "link.safetensors", "is a link out of its folder"},
        {one, "model-00002-of-00002.safetensors", "the index says it is in model-00002-of-00002.safetensors"},
        {"\"transformer.h.0.ln_1.bias\"", "\"transformer.h.0.ln_3.bias\"", "is in this file; the index says it is nowhere"},
        {"\"transformer.h.0.ln_1.bias\"", "\"new\": \"model-00001-of-00002.safetensors\", \"transformer.h.0.ln_1.bias\"",
         "tensor \"new\" is not in model-00001-of-00002.safetensors"},
        {"\"transformer.h.0.ln_1.bias\"",
         "\"transformer.h.0.ln_1.bias\": \"model-00001-of-00002.safetensors\", \"transformer.h.0.ln_1.bias\"", "twice"},
        {"\"weight_map\"", "\"weight_mop\"", "has no weight_map"},
        {"\"weight_map\": {", "\"weight_map\": [{", "'{' is expected"},
        {"\"weight_map\": {", "\"weight_map\": {}, \"weight_map\": {", "two weight_maps"},
        {"\"metadata\": {", "\"metadata\": [", "'{' is expected"},
        {"[1, {\"y\": null}]", "[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]", "nested too deep"},
        {"null", "nul", "a value is expected"},
        {"[1, ", "[01, ", "leading zero"},
        {"{\"metadata\"", "[\"metadata\"", "'{' is expected"},
        {"}}", "}} x", "the end is expected"},
        {"}}", "}", "ends at byte"},
    };
    char index[16384];
    split(index);
    assert_int_equal(symlink("/etc/passwd", scratch_path("model/link.safetensors")), 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_changed_index(index, changes[i].from, changes[i].to);
        assert_refused(changes[i].says);
    }
    write_changed_index(index, "\"total_size\": ", "\"total_size\": 9");
    struct loaded_model *loaded = load_from(folder());
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(last_warning, "says that the tensors have 9"));
    loaded_model_destroy(loaded);
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
    (void)state;
    char index[16384];
    struct draft *draft = draft_read();
    split(index);
    assert_int_equal(safetensors_write(scratch_path("model/model-00002-of-00002.safetensors"), draft->tensor, draft->count, NULL),
                     STATUS_OK);
    assert_refused("the index says it is in model-00001-of-00002.safetensors");
    draft_free(draft);
}

static void pickle_is_never_read(void **state)
{
    (void)state;
    assert_int_equal(rename(scratch_path("model/model.safetensors"), scratch_path("model/pytorch_model.bin")), 0);
    assert_refused("is never read; convert it first");
    assert_int_equal(unlink(scratch_path("model/pytorch_model.bin")), 0);
    assert_refused("model.safetensors: No such file");
}

// ---- hostile config.json ----
static void change_config(const char *original, const char *from, const char *to)
{
    char text[8192];
    const char *at = strstr(original, from);
    if (!at) fail_msg("config.json has no %s", from);
    int length = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - original), original, to, at + strlen(from));
    put_file(scratch_path("model/config.json"), text, (size_t)length);
}

static void hostile_configs_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } changes[] = {
        {"\"n_layer\": 2", "\"n_layer\": 1000000000", "\"n_layer\" is 1000000000; a whole number from 1 to 4096"},
        {"\"n_layer\": 2", "\"n_layer\": 0", "\"n_layer\" is 0"},
        {"\"n_layer\": 2", "\"n_layer\": -1", "\"n_layer\" is -1"},
        {"\"n_layer\": 2", "\"n_layer\": 1.5", "\"n_layer\" is 1.5"},
        {"\"n_layer\": 2", "\"n_layer\": \"12\"", "\"n_layer\" is \"12\""},
        {"\"n_layer\": 2", "\"n_layer\": [2]", "\"n_layer\" is a list"},
        {"\"n_layer\": 2", "\"n_layer\": true", "\"n_layer\" is true"},
        {"\"n_layer\": 2", "\"n_layer\": 1e300", "\"n_layer\" is 1e+300"},
        {"\"n_layer\": 2", "\"n_layer\": 18446744073709551618", "too big integer"},
        {"\"n_layer\": 2", "\"n_layer\": null", "\"n_layer\" is missing"},
        {"\"n_layer\": 2", "\"n_layer\": 3", "describes a model of"},
        {"\"n_layer\": 2", "\"n_layer\": 4096", "describes a model of"},
        {"\"n_layer\": 2", "\"n_layer\": 1", "no part of the model"},
        {"\"n_layer\": 2", "\"n_layer\": 2, \"n_layer\": 2", "duplicate"},
        {"\"n_head\": 2", "\"n_head\": 3", "does not divide \"n_embd\", 8"},
        {"\"n_head\": 2", "\"n_head\": 0", "\"n_head\" is 0"},
        {"\"n_head\": 2", "\"n_head\": 16", "does not divide"},
        {"\"n_embd\": 8", "\"n_embd\": 131072", "describes a model of"},
        {"\"n_embd\": 8", "\"n_embd\": 4294967296", "\"n_embd\" is 4294967296"},
        {"\"n_embd\": 8", "\"n_embd\": 4", "no part of the model|asks for"},
        {"\"vocab_size\": 65", "\"vocab_size\": 64", "transformer.wte.weight is [65, 8]; config.json asks for [64, 8]"},
        {"\"vocab_size\": 65", "\"vocab_size\": 2147483647", "describes a model of"},
        {"\"vocab_size\": 65", "\"vocab_size\": 2147483648", "\"vocab_size\" is 2147483648"},
        {"\"n_positions\": 16", "\"n_positions\": 15", "transformer.wpe.weight is [16, 8]"},
        {"\"n_positions\": 16", "\"n_positions\": 131072", "describes a model of"},
        {"\"n_positions\": 16", "\"n_positions\": -16", "\"n_positions\" is -16"},
        {"\"n_inner\": 24", "\"n_inner\": 23", "asks for"},
        {"\"n_inner\": 24", "\"n_inner\": 1048576", "describes a model of"},
        {"\"n_inner\": 24", "\"n_inner\": 0", "\"n_inner\" is 0"},
        {"\"n_inner\": 24", "\"n_inner\": null", "describes a model of"},
        {"\"embd_pdrop\": 0.1", "\"embd_pdrop\": 1", "\"embd_pdrop\" is 1"},
        {"\"embd_pdrop\": 0.1", "\"embd_pdrop\": -0.1", "\"embd_pdrop\" is -0.1"},
        {"\"embd_pdrop\": 0.1", "\"embd_pdrop\": NaN", "not valid JSON"},
        {"\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": 0", "\"layer_norm_epsilon\" is 0"},
        {"\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": \"1e-5\"", "a number from"},
        {"\"eos_token_id\": null", "\"eos_token_id\": 65", "beyond the vocabulary of 65"},
        {"\"eos_token_id\": null", "\"eos_token_id\": [3, 65]", "beyond the vocabulary of 65"},
        {"\"eos_token_id\": null", "\"eos_token_id\": -1", "\"eos_token_id\" is -1"},
        {"\"eos_token_id\": null", "\"eos_token_id\": \"</s>\"", "\"eos_token_id\" is"},
        {"\"bos_token_id\": null", "\"bos_token_id\": 4294967296", "\"bos_token_id\" is 4294967296"},
        {"\"model_type\": \"gpt2\"", "\"model_type\": 2", "a text in quotes"},
        {"\"model_type\": \"gpt2\"", "\"model_typo\": \"gpt2\"", "\"model_type\" is missing"},
        {"\"dtype\"", "\"stentor\": {\"bias\": 0}, \"dtype\"", "\"bias\" is 0; true or false"},
        {"\"dtype\"", "\"stentor\": 5, \"dtype\"", "an object"},
        {"{", "[", "not valid JSON"},
        {"{", "", "not valid JSON"},
    };
    char *original;
    size_t bytes;
    assert_int_equal(file_read(scratch_path("model/config.json"), 8000, &original, &bytes), STATUS_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct loaded_model *loaded = NULL;
        size_t before = block_total_bytes();
        change_config(original, changes[i].from, changes[i].to);
        enum status status = model_directory_load(folder(), &loaded);
        if (status != STATUS_INPUT) fail_msg("%s: status %d", changes[i].to, status);
        assert_int_equal(block_total_bytes(), before);
        char says[128], *next = NULL;
        snprintf(says, sizeof says, "%s", changes[i].says);
        const char *either = strtok_r(says, "|", &next), *or = strtok_r(NULL, "|", &next);
        if (!strstr(error_message(), either) && !(or && strstr(error_message(), or)))
            fail_msg("%s: %s", changes[i].to, error_message());
        error_clear();
    }
    free(original);
}

static void what_we_do_not_build_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } changes[] = {
        {"\"model_type\": \"gpt2\"", "\"model_type\": \"llama\"", "\"model_type\" is \"llama\""},
        {"\"gelu_new\"", "\"mish\"", "gelu_new, gelu, relu and silu are possible"},
        {"\"scale_attn_weights\": true", "\"scale_attn_weights\": false", "only true is supported"},
        {"\"scale_attn_by_inverse_layer_idx\": false", "\"scale_attn_by_inverse_layer_idx\": true", "only false is supported"},
        {"\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false", "only true is supported"},
        {"\"use_cache\"", "\"add_cross_attention\": true, \"use_cache\"", "only false is supported"},
    };
    char *original;
    size_t bytes;
    struct loaded_model *loaded;
    assert_int_equal(file_read(scratch_path("model/config.json"), 8000, &original, &bytes), STATUS_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        change_config(original, changes[i].from, changes[i].to);
        assert_int_equal(model_directory_load(folder(), &loaded), STATUS_UNSUPPORTED);
        assert_true(error_says(changes[i].says));
    }
    free(original);
}

static void other_peoples_configs_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"\"use_cache\"", "\"auto_map\": {\"AutoModel\": \"evil.py--Model\"}, \"trust_remote_code\": true, \"use_cache\""},
        {"\"n_embd\"", "\"hidden_size\""},
        {"\"n_layer\"", "\"num_hidden_layers\""},
        {"\"n_positions\": 16", "\"n_ctx\": 16, \"n_positions\": 16"},
        {"\"eos_token_id\": null", "\"eos_token_id\": 50256"},
        {"\"eos_token_id\": null", "\"eos_token_id\": [1, 2]"},
        {"\"gelu_new\"", "\"gelu_pytorch_tanh\""},
        {"\"torch_dtype\": \"float32\"", "\"torch_dtype\": \"bfloat16\""},
        {"\"use_cache\"", "\"task_specific_params\": {\"text-generation\": {\"do_sample\": true}}, \"use_cache\""},
    };
    char *original;
    size_t bytes;
    assert_int_equal(file_read(scratch_path("model/config.json"), 8000, &original, &bytes), STATUS_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        change_config(original, changes[i].from, changes[i].to);
        struct loaded_model *loaded = load_from(folder());
        assert_same(loaded, &model);
        loaded_model_destroy(loaded);
    }
    free(original);
}

// ---- torture ----
static struct philox_address test_address = {.seed = 99, .stream = (uint32_t)PHILOX_TEST << 24};
static uint32_t draw(uint32_t below)
{
    static uint64_t element;
    return (uint32_t)((uint64_t)philox_bits(test_address, element++) * below >> 32);
}

static void mutate_and_load(const char *name, int times, int *refused)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    static const char alphabet[] = "{}[]\",:0123456789-+.eE\\u \t\n\xff\xc3n";
    char *original;
    size_t bytes;
    assert_int_equal(file_read(path, 20000, &original, &bytes), STATUS_OK);
    char *text = malloc(bytes);
    for (int i = 0; i < times; i++) {
        memcpy(text, original, bytes);
        for (uint32_t changes = 1 + draw(3); changes; changes--)
            text[draw((uint32_t)bytes)] = draw(2) ? alphabet[draw(sizeof alphabet - 1)] : (char)draw(256);
        put_file(path, text, bytes);
        struct loaded_model *loaded;
        enum status status = model_directory_load(folder(), &loaded);
        if (!status) {
            loaded_model_destroy(loaded);
            continue;
        }
        if (status != STATUS_INPUT && status != STATUS_UNSUPPORTED) fail_msg("status %d: %s", status, error_message());
        error_clear();
        ++*refused;
    }
    put_file(path, original, bytes);
    free(text);
    free(original);
}

static void mutated_texts_are_read_or_refused(void **state)
{
    (void)state;
    char index[16384];
    int refused = 0;
    mutate_and_load("config.json", 2000, &refused);
    split(index);
    mutate_and_load("model.safetensors.index.json", 2000, &refused);
    print_message("# %d of 4000 mutated files refused\n", refused);
    assert_true(refused > 2000);
}

struct fault {
    int number, seen;
};

static int fail_once(void *context, enum file_call call, size_t *bytes)
{
    struct fault *fault = context;
    (void)bytes;
    if (call == FILE_CALL_READ || call == FILE_CALL_REMOVE) return 0;
    return ++fault->seen == fault->number ? ENOSPC : 0;
}

static void a_failing_call_of_a_save_leaves_a_whole_model(void **state)
{
    (void)state;
    struct small_model other;
    int failures = 0;
    small_model_init(&other, &small_config);
    for (int64_t i = 0; i < other.parameters.elements; i++) other.weights[i] *= 2;
    for (int number = 1;; number++) {
        struct fault fault = {.number = number};
        file_fault_set(fail_once, &fault);
        enum status status = model_directory_save(folder(), &other.config, &other.parameters, other.weights, NULL);
        file_fault_set(NULL, NULL);
        struct loaded_model *loaded = load_from(folder());
        size_t bytes = (size_t)model.parameters.elements * sizeof(float);
        bool is_old = memcmp(loaded->weights.data, model.weights, bytes) == 0;
        assert_true(is_old || memcmp(loaded->weights.data, other.weights, bytes) == 0);
        loaded_model_destroy(loaded);
        assert_false(file_exists(scratch_path("model/model.safetensors.tmp")));
        if (!status) break;
        assert_int_equal(status, STATUS_DISK);
        error_clear();
        failures++;
        save();
    }
    print_message("# %d failing calls left a whole model\n", failures);
    assert_true(failures > 30);
    small_model_release(&other);
}

static void declaring_closes_the_registry_and_refuses_unknown_types(void **state)
{
    (void)state;
    struct parameters parameters;
    struct model_config config = small_config;
    snprintf(config.type, sizeof config.type, "gtp2");
    parameters_init(&parameters);
    assert_int_equal(model_declare(&config, &parameters), STATUS_USAGE);
    assert_true(error_says("gtp2"));
    assert_int_equal(parameters.count, 0);
    assert_true(model.parameters.closed);
    assert_int_equal(model.parameters.count, 2 + 2 * 12 + 2);
    assert_string_equal(model.parameters.list[0].name, "transformer.wte.weight");
}

// ---- for the Python test ----
static int save_for_python(const char *directory, const char *kind)
{
    struct model_config config = small_config;
    struct tokenizer *tokenizer = NULL;
    config.bias = strcmp(kind, "bias") == 0;
    config.vocabulary = 256;
    config.hidden = config.bias ? 24 : 32;
    small_model_init(&model, &config);
    if (tokenizer_byte_create(&tokenizer) ||
        model_directory_save(directory, &config, &model.parameters, model.weights, tokenizer)) {
        fprintf(stderr, "%s\n", error_message());
        return 1;
    }
    tokenizer_destroy(tokenizer);
    small_model_release(&model);
    return 0;
}

static int show(const char *directory)
{
    struct loaded_model *loaded;
    if (model_directory_load(directory, &loaded)) {
        printf("refused: %s\n", error_message());
        return 3;
    }
    printf("bias %d hidden %lld\n", loaded->config.bias, (long long)loaded->config.hidden);
    for (int i = 0; i < loaded->parameters.count; i++) {
        const struct parameter *parameter = &loaded->parameters.list[i];
        char hex[65];
        struct sha256 hash;
        sha256_start(&hash);
        sha256_add(&hash, (float *)loaded->weights.data + parameter->offset, (size_t)parameter->count * sizeof(float));
        sha256_finish(&hash, hex);
        printf("%s %s\n", parameter->name, hex);
    }
    loaded_model_destroy(loaded);
    return 0;
}

int main(int count, char **words)
{
    if (count == 4 && strcmp(words[1], "save") == 0) return save_for_python(words[2], words[3]);
    if (count == 3 && strcmp(words[1], "show") == 0) return show(words[2]);
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(what_is_saved_comes_back_to_the_bit),
        CASE(every_activation_and_size_survives),
        CASE(no_file_is_left_over_and_all_are_there),
        CASE(a_tokenizer_goes_along),
        CASE(names_without_the_prefix_are_understood),
        CASE(masks_and_the_tied_output_are_left_out),
        CASE(tensors_that_do_not_fit_are_named),
        CASE(a_file_of_whole_numbers_is_refused),
        CASE(missing_biases_are_written_as_zeros_and_read_as_missing),
        CASE(biases_that_were_trained_since_are_used),
        CASE(biases_that_are_missing_without_a_word_are_an_error),
        CASE(shards_are_read_as_one_model),
        CASE(hostile_indexes_are_refused),
        CASE(a_tensor_in_two_shards_is_refused),
        CASE(pickle_is_never_read),
        CASE(hostile_configs_are_refused_before_memory_is_taken),
        CASE(what_we_do_not_build_is_refused_by_name),
        CASE(other_peoples_configs_are_read),
        CASE(mutated_texts_are_read_or_refused),
        CASE(a_failing_call_of_a_save_leaves_a_whole_model),
        CASE(declaring_closes_the_registry_and_refuses_unknown_types),
    };
    return cmocka_run_group_tests_name("store/model_directory", tests, NULL, remove_scratch);
}
