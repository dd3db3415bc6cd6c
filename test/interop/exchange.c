// SPDX-License-Identifier: Apache-2.0
// What the Python tests in this folder ask of the library: write and read a model directory, logits, ids,
// text, training steps.
// Integers are int32 and numbers float32, in the machine's byte order, through files.
#include "backend/backend.h"
#include "base/cpu.h"
#include "base/file.h"
#include "infer/generate.h"
#include "optim/optim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status read_ids(const char *path, int32_t **ids_p, int64_t *count_p)
{
    char *data;
    size_t bytes;
    TRY(file_read(path, (size_t)1 << 30, &data, &bytes));
    *ids_p = (int32_t *)(void *)data;
    *count_p = (int64_t)(bytes / sizeof(int32_t));
    return STATUS_OK;
}

// ---- write DIR char|byte bias|nobias TEXT: a random model over the tokenizer of a text ----

static enum status make_tokenizer(const char *kind, const char *text_path,
                                  struct tokenizer **tokenizer_p)
{
    struct char_set *set;
    char *text;
    size_t bytes;
    if (strcmp(kind, "byte") == 0) return tokenizer_byte_create(tokenizer_p);
    TRY(file_read(text_path, (size_t)1 << 30, &text, &bytes));
    TRY(char_set_create(&set));
    char_set_add(set, (const uint8_t *)text, bytes);
    TRY(tokenizer_char_create(set, tokenizer_p));
    char_set_destroy(set);
    free(text);
    return STATUS_OK;
}

static enum status write_model(char **argument)
{
    struct tokenizer *tokenizer;
    struct parameters parameters;
    struct block weights;
    const struct model_type *type;
    TRY(make_tokenizer(argument[1], argument[3], &tokenizer));
    struct model_config config = {.type = "gpt2",
                                  .vocabulary = tokenizer_size(tokenizer),
                                  .context = 48,
                                  .width = 64,
                                  .layers = 3,
                                  .heads = 4,
                                  .bias = strcmp(argument[2], "bias") == 0};
    TRY(model_find(config.type, &type));
    TRY(type->validate(&config));
    parameters_init(&parameters);
    TRY(model_declare(&config, &parameters));
    TRY(block_create((size_t)parameters.elements * sizeof(float), "weights", &weights));
    float *w = weights.data;
    parameters_initialise(&parameters, 1, w);
    // Larger than GPT-2's start, biases and norms too, so that a part left out would show.
    for (int p = 0; p < parameters.count; p++)
        for (int64_t i = 0; i < parameters.list[p].count; i++)
            w[parameters.list[p].offset + i] += 0.3f * (float)(i * 7919 % 101 - 50) / 101;
    TRY(model_directory_save(argument[0], &config, &parameters, w, tokenizer));
    parameters_release(&parameters);
    block_destroy(&weights);
    tokenizer_destroy(tokenizer);
    return STATUS_OK;
}

// ---- logits DIR IDS OUT ----

static enum status write_logits(char **argument)
{
    struct loaded_model *model;
    struct generator *generator;
    int32_t *ids = NULL;
    int64_t count = 0;
    float *logits;
    TRY(model_directory_load(argument[0], &model));
    TRY(generator_create(model, 1, &generator));
    TRY(read_ids(argument[1], &ids, &count));
    size_t size = (size_t)(count * model->config.vocabulary);
    TRY(memory_allocate(size, sizeof *logits, "logits", &logits));
    TRY(generator_logits(generator, ids, count, logits));
    TRY(file_replace(argument[2], logits, size * sizeof *logits));
    free(logits);
    free(ids);
    generator_destroy(generator);
    loaded_model_destroy(model);
    return STATUS_OK;
}

// ---- encode DIR TEXT OUT ----

static enum status write_ids(char **argument)
{
    struct loaded_model *model;
    char *text;
    size_t bytes, count;
    int32_t *ids;
    TRY(model_directory_load(argument[0], &model));
    TRY(file_read(argument[1], (size_t)1 << 30, &text, &bytes));
    TRY(memory_allocate(bytes, sizeof *ids, "ids", &ids));
    TRY(tokenizer_encode(model->tokenizer, (const uint8_t *)text, bytes, argument[1], 0, ids,
                         &count));
    TRY(file_replace(argument[2], ids, count * sizeof *ids));
    free(ids);
    free(text);
    loaded_model_destroy(model);
    return STATUS_OK;
}

// ---- greedy DIR PROMPT TOKENS: text on standard output ----

static bool print_text(void *context, const uint8_t *text, size_t bytes)
{
    return fwrite(text, 1, bytes, context) == bytes;
}

static enum status write_greedy(char **argument)
{
    struct loaded_model *model;
    struct generator *generator;
    struct generate_options options;
    struct generate_result result;
    generate_defaults(&options);
    options.temperature = 0;
    options.max_tokens = strtol(argument[2], NULL, 10);
    TRY(model_directory_load(argument[0], &model));
    TRY(generator_create(model, 1, &generator));
    TRY(generator_run(generator, (const uint8_t *)argument[1], strlen(argument[1]), &options,
                      print_text, stdout, &result));
    generator_destroy(generator);
    loaded_model_destroy(model);
    return STATUS_OK;
}

// ---- train DIR BATCHES OUT: AdamW from the directory's weights, losses into OUT ----
// BATCHES: steps, batch, tokens; then for each step tokens [batch, tokens] and targets [batch, tokens].

struct training {
    const struct parameters *parameters;
    float *gradients;
    double loss;
};
enum { LOSS_TAG = 1 << 20 };

static void take(void *context, int tag, const void *data)
{
    struct training *t = context;
    if (tag == LOSS_TAG) {
        t->loss = (double)*(const float *)data;
    } else {
        const struct parameter *p = &t->parameters->list[tag];
        memcpy(t->gradients + p->offset, data, (size_t)p->count * sizeof(float));
    }
}

static enum status update(const struct training *t, int64_t step, int64_t targets, float *weights,
                          float *const state[2])
{
    const struct optimizer_config config = {.name = "adamw",
                                            .beta1 = 0.9,
                                            .beta2 = 0.95,
                                            .epsilon = 1e-8,
                                            .weight_decay = 0.1,
                                            .clip = 2};
    enum isa isa;
    double squares = 0, largest = 0;
    TRY(isa_choose(&isa));
    for (int64_t i = 0; i < t->parameters->elements; i++) {
        double mean = (double)t->gradients[i] / (double)targets;
        squares += mean * mean;
        largest = fmax(largest, fabs(mean));
    }
    double factor = clip_factor(&config, sqrt(squares), largest);
    for (int p = 0; p < t->parameters->count; p++) {
        const struct parameter *parameter = &t->parameters->list[p];
        int64_t at = parameter->offset;
        struct optimizer_step s = {.step = step,
                                   .learning_rate = 1e-3,
                                   .gradient_scale = factor / (double)targets,
                                   .decay = parameter->decay};
        optimizer_update(&config, &s, isa, weights + at, (float *[2]){state[0] + at, state[1] + at},
                         t->gradients + at, parameter->count);
    }
    return STATUS_OK;
}

static enum status build(struct loaded_model *model, int64_t batch, int64_t tokens,
                         struct program **program_p, struct model_inputs *inputs_p)
{
    struct graph *g;
    const struct backend *backend;
    struct shape shape = shape_of(2, batch, tokens);
    TRY(graph_create(&g));
    struct model_inputs inputs = {.tokens = graph_input(g, "tokens", I32, shape),
                                  .positions = graph_input(g, "positions", I32, shape),
                                  .targets = graph_input(g, "targets", I32, shape)};
    struct builder b = {.g = g, .parameters = &model->parameters};
    struct value *loss = model->type->loss(&b, &model->config, inputs, 0);
    graph_yield(g, loss, LOSS_TAG);
    backward(g, loss, model->parameters.count);
    TRY(backend_find("cpu", &backend));
    TRY(program_create(backend, g, NULL, program_p));
    TRY(program_prepare(*program_p, model->weights.data, NULL));
    *inputs_p = inputs;
    return STATUS_OK;
}

static enum status train(char **argument)
{
    struct loaded_model *model;
    struct program *program;
    struct model_inputs inputs = {0};
    int32_t *numbers = NULL;
    int64_t count = 0;
    float *state[2], *losses;
    TRY(model_directory_load(argument[0], &model));
    TRY(read_ids(argument[1], &numbers, &count));
    int64_t steps = numbers[0], batch = numbers[1], tokens = numbers[2], size = batch * tokens;
    if (count != 3 + steps * 2 * size)
        FAIL(STATUS_INPUT, "%s: %lld numbers", argument[1], (long long)count);
    TRY(build(model, batch, tokens, &program, &inputs));
    struct training t = {.parameters = &model->parameters};
    size_t elements = (size_t)model->parameters.elements;
    TRY(memory_allocate(elements, sizeof(float), "gradients", &t.gradients));
    TRY(memory_allocate(elements, sizeof(float), "state", &state[0]));
    TRY(memory_allocate(elements, sizeof(float), "state", &state[1]));
    TRY(memory_allocate((size_t)steps, sizeof(float), "losses", &losses));
    int32_t *positions = program_input(program, inputs.positions);
    for (int64_t i = 0; i < size; i++) positions[i] = (int32_t)(i % tokens);
    cpu_flush_to_zero();
    for (int64_t step = 0; step < steps; step++) {
        const int32_t *here = numbers + 3 + step * 2 * size;
        memcpy(program_input(program, inputs.tokens), here, (size_t)size * sizeof *here);
        memcpy(program_input(program, inputs.targets), here + size, (size_t)size * sizeof *here);
        program_run(program, take, &t);
        losses[step] = (float)(t.loss / (double)size);
        TRY(update(&t, step + 1, size, model->weights.data, state));
    }
    return file_replace(argument[2], losses, (size_t)steps * sizeof *losses);
}

int main(int count, char **argument)
{
    static const struct {
        const char *name;
        int arguments;
        enum status (*run)(char **argument);
    } commands[] = {
        {"write", 4, write_model},   {"logits", 3, write_logits}, {"encode", 3, write_ids},
        {"greedy", 3, write_greedy}, {"train", 3, train},
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (count < 2 || strcmp(argument[1], commands[i].name) != 0 ||
            count != 2 + commands[i].arguments)
            continue;
        enum status status = commands[i].run(argument + 2);
        if (status) fprintf(stderr, "exchange: %s (%s)\n", error_message(), error_trail());
        return status_exit_code(status);
    }
    fprintf(stderr, "exchange write DIR char|byte bias|nobias TEXT | logits DIR IDS OUT | encode "
                    "DIR TEXT OUT | "
                    "greedy DIR PROMPT TOKENS | train DIR BATCHES OUT\n");
    return 2;
}
