// SPDX-License-Identifier: Apache-2.0
// stentor classify: a class (or a number, of a model of numbers) for every row of a file or line of standard input, by several workers.
#include "infer/classify.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/number.h"
#include "data/columns.h"
#include "intervals.h"
#include "judge_rows.h"
#include "options.h"
#include "output.h"
#include "signals.h"
#include "train/run.h"
#include "windows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
static const struct option_row rows[] = {
    {"text", "COLUMN", "of FILE: the text, a number from 1 or a name (1)"},
    {"pair", "COLUMN", "a second text; on standard input it stands behind a tab"},
    {"features", "COLUMNS", "of FILE: numbers, \"1-9, 12\" or names (the first, without target)"},
    {"target", "COLUMN", "of FILE: the right class or number; measures are printed at the end"},
    INTERVALS_OPTION,
    {"format", "NAME", "of FILE: lines, csv, tsv, spaced, jsonl, squad (by its ending)"},
    {"header", NULL, "of FILE: the first row is left out, also where columns are numbers"},
    {"replace", NULL, "of FILE: bytes that are no UTF-8 become question marks"},
    {"batch", "N", "rows at a time (32)"},
    {"workers", "N", "workers (one for each core); the result is the same for any number"},
    {"json", NULL, "prints an object a line, with scores, and one of the measures at the end"},
    {NULL, NULL, NULL},
};
// clang-format on

enum { WINDOW_BATCHES = 64, WINDOW_BYTES = 32 << 20 };

struct job {
    bool json, pair;
    struct column_list *features; // columns of numbers; NULL: a line is all of them
    const struct loaded_model *model;
    struct classifier *classifier;
    struct judge_rows *judge; // NULL: no target, which is the last of a row's fields
    struct windows windows;
    float *numbers, *scores; // [room, features], [room + 1, classes]: the last are probabilities
    struct example_input *inputs;
    struct judgement *judgements;
};

// ---- reading ----

// A number of a row or line. column: that it stands in; NULL: columns have no names.
static enum status read_number(const struct windows *w, int64_t i, struct text text,
                               const char *column, float *to)
{
    unsigned long long line = w->lines[i];
    char word[NUMBER_TEXT];
    double value;
    snprintf(word, sizeof word, "%.*s", text_cut_bytes(text.at, text.bytes, sizeof word - 1),
             text.at);
    if (text.bytes >= sizeof word || !number_parse(word, &value))
        FAIL(STATUS_INPUT, "%s line %llu: \"%s\" is no number%s%s", w->name, line, word,
             column ? ", in column " : "", column ? column : "");
    if (!isfinite((float)value))
        FAIL(STATUS_INPUT, "%s line %llu: %s is out of range; a float32 holds up to 3.4e38",
             w->name, line, word);
    *to = (float)value;
    return STATUS_OK;
}

static bool is_mark(char byte) { return byte == ',' || byte == ';' || byte == '\t'; }

static size_t skip_blanks(struct text text, size_t at)
{
    while (at < text.bytes && text.at[at] == ' ') at++;
    return at;
}

// The numbers of a line: blanks, or one comma, semicolon or tab with blanks round it, part two of them.
static enum status read_line(const struct job *job, int64_t i, float *to)
{
    const struct windows *w = &job->windows;
    const struct text text = windows_text(w, i, 0);
    int64_t wanted = job->model->config.features, found = 0;
    size_t at = skip_blanks(text, 0);
    for (bool more = at < text.bytes; more; found++) {
        size_t length = 0;
        float value;
        while (at + length < text.bytes && text.at[at + length] != ' ' &&
               !is_mark(text.at[at + length]))
            length++;
        if (length == 0)
            FAIL(STATUS_INPUT, "%s line %llu: field %lld is empty; a number is needed there",
                 w->name, (unsigned long long)w->lines[i], (long long)found + 1);
        TRY(read_number(w, i, (struct text){text.at + at, length}, NULL, &value));
        if (found < wanted) to[found] = value;
        at = skip_blanks(text, at + length);
        more = at < text.bytes;
        // What stands behind a mark is a field, be it an empty one at the line's end.
        if (more && is_mark(text.at[at])) at = skip_blanks(text, at + 1);
    }
    if (found != wanted)
        FAIL(STATUS_INPUT, "%s line %llu has %lld number%s; the model reads %lld", w->name,
             (unsigned long long)w->lines[i], (long long)found, found == 1 ? "" : "s",
             (long long)wanted);
    return STATUS_OK;
}

static enum status read_numbers(const struct job *job, int64_t i, float *to)
{
    if (!job->features) return read_line(job, i, to);
    for (int f = 0; f < job->features->count; f++)
        TRY(read_number(&job->windows, i, text_bare(windows_text(&job->windows, i, f)),
                        job->features->column[f], to + f));
    return STATUS_OK;
}

// A line's second text stands behind a tab.
static enum status split_line(const struct windows *w, int64_t i, struct text text[2])
{
    size_t bytes = text[0].bytes;
    const char *tab = memchr(text[0].at, '\t', bytes);
    if (!tab)
        FAIL(STATUS_INPUT, "%s line %llu has no tab, behind which a second text stands", w->name,
             (unsigned long long)w->lines[i]);
    text[0].bytes = (size_t)(tab - text[0].at);
    text[1] = (struct text){tab + 1, bytes - text[0].bytes - 1};
    return STATUS_OK;
}

static enum status take(void *context, int64_t i)
{
    struct job *job = context;
    const struct model_config *config = &job->model->config;
    struct example_input *input = &job->inputs[i];
    float *numbers = job->numbers + i * config->features;
    *input = (struct example_input){.features = numbers};
    job->judgements[i].scores = job->scores + i * config->classes;
    if (config->features) return read_numbers(job, i, numbers);
    input->text[0] = windows_text(&job->windows, i, 0);
    if (job->pair && job->windows.input) return split_line(&job->windows, i, input->text);
    if (job->pair) input->text[1] = windows_text(&job->windows, i, 1);
    return STATUS_OK;
}

// ---- writing ----

static enum status write_object(const struct job *job, int64_t i, float *probabilities)
{
    const struct judgement *judgement = &job->judgements[i];
    int32_t classes = classifier_classes(job->model);
    json_t *object = json_pack("{s:I}", "line", (json_int_t)job->windows.lines[i]), *scores;
    bool bad = !object;
    if (classes == 0) {
        bad |= json_object_set_new(object, "value",
                                   output_json_number((double)judgement->scores[0])) != 0;
    } else {
        const char *name = job->model->label[judgement->predicted];
        classifier_probabilities(job->model, judgement->scores, probabilities);
        scores = json_object();
        for (int32_t c = 0; c < classes; c++)
            bad |= json_object_set_new_nocheck(scores, job->model->label[c],
                                               output_json_number((double)probabilities[c])) != 0;
        bad |= json_object_set_new(object, "class", output_json_text(name, strlen(name))) != 0;
        bad |= json_object_set_new(object, "scores", scores) != 0;
    }
    if (!bad) return output_json(object);
    json_decref(object);
    FAIL(STATUS_MEMORY, "not enough memory for the result");
}

// Nothing can be said of such scores; JSON has no word for them either.
static enum status check_scores(const struct job *job, int64_t i)
{
    const struct model_config *config = &job->model->config;
    const float *scores = job->judgements[i].scores;
    for (int64_t c = 0; c < config->classes; c++)
        if (!isfinite(scores[c]))
            FAIL(STATUS_DIVERGED,
                 "%s line %llu: a score is not finite (%g): %sthe weights are no "
                 "trained model's",
                 job->windows.name, (unsigned long long)job->windows.lines[i], (double)scores[c],
                 config->features ? "its numbers are too large, or " : "");
    return STATUS_OK;
}

static enum status write_row(void *context, int64_t i)
{
    struct job *job = context;
    const struct windows *w = &job->windows;
    const struct judgement *judgement = &job->judgements[i];
    char number[NUMBER_TEXT];
    TRY(check_scores(job, i));
    if (!output_has_lines()) {
        // Nothing is written.
    } else if (job->json) {
        TRY(write_object(job, i, job->scores + w->room * job->model->config.classes));
    } else if (classifier_classes(job->model)) {
        TRY(output_print("%s\n", job->model->label[judgement->predicted]));
    } else {
        TRY(output_print("%s\n", number_print((double)judgement->scores[0], number)));
    }
    if (!job->judge) return STATUS_OK;
    return judge_rows_add(job->judge, windows_text(w, i, w->fields - 1), judgement, w->lines[i]);
}

// ---- the command ----

static enum status run_inputs(void *context, int64_t count)
{
    struct job *job = context;
    return classifier_run(job->classifier, job->inputs, count, job->judgements);
}
static struct outcome outcome_of(const void *context, int64_t i)
{
    const struct judgement *judgement = &((const struct job *)context)->judgements[i];
    return (struct outcome){judgement->done, judgement->left, judgement->unknown};
}
static void stop(void *context) { classifier_stop(((struct job *)context)->classifier); }

static const struct window_work work = {
    .rows = "rows",
    .shortened = {"text is longer than the model reads", "texts are longer than the model reads",
                  "; the rest was left out"},
    .unknown = {"character is unknown to the model and left out",
                "characters are unknown to the model and left out", ""},
    .take = take,
    .run = run_inputs,
    .outcome = outcome_of,
    .write = write_row,
    .stop = stop,
};

static enum status take_window(struct job *job)
{
    const struct model_config *config = &job->model->config;
    size_t room = (size_t)job->windows.room, classes = (size_t)config->classes + 1;
    TRY(memory_allocate(room, sizeof *job->inputs, "rows", &job->inputs));
    TRY(memory_allocate(room, sizeof *job->judgements, "rows", &job->judgements));
    TRY(memory_allocate(checked_multiply(room + 1, classes), sizeof *job->scores, "scores",
                        &job->scores));
    return memory_allocate(checked_multiply(room, (size_t)config->features + 1),
                           sizeof *job->numbers, "rows", &job->numbers);
}

// Of a model of numbers: --features, or the first columns without the target's.
static enum status choose_features(struct job *job, const struct options *options)
{
    const char *list = option_text(options, "features"), *target = option_text(options, "target");
    int64_t wanted = job->model->config.features, left_out = wanted + 1;
    const int most = ROW_FIELDS - 4;
    if (!list && target && (!number_parse_integer(target, &left_out) || left_out < 1))
        FAIL(STATUS_USAGE, "--target %s is a name: add --features with the columns of numbers",
             target);
    if (wanted > most)
        FAIL(STATUS_UNSUPPORTED, "the model reads %lld numbers; of columns at most %d are read",
             (long long)wanted, most);
    TRY(memory_allocate(1, sizeof *job->features, "the columns", &job->features));
    if (!list) {
        columns_without((int)wanted, left_out > wanted ? (int)wanted + 1 : (int)left_out,
                        job->features);
        return STATUS_OK;
    }
    if (columns_read(list, most, job->features)) {
        char reason[512];
        error_copy(reason, sizeof reason);
        error_clear();
        FAIL(STATUS_USAGE, "--features: %s", reason);
    }
    if (job->features->count != wanted)
        FAIL(STATUS_USAGE, "--features %s: %d column%s; the model reads %lld", list,
             job->features->count, job->features->count == 1 ? "" : "s", (long long)wanted);
    return STATUS_OK;
}

// The columns that a row's fields are.
static enum status choose_columns(struct job *job, const struct options *options,
                                  struct rows_setup *setup)
{
    const char *text = option_text(options, "text"), *pair = option_text(options, "pair");
    const char *target = option_text(options, "target");
    if (job->model->config.features) {
        TRY(choose_features(job, options));
        setup->columns = job->features->count;
        memcpy(setup->column, job->features->column,
               (size_t)setup->columns * sizeof *setup->column);
    } else {
        setup->column[setup->columns++] = text ? text : "1";
        if (pair) setup->column[setup->columns++] = pair;
    }
    if (target) setup->column[setup->columns++] = target;
    return STATUS_OK;
}

static enum status open_input(struct job *job, const struct options *options, int64_t batch)
{
    struct rows_setup setup = {.path = windows_path(options, 1)};
    const char *columns = option_for(options, &classify_command, "of FILE", NULL);
    bool numbers = job->model->config.features > 0, target = option_given(options, "target");
    job->pair = option_given(options, "pair");
    if (option_given(options, "features") && !numbers)
        FAIL(STATUS_USAGE, "--features is for models of numbers; this one reads texts");
    if (numbers && (job->pair || option_given(options, "text")))
        FAIL(STATUS_USAGE, "--%s is for texts; this model reads %lld numbers",
             job->pair ? "pair" : "text", (long long)job->model->config.features);
    if (!target && option_given(options, "intervals"))
        FAIL(STATUS_USAGE, "--intervals is for measuring; add --target COLUMN");
    if (!setup.path && columns)
        FAIL(STATUS_USAGE, "--%s is for columns of a file; standard input has lines", columns);
    // A file of numbers alone needs no columns.
    if (setup.path && (!numbers || columns)) TRY(choose_columns(job, options, &setup));
    TRY(windows_open(options, &setup, WINDOW_BATCHES * batch, WINDOW_BYTES, &job->windows));
    if (!target) return STATUS_OK;
    return judge_rows_create(job->model, setup.path, option_given(options, "intervals"),
                             &job->judge);
}

static enum status start(struct job *job, const struct options *options)
{
    int64_t workers = cpu_cores(), batch = 32;
    TRY(option_integer(options, "workers", 1, 1024, &workers));
    TRY(option_integer(options, "batch", 1, 65536, &batch));
    TRY(classifier_create(job->model, batch, (int)workers, &job->classifier));
    TRY(open_input(job, options, batch));
    TRY(take_window(job));
    TRY(windows_run(&job->windows, &work, job));
    if (!job->judge || !job->windows.complete) return STATUS_OK;
    return judge_rows_print(job->judge, job->json);
}

// What the run of a directory, or of the best/ in it, learned as second texts; "" where no run file says it.
static const char *learned_pair(const char *directory)
{
    static struct run_config config;
    char path[RUN_PATH + 16];
    size_t bytes = strlen(directory);
    while (bytes > 1 && directory[bytes - 1] == '/') bytes--;
    bool best = bytes >= 4 && strncmp(directory + bytes - 4, "best", 4) == 0;
    run_config_defaults(&config);
    enum status status = path_join(path, sizeof path, directory, best ? "../run.yaml" : "run.yaml");
    if (!status && file_exists(path)) status = run_config_read(&config, path);
    if (status) error_clear(); // the model can be used without it
    return status ? "" : config.data.pair;
}

static void warn_of_pair(const char *directory)
{
    const char *pair = learned_pair(directory);
    if (pair[0])
        log_warning("%s learned pairs of texts (data.pair: %s), and reads single ones: --pair "
                    "COLUMN names the second",
                    directory, pair);
}

static enum status check_model(const struct options *options, const struct loaded_model *model)
{
    if (!model->config.features && !option_given(options, "pair"))
        warn_of_pair(options->argument[0]);
    if (!model->config.sentences) return STATUS_OK;
    FAIL(STATUS_UNSUPPORTED, "%s chooses sentences of a text: stentor summarize %s [FILE]",
         options->argument[0], options->argument[0]);
}

static enum status run(const struct options *options)
{
    struct job job = {.json = option_given(options, "json")};
    struct loaded_model *model;
    TRY(model_directory_load(options->argument[0], &model));
    job.model = model;
    enum status status = check_model(options, model);
    if (!status) status = start(&job, options);
    judge_rows_destroy(job.judge);
    windows_release(&job.windows);
    classifier_destroy(job.classifier);
    loaded_model_destroy(model);
    free(job.inputs);
    free(job.judgements);
    free(job.scores);
    free(job.features);
    free(job.numbers);
    return signals_end(status);
}

const struct command classify_command = {
    "classify", "DIR [FILE]", "gives classes or numbers to texts", 1, 2, rows, NULL, run,
};
