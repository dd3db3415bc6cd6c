// SPDX-License-Identifier: Apache-2.0
// stentor eval: what a trained model is worth, by what it is for. Of a language model loss and perplexity on a text, by default on what
// its run held out; of the others what the commands that use them measure.
#include "base/cpu.h"
#include "base/file.h"
#include "intervals.h"
#include "options.h"
#include "output.h"
#include "signals.h"
#include "store/family.h"
#include "terminal.h"
#include "train/run.h"
#include "train/score.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

// clang-format off
static const struct option_row rows[] = {
    {"data", "FILE", "the same as FILE"},
    {"field", "NAME", "running text: its name in .jsonl lines (text)"},
    {"carry", NULL, "running text: one stream, whose states go from window to window (lstm_lm)"},
    {"text", "COLUMN", "rows, texts: the text, a number from 1 or a name (1)"},
    {"pair", "COLUMN", "rows: a second text"},
    {"features", "COLUMNS", "rows: of numbers, \"1-9, 12\" or names (the first, without target)"},
    {"target", "COLUMN", "rows, texts: the right class or number, what a text should become"},
    {"format", "NAME", "rows, texts: lines, csv, tsv, spaced, jsonl, squad (by FILE's ending)"},
    {"header", NULL, "rows, texts: the first is left out, also where columns are numbers"},
    {"replace", NULL, "rows, texts: bytes that are no UTF-8 become question marks"},
    {"reference", "FILE", "lines, texts: what each should become, for BLEU, chrF and ROUGE"},
    {"tokenize", "NAME", "lines: of BLEU: 13a, zh, char, none, as sacreBLEU's (13a; Chinese zh)"},
    {"smooth", "NAME", "lines: of BLEU: exp, floor, add-k or none (exp)"},
    {"chrf-words", "N", "lines: orders of words in chrF: 0, 1, 2 (chrF++) (0)"},
    {"lower-case", NULL, "lines: BLEU and chrF do not see capital letters"},
    {"characters", NULL, "lines, texts: ROUGE by characters, as of Chinese; else by words"},
    {"stem", NULL, "lines, texts: ROUGE by the stems of words"},
    {"sentences", "N", "texts: how many to choose (1)"},
    {"beam", "N", "lines: hypotheses that are followed; 1: greedy (5)"},
    {"length-penalty", "X", "lines: a score is log probability / length^X (1)"},
    {"max-tokens", "N", "lines, questions: tokens to write at most (twice those read, and 10; 30)"},
    {"goal", "NAME", "questions: what answers are chosen for: exact match or f1 (exact)"},
    {"intervals", NULL, "rows, lines, texts, questions: 95 % confidence, of 1,000 draws"},
    {"batch", "N", "rows, lines, texts, questions: at a time; the result is the same for any"},
    {"workers", "N", "workers (one for each core)"},
    {"json", NULL, "prints the result as one JSON object"},
    {NULL, NULL, NULL},
};
// clang-format on

// What a directory is for, and what does the work of the others than running text. Which options are for which, `rows` says.
static const struct kind {
    const char *name, *reads;
    const struct command *command;
    const char *needs; // an option that says what is right, NULL: the file does
    const char *usage;
} kinds[] = {
    {"running text", "running text", NULL, NULL, NULL},
    {"rows", "rows", &classify_command, "target",
     "FILE --target COLUMN (and --text COLUMN, or --features COLUMNS)"},
    {"lines", "lines", &translate_command, "reference", "FILE --reference FILE"},
    {"texts", "texts to choose sentences of", &summarize_command, NULL,
     "FILE --target COLUMN (and --text COLUMN), or FILE --reference FILE"},
    {"questions", "questions", &answer_command, NULL, "FILE.json"},
};
enum { RUNNING_TEXT, ROWS, LINES, TEXTS, QUESTIONS, KINDS };

// Sequences in a group where no run file says it; the loss is a mean over all, so this is a matter of speed.
enum { GROUP = 8 };

// A signal ends the work between two pieces of it, so that nothing stays in TMPDIR.
static atomic_bool stopped;
static void stop(void) { atomic_store(&stopped, true); }
static bool is_stopped(const void *context)
{
    (void)context;
    return atomic_load(&stopped);
}
static const struct stop stopping = {is_stopped, NULL};

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
    struct corpus_source source = {text, config.data.field, &stopping};
    TRY(corpus_open(&source, model->tokenizer, cache, workers, &corpus));
    int64_t first = own_file ? 0 : run_held_out_start(&config, corpus->count);
    snprintf(name, name_bytes, "%s%s", text, own_file ? "" : " (its held-out end)");
    const struct score_way way = {config.micro_batch, workers, run_precision(&config), carry,
                                  &stopping};
    enum status status = score_corpus(model, corpus, first, corpus->count, &way, score_p);
    corpus_close(corpus);
    return status;
}

static json_t *count_or_null(int64_t count)
{
    return count ? json_integer((json_int_t)count) : json_null();
}

static enum status print_score(const struct options *options, const struct score *score,
                               const char *name)
{
    double bits = score->loss * (double)score->tokens / log(2.0);
    // Infinite, which JSON calls null, where the tokenizer does not keep the text's bytes.
    double per_byte = bits / (double)score->bytes, per_character = bits / (double)score->characters;
    double perplexity = exp(score->loss);
    if (option_given(options, "json"))
        return output_json(json_pack(
            "{s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:f}", "data",
            output_json_text(name, strlen(name)), "loss", output_json_number(score->loss),
            "perplexity", output_json_number(perplexity), "bits_per_byte",
            output_json_number(per_byte), "bits_per_character", output_json_number(per_character),
            "tokens", (json_int_t)score->tokens, "bytes", count_or_null(score->bytes), "characters",
            count_or_null(score->characters), "seconds", score->seconds));
    char tokens[32];
    TRY(output_print("data                %s\n", name));
    TRY(output_print("tokens              %s\n", output_count((double)score->tokens, tokens)));
    TRY(output_print("loss                %.4f\n", score->loss));
    TRY(output_print("perplexity          %.3f\n", perplexity));
    if (!score->bytes) return STATUS_OK;
    TRY(output_print("bits per byte       %.4f\n", per_byte));
    return output_print("bits per character  %.4f\n", per_character);
}

static enum status eval_text(const struct options *options)
{
    const char *directory = options->argument[0];
    const char *data = options->arguments > 1 ? options->argument[1] : NULL;
    int64_t workers = cpu_cores();
    bool carry = option_given(options, "carry");
    char name[RUN_PATH + 32];
    TRY(option_integer(options, "workers", 1, 1024, &workers));
    if (option_given(options, "field") && !data)
        FAIL(STATUS_USAGE, "eval: --field is for a FILE; without it, the run file says the field");
    struct loaded_model *model;
    signals_catch(stop, false);
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
        struct corpus_source source = {data, field ? field : "text", &stopping};
        snprintf(name, sizeof name, "%s", data);
        status = score_text(model, &source, GROUP, (int)workers, carry, &score);
    } else {
        status = score_held_out(directory, model, (int)workers, carry, &score, name, sizeof name);
    }
    loaded_model_destroy(model);
    if (status == STATUS_INTERRUPTED) {
        terminal_say("%s; nothing is measured", error_message());
        error_clear();
        return signals_end(STATUS_OK);
    }
    TRY(status);
    if (!isfinite(score.loss))
        FAIL(STATUS_DIVERGED, "%s: the loss is not finite; the weights are not a trained model",
             directory);
    return print_score(options, &score, name);
}

// ---- the command ----

// *kind_p is NULL for a model of masked words: what it guesses right is measured while it is trained.
static enum status find_kind(const char *directory, const struct kind **kind_p)
{
    struct model_config config;
    const struct model_family *family;
    const struct model_type *type;
    bool zero_bias;
    int kind = RUNNING_TEXT;
    TRY(model_config_read(directory, &config, &family, &zero_bias));
    TRY(model_find(config.type, &type));
    if (config.spans)
        kind = QUESTIONS;
    else if (config.sentences)
        kind = TEXTS;
    else if (config.classes > 0)
        kind = ROWS;
    else if (type->encode)
        kind = LINES;
    *kind_p = &kinds[kind];
    if (kind == RUNNING_TEXT && !(type->tasks & TASK_LM)) *kind_p = NULL;
    return STATUS_OK;
}

// An option of other models than this is a mistake.
static enum status check_options(const struct options *options, const struct kind *kind)
{
    for (int k = 0; k < KINDS; k++) {
        const char *name = option_for(options, &eval_command, kinds[k].name, kind->name);
        if (name)
            FAIL(STATUS_USAGE, "eval: --%s is for models that read %s; %s reads %s", name,
                 kinds[k].reads, options->argument[0], kind->reads);
    }
    return STATUS_OK;
}

static enum status run(const struct options *given)
{
    static struct options options;
    const char *data = option_text(given, "data"), *directory = given->argument[0];
    const struct kind *kind;
    options = *given;
    if (data && options.arguments > 1)
        FAIL(STATUS_USAGE, "eval: %s and --data %s are two files", options.argument[1], data);
    if (data) options.argument[options.arguments++] = data;
    TRY(find_kind(directory, &kind));
    if (!kind)
        FAIL(STATUS_UNSUPPORTED,
             "eval: %s is a model of masked words (task: mlm), which eval does not measure; its "
             "run's log.jsonl has the loss (val/loss), and a run with model.from: %s makes a model "
             "of it that classifies or answers",
             directory, directory);
    TRY(check_options(&options, kind));
    if (!kind->command) return eval_text(&options);
    bool says = !kind->needs || option_given(&options, kind->needs);
    if (kind == &kinds[TEXTS])
        says = option_given(&options, "target") || option_given(&options, "reference");
    if (options.arguments < 2 || !says)
        FAIL(STATUS_USAGE, "eval: %s reads %s, and nothing says what is right: stentor eval %s %s",
             directory, kind->reads, directory, kind->usage);
    output_measures_only();
    return kind->command->run(&options);
}

static void help(void)
{
    printf("\nOf a model of running text FILE is a text, a folder, .jsonl, .gz or .zst; without it "
           "the text is\nwhat the run held out. A model of rows gets accuracy, F1 and the area "
           "under the curve, or errors\nof numbers; of lines BLEU, chrF and ROUGE; of questions "
           "exact match and F1. A model of masked\nwords has no other measure than its run's "
           "log.\n");
}

const struct command eval_command = {
    "eval", "DIR [FILE]", "what a model is worth on a text or on rows", 1, 2, rows, help, run,
};
