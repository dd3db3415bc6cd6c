// SPDX-License-Identifier: Apache-2.0
// Rows are worked on in windows; of each, what is done is written in the order of the input, whatever stops the rest.
#include "extract.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "data/extracts.h"
#include "infer/extract.h"
#include "line_input.h"
#include "output.h"
#include "score_lines.h"
#include "signals.h"
#include "store/family.h"
#include "terminal.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW_ROWS = 2048, WINDOW_BYTES = 4 << 20 };
enum { TEXT, TARGET, COLUMNS };

// Where a field of the window begins in `bytes`.
struct piece {
    size_t first, bytes;
    bool list;
};
struct job {
    bool json, target;
    int64_t most;     // sentences of a text
    const char *path; // NULL: standard input
    struct extractor *extractor;
    struct rows *rows;          // of a file; else
    struct line_input *input;   // standard input
    struct score_lines *scores; // NULL: nothing says what is right
    // A window.
    struct buffer bytes, line;
    struct piece (*pieces)[COLUMNS];
    struct extract_input *inputs;
    struct extraction *extractions;
    uint64_t *numbers; // lines
    int64_t count, written, shortened, unknown;
    uint64_t first_shortened, first_unknown; // lines
    enum status status; // what ends it, after the rows before have been written
    char message[1024];
};

static struct extractor *running;
static void stop(void)
{
    if (running) extractor_stop(running);
}

// ---- options ----
static enum status refuse(const struct options *options, const char *const *names, const char *why)
{
    for (; *names; names++)
        if (option_given(options, *names)) FAIL(STATUS_USAGE, "--%s is for %s", *names, why);
    return STATUS_OK;
}

enum status extract_is_asked(const struct options *options, bool *asked_p)
{
    static const char *const own[] = {"sentences", "text",    "target", "format",
                                      "header",    "replace", NULL};
    static const char *const others[] = {"beam",        "n-best", "length-penalty", "max-tokens",
                                         "temperature", "top-k",  "top-p",          "min-p",
                                         "seed",        NULL};
    bool lead = option_given(options, "lead"), asked = lead, zero_bias;
    const char *directory = options->argument[0];
    struct model_config config;
    const struct model_family *family;
    char why[1200];
    if (!lead && options->arguments == 0)
        FAIL(STATUS_USAGE,
             "summarize: DIR [FILE] is missing; `stentor summarize --help` says more");
    if (lead && options->arguments > 1)
        FAIL(STATUS_USAGE, "summarize: --lead takes no model, so \"%s\" is one argument too many",
             options->argument[1]);
    if (!lead) {
        TRY(model_config_read(directory, &config, &family, &zero_bias));
        asked = config.sentences;
    }
    if (lead && option_given(options, "sentences"))
        FAIL(STATUS_USAGE, "--sentences is for models that choose them; --lead says how many");
    snprintf(why, sizeof why, "models that write%s%.1000s%s", lead ? "" : "; ",
             lead ? "" : directory, lead ? "" : " chooses sentences");
    if (asked) TRY(refuse(options, others, why));
    snprintf(why, sizeof why, "models that choose sentences; %.1000s writes",
             directory ? directory : "");
    if (!asked) TRY(refuse(options, own, why));
    *asked_p = asked;
    return STATUS_OK;
}

// ---- reading ----
static enum status add_piece(struct job *job, int which, struct text text, bool list)
{
    job->pieces[job->count][which] = (struct piece){job->bytes.bytes, text.bytes, list};
    return buffer_add(&job->bytes, text);
}

static enum status next(struct job *job, bool *ended_p, bool *late_p)
{
    struct row row;
    struct line line;
    enum line_state state = LINE_HERE;
    bool more = true;
    if (job->rows) {
        TRY(rows_next(job->rows, &row, &more));
        for (int i = 0; more && i < 1 + job->target; i++)
            TRY(add_piece(job, i, (struct text){row.field[i].text, row.field[i].bytes},
                          row.field[i].list));
        if (more) job->numbers[job->count++] = row.line;
    } else {
        TRY(line_input_next(job->input, job->count == 0, &line, &state));
        if (state == LINE_HERE) {
            TRY(add_piece(job, TEXT, (struct text){line.text, line.bytes}, false));
            job->numbers[job->count++] = line.number;
        }
    }
    *ended_p = !more || state == LINE_END;
    *late_p = state == LINE_LATE;
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

static struct text field_of(const struct job *job, int64_t i, int column)
{
    const struct piece *piece = &job->pieces[i][column];
    return (struct text){job->bytes.at ? job->bytes.at + piece->first : "", piece->bytes};
}

static bool fill_window(struct job *job)
{
    bool ended = false, late = false;
    buffer_clear(&job->bytes);
    job->count = 0;
    while (!ended && !late && !job->status && job->count < WINDOW_ROWS &&
           job->bytes.bytes < WINDOW_BYTES && !signals_caught())
        keep_error(job, next(job, &ended, &late));
    for (int64_t i = 0; i < job->count; i++)
        job->inputs[i] = (struct extract_input){field_of(job, i, TEXT), job->pieces[i][TEXT].list};
    return ended || job->status || signals_caught();
}

// ---- writing ----
// The sentences in one line.
static enum status join(struct job *job, const struct extraction *extraction, struct text all)
{
    bool chinese = false;
    buffer_clear(&job->line);
    for (int64_t i = 0; i < extraction->count; i++) {
        if (i == 1) chinese = unicode_is_chinese((const uint8_t *)all.at, all.bytes);
        if (i && !chinese) TRY(buffer_add(&job->line, text_of(" ")));
        TRY(buffer_add(&job->line, extraction->chosen[i].text));
    }
    return STATUS_OK;
}

static enum status write_object(const struct job *job, int64_t i)
{
    const struct extraction *extraction = &job->extractions[i];
    json_t *list = json_array();
    bool bad = !list;
    for (int64_t s = 0; s < extraction->count && !bad; s++) {
        const struct chosen_sentence *chosen = &extraction->chosen[s];
        bad = json_array_append_new(
                  list, json_pack("{s:I, s:o, s:o}", "sentence", (json_int_t)chosen->number + 1,
                                  "score", output_json_number((double)chosen->score), "text",
                                  output_json_text(chosen->text.at, chosen->text.bytes))) != 0;
    }
    json_t *object =
        bad ? NULL
            : json_pack("{s:I, s:o, s:I, s:O}", "line", (json_int_t)job->numbers[i], "text",
                        output_json_text(job->line.at ? job->line.at : "", job->line.bytes), "of",
                        (json_int_t)extraction->sentences, "chosen", list);
    json_decref(list);
    if (!object) FAIL(STATUS_MEMORY, "not enough memory for the result");
    return output_json(object);
}

static enum status score_row(struct job *job, int64_t i, struct text line)
{
    struct text *references;
    int count;
    if (!job->target) {
        score_lines_add(job->scores, line);
        return STATUS_OK;
    }
    TRY(extracts_references(field_of(job, i, TARGET), job->pieces[i][TARGET].list, &references,
                            &count));
    score_lines_add_against(job->scores, line, references, count);
    free(references);
    return STATUS_OK;
}

static enum status write_row(struct job *job, int64_t i)
{
    const struct extraction *extraction = &job->extractions[i];
    TRY(join(job, extraction, field_of(job, i, TEXT)));
    struct text line = {job->line.at ? job->line.at : "", job->line.bytes};
    if (extraction->left > 0 && job->shortened++ == 0) job->first_shortened = job->numbers[i];
    if (extraction->unknown && !job->unknown) job->first_unknown = job->numbers[i];
    job->unknown += extraction->unknown;
    if (output_has_lines() && job->json) TRY(write_object(job, i));
    if (output_has_lines() && !job->json) {
        TRY(output_write(line.at, line.bytes));
        TRY(output_print("\n"));
    }
    job->written++;
    return job->scores ? score_row(job, i, line) : STATUS_OK;
}

static enum status run_window(struct job *job)
{
    enum status status = STATUS_OK;
    keep_error(job,
               extractor_run(job->extractor, job->inputs, job->count, job->most, job->extractions));
    for (int64_t i = 0; !status && i < job->count && job->extractions[i].done; i++)
        status = write_row(job, i);
    for (int64_t i = 0; i < job->count; i++) extraction_release(&job->extractions[i]);
    TRY(status);
    return output_finish();
}

static void say_losses(const struct job *job)
{
    const char *name = job->path ? job->path : "standard input";
    if (job->shortened)
        terminal_say("warning: %lld text%s sentences longer than the model reads, the first in %s "
                     "line %llu; they were judged by their beginning",
                     (long long)job->shortened, job->shortened == 1 ? " has" : "s have", name,
                     (unsigned long long)job->first_shortened);
    if (job->unknown)
        terminal_say("warning: %lld character%s unknown to the model and not looked at, the first "
                     "in %s line %llu",
                     (long long)job->unknown, job->unknown == 1 ? " is" : "s are", name,
                     (unsigned long long)job->first_unknown);
}

static enum status run_all(struct job *job)
{
    for (bool ended = false; !ended && !job->status;) {
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
    return job->scores ? score_lines_print(job->scores, job->json) : STATUS_OK;
}

// ---- the command ----
static enum status open_input(struct job *job, const struct options *options, int file)
{
    static const char *const of_files[] = {"text", "target", "format", "header", "replace", NULL};
    const char *path = options->arguments > file ? options->argument[file] : "-";
    const char *text = option_text(options, "text"), *target = option_text(options, "target");
    job->path = strcmp(path, "-") != 0 ? path : NULL;
    job->target = target != NULL;
    if (!job->path) {
        TRY(refuse(options, of_files, "columns of a file; standard input has lines"));
        return line_input_open(NULL, &job->input);
    }
    struct rows_setup setup = {.path = path,
                               .format = option_text(options, "format"),
                               .columns = 1 + job->target,
                               .header = option_given(options, "header"),
                               .replace = option_given(options, "replace")};
    setup.column[TEXT] = text ? text : "1";
    setup.column[TARGET] = target;
    return rows_open(&setup, &job->rows);
}

static enum status open_scores(struct job *job, const struct options *options)
{
    static const char *const of_measures[] = {"characters", "stem", "intervals", NULL};
    const struct score_options measures = {
        .reference = option_text(options, "reference"),
        .intervals = option_given(options, "intervals"),
        .measures = {.rouge = true,
                     .rouge_options = {.characters = option_given(options, "characters"),
                                       .stem = option_given(options, "stem")}}};
    if (measures.reference && job->target)
        FAIL(STATUS_USAGE, "--reference and --target both say what is right; one of them");
    if (!measures.reference && !job->target)
        return refuse(options, of_measures, "measuring; add --reference FILE or --target COLUMN");
    return score_lines_create(&measures, &job->scores);
}

static enum status take_window(struct job *job)
{
    TRY(memory_allocate(WINDOW_ROWS, sizeof *job->pieces, "rows", &job->pieces));
    TRY(memory_allocate(WINDOW_ROWS, sizeof *job->inputs, "rows", &job->inputs));
    TRY(memory_allocate(WINDOW_ROWS, sizeof *job->extractions, "rows", &job->extractions));
    return memory_allocate(WINDOW_ROWS, sizeof *job->numbers, "rows", &job->numbers);
}

// model NULL: --lead.
static enum status start(struct job *job, const struct options *options,
                         const struct loaded_model *model)
{
    int64_t workers = cpu_cores(), batch = 32;
    job->most = 1;
    TRY(option_integer(options, "workers", 1, 1024, &workers));
    TRY(option_integer(options, "batch", 1, 65536, &batch));
    TRY(option_integer(options, model ? "sentences" : "lead", 1, 1000000000, &job->most));
    TRY(extractor_create(model, batch, (int)workers, &job->extractor));
    TRY(open_input(job, options, model ? 1 : 0));
    TRY(open_scores(job, options));
    TRY(take_window(job));
    running = job->extractor;
    signals_catch(stop, false);
    return run_all(job);
}

enum status extract_run(const struct options *options)
{
    struct job job = {.json = option_given(options, "json")};
    struct loaded_model *model = NULL;
    if (!option_given(options, "lead")) TRY(model_directory_load(options->argument[0], &model));
    enum status status = start(&job, options, model);
    running = NULL;
    score_lines_destroy(job.scores);
    if (job.rows) rows_close(job.rows);
    line_input_close(job.input);
    extractor_destroy(job.extractor);
    if (model) loaded_model_destroy(model);
    buffer_release(&job.bytes);
    buffer_release(&job.line);
    free(job.pieces);
    free(job.inputs);
    free(job.extractions);
    free(job.numbers);
    TRY(status);
    TRY(output_finish());
    signals_leave();
    return STATUS_OK;
}
