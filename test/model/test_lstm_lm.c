// SPDX-License-Identifier: Apache-2.0
// Recurrent language models: decoding by steps and chunks gives the bits of the whole sequence, with no end of the context, so that a
// prompt may have any length; a model comes back from its directory; bad settings are refused by name. What they compute is compared
// with PyTorch in test/interop.
#include "infer/decoder.h"
#include "infer/generate.h"
#include "model/small_model.h"
#include "scratch.h"

enum { VOCABULARY = 50, COUNT = 150 };

static struct model_config config_of(enum cell cell, bool tied)
{
    struct model_config config = {.type = "lstm_lm",
                                  .vocabulary = VOCABULARY,
                                  .context = 40, // fewer than what is decoded
                                  .width = 24,
                                  .hidden = 33,
                                  .layers = 2,
                                  .rnn = cell,
                                  .tied = tied,
                                  .bias = tied};
    const struct model_type *type;
    assert_ok(model_find("lstm_lm", &type));
    assert_ok(type->validate(&config));
    return config;
}

static const struct backend *cpu_backend(void)
{
    const struct backend *backend;
    assert_ok(backend_find("cpu", &backend));
    return backend;
}

static void keep_logits(void *context, int tag, const void *data)
{
    if (tag == 1) memcpy(context, data, (size_t)(COUNT * VOCABULARY) * sizeof(float));
}

// By the graph that training uses.
static void whole_sequence_logits(const struct loaded_model *model, const int32_t *ids,
                                  float *logits)
{
    struct parameters parameters = model->parameters;
    struct graph *g;
    struct program *program;
    struct shape shape = shape_of(2, INT64_C(1), (int64_t)COUNT);
    assert_ok(graph_create(&g));
    struct model_inputs inputs = {.tokens = graph_input(g, "tokens", I32, shape),
                                  .targets = graph_input(g, "targets", I32, shape)};
    struct builder b = {.g = g, .parameters = &parameters};
    struct value *loss = model->type->loss(&b, &model->config, inputs, 0);
    graph_yield(
        g, op_linear(g, loss->input[0], loss->input[1], NULL, ACTIVATION_NONE, LAYOUT_OUT_IN), 1);
    assert_ok(program_create(cpu_backend(), g, NULL, &program));
    assert_ok(program_prepare(program, model->weights.data, NULL));
    memcpy(program_input(program, inputs.tokens), ids, COUNT * sizeof *ids);
    program_run(program, keep_logits, logits);
    program_destroy(program);
    graph_destroy(g);
}

static void decoding_gives_the_bits_of_the_whole_sequence(void **state)
{
    (void)state;
    float *whole = calloc(COUNT * VOCABULARY, sizeof *whole),
          *some = calloc(COUNT * VOCABULARY, sizeof *some);
    int32_t ids[COUNT];
    for (int i = 0; i < COUNT; i++) ids[i] = i * 7 % VOCABULARY;
    for (enum cell cell = CELL_LSTM; cell < CELL_COUNT; cell++)
        for (int tied = 0; tied < 2; tied++) {
            struct loaded_model model;
            struct decoder decoder;
            small_model(config_of(cell, tied), 17, 0.6f, NULL, &model);
            whole_sequence_logits(&model, ids, whole);
            for (int threads = 1; threads <= 2; threads++) {
                assert_ok(decoder_create(&model, cpu_backend(), threads, &decoder));
                for (int64_t piece = 1; piece < COUNT; piece = 3 * piece + 4) {
                    decoder_start(&decoder);
                    memset(some, 0xFF, COUNT * VOCABULARY * sizeof *some);
                    for (int64_t at = 0; at < COUNT; at += piece)
                        decoder_append(&decoder, ids + at, COUNT - at < piece ? COUNT - at : piece,
                                       some + at * VOCABULARY);
                    assert_memory_equal(some, whole, COUNT * VOCABULARY * sizeof *whole);
                }
                decoder_release(&decoder);
            }
            small_model_release(&model);
        }
    free(whole);
    free(some);
}

struct heard {
    uint8_t text[64];
    size_t bytes;
};

static bool hear(void *context, const uint8_t *text, size_t bytes)
{
    struct heard *heard = context;
    assert_true(heard->bytes + bytes <= sizeof heard->text);
    memcpy(heard->text + heard->bytes, text, bytes);
    heard->bytes += bytes;
    return true;
}

// Behind a prompt, by a tanh network with weights so large that it forgets nothing.
static struct heard go_on(const char *prompt, int64_t context)
{
    struct model_config config = config_of(CELL_TANH, false);
    struct generate_options options;
    struct heard heard = {.bytes = 0};
    struct loaded_model model;
    struct generator *generator;
    struct tokenizer *tokenizer;
    assert_ok(tokenizer_byte_create(&tokenizer));
    config.vocabulary = 128;
    config.context = context;
    small_model(config, 17, 2.0f, tokenizer, &model);
    generate_defaults(&options);
    options.max_tokens = (int64_t)sizeof heard.text;
    assert_ok(generator_create(&model, 1, &generator));
    assert_ok(generator_run(generator, (const uint8_t *)prompt, strlen(prompt), &options, hear,
                            &heard, NULL));
    generator_destroy(generator);
    small_model_release(&model);
    return heard;
}

static void a_prompt_longer_than_the_context_is_read_whole(void **state)
{
    (void)state;
    char prompt[1001] = {0}, other[1001] = {0};
    for (int i = 0; i < 1000; i++) prompt[i] = (char)('a' + i * 7 % 26);
    memcpy(other, prompt, sizeof other);
    other[0] = 'b';
    struct heard whole = go_on(prompt, 2000), first = go_on(other, 2000);
    assert_memory_not_equal(first.text, whole.text, sizeof whole.text);
    static const int64_t contexts[] = {1, 40, 999};
    for (int i = 0; i < 3; i++) {
        struct heard heard = go_on(prompt, contexts[i]);
        assert_memory_equal(heard.text, whole.text, sizeof whole.text);
    }
}

static void a_model_comes_back_from_its_directory(void **state)
{
    (void)state;
    for (enum cell cell = CELL_LSTM; cell < CELL_COUNT; cell++)
        for (int tied = 0; tied < 2; tied++) {
            struct loaded_model model, *back;
            const char *folder = scratch_path("model");
            struct model_config config = config_of(cell, tied);
            config.residual_dropout = 0.25, config.weight_drop = 0.5,
            config.variational_dropout = tied;
            small_model(config, 17, 0.6f, NULL, &model);
            assert_ok(model_directory_save(folder, &model.config, &model.parameters,
                                           model.weights.data, NULL));
            assert_ok(model_directory_load(folder, &back));
            assert_int_equal(back->config.rnn, cell);
            assert_int_equal(back->config.tied, tied);
            assert_int_equal(back->config.bias, tied);
            assert_int_equal(back->config.hidden, 33);
            assert_int_equal(back->config.variational_dropout, tied);
            assert_true(back->config.weight_drop == 0.5 && back->config.residual_dropout == 0.25);
            assert_int_equal(back->parameters.elements, model.parameters.elements);
            assert_memory_equal(back->weights.data, model.weights.data,
                                (size_t)model.parameters.elements * sizeof(float));
            loaded_model_destroy(back);
            small_model_release(&model);
            assert_ok(directory_remove(folder));
        }
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    const struct model_type *type;
    struct model_config config = config_of(CELL_GRU, true);
    assert_ok(model_find("lstm_lm", &type));
    config.weight_drop = 1;
    assert_int_equal(type->validate(&config), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "model.weight_drop: 1"));
    error_clear();
    config.weight_drop = 0, config.rnn = 17;
    assert_int_equal(type->validate(&config), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "model.rnn: 17"));
    error_clear();
}

// With dropout of every kind: the same bits when micro-batches are cut otherwise would need the whole batch tree (test/exact does
// that); here, that a step's weights are dropped alike for every micro-batch, and otherwise for another step.
static void dropped_weights_are_those_of_the_step(void **state)
{
    (void)state;
    struct parameters parameters;
    struct training t;
    struct model_config config = config_of(CELL_LSTM, true);
    config.weight_drop = 0.5;
    parameters_init(&parameters);
    training_build(&config, &parameters, 2, 5, 0, true, &t);
    struct block weights;
    assert_ok(block_create((size_t)parameters.elements * sizeof(float), "weights", &weights));
    small_weights(&parameters, 9, 0.5f, weights.data);
    training_prepare(&t, "cpu", weights.data);
    int tokens[10], targets[10];
    small_batch(3, VOCABULARY, 10, tokens, targets);
    const struct parameter *w = &parameters.list[parameters_find(&parameters, "rnn.weight_hh_l0")];
    float *first = calloc((size_t)w->count, sizeof *first);
    int64_t dropped = 0, same = 0;
    training_run(&t, tokens, targets, 1);
    memcpy(first, t.gradients + w->offset, (size_t)w->count * sizeof *first);
    for (int64_t i = 0; i < w->count; i++) dropped += first[i] == 0;
    assert_in_range(dropped, w->count * 45 / 100, w->count * 55 / 100);
    uint32_t *random = program_input(t.program, t.random);
    random[3] = 1000; // another micro-batch of the same step
    program_run(t.program, training_take, &t);
    for (int64_t i = 0; i < w->count; i++)
        assert_int_equal(first[i] == 0, t.gradients[w->offset + i] == 0);
    training_run(&t, tokens, targets, 2);
    for (int64_t i = 0; i < w->count; i++)
        same += (first[i] == 0) == (t.gradients[w->offset + i] == 0);
    assert_in_range(same, w->count * 45 / 100, w->count * 55 / 100);
    free(first);
    training_release(&t);
    parameters_release(&parameters);
    block_destroy(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_gives_the_bits_of_the_whole_sequence),
        cmocka_unit_test(a_prompt_longer_than_the_context_is_read_whole),
        cmocka_unit_test(a_model_comes_back_from_its_directory),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(dropped_weights_are_those_of_the_step),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return scratch_remove() || failed;
}
