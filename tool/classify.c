// SPDX-License-Identifier: Apache-2.0
// stentor classify: a class (or a number, of a model of numbers) for every row of a file or line of standard input, by several workers.
//
// Rows are worked on in windows; of each, what is done is written in the order of the input, whatever stops the rest.
#include "infer/classify.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "base/number.h"
#include "data/columns.h"
#include "intervals.h"
#include "judge_rows.h"
#include "line_input.h"
#include "options.h"
#include "output.h"
#include "signals.h"
#include "terminal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
static const struct option_row rows[] = {
    {"text", "COLUMN", "of FILE: the text, a number from 1 or a name (1)"},
    {"pair", "COLUMN", "of FILE: a second text; on standard input it stands behind a tab"},
    {"features", "COLUMNS", "of FILE: numbers, \"1-9, 12\" or names (the first, without target)"},
    {"target", "COLUMN", "of FILE: the right class or number; measures are printed at the end"},
    INTERVALS_OPTION,
    {"format", "NAME", "of FILE: lines, csv, tsv, spaced, jsonl, squad (by its ending)"},
    {"header", NULL, "the first row is left out, also where columns are numbers"},
    {"replace", NULL, "bytes that are no UTF-8 become question marks instead of ending it"},
    {"batch", "N", "rows at a time (32)"},
    {"workers", "N", "workers (one for each core); the result is the same for any number"},
    {"json", NULL, "prints an object a line, with scores, and one of the measures at the end"},
    {NULL, NULL, NULL},
};
// clang-format on

enum { WINDOW_BATCHES = 64, WINDOW_BYTES = 32 << 20 };

// Where a text of the window begins in `bytes`.
struct piece {
    size_t first, bytes;
};
struct job {
    bool json, pair, target;
    struct column_list *features; // columns of numbers in `rows`; NULL: a line is all of them
    const struct loaded_model *model;
    const char *path; // NULL: standard input
    struct classifier *classifier;
    struct rows *rows;        // of a file; else
    struct line_input *input; // standard input
    struct judge_rows *judge; // NULL: no target
    // A window.
    struct buffer bytes;
    struct piece (*pieces)[3];  // [room] text, second text, target
    float *numbers_of, *scores; // [room, features], [room, classes]
    struct example_input *inputs;
    struct judgement *judgements;
    uint64_t *numbers; // lines
    int64_t room, count, written, shortened, unknown;
    uint64_t first_shortened, first_unknown; // lines
    enum status status; // what ends it, after the rows before have been written
    char message[1024];
};

static struct classifier *running;
static void stop(void)
{
    if (running) classifier_stop(running);
}

// ---- reading ----

static enum status add_piece(struct job *job, int which, const char *text, size_t bytes)
{
    job->pieces[job->count][which] = (struct piece){job->bytes.bytes, bytes};
    return buffer_add(&job->bytes, (struct text){text, bytes});
}

// A number of a row or line; text of `bytes` bytes.
static enum status read_number(const struct job *job, uint64_t line, const char *text, size_t bytes,
                               float *to)
{
    const char *name = job->path ? job->path : line_input_name(job->input);
    char word[NUMBER_TEXT];
    double value;
    snprintf(word, sizeof word, "%.*s", text_cut_bytes(text, bytes, sizeof word - 1), text);
    if (bytes >= sizeof word || !number_parse(word, &value))
        FAIL(STATUS_INPUT, "%s line %llu: \"%s\" is no number", name, (unsigned long long)line,
             word);
    if (!isfinite((float)value))
        FAIL(STATUS_INPUT, "%s line %llu: %s is out of range; a float32 holds up to 3.4e38", name,
             (unsigned long long)line, word);
    *to = (float)value;
    return STATUS_OK;
}

static enum status add_numbers(struct job *job, const struct row *row)
{
    int count = job->features->count;
    float *to = job->numbers_of + job->count * count;
    for (int i = 0; i < count; i++)
        TRY(read_number(job, row->line, row->field[i].text, row->field[i].bytes, to + i));
    if (job->target) TRY(add_piece(job, 2, row->field[count].text, row->field[count].bytes));
    job->numbers[job->count++] = row->line;
    return STATUS_OK;
}

static enum status add_row(struct job *job, const struct row *row)
{
    int at = 1;
    if (job->features) return add_numbers(job, row);
    TRY(add_piece(job, 0, row->field[0].text, row->field[0].bytes));
    if (job->pair) {
        TRY(add_piece(job, 1, row->field[at].text, row->field[at].bytes));
        at++;
    }
    if (job->target) TRY(add_piece(job, 2, row->field[at].text, row->field[at].bytes));
    job->numbers[job->count++] = row->line;
    return STATUS_OK;
}

static enum status add_line(struct job *job, const struct line *line)
{
    const char *tab = job->pair ? memchr(line->text, '\t', line->bytes) : NULL;
    size_t first = tab ? (size_t)(tab - line->text) : line->bytes;
    if (job->pair && !tab)
        FAIL(STATUS_INPUT, "%s line %llu has no tab, behind which a second text stands",
             line_input_name(job->input), (unsigned long long)line->number);
    TRY(add_piece(job, 0, line->text, first));
    if (tab) TRY(add_piece(job, 1, tab + 1, line->bytes - first - 1));
    job->numbers[job->count++] = line->number;
    return STATUS_OK;
}

static enum status next(struct job *job, bool *ended_p, bool *late_p)
{
    struct row row;
    struct line line;
    enum line_state state = LINE_HERE;
    bool more = true;
    if (job->rows) {
        TRY(rows_next(job->rows, &row, &more));
        if (more) TRY(add_row(job, &row));
    } else {
        TRY(line_input_next(job->input, job->count == 0, &line, &state));
        if (state == LINE_HERE) TRY(add_line(job, &line));
    }
    *ended_p = !more || state == LINE_END;
    *late_p = state == LINE_LATE;
    return STATUS_OK;
}

// The numbers of a line, between commas, semicolons, tabs or blanks; a target column is none of them.
static enum status read_numbers(const struct job *job, int64_t i, float *to)
{
    const struct text text = job->inputs[i].text[0];
    const char *between = ",;\t ";
    int64_t wanted = job->model->config.features, found = 0;
    for (size_t at = 0; at < text.bytes;) {
        size_t length = 0;
        float value;
        while (at < text.bytes && strchr(between, text.at[at])) at++;
        while (at + length < text.bytes && !strchr(between, text.at[at + length])) length++;
        if (length == 0) break;
        TRY(read_number(job, job->numbers[i], text.at + at, length, &value));
        if (found < wanted) to[found] = value;
        found++;
        at += length;
    }
    if (found != wanted)
        FAIL(STATUS_INPUT, "%s line %llu has %lld number%s; the model reads %lld",
             line_input_name(job->input), (unsigned long long)job->numbers[i], (long long)found,
             found == 1 ? "" : "s", (long long)wanted);
    return STATUS_OK;
}

static void keep_error(struct job *job, enum status status)
{
    if (status && !job->status) {
        job->status = status;
        error_copy(job->message, sizeof job->message);
    }
    error_clear();
}

// What the window holds, as inputs; a row that cannot be read ends it before that row.
static void place_inputs(struct job *job)
{
    int64_t features = job->model->config.features, classes = job->model->config.classes;
    for (int64_t i = 0; i < job->count; i++) {
        struct example_input *input = &job->inputs[i];
        *input = (struct example_input){.features = job->numbers_of + i * features};
        for (int t = 0; t < (job->features ? 0 : job->pair ? 2 : 1); t++)
            input->text[t] =
                (struct text){job->bytes.at + job->pieces[i][t].first, job->pieces[i][t].bytes};
        job->judgements[i].scores = job->scores + i * classes;
        enum status status = features && job->input
                                 ? read_numbers(job, i, job->numbers_of + i * features)
                                 : STATUS_OK;
        if (status) {
            keep_error(job, status);
            job->count = i;
        }
    }
}

static bool fill_window(struct job *job)
{
    bool ended = false, late = false;
    buffer_clear(&job->bytes);
    job->count = 0;
    while (!ended && !late && !job->status && job->count < job->room &&
           job->bytes.bytes < WINDOW_BYTES && !signals_caught())
        keep_error(job, next(job, &ended, &late));
    place_inputs(job);
    return ended || job->status || signals_caught();
}

// ---- writing ----

static enum status write_object(const struct job *job, int64_t i, float *probabilities)
{
    const struct judgement *judgement = &job->judgements[i];
    int32_t classes = classifier_classes(job->model);
    json_t *object = json_pack("{s:I}", "line", (json_int_t)job->numbers[i]), *scores;
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
    const char *name = job->path ? job->path : "standard input";
    for (int64_t c = 0; c < config->classes; c++)
        if (!isfinite(scores[c]))
            FAIL(STATUS_DIVERGED,
                 "%s line %llu: a score is not finite (%g): %sthe weights are no "
                 "trained model's",
                 name, (unsigned long long)job->numbers[i], (double)scores[c],
                 config->features ? "its numbers are too large, or " : "");
    return STATUS_OK;
}

static enum status write_row(struct job *job, int64_t i)
{
    const struct judgement *judgement = &job->judgements[i];
    const struct piece *target = &job->pieces[i][2];
    char number[NUMBER_TEXT];
    TRY(check_scores(job, i));
    if (judgement->left > 0 && job->shortened++ == 0) job->first_shortened = job->numbers[i];
    if (judgement->unknown && !job->unknown) job->first_unknown = job->numbers[i];
    job->unknown += judgement->unknown;
    if (!output_has_lines()) {
        // Nothing is written.
    } else if (job->json) {
        TRY(write_object(job, i, job->scores + job->room * job->model->config.classes));
    } else if (classifier_classes(job->model)) {
        TRY(output_print("%s\n", job->model->label[judgement->predicted]));
    } else {
        TRY(output_print("%s\n", number_print((double)judgement->scores[0], number)));
    }
    job->written++;
    if (!job->judge) return STATUS_OK;
    return judge_rows_add(job->judge, (struct text){job->bytes.at + target->first, target->bytes},
                          judgement, job->numbers[i]);
}

static enum status run_window(struct job *job)
{
    enum status status = STATUS_OK;
    keep_error(job, classifier_run(job->classifier, job->inputs, job->count, job->judgements));
    for (int64_t i = 0; !status && i < job->count && job->judgements[i].done; i++)
        status = write_row(job, i);
    TRY(status);
    return output_finish();
}

static void say_losses(const struct job *job)
{
    const char *name = job->path ? job->path : "standard input";
    if (job->shortened)
        terminal_say("warning: %lld text%s longer than the model reads, the first in %s line %llu; "
                     "the rest of %s was left out",
                     (long long)job->shortened, job->shortened == 1 ? " is" : "s are", name,
                     (unsigned long long)job->first_shortened, job->shortened == 1 ? "it" : "each");
    if (job->unknown)
        terminal_say("warning: %lld character%s unknown to the model and left out, the first in %s "
                     "line %llu",
                     (long long)job->unknown, job->unknown == 1 ? " is" : "s are", name,
                     (unsigned long long)job->first_unknown);
}

static enum status run_all(struct job *job)
{
    for (bool ended = false; !ended;) {
        ended = fill_window(job);
        if (job->count) TRY(run_window(job));
    }
    say_losses(job);
    if (job->status) return error_adopt(job->status, job->message);
    if (signals_caught()) {
        terminal_say("stopped: the first %lld rows are %s", (long long)job->written,
                     output_has_lines() ? "written" : "done, and nothing is measured");
        return STATUS_OK;
    }
    return job->judge ? judge_rows_print(job->judge, job->json) : STATUS_OK;
}

// ---- the command ----

static enum status take_window(struct job *job, int64_t batch)
{
    const struct model_config *config = &job->model->config;
    job->room = WINDOW_BATCHES * batch;
    size_t room = (size_t)job->room, classes = (size_t)config->classes + 1;
    TRY(memory_allocate(room, sizeof *job->pieces, "rows", &job->pieces));
    TRY(memory_allocate(room, sizeof *job->inputs, "rows", &job->inputs));
    TRY(memory_allocate(room, sizeof *job->judgements, "rows", &job->judgements));
    TRY(memory_allocate(room, sizeof *job->numbers, "rows", &job->numbers));
    // And a row of probabilities.
    TRY(memory_allocate(checked_multiply(room + 1, classes), sizeof *job->scores, "scores",
                        &job->scores));
    return memory_allocate(checked_multiply(room, (size_t)config->features + 1),
                           sizeof *job->numbers_of, "rows", &job->numbers_of);
}

// What says of a file that it is columns.
static const char *column_option(const struct options *options)
{
    static const char *const of_files[] = {"text",   "target",  "format",
                                           "header", "replace", "features"};
    for (size_t i = 0; i < sizeof of_files / sizeof *of_files; i++)
        if (option_given(options, of_files[i])) return of_files[i];
    return NULL;
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

static enum status open_rows(struct job *job, const struct options *options, const char *path)
{
    const char *text = option_text(options, "text"), *pair = option_text(options, "pair");
    const char *target = option_text(options, "target");
    struct rows_setup setup = {.path = path,
                               .format = option_text(options, "format"),
                               .header = option_given(options, "header"),
                               .replace = option_given(options, "replace")};
    if (job->model->config.features) {
        TRY(choose_features(job, options));
        setup.columns = job->features->count;
        memcpy(setup.column, job->features->column, (size_t)setup.columns * sizeof *setup.column);
    } else {
        setup.column[setup.columns++] = text ? text : "1";
        if (pair) setup.column[setup.columns++] = pair;
    }
    if (target) setup.column[setup.columns++] = target;
    TRY(rows_open(&setup, &job->rows));
    bool intervals = option_given(options, "intervals");
    return target ? judge_rows_create(job->model, path, intervals, &job->judge) : STATUS_OK;
}

static enum status open_input(struct job *job, const struct options *options)
{
    const char *path = options->arguments > 1 ? options->argument[1] : "-";
    const char *columns = column_option(options);
    bool file = strcmp(path, "-") != 0, numbers = job->model->config.features > 0;
    job->path = file ? path : NULL;
    job->pair = option_given(options, "pair");
    job->target = option_given(options, "target");
    if (option_given(options, "features") && !numbers)
        FAIL(STATUS_USAGE, "--features is for models of numbers; this one reads texts");
    if (numbers && (job->pair || option_given(options, "text")))
        FAIL(STATUS_USAGE, "--%s is for texts; this model reads %lld numbers",
             job->pair ? "pair" : "text", (long long)job->model->config.features);
    if (!job->target && option_given(options, "intervals"))
        FAIL(STATUS_USAGE, "--intervals is for measuring; add --target COLUMN");
    if (!file && columns)
        FAIL(STATUS_USAGE, "--%s is for columns of a file; standard input has lines", columns);
    // A file of numbers alone needs no columns.
    if (!file || (numbers && !columns)) return line_input_open(file ? path : NULL, &job->input);
    return open_rows(job, options, path);
}

static enum status start(struct job *job, const struct options *options)
{
    int64_t workers = cpu_cores(), batch = 32;
    TRY(option_integer(options, "workers", 1, 1024, &workers));
    TRY(option_integer(options, "batch", 1, 65536, &batch));
    TRY(classifier_create(job->model, batch, (int)workers, &job->classifier));
    TRY(open_input(job, options));
    TRY(take_window(job, batch));
    running = job->classifier;
    signals_catch(stop, false);
    return run_all(job);
}

static enum status check_model(const struct options *options, const struct loaded_model *model)
{
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
    running = NULL;
    judge_rows_destroy(job.judge);
    if (job.rows) rows_close(job.rows);
    line_input_close(job.input);
    classifier_destroy(job.classifier);
    loaded_model_destroy(model);
    buffer_release(&job.bytes);
    free(job.pieces);
    free(job.inputs);
    free(job.judgements);
    free(job.numbers);
    free(job.scores);
    free(job.features);
    free(job.numbers_of);
    TRY(status);
    TRY(output_finish());
    signals_leave();
    return STATUS_OK;
}

const struct command classify_command = {
    "classify", "DIR [FILE]", "gives classes or numbers to texts", 1, 2, rows, NULL, run,
};
