// SPDX-License-Identifier: Apache-2.0
#include "extract.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "data/extracts.h"
#include "infer/extract.h"
#include "output.h"
#include "score_lines.h"
#include "signals.h"
#include "store/family.h"
#include "text/unicode.h"
#include "windows.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW_ROWS = 2048, WINDOW_BYTES = 4 << 20 };
enum { TEXT, TARGET }; // of a row; a line is a text

struct job {
    bool json, target;
    int64_t most; // sentences of a text
    struct extractor *extractor;
    struct score_lines *scores; // NULL: nothing says what is right
    struct windows windows;
    struct buffer line, sentences;
    struct extract_input *inputs;
    struct extraction *extractions;
};

// ---- options ----
enum status extract_is_asked(const struct options *options, bool *asked_p)
{
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
    if (asked) TRY(option_refuse(options, &summarize_command, "writing", why));
    snprintf(why, sizeof why, "models that choose sentences; %.1000s writes",
             directory ? directory : "");
    if (!asked) TRY(option_refuse(options, &summarize_command, "choosing", why));
    *asked_p = asked;
    return STATUS_OK;
}

// ---- writing ----
// The sentences in one line, and in a line each, as ROUGE-Lsum takes them.
static enum status join(struct job *job, const struct extraction *extraction, struct text all)
{
    bool chinese = false;
    buffer_clear(&job->line);
    buffer_clear(&job->sentences);
    for (int64_t i = 0; i < extraction->count; i++) {
        if (i) TRY(buffer_add(&job->sentences, text_of("\n")));
        TRY(buffer_add(&job->sentences, extraction->chosen[i].text));
    }
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
            : json_pack("{s:I, s:o, s:I, s:O}", "line", (json_int_t)job->windows.lines[i], "text",
                        output_json_text(job->line.at ? job->line.at : "", job->line.bytes), "of",
                        (json_int_t)extraction->sentences, "chosen", list);
    json_decref(list);
    if (!object) FAIL(STATUS_MEMORY, "not enough memory for the result");
    return output_json(object);
}

static enum status score_row(struct job *job, int64_t i, struct text sentences)
{
    struct text *references;
    int count;
    if (!job->target) {
        score_lines_add(job->scores, sentences);
        return STATUS_OK;
    }
    TRY(extracts_references(windows_text(&job->windows, i, TARGET),
                            windows_is_list(&job->windows, i, TARGET), &references, &count));
    score_lines_add_against(job->scores, sentences, references, count);
    free(references);
    return STATUS_OK;
}

static enum status write_row(void *context, int64_t i)
{
    struct job *job = context;
    TRY(join(job, &job->extractions[i], windows_text(&job->windows, i, TEXT)));
    struct text line = {job->line.at ? job->line.at : "", job->line.bytes};
    if (output_has_lines() && job->json) TRY(write_object(job, i));
    if (output_has_lines() && !job->json) TRY(output_line(line.at, line.bytes));
    struct text sentences = {job->sentences.at ? job->sentences.at : "", job->sentences.bytes};
    return job->scores ? score_row(job, i, sentences) : STATUS_OK;
}

// ---- the command ----
static enum status take(void *context, int64_t i)
{
    struct job *job = context;
    job->inputs[i] = (struct extract_input){windows_text(&job->windows, i, TEXT),
                                            windows_is_list(&job->windows, i, TEXT)};
    return STATUS_OK;
}
static enum status run_inputs(void *context, int64_t count)
{
    struct job *job = context;
    return extractor_run(job->extractor, job->inputs, count, job->most, job->extractions);
}
static struct outcome outcome_of(const void *context, int64_t i)
{
    const struct extraction *extraction = &((const struct job *)context)->extractions[i];
    return (struct outcome){extraction->done, extraction->left, extraction->unknown};
}
static void release(void *context, int64_t i)
{
    extraction_release(&((struct job *)context)->extractions[i]);
}
static void stop(void *context) { extractor_stop(((struct job *)context)->extractor); }

static const struct window_work work = {
    .rows = "rows",
    .shortened = {"text has sentences longer than the model reads",
                  "texts have sentences longer than the model reads",
                  "; they were judged by their beginning"},
    .unknown = {"character is unknown to the model and not looked at",
                "characters are unknown to the model and not looked at", ""},
    .take = take,
    .run = run_inputs,
    .outcome = outcome_of,
    .write = write_row,
    .release = release,
    .stop = stop,
};

static enum status open_input(struct job *job, const struct options *options, int file)
{
    const char *text = option_text(options, "text"), *target = option_text(options, "target");
    struct rows_setup setup = {.path = windows_path(options, file)};
    if (!setup.path) {
        TRY(option_refuse(options, &summarize_command, "of FILE",
                          "columns of a file; standard input has lines"));
    } else {
        job->target = target != NULL;
        setup.columns = 1 + job->target;
        setup.column[TEXT] = text ? text : "1";
        setup.column[TARGET] = target;
    }
    return windows_open(options, &setup, WINDOW_ROWS, WINDOW_BYTES, &job->windows);
}

static enum status open_scores(struct job *job, const struct options *options)
{
    const struct score_options measures = {
        .reference = option_text(options, "reference"),
        .intervals = option_given(options, "intervals"),
        .rouge_by_references = !option_given(options, "characters"),
        .measures = {.rouge = true,
                     .rouge_options = {.characters = option_given(options, "characters"),
                                       .stem = option_given(options, "stem")}}};
    if (measures.reference && job->target)
        FAIL(STATUS_USAGE, "--reference and --target both say what is right; one of them");
    if (!measures.reference && !job->target)
        return option_refuse(options, &summarize_command, "measures",
                             "measuring; add --reference FILE or --target COLUMN");
    return score_lines_create(&measures, &job->scores);
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
    TRY(memory_allocate(WINDOW_ROWS, sizeof *job->inputs, "rows", &job->inputs));
    TRY(memory_allocate(WINDOW_ROWS, sizeof *job->extractions, "rows", &job->extractions));
    TRY(windows_run(&job->windows, &work, job));
    if (!job->scores || !job->windows.complete) return STATUS_OK;
    return score_lines_print(job->scores, job->windows.name, job->json);
}

enum status extract_run(const struct options *options)
{
    struct job job = {.json = option_given(options, "json")};
    struct loaded_model *model = NULL;
    if (!option_given(options, "lead")) TRY(model_directory_load(options->argument[0], &model));
    enum status status = start(&job, options, model);
    score_lines_destroy(job.scores);
    windows_release(&job.windows);
    extractor_destroy(job.extractor);
    if (model) loaded_model_destroy(model);
    buffer_release(&job.line);
    buffer_release(&job.sentences);
    free(job.inputs);
    free(job.extractions);
    return signals_end(status);
}
