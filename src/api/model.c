// SPDX-License-Identifier: Apache-2.0
#include "api/status.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "infer/generate.h"
#include "store/model_directory.h"
#include "train/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Sequences in a group of an evaluation: its size is part of the result's last bits, so it depends on nothing.
enum { GROUP = 8 };

struct stn_model {
    struct loaded_model *loaded;
    struct generator *generator; // made at the first use, and again for another number of threads
    int threads;                 // of the generator
};

static enum status open_model(const char *directory, struct stn_model **model)
{
    struct stn_model *made;
    if (!directory || !model) FAIL(STATUS_USAGE, "directory or model is NULL");
    TRY(memory_allocate(1, sizeof *made, "a model", &made));
    enum status status = model_directory_load(directory, &made->loaded);
    if (status) {
        free(made);
        return status;
    }
    *model = made;
    return STATUS_OK;
}

enum stn_status stn_model_open(const char *directory, struct stn_model **model)
{
    api_enter();
    return public_status(open_model(directory, model));
}

void stn_model_close(struct stn_model *model)
{
    if (!model) return;
    generator_destroy(model->generator);
    loaded_model_destroy(model->loaded);
    free(model);
}

int64_t stn_model_parameters(const struct stn_model *model)
{
    return parameters_total(&model->loaded->parameters);
}
int64_t stn_model_vocabulary(const struct stn_model *model)
{
    return model->loaded->config.vocabulary;
}
int64_t stn_model_context(const struct stn_model *model) { return model->loaded->config.context; }

// ---- generating ----
void stn_generation_defaults(struct stn_generation *generation)
{
    struct generate_options o;
    generate_defaults(&o);
    *generation = (struct stn_generation){
        .max_tokens = o.max_tokens,
        .temperature = o.temperature,
        .top_k = o.top_k,
        .top_p = o.top_p,
        .min_p = o.min_p,
        .repetition_penalty = o.repetition_penalty,
        .seed = o.seed,
        .threads = 1,
    };
}

struct receiver {
    stn_text_function function;
    void *context;
};
static bool hand_on(void *context, const uint8_t *text, size_t bytes)
{
    const struct receiver *receiver = context;
    return receiver->function(receiver->context, (const char *)text, bytes);
}

static enum status make_generator(struct stn_model *model, int threads)
{
    if (threads < 0 || threads > 1024)
        FAIL(STATUS_USAGE, "threads: %d is out of range; it goes from 0 to 1024", threads);
    if (!threads) threads = cpu_cores();
    if (model->generator && model->threads == threads) return STATUS_OK;
    generator_destroy(model->generator);
    model->generator = NULL;
    TRY(generator_create(model->loaded, threads, &model->generator));
    model->threads = threads;
    return STATUS_OK;
}

static enum status generate(struct stn_model *model, const char *prompt, size_t bytes,
                            const struct stn_generation *generation, struct receiver receiver,
                            int64_t *tokens)
{
    struct stn_generation defaults;
    struct generate_result result = {0};
    if (!model || !receiver.function || (!prompt && bytes))
        FAIL(STATUS_USAGE, "model, prompt or function is NULL");
    stn_generation_defaults(&defaults);
    const struct stn_generation *g = generation ? generation : &defaults;
    const struct generate_options options = {
        .max_tokens = g->max_tokens,
        .temperature = g->temperature,
        .top_k = g->top_k,
        .top_p = g->top_p,
        .min_p = g->min_p,
        .repetition_penalty = g->repetition_penalty,
        .seed = g->seed,
        .stop = g->stop,
    };
    TRY(generate_check(&options));
    TRY(make_generator(model, g->threads));
    TRY(generator_run(model->generator, (const uint8_t *)(prompt ? prompt : ""), bytes, &options,
                      hand_on, &receiver, &result));
    if (tokens) *tokens = result.tokens;
    return STATUS_OK;
}

enum stn_status stn_generate(struct stn_model *model, const char *prompt, size_t bytes,
                             const struct stn_generation *generation, stn_text_function function,
                             void *context, int64_t *tokens)
{
    api_enter();
    struct receiver receiver = {function, context};
    return public_status(generate(model, prompt, bytes, generation, receiver, tokens));
}

struct buffer {
    char *data;
    size_t used, size;
};

static bool fill_buffer(void *context, const char *text, size_t bytes)
{
    struct buffer *buffer = context;
    size_t room = buffer->size - 1 - buffer->used, take = bytes;
    if (take > room) {
        take = room;
        while (take && ((unsigned char)text[take] & 0xc0) == 0x80) take--; // not inside a character
    }
    memcpy(buffer->data + buffer->used, text, take);
    buffer->used += take;
    return take == bytes;
}

enum stn_status stn_generate_text(struct stn_model *model, const char *prompt,
                                  const struct stn_generation *generation, char *buffer,
                                  size_t size, size_t *length)
{
    api_enter();
    if (!buffer || !size)
        return public_status(
            error_at(STATUS_USAGE, __FILE__, __LINE__, "the buffer holds no byte"));
    struct buffer text = {buffer, 0, size};
    struct receiver receiver = {fill_buffer, &text};
    enum status status =
        generate(model, prompt, prompt ? strlen(prompt) : 0, generation, receiver, NULL);
    if (status) return public_status(status);
    buffer[text.used] = 0;
    if (length) *length = text.used;
    return STN_OK;
}

// ---- evaluating ----
static enum status evaluate(struct stn_model *model, const char *path, int workers,
                            struct stn_evaluation *evaluation)
{
    struct score score;
    if (!model || !path || !evaluation) FAIL(STATUS_USAGE, "model, path or evaluation is NULL");
    if (workers < 0 || workers > 1024)
        FAIL(STATUS_USAGE, "workers: %d is out of range; it goes from 0 to 1024", workers);
    struct corpus_source source = {.path = path, .field = "text"};
    TRY(score_text(model->loaded, &source, GROUP, workers ? workers : cpu_cores(), false, &score));
    if (!isfinite(score.loss))
        FAIL(STATUS_DIVERGED, "%s: the loss is not finite; the weights are not a trained model",
             path);
    double bits = score.loss * (double)score.tokens / log(2.0);
    *evaluation = (struct stn_evaluation){
        .loss = score.loss,
        .perplexity = exp(score.loss),
        .bits_per_byte = score.bytes ? bits / (double)score.bytes : (double)NAN,
        .tokens = score.tokens,
        .bytes = score.bytes,
    };
    return STATUS_OK;
}

enum stn_status stn_evaluate(struct stn_model *model, const char *path, int workers,
                             struct stn_evaluation *evaluation)
{
    api_enter();
    return public_status(evaluate(model, path, workers, evaluation));
}
