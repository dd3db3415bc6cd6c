// SPDX-License-Identifier: Apache-2.0
// stentor translate and stentor summarize: a line out for every line in, by several workers. (Models that choose sentences:
// extract.c.)
#include "infer/translate.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "extract.h"
#include "intervals.h"
#include "line_input.h"
#include "options.h"
#include "output.h"
#include "score_lines.h"
#include "signals.h"
#include "terminal.h"
#include "windows.h"

#include <stdlib.h>
#include <string.h>

// clang-format off
// OF, DRAWS: what they are for.
#define WRITING_ROWS(OF, DRAWS)                                                                    \
    {"beam", "N", OF "hypotheses of a line that are followed; 1: greedy (5)"},                     \
    {"n-best", "N", OF "prints the N best of each line, with scores (1)"},                         \
    {"length-penalty", "X", OF "a score is log probability / length^X: 0 sum, 1 mean (1)"},        \
    {"max-tokens", "N", OF "tokens of a line to write at most; 0: twice those read, and 10 (0)"},  \
    {"temperature", "X", OF "above 0: draws instead of searching (0)"},                            \
    {"top-k", "N", DRAWS "among the N likeliest; 0: all (0)"},                                     \
    {"top-p", "X", DRAWS "among the likeliest that share X of the probability (1)"},               \
    {"min-p", "X", DRAWS "without what is less likely than X times the likeliest (0)"},            \
    {"seed", "N", DRAWS "the same seed draws the same (0)"},                                       \
    {"batch", "N", "lines at a time; the result is the same for any number (32)"},                 \
    {"workers", "N", "workers (one for each core); the result is the same for any number"}
#define ROWS_BEHIND                                                                                \
    {"json", NULL, "prints an object a line, with scores, and one of the measures at the end"},    \
    {NULL, NULL, NULL}
static const struct option_row translate_rows[] = {
    WRITING_ROWS("", "draws: "),
    {"reference", "FILE", "what each line should become: BLEU and chrF are printed at the end"},
    {"tokenize", "NAME", "measures: BLEU by 13a, zh, char, none, as sacreBLEU's (13a; Chinese zh)"},
    {"smooth", "NAME", "measures: BLEU's orders without match by exp, floor, add-k or none (exp)"},
    {"chrf-words", "N", "measures: chrF's orders of words beside characters'; 2: chrF++ (0)"},
    {"lower-case", NULL, "measures: they do not see capital letters"},
    INTERVALS_OPTION,
    ROWS_BEHIND,
};
static const struct option_row summarize_rows[] = {
    WRITING_ROWS("writing: ", "writing, draws: "),
    {"reference", "FILE", "what each line should become: ROUGE is printed at the end"},
    {"characters", NULL, "measures: ROUGE by characters, as of Chinese; else by words"},
    {"stem", NULL, "measures: ROUGE by the stems of words"},
    INTERVALS_OPTION,
    EXTRACT_OPTIONS,
    ROWS_BEHIND,
};
// clang-format on

enum { WINDOW_BATCHES = 64, WINDOW_BYTES = 32 << 20 };

struct job {
    bool json;
    struct search_options search;
    struct translator *translator;
    struct score_lines *scores; // NULL: no reference
    struct windows windows;
    struct text *texts;
    struct translation *translations;
};

// ---- options ----
static enum status read_search(const struct options *options, struct search_options *o)
{
    int64_t seed = 0;
    search_defaults(o);
    o->sampling.temperature = 0;
    TRY(option_integer(options, "beam", 1, 1024, &o->beams));
    TRY(option_integer(options, "n-best", 1, 1024, &o->n_best));
    TRY(option_number(options, "length-penalty", -10, 10, &o->length_penalty));
    TRY(option_integer(options, "max-tokens", 0, 1000000000, &o->max_tokens));
    TRY(option_integer(options, "batch", 1, 65536, &o->batch));
    TRY(option_integer(options, "top-k", 0, INT32_MAX, &o->sampling.top_k));
    TRY(option_integer(options, "seed", 0, INT64_MAX, &seed));
    TRY(option_number(options, "temperature", 0, 100, &o->sampling.temperature));
    TRY(option_number(options, "top-p", 0, 1, &o->sampling.top_p));
    TRY(option_number(options, "min-p", 0, 1, &o->sampling.min_p));
    o->sampling.seed = (uint64_t)seed;
    o->draws = o->sampling.temperature > 0;
    if (!o->draws)
        TRY(option_refuse(options, &translate_command, "draws", "draws; add --temperature X"));
    if (o->draws && option_given(options, "beam"))
        FAIL(STATUS_USAGE, "--beam searches and --temperature draws; one of them");
    return search_check(o);
}

static enum status read_bleu(const struct options *options, struct score_options *out)
{
    const char *tokenize = option_text(options, "tokenize"),
               *smooth = option_text(options, "smooth");
    int64_t words = 0;
    out->measures.bleu.lower_case = out->measures.chrf.lower_case =
        option_given(options, "lower-case");
    if (tokenize && !bleu_tokenizer_find(tokenize, &out->measures.bleu.tokenizer))
        FAIL(STATUS_USAGE, "--tokenize: \"%s\" is none of 13a, zh, char, none", tokenize);
    if (smooth && !bleu_smoothing_find(smooth, &out->measures.bleu.smoothing))
        FAIL(STATUS_USAGE, "--smooth: \"%s\" is none of exp, floor, add-k, none", smooth);
    TRY(option_integer(options, "chrf-words", 0, CHRF_WORDS, &words));
    out->measures.chrf.words = (int)words;
    return STATUS_OK;
}

static enum status read_measures(const struct options *options, bool summaries,
                                 struct score_options *out)
{
    *out = (struct score_options){.reference = option_text(options, "reference"),
                                  .intervals = option_given(options, "intervals"),
                                  .measures.rouge = summaries || !output_has_lines(),
                                  .measures.bleu_chrf = !summaries};
    if (!out->reference)
        TRY(option_refuse(options, summaries ? &summarize_command : &translate_command, "measures",
                          "measuring; add --reference FILE"));
    out->measures.rouge_options.characters = option_given(options, "characters");
    out->rouge_by_references = out->measures.rouge && !option_given(options, "characters");
    out->bleu_by_references = !summaries && !option_given(options, "tokenize");
    out->measures.rouge_options.stem = option_given(options, "stem");
    return summaries ? STATUS_OK : read_bleu(options, out);
}

// ---- writing ----
static json_t *candidate_object(const struct candidate_text *best)
{
    return json_pack("{s:o, s:f, s:f, s:I, s:b}", "text",
                     output_json_text(best->text.at, best->text.bytes), "score", best->score,
                     "log_probability", best->log_probability, "tokens", (json_int_t)best->tokens,
                     "cut", best->cut);
}

static enum status write_object(const struct job *job, int64_t i)
{
    const struct translation *t = &job->translations[i];
    struct candidate_text none = {0};
    json_t *object = candidate_object(t->count ? &t->best[0] : &none);
    json_t *number = json_integer((json_int_t)job->windows.lines[i]), *list = NULL;
    bool bad = !object || json_object_set_new(object, "line", number) != 0;
    if (!bad && job->search.n_best > 1) {
        list = json_array();
        for (int64_t h = 0; h < t->count; h++)
            bad |= json_array_append_new(list, candidate_object(&t->best[h])) != 0;
        bad |= json_object_set_new(object, "hypotheses", list) != 0;
    }
    if (bad) {
        json_decref(object);
        FAIL(STATUS_MEMORY, "not enough memory for the result");
    }
    return output_json(object);
}

// The best, or as Moses does: number of the line from 0 ||| text ||| score.
static enum status write_text(const struct job *job, int64_t i)
{
    const struct translation *t = &job->translations[i];
    struct text none = {"", 0}, best = t->count ? buffer_text(&t->best[0].text) : none;
    if (job->search.n_best == 1) return output_line(best.at, best.bytes);
    for (int64_t h = 0; h < t->count; h++) {
        TRY(output_print("%llu ||| ", (unsigned long long)job->windows.lines[i] - 1));
        TRY(output_part(t->best[h].text.at, t->best[h].text.bytes));
        TRY(output_print(" ||| %.6f\n", t->best[h].score));
    }
    return output_finish();
}

// The first of each at once: lines may come slowly.
static void say_first_losses(const struct windows *w, const struct translation *t, uint64_t line)
{
    if (t->left && w->shortened.line == line)
        terminal_say("warning: %s line %llu has %lld tokens more than the model reads; they are "
                     "left out",
                     w->name, (unsigned long long)line, (long long)t->left);
    if (t->unknown && w->unknown.line == line)
        terminal_say("warning: %s line %llu has characters that the model does not know; they are "
                     "left out",
                     w->name, (unsigned long long)line);
}

static enum status write_line(void *context, int64_t i)
{
    struct job *job = context;
    const struct translation *t = &job->translations[i];
    say_first_losses(&job->windows, t, job->windows.lines[i]);
    if (output_has_lines()) TRY(job->json ? write_object(job, i) : write_text(job, i));
    if (job->scores)
        score_lines_add(job->scores,
                        t->count ? buffer_text(&t->best[0].text) : (struct text){"", 0});
    return STATUS_OK;
}

// ---- the commands ----
static enum status take(void *context, int64_t i)
{
    struct job *job = context;
    job->texts[i] = windows_text(&job->windows, i, 0);
    return STATUS_OK;
}
static enum status run_lines(void *context, int64_t count)
{
    struct job *job = context;
    return translator_run(job->translator, job->texts, job->windows.lines, count,
                          job->translations);
}
static struct outcome outcome_of(const void *context, int64_t i)
{
    const struct translation *t = &((const struct job *)context)->translations[i];
    return (struct outcome){t->done, t->left, t->unknown};
}
static void release(void *context, int64_t i)
{
    translation_release(&((struct job *)context)->translations[i]);
}
static void stop(void *context) { translator_stop(((struct job *)context)->translator); }

static const struct window_work work = {
    .rows = "lines",
    .shortened = {NULL, "lines were longer than the model reads", ""},
    .unknown = {NULL, "characters were left out", ""},
    .take = take,
    .run = run_lines,
    .outcome = outcome_of,
    .write = write_line,
    .release = release,
    .stop = stop,
};

static enum status start(struct job *job, const struct options *options,
                         const struct loaded_model *model, const struct score_options *measures)
{
    int64_t workers = cpu_cores(), room = WINDOW_BATCHES * job->search.batch;
    struct rows_setup setup = {.path = windows_path(options, 1)};
    TRY(option_integer(options, "workers", 1, 1024, &workers));
    if (setup.path) TRY(line_input_check_text(setup.path));
    TRY(translator_create(model, &job->search, (int)workers, &job->translator));
    TRY(windows_open(options, &setup, room, WINDOW_BYTES, &job->windows));
    if (measures->reference) TRY(score_lines_create(measures, &job->scores));
    TRY(memory_allocate((size_t)room, sizeof *job->texts, "lines", &job->texts));
    TRY(memory_allocate((size_t)room, sizeof *job->translations, "lines", &job->translations));
    TRY(windows_run(&job->windows, &work, job));
    if (!job->scores || !job->windows.complete) return STATUS_OK;
    return score_lines_print(job->scores, job->windows.name, job->json);
}

static enum status run(const struct options *options, bool summaries)
{
    struct job job = {.json = option_given(options, "json")};
    struct score_options measures;
    struct loaded_model *model;
    TRY(read_search(options, &job.search));
    TRY(read_measures(options, summaries, &measures));
    TRY(model_directory_load(options->argument[0], &model));
    enum status status = start(&job, options, model, &measures);
    score_lines_destroy(job.scores);
    windows_release(&job.windows);
    translator_destroy(job.translator);
    loaded_model_destroy(model);
    free(job.texts);
    free(job.translations);
    return signals_end(status);
}

static enum status translate(const struct options *options) { return run(options, false); }
static enum status summarize(const struct options *options)
{
    bool chooses;
    TRY(extract_is_asked(options, &chooses));
    return chooses ? extract_run(options) : run(options, true);
}

static void help_summarize(void)
{
    printf(
        "\nA model of sentences (task: summarize with a model that scores texts) chooses the best "
        "of a text; no\noption of writing is for it. `stentor summarize --lead 1 FILE --target "
        "COLUMN` measures the first ones.\n");
}

const struct command translate_command = {
    "translate", "DIR [FILE]", "translates lines", 1, 2, translate_rows, NULL, translate,
};
const struct command summarize_command = {
    "summarize", "DIR [FILE]", "summarizes lines", 0, 2, summarize_rows, help_summarize, summarize,
};
