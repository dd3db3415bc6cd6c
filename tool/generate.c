// SPDX-License-Identifier: Apache-2.0
// stentor generate: continues a prompt, and streams what it writes to standard output.
#include "infer/generate.h"

#include "base/memory.h"
#include "data/reader.h"
#include "options.h"
#include "output.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct option_row rows[] = {
    {"prompt", "TEXT", "what is continued; empty: a new line"},
    {"prompt-file", "FILE", "the same from a file"},
    {"echo", NULL, "prints the prompt first"},
    {"max-tokens", "N", "tokens to write at most (200)"},
    {"temperature", "X", "0: always the likeliest token; 1: as the model says (1)"},
    {"top-k", "N", "draws among the N likeliest; 0: all (0)"},
    {"top-p", "X", "draws among the likeliest that share X of the probability (1)"},
    {"min-p", "X", "leaves out what is less likely than X times the likeliest (0)"},
    {"repetition-penalty", "X", "above 1: makes tokens that are there already less likely (1)"},
    {"seed", "N", "the same seed writes the same text (0)"},
    {"stop", "TEXT", "ends before this text; may be repeated"},
    {"threads", "N", "threads; the text is the same for any number (1)"},
    {"json", NULL, "prints text and figures as one JSON object at the end"},
    {NULL, NULL, NULL},
};

enum { PROMPT_LIMIT = 16 << 20 };

struct writer {
    bool collect; // for --json; else streamed
    char *text;
    size_t used, room;
    enum status status;
};

static enum status collect_text(struct writer *writer, const uint8_t *text, size_t bytes)
{
    if (writer->room - writer->used < bytes) {
        size_t room = 2 * (writer->used + bytes) + 4096;
        TRY(memory_grow(&writer->text, room, 1, "the text"));
        writer->room = room;
    }
    memcpy(writer->text + writer->used, text, bytes);
    writer->used += bytes;
    return STATUS_OK;
}

static bool emit(void *context, const uint8_t *text, size_t bytes)
{
    struct writer *writer = context;
    writer->status =
        writer->collect ? collect_text(writer, text, bytes) : output_write(text, bytes);
    return writer->status == STATUS_OK;
}

static enum status read_options(const struct options *options, struct generate_options *o,
                                const char **stop)
{
    int64_t seed = 0, stops = 0;
    generate_defaults(o);
    TRY(option_integer(options, "max-tokens", 0, 1000000000, &o->max_tokens));
    TRY(option_integer(options, "top-k", 0, INT32_MAX, &o->top_k));
    TRY(option_integer(options, "seed", 0, INT64_MAX, &seed));
    TRY(option_number(options, "temperature", 0, 100, &o->temperature));
    TRY(option_number(options, "top-p", 0, 1, &o->top_p));
    TRY(option_number(options, "min-p", 0, 1, &o->min_p));
    TRY(option_number(options, "repetition-penalty", 0.01, 100, &o->repetition_penalty));
    o->seed = (uint64_t)seed;
    for (int i = 0; i < options->count; i++)
        if (!strcmp(options->given[i].row->name, "stop")) {
            stop[stops] = options->given[i].value;
            if (!*stop[stops++])
                FAIL(STATUS_USAGE, "--stop: the text is empty; it would stop at once");
        }
    stop[stops] = NULL;
    if (stops) o->stop = stop;
    return generate_check(o);
}

static enum status print_result(const struct writer *writer, const char *prompt,
                                size_t prompt_bytes, const struct generate_result *result)
{
    double rate = result->seconds > 0 ? (double)result->tokens / result->seconds : 0;
    return output_json(json_pack(
        "{s:o, s:o, s:I, s:s, s:f, s:f}", "prompt", output_json_text(prompt, prompt_bytes), "text",
        output_json_text(writer->text, writer->used), "tokens", (json_int_t)result->tokens,
        "finish_reason", result->stopped ? "stop" : "length", "seconds", result->seconds,
        "tokens_per_second", rate));
}

static enum status generate(const struct options *options, const struct loaded_model *model,
                            const char *prompt, size_t prompt_bytes)
{
    struct generate_options settings;
    struct generate_result result = {0};
    struct generator *generator;
    int64_t threads = 1; // a second one waits for its core wherever that is shared
    const char *stop[MOST_OPTIONS + 1];
    struct writer writer = {.collect = option_given(options, "json")};
    TRY(read_options(options, &settings, stop));
    if (!model->tokenizer)
        FAIL(STATUS_UNSUPPORTED,
             "%s: the model has no tokenizer that is known here, so it cannot read or write text",
             options->argument[0]);
    TRY(option_integer(options, "threads", 1, 1024, &threads));
    TRY(generator_create(model, (int)threads, &generator));
    enum status status = STATUS_OK;
    if (option_given(options, "echo") && !writer.collect)
        status = output_write(prompt, prompt_bytes);
    if (status == STATUS_OK)
        status = generator_run(generator, (const uint8_t *)prompt, prompt_bytes, &settings, emit,
                               &writer, &result);
    if (status == STATUS_OK) status = writer.status;
    if (status == STATUS_OK && writer.collect)
        status = print_result(&writer, prompt, prompt_bytes, &result);
    if (status == STATUS_OK && !writer.collect && isatty(STDOUT_FILENO))
        status = output_write("\n", 1);
    generator_destroy(generator);
    free(writer.text);
    return status;
}

static enum status run(const struct options *options)
{
    const char *text = option_text(options, "prompt"), *path = option_text(options, "prompt-file");
    struct generate_options settings;
    const char *stop[MOST_OPTIONS + 1];
    char *prompt = NULL;
    size_t bytes = 0;
    if (text && path) FAIL(STATUS_USAGE, "--prompt and --prompt-file exclude each other");
    TRY(read_options(options, &settings,
                     stop)); // wrong options are told before a large model is read
    if (path) TRY(reader_read_whole(path, PROMPT_LIMIT, &prompt, &bytes));
    struct loaded_model *model;
    enum status status = model_directory_load(options->argument[0], &model);
    if (status) goto free_prompt;
    status = generate(options, model,
                      path   ? prompt
                      : text ? text
                             : "",
                      path   ? bytes
                      : text ? strlen(text)
                             : 0);
    loaded_model_destroy(model);

free_prompt:
    free(prompt);
    return status;
}

const struct command generate_command = {
    "generate", "DIR", "continues a prompt", 1, 1, rows, NULL, run,
};
