// SPDX-License-Identifier: Apache-2.0
// stentor eval: loss and perplexity of a trained model on a text; by default on what its run held out.
#include "base/cpu.h"
#include "base/file.h"
#include "options.h"
#include "output.h"
#include "terminal.h"
#include "train/run.h"
#include "train/score.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct option_row rows[] = {
    {"data", "FILE", "text, folder, .jsonl, .gz or .zst; else what the run held out"},
    {"field", "NAME", "the text's name in .jsonl lines (text)"},
    {"carry", NULL, "one stream, whose states go from window to window (lstm_lm)"},
    {"workers", "N", "workers (one for each core)"},
    {"json", NULL, "prints the result as one JSON object"},
    {NULL, NULL, NULL},
};

// Sequences in a group where no run file says it; the loss is a mean over all, so this is a matter of speed.
enum { GROUP = 8 };

// Where the run keeps its tokens.
static enum status cache_path(const char *directory, const struct run_config *config,
                              char cache[RUN_PATH + 16])
{
    if (!config->data.cache[0]) return path_join(cache, RUN_PATH + 16, directory, "cache");
    snprintf(cache, RUN_PATH + 16, "%s", config->data.cache);
    return STATUS_OK;
}

static enum status score_held_out(const char *directory, struct loaded_model *model, int workers,
                                  bool carry, struct score *score_p, char *name, size_t name_bytes)
{
    static struct run_config config;
    char path[RUN_PATH + 16], cache[RUN_PATH + 16];
    TRY(path_join(path, sizeof path, directory, "run.yaml"));
    if (!file_exists(path))
        FAIL(STATUS_USAGE, "%s does not exist, so nothing says what was held out; add --data FILE",
             path);
    run_config_defaults(&config);
    TRY(run_config_read(&config, path));
    TRY(run_config_check(&config));
    bool own_file = config.data.valid[0];
    const char *text = own_file ? config.data.valid : config.data.train;
    if (!own_file && config.data.valid_fraction <= 0)
        FAIL(STATUS_USAGE, "%s: the run held nothing out; add --data FILE", path);
    TRY(cache_path(directory, &config, cache));
    struct corpus *corpus;
    struct corpus_source source = {text, config.data.field};
    TRY(corpus_open(&source, model->tokenizer, cache, workers, &corpus));
    int64_t first = own_file ? 0 : run_held_out_start(&config, corpus->count);
    snprintf(name, name_bytes, "%s%s", text, own_file ? "" : " (its held-out end)");
    const struct score_way way = {config.micro_batch, workers, run_precision(&config), carry};
    enum status status = score_corpus(model, corpus, first, corpus->count, &way, score_p);
    corpus_close(corpus);
    return status;
}

static enum status print_score(const struct options *options, const struct score *score,
                               const char *name)
{
    double bits = score->loss * (double)score->tokens / log(2.0);
    double per_byte = bits / (double)score->bytes, per_character = bits / (double)score->characters;
    double perplexity = exp(score->loss);
    if (option_given(options, "json"))
        return output_json(json_pack(
            "{s:s, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:f}", "data", name, "loss", score->loss,
            "perplexity", perplexity, "bits_per_byte", per_byte, "bits_per_character",
            per_character, "tokens", (json_int_t)score->tokens, "bytes", (json_int_t)score->bytes,
            "characters", (json_int_t)score->characters, "seconds", score->seconds));
    char tokens[32];
    TRY(output_print("data                %s\n", name));
    TRY(output_print("tokens              %s\n", output_count((double)score->tokens, tokens)));
    TRY(output_print("loss                %.4f\n", score->loss));
    TRY(output_print("perplexity          %.3f\n", perplexity));
    TRY(output_print("bits per byte       %.4f\n", per_byte));
    return output_print("bits per character  %.4f\n", per_character);
}

static enum status run(const struct options *options)
{
    const char *directory = options->argument[0], *data = option_text(options, "data");
    int64_t workers = cpu_cores();
    bool carry = option_given(options, "carry");
    char name[RUN_PATH + 32];
    TRY(option_integer(options, "workers", 1, 1024, &workers));
    if (option_given(options, "field") && !data)
        FAIL(STATUS_USAGE,
             "eval: --field is for --data FILE; without it, the run file says the field");
    struct loaded_model *model;
    TRY(model_directory_load(directory, &model));
    struct score score = {0};
    enum status status = score_check(model);
    if (status) {
        // What the model is for is measured elsewhere.
    } else if (!model->tokenizer) {
        status =
            error_at(STATUS_UNSUPPORTED, __FILE__, __LINE__,
                     "%s: the model has no tokenizer that is known here, so texts cannot be read",
                     directory);
    } else if (data) {
        const char *field = option_text(options, "field");
        struct corpus_source source = {data, field ? field : "text"};
        snprintf(name, sizeof name, "%s", data);
        status = score_text(model, &source, GROUP, (int)workers, carry, &score);
    } else {
        status = score_held_out(directory, model, (int)workers, carry, &score, name, sizeof name);
    }
    loaded_model_destroy(model);
    if (status) return status;
    if (!isfinite(score.loss))
        FAIL(STATUS_DIVERGED, "%s: the loss is not finite; the weights are not a trained model",
             directory);
    return print_score(options, &score, name);
}

const struct command eval_command = {
    "eval", "DIR", "loss and perplexity of a model on a text", 1, 1, rows, NULL, run,
};
