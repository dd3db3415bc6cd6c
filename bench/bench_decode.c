// SPDX-License-Identifier: Apache-2.0
// How many tokens a second do so many threads write, and how many do they read of a prompt?
//
// One line of JSON per model size. Decoding reads every weight once a token, so bytes_per_second, weights times tokens a second,
// stands beside: it is what the memory gives. of_plain_read: the processor time that a plain read of all weights takes, measured before and
// after, over that of a token; it says what neighbours on the machine hide (one thread).
// Usage: bench_decode [seconds per measurement, default 1] [threads, default 1]
#include "base/cpu.h"
#include "infer/generate.h"
#include "parallel/update_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct size {
    const char *name;
    int64_t vocabulary, context, width, layers, heads;
};
static const struct size sizes[] = {
    {"characters 0.8m", 256, 64, 128, 4, 4},
    {"characters 0.8m, context 1024", 256, 1024, 128, 4, 4},
    {"gpt2-124m", 50257, 1024, 768, 12, 12},
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double processor(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Seconds to read all weights: the fastest of ten times.
static double plain_read(const struct loaded_model *model)
{
    enum isa isa = ISA_GENERIC;
    double best = 1e9;
    volatile float largest;
    if (isa_choose(&isa)) return 0;
    for (int i = 0; i < 10; i++) {
        double start = processor();
        largest =
            update_kernels_of(isa)->max_magnitude(model->weights.data, model->parameters.elements);
        double seconds = processor() - start;
        if (seconds < best) best = seconds;
    }
    (void)largest;
    return best;
}

static enum status make_model(const struct size *size, struct loaded_model *model)
{
    *model = (struct loaded_model){.config = {.type = "gpt2",
                                              .vocabulary = size->vocabulary,
                                              .context = size->context,
                                              .width = size->width,
                                              .layers = size->layers,
                                              .heads = size->heads,
                                              .bias = true}};
    TRY(model_find("gpt2", &model->type));
    TRY(model->type->validate(&model->config));
    parameters_init(&model->parameters);
    TRY(model_declare(&model->config, &model->parameters));
    TRY(block_create((size_t)model->parameters.elements * sizeof(float), "weights",
                     &model->weights));
    parameters_initialise(&model->parameters, 1, model->weights.data);
    return tokenizer_byte_create(&model->tokenizer);
}

struct clock {
    double until;
};

static bool is_time_left(void *context, const uint8_t *text, size_t bytes)
{
    (void)text;
    (void)bytes;
    return now() < ((const struct clock *)context)->until;
}

static enum status measure(const struct size *size, double seconds, int threads)
{
    struct loaded_model model;
    struct generator *generator;
    struct generate_options options;
    struct generate_result result;
    TRY(make_model(size, &model));
    TRY(generator_create(&model, threads, &generator));

    // Reading: the longest prompt that is cheap, again and again.
    int64_t prompt = size->context < 512 ? size->context : 512, read = 0;
    int32_t *ids;
    float *logits;
    TRY(memory_allocate((size_t)prompt, sizeof *ids, "ids", &ids));
    TRY(memory_allocate((size_t)(prompt * size->vocabulary), sizeof *logits, "logits", &logits));
    double start = now(), reading;
    do {
        TRY(generator_logits(generator, ids, prompt, logits));
        read += prompt;
        reading = now() - start;
    } while (reading < seconds);

    generate_defaults(&options);
    options.max_tokens = 1000000000;
    double plain = plain_read(&model);
    struct clock clock = {now() + seconds};
    double used = processor();
    TRY(generator_run(generator, (const uint8_t *)"a", 1, &options, is_time_left, &clock, &result));
    used = (processor() - used) / (double)result.tokens;
    double after = plain_read(&model);
    if (after < plain) plain = after;
    double rate = (double)result.tokens / result.seconds;
    printf(
        "{\"bench\": \"decode\", \"model\": \"%s\", \"threads\": %d, \"tokens_per_second\": %.1f, "
        "\"bytes_per_second\": %.3g, \"prompt_tokens\": %lld, \"prompt_tokens_per_second\": "
        "%.1f, \"processor_ms_per_token\": %.3f, \"plain_read_ms\": %.3f, \"of_plain_read\": "
        "%.3f}\n",
        size->name, threads, rate,
        rate * (double)parameters_total(&model.parameters) * sizeof(float), (long long)prompt,
        (double)read / reading, 1e3 * used, 1e3 * plain, plain / used);
    fflush(stdout);
    free(ids);
    free(logits);
    generator_destroy(generator);
    parameters_release(&model.parameters);
    block_destroy(&model.weights);
    tokenizer_destroy(model.tokenizer);
    return STATUS_OK;
}

int main(int count, char **argument)
{
    double seconds = count > 1 ? strtod(argument[1], NULL) : 1;
    int threads = count > 2 ? (int)strtol(argument[2], NULL, 10) : 1;
    if (threads < 1) threads = 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        enum status status = measure(&sizes[i], seconds, threads);
        if (status) {
            fprintf(stderr, "bench_decode: %s\n", error_message());
            return status_exit_code(status);
        }
    }
    return 0;
}
