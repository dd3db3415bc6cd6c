// SPDX-License-Identifier: Apache-2.0
#include "infer/generate.h"

#include "base/cpu.h"
#include "infer/decoder.h"
#include "infer/sampling.h"
#include "infer/text_output.h"

#include <fenv.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_STOPS = 64, LONGEST_STOP = 4096 };

struct generator {
    struct decoder decoder;
    struct sampler sampler;
};

// ---- options ----

void generate_defaults(struct generate_options *options)
{
    *options = (struct generate_options){
        .max_tokens = 200,
        .temperature = 1,
        .top_p = 1,
        .repetition_penalty = 1,
    };
}

static enum status check_number(const char *name, double value, double least, double most,
                                const char *meaning)
{
    if (value >= least && value <= most) return STATUS_OK; // false for NaN
    FAIL(STATUS_USAGE, "%s: %g is out of range; it must be %g to %g (%s)", name, value, least, most,
         meaning);
}

static enum status check_integer(const char *name, int64_t value, int64_t most, const char *meaning)
{
    if (value >= 0 && value <= most) return STATUS_OK;
    FAIL(STATUS_USAGE, "%s: %lld is out of range; it must be 0 to %lld (%s)", name,
         (long long)value, (long long)most, meaning);
}

static enum status check_stops(const char *const *stop)
{
    for (int i = 0; stop && stop[i]; i++) {
        size_t length = strnlen(stop[i], LONGEST_STOP + 1);
        if (i == MOST_STOPS)
            FAIL(STATUS_USAGE, "stop: there are more than %d stop strings", MOST_STOPS);
        if (length == 0)
            FAIL(STATUS_USAGE, "stop: string %d is empty; it would stop at once", i + 1);
        if (length > LONGEST_STOP)
            FAIL(STATUS_USAGE, "stop: string %d is longer than %d bytes", i + 1, LONGEST_STOP);
    }
    return STATUS_OK;
}

enum status generate_check(const struct generate_options *options)
{
    TRY(check_integer("max_tokens", options->max_tokens, INT64_C(1000000000),
                      "tokens to generate"));
    TRY(check_number("temperature", options->temperature, 0, 100, "0 takes the likeliest token"));
    TRY(check_integer("top_k", options->top_k, INT32_MAX, "0 takes all"));
    TRY(check_number("top_p", options->top_p, 0, 1, "1 takes all"));
    TRY(check_number("min_p", options->min_p, 0, 1, "0 takes all"));
    TRY(check_number("repetition_penalty", options->repetition_penalty, 0.01, 100, "1 is none"));
    return check_stops(options->stop);
}

// ---- life cycle ----

// Ids that may be drawn: a vocabulary that was padded to a rounder size has rows that mean nothing.
static int64_t meaningful_ids(const struct loaded_model *model)
{
    int64_t vocabulary = model->config.vocabulary;
    int64_t known = model->tokenizer ? tokenizer_size(model->tokenizer) : vocabulary;
    return known < vocabulary ? known : vocabulary;
}

enum status generator_create(const struct loaded_model *model, int threads,
                             struct generator **generator_p)
{
    const struct backend *backend;
    struct generator *generator;
    TRY(backend_find("cpu", &backend));
    TRY(memory_allocate(1, sizeof *generator, "a generator", &generator));
    enum status status = decoder_create(model, backend, threads, &generator->decoder);
    if (!status) status = sampler_create(meaningful_ids(model), &generator->sampler);
    if (status) {
        generator_destroy(generator);
        return status;
    }
    *generator_p = generator;
    return STATUS_OK;
}

void generator_destroy(struct generator *generator)
{
    if (!generator) return;
    decoder_release(&generator->decoder);
    sampler_release(&generator->sampler);
    free(generator);
}

// ---- running ----

static enum status check_ids(const struct generator *generator, const int32_t *ids, int64_t count)
{
    int64_t vocabulary = generator->decoder.model->config.vocabulary;
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= vocabulary)
            FAIL(STATUS_USAGE, "id %d at place %lld is not in the model's vocabulary of %lld",
                 ids[i], (long long)i, (long long)vocabulary);
    return STATUS_OK;
}

// The ids that generation starts from; the caller frees *ids_p.
static enum status encode_prompt(const struct generator *generator, const uint8_t *prompt,
                                 size_t bytes, int32_t **ids_p, int64_t *count_p)
{
    const struct tokenizer *tokenizer = generator->decoder.model->tokenizer;
    static const uint8_t newline[] = "\n";
    bool empty = bytes == 0;
    int32_t *ids;
    size_t count = 0;
    size_t room = tokenizer_room(tokenizer, empty ? 1 : bytes);
    TRY(memory_allocate(room, sizeof *ids, "the prompt", &ids));
    enum status status = tokenizer_encode(tokenizer, empty ? newline : prompt, empty ? 1 : bytes,
                                          "the prompt", 0, ids, &count);
    if ((status && empty) || (!status && count == 0)) {
        error_clear(); // a vocabulary without newline, or words where there are none
        status = STATUS_OK;
        ids[0] = 0;
        count = 1;
    }
    if (!status) status = check_ids(generator, ids, (int64_t)count);
    if (status) {
        free(ids);
        return status;
    }
    *ids_p = ids;
    *count_p = (int64_t)count;
    return STATUS_OK;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Tokens of the prompt that are not read: a model that carries a state reads all, others what their context holds.
static int64_t tokens_skipped(const struct loaded_model *model, int64_t count)
{
    int64_t context = model->config.context;
    return !model->type->state && count > context ? count - context : 0;
}

// Feeds the prompt and draws tokens until something says stop. The penalty knows all of the prompt.
static enum status run(struct generator *generator, const int32_t *ids, int64_t count,
                       const struct generate_options *options, struct text_output *output,
                       int64_t *tokens_p)
{
    struct decoder *decoder = &generator->decoder;
    int64_t skipped = tokens_skipped(decoder->model, count), made = 0;
    sampler_start(&generator->sampler);
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < generator->sampler.size) sampler_see(&generator->sampler, ids[i]);
    decoder_start(decoder);
    for (bool go_on = true; go_on && made < options->max_tokens; made++) {
        int32_t id;
        size_t bytes;
        if (made == 0) decoder_append(decoder, ids + skipped, count - skipped, NULL);
        TRY(sampler_choose(&generator->sampler, options, made, decoder->logits, &id));
        sampler_see(&generator->sampler, id);
        const uint8_t *piece = tokenizer_piece(decoder->model->tokenizer, id, &bytes);
        go_on = text_output_add(output, piece, piece ? bytes : 0);
        if (go_on && made + 1 < options->max_tokens) decoder_append(decoder, &id, 1, NULL);
    }
    text_output_finish(output);
    *tokens_p = made;
    return STATUS_OK;
}

// Who takes the text does so in the caller's floating-point mode.
struct outside {
    fenv_t mode;
    emit_function emit;
    void *context;
};
static bool emit_outside(void *context, const uint8_t *text, size_t bytes)
{
    const struct outside *outside = context;
    fenv_t inside;
    fegetenv(&inside);
    fesetenv(&outside->mode);
    bool go_on = outside->emit(outside->context, text, bytes);
    fesetenv(&inside);
    return go_on;
}

enum status generator_run(struct generator *generator, const uint8_t *prompt, size_t prompt_bytes,
                          const struct generate_options *options, emit_function emit, void *context,
                          struct generate_result *result_p)
{
    struct generate_result result = {0};
    struct text_output output;
    int32_t *ids = NULL;
    int64_t count = 0;
    struct outside outside = {.emit = emit, .context = context};
    TRY(generate_check(options));
    if (!generator->decoder.model->tokenizer)
        FAIL(STATUS_UNSUPPORTED,
             "the model has no tokenizer that we know, so it cannot read or write text");
    double start = seconds_now();
    TRY(encode_prompt(generator, prompt, prompt_bytes, &ids, &count));
    enum status status = text_output_create(options->stop, emit_outside, &outside, &output);
    if (status) goto free_ids;

    // The caller's floating-point mode is given back.
    fegetenv(&outside.mode);
    cpu_flush_to_zero();
    status = run(generator, ids, count, options, &output, &result.tokens);
    fesetenv(&outside.mode);
    result.stopped = output.stopped;
    result.seconds = seconds_now() - start;
    if (!status && result_p) *result_p = result;
    text_output_release(&output);
free_ids:
    free(ids);
    return status;
}

enum status generator_logits(struct generator *generator, const int32_t *ids, int64_t count,
                             float *logits)
{
    int64_t context = generator->decoder.model->config.context;
    fenv_t environment;
    if (count < 1 || count > context)
        FAIL(STATUS_USAGE, "%lld ids do not fit: the model takes 1 to %lld", (long long)count,
             (long long)context);
    TRY(check_ids(generator, ids, count));
    fegetenv(&environment);
    cpu_flush_to_zero();
    decoder_start(&generator->decoder);
    decoder_append(&generator->decoder, ids, count, logits);
    fesetenv(&environment);
    return STATUS_OK;
}
