// SPDX-License-Identifier: Apache-2.0
// Index files and config.json of strangers: read, or refused by name before any memory is taken after their wishes.
#include "store/small_model.h"

// ---- shards ----
static void write_index(const char *text)
{
    put_file(scratch_path("model/model.safetensors.index.json"), text, strlen(text));
}

// model.safetensors in two files, and the index's text up to "weight_map": {...}.
static void split(char index[16384])
{
    struct draft *draft = draft_read();
    int half = draft->count / 2;
    const char *first = scratch_path("model/model-00001-of-00002.safetensors");
    const char *second = scratch_path("model/model-00002-of-00002.safetensors");
    assert_int_equal(safetensors_write(first, draft->tensor, half, NULL), STATUS_OK);
    assert_int_equal(safetensors_write(second, draft->tensor + half, draft->count - half, NULL),
                     STATUS_OK);
    size_t used = (size_t)snprintf(
        index, 16384,
        "{\"metadata\": {\"x\": [1, {\"y\": null}], \"total_size\": %zu}, \"weight_map\": {",
        (size_t)parameters_total(&model.parameters) * sizeof(float));
    for (int i = 0; i < draft->count; i++)
        used += (size_t)snprintf(index + used, 16384 - used,
                                 "%s\"%s\": \"model-0000%d-of-00002.safetensors\"", i ? ", " : "",
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
        {one, "model-00002-of-00002.safetensors",
         "the index says it is in model-00002-of-00002.safetensors"},
        {"\"transformer.h.0.ln_1.bias\"", "\"transformer.h.0.ln_3.bias\"",
         "is in this file; the index says it is nowhere"},
        {"\"transformer.h.0.ln_1.bias\"",
         "\"new\": \"model-00001-of-00002.safetensors\", \"transformer.h.0.ln_1.bias\"",
         "tensor \"new\" is not in model-00001-of-00002.safetensors"},
        {"\"transformer.h.0.ln_1.bias\"",
         "\"transformer.h.0.ln_1.bias\": \"model-00001-of-00002.safetensors\", "
         "\"transformer.h.0.ln_1.bias\"",
         "twice"},
        {"\"weight_map\"", "\"weight_mop\"", "has no weight_map"},
        {"\"weight_map\": {", "\"weight_map\": [{", "'{' is expected"},
        {"\"weight_map\": {", "\"weight_map\": {}, \"weight_map\": {", "two weight_maps"},
        {"\"metadata\": {", "\"metadata\": [", "'{' is expected"},
        {"[1, {\"y\": null}]", "[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]",
         "nested too deep"},
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
    assert_int_equal(safetensors_write(scratch_path("model/model-00002-of-00002.safetensors"),
                                       draft->tensor, draft->count, NULL),
                     STATUS_OK);
    assert_refused("the index says it is in model-00001-of-00002.safetensors");
    draft_free(draft);
}

static void pickle_is_never_read(void **state)
{
    (void)state;
    assert_int_equal(
        rename(scratch_path("model/model.safetensors"), scratch_path("model/pytorch_model.bin")),
        0);
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
    int length = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - original), original, to,
                          at + strlen(from));
    put_file(scratch_path("model/config.json"), text, (size_t)length);
}

static void hostile_configs_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } changes[] = {
        {"\"n_layer\": 2", "\"n_layer\": 1000000000",
         "\"n_layer\" is 1000000000; a whole number from 1 to 4096"},
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
        {"\"vocab_size\": 65", "\"vocab_size\": 64",
         "transformer.wte.weight is [65, 8]; config.json asks for [64, 8]"},
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
        {"\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": 0",
         "\"layer_norm_epsilon\" is 0"},
        {"\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": \"1e-5\"", "a number from"},
        {"\"eos_token_id\": null", "\"eos_token_id\": 65", "beyond the vocabulary of 65"},
        {"\"eos_token_id\": null", "\"eos_token_id\": [3, 65]", "beyond the vocabulary of 65"},
        {"\"eos_token_id\": null", "\"eos_token_id\": -1", "\"eos_token_id\" is -1"},
        {"\"eos_token_id\": null", "\"eos_token_id\": \"</s>\"", "\"eos_token_id\" is"},
        {"\"bos_token_id\": null", "\"bos_token_id\": 4294967296",
         "\"bos_token_id\" is 4294967296"},
        {"\"model_type\": \"gpt2\"", "\"model_type\": 2", "a text in quotes"},
        {"\"model_type\": \"gpt2\"", "\"model_typo\": \"gpt2\"", "\"model_type\" is missing"},
        {"\"dtype\"", "\"stentor\": {\"bias\": 0}, \"dtype\"", "\"bias\" is 0; true or false"},
        {"\"dtype\"", "\"stentor\": 5, \"dtype\"", "an object"},
        {"{", "[", "not valid JSON"},
        {"{", "", "not valid JSON"},
    };
    char *original;
    size_t bytes;
    assert_int_equal(file_read(scratch_path("model/config.json"), 8000, &original, &bytes),
                     STATUS_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct loaded_model *loaded = NULL;
        size_t before = block_total_bytes();
        change_config(original, changes[i].from, changes[i].to);
        enum status status = model_directory_load(folder(), &loaded);
        if (status != STATUS_INPUT) fail_msg("%s: status %d", changes[i].to, status);
        assert_int_equal(block_total_bytes(), before);
        char says[128], *next = NULL;
        snprintf(says, sizeof says, "%s", changes[i].says);
        const char *either = strtok_r(says, "|", &next), * or = strtok_r(NULL, "|", &next);
        if (!strstr(error_message(), either) && !(or &&strstr(error_message(), or)))
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
        {"\"scale_attn_by_inverse_layer_idx\": false", "\"scale_attn_by_inverse_layer_idx\": true",
         "only false is supported"},
        {"\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false",
         "only true is supported"},
        {"\"use_cache\"", "\"add_cross_attention\": true, \"use_cache\"",
         "only false is supported"},
    };
    char *original;
    size_t bytes;
    struct loaded_model *loaded;
    assert_int_equal(file_read(scratch_path("model/config.json"), 8000, &original, &bytes),
                     STATUS_OK);
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
        {"\"use_cache\"", "\"auto_map\": {\"AutoModel\": \"evil.py--Model\"}, "
                          "\"trust_remote_code\": true, \"use_cache\""},
        {"\"n_embd\"", "\"hidden_size\""},
        {"\"n_layer\"", "\"num_hidden_layers\""},
        {"\"n_positions\": 16", "\"n_ctx\": 16, \"n_positions\": 16"},
        {"\"eos_token_id\": null", "\"eos_token_id\": 50256"},
        {"\"eos_token_id\": null", "\"eos_token_id\": [1, 2]"},
        {"\"gelu_new\"", "\"gelu_pytorch_tanh\""},
        {"\"torch_dtype\": \"float32\"", "\"torch_dtype\": \"bfloat16\""},
        {"\"use_cache\"",
         "\"task_specific_params\": {\"text-generation\": {\"do_sample\": true}}, \"use_cache\""},
    };
    char *original;
    size_t bytes;
    assert_int_equal(file_read(scratch_path("model/config.json"), 8000, &original, &bytes),
                     STATUS_OK);
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
            text[draw((uint32_t)bytes)] =
                draw(2) ? alphabet[draw(sizeof alphabet - 1)] : (char)draw(256);
        put_file(path, text, bytes);
        struct loaded_model *loaded;
        enum status status = model_directory_load(folder(), &loaded);
        if (!status) {
            loaded_model_destroy(loaded);
            continue;
        }
        if (status != STATUS_INPUT && status != STATUS_UNSUPPORTED)
            fail_msg("status %d: %s", status, error_message());
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

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(shards_are_read_as_one_model),
        CASE(hostile_indexes_are_refused),
        CASE(a_tensor_in_two_shards_is_refused),
        CASE(pickle_is_never_read),
        CASE(hostile_configs_are_refused_before_memory_is_taken),
        CASE(what_we_do_not_build_is_refused_by_name),
        CASE(other_peoples_configs_are_read),
        CASE(mutated_texts_are_read_or_refused),
    };
    return cmocka_run_group_tests_name("store/model_hostile", tests, NULL, remove_scratch);
}
