// SPDX-License-Identifier: Apache-2.0
// Model directories: what is written comes back to the bit, tensor files of others are read or refused by name.
// "test_model_directory save DIR KIND", "… show DIR" and "… scores DIR ID…" serve test_model_directory_python.sh.
#include "backend/backend.h"
#include "base/sha256.h"
#include "store/small_model.h"

#include <errno.h>

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
    assert_true(c->embedding_dropout == 0.1 && c->attention_dropout == 0.2 &&
                c->residual_dropout == 0.3);
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
    static const enum activation kinds[] = {ACTIVATION_GELU_TANH, ACTIVATION_GELU, ACTIVATION_RELU,
                                            ACTIVATION_SILU};
    for (int i = 0; i < 4; i++) {
        struct model_config config = small_config;
        config.activation = kinds[i];
        config.hidden = i % 2 ? 4 * config.width : 7;
        config.bias = i < 2;
        struct small_model other;
        small_model_init(&other, &config);
        assert_int_equal(
            model_directory_save(folder(), &config, &other.parameters, other.weights, NULL),
            STATUS_OK);
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
    assert_int_equal(
        model_directory_save(folder(), &config, &other.parameters, other.weights, tokenizer),
        STATUS_OK);
    struct loaded_model *loaded = load_from(folder());
    assert_non_null(loaded->tokenizer);
    assert_int_equal(tokenizer_hash(loaded->tokenizer), tokenizer_hash(tokenizer));
    loaded_model_destroy(loaded);
    // A tokenizer with more ids than the model has is refused; one of a kind that is not known is left out.
    save();
    assert_int_equal(model_directory_load(folder(), &loaded), STATUS_INPUT);
    assert_true(error_says("has 256 ids; the model's vocabulary has 65"));
    static const char foreign[] =
        "{\"version\":\"1.0\",\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}";
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
static void names_without_the_prefix_are_understood(void **state)
{
    (void)state;
    struct draft *draft = draft_read();
    for (int i = 0; i < draft->count; i++) {
        memmove(draft->name[i], draft->name[i] + strlen("transformer."),
                strlen(draft->name[i]) - strlen("transformer.") + 1);
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
    assert_refused(
        "tensor transformer.h.1.mlp.c_fc.weight is [24, 8]; config.json asks for [8, 24]");
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
    } biases[] = {{"transformer.h.0.attn.c_attn.bias", 24},
                  {"transformer.h.1.mlp.c_fc.bias", 24},
                  {"transformer.ln_f.bias", 8}};
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
    assert_true(((float *)loaded->weights.data)[loaded->parameters.list[index].offset + 3] ==
                0.25f);
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

// ---- torture ----
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
        enum status status =
            model_directory_save(folder(), &other.config, &other.parameters, other.weights, NULL);
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
    config.bias = strcmp(kind, "nobias") != 0;
    if (strcmp(kind, "classes") == 0) {
        config.classes = 3;
        config.pool = POOL_LAST;
    }
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
        sha256_add(&hash, (float *)loaded->weights.data + parameter->offset,
                   (size_t)parameter->count * sizeof(float));
        sha256_finish(&hash, hex);
        printf("%s %s\n", parameter->name, hex);
    }
    loaded_model_destroy(loaded);
    return 0;
}

static void must(enum status status)
{
    if (status) {
        fprintf(stderr, "%s\n", error_message());
        exit(1);
    }
}

// Prints the scores of one text, given as ids.
static void print_scores(void *context, int tag, const void *data)
{
    const struct loaded_model *loaded = context;
    (void)tag;
    for (int64_t i = 0; i < loaded->config.classes; i++)
        printf("%.9g\n", (double)((const float *)data)[i]);
}

static int scores(const char *directory, int count, char **words)
{
    struct loaded_model *loaded;
    struct graph *g;
    struct program *program;
    const struct backend *backend;
    must(model_directory_load(directory, &loaded));
    must(graph_create(&g));
    struct builder b = {.g = g, .parameters = &loaded->parameters};
    enum model_tasks task = model_task_of(loaded->type, &loaded->config);
    struct model_inputs in =
        model_inputs_create(g, &loaded->config, task, (struct model_sizes){1, count, 0});
    graph_yield(g, loaded->type->scores(&b, &loaded->config, in), 0);
    must(backend_find("cpu", &backend));
    must(program_create(backend, g, NULL, &program));
    must(program_prepare(program, loaded->weights.data, NULL));
    for (int i = 0; i < count; i++) {
        ((int32_t *)program_input(program, in.tokens))[i] = (int32_t)strtol(words[i], NULL, 10);
        ((int32_t *)program_input(program, in.positions))[i] = i;
    }
    *(int32_t *)program_input(program, in.lengths) = count;
    program_run(program, print_scores, loaded);
    program_destroy(program);
    graph_destroy(g);
    loaded_model_destroy(loaded);
    return 0;
}

int main(int count, char **words)
{
    if (count > 3 && strcmp(words[1], "scores") == 0) return scores(words[2], count - 3, words + 3);
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
        CASE(a_failing_call_of_a_save_leaves_a_whole_model),
        CASE(declaring_closes_the_registry_and_refuses_unknown_types),
    };
    return cmocka_run_group_tests_name("store/model_directory", tests, NULL, remove_scratch);
}
