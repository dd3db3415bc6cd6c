// SPDX-License-Identifier: Apache-2.0
// stentor answer: for every question of a file in SQuAD's layout the piece of its context that answers it.
#include "infer/answer.h"

#include "base/cpu.h"
#include "base/log.h"
#include "base/memory.h"
#include "intervals.h"
#include "options.h"
#include "output.h"
#include "signals.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

// clang-format off
static const struct option_row rows[] = {
    {"reference", NULL, "prints exact match and F1 against the file's own answers at the end"},
    INTERVALS_OPTION,
    {"goal", "NAME", "what answers are chosen for: exact match or f1 (exact)"},
    {"max-tokens", "N", "tokens of the longest answer (30)"},
    {"batch", "N", "windows at a time (16)"},
    {"workers", "N", "workers (one for each core); the result is the same for any number"},
    {"json", NULL, "prints an object a line, with id and score, and one of the measures"},
    {NULL, NULL, NULL},
};
// clang-format on

struct job {
    bool json, reference;
    struct answers answers;
    struct answer_span *spans; // [windows]
    struct measure_work *work;
    struct answer_counts counts;
    struct intervals intervals;
    enum answer_kind kind;
};

static struct answerer *running;
static void stop(void)
{
    if (running) answerer_stop(running);
}

// ---- writing ----
static enum status write_object(const struct job *job, const struct question *question,
                                struct text text, float score)
{
    json_t *object = json_pack(
        "{s:o, s:o, s:o}", "id",
        output_json_text(job->answers.text.at + question->id, (size_t)question->id_bytes), "answer",
        output_json_text(text.at, text.bytes), "score", output_json_number((double)score));
    if (!object) FAIL(STATUS_MEMORY, "not enough memory for the result");
    return output_json(object);
}

// A line for an answer: what ends lines in it becomes a space.
static enum status write_line(struct text text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        bool ends = text.at[i] == '\n' || text.at[i] == '\r';
        TRY(output_part(ends ? " " : text.at + i, 1));
    }
    return output_line("", 0);
}

// Of equally good windows the first.
static enum status write_answer(struct job *job, int64_t i)
{
    const struct question *question = &job->answers.question[i];
    int64_t best = question->first_window;
    for (int64_t w = best + 1; w < question->first_window + question->windows; w++)
        if (job->spans[w].score > job->spans[best].score) best = w;
    struct text text = answers_text(&job->answers, &job->answers.windows, best, job->spans[best]);
    if (output_has_lines())
        TRY(job->json ? write_object(job, question, text, job->spans[best].score)
                      : write_line(text));
    if (!job->reference) return STATUS_OK;
    struct answer_counts counts = {0};
    TRY(answers_score(&job->answers, i, text, job->kind, job->work, &counts));
    counts_add(&job->counts, &counts, sizeof counts);
    return intervals_keep(&job->intervals, &counts, sizeof counts);
}

static double exact_of(const void *context, const void *counts)
{
    (void)context;
    return answer_score(counts).exact;
}
static double f1_of_answers(const void *context, const void *counts)
{
    (void)context;
    return answer_score(counts).f1;
}

static enum status write_measures(const struct job *job)
{
    struct answer_score score = answer_score(&job->counts);
    const char *kind = job->kind == ANSWER_CMRC ? "CMRC" : "SQuAD";
    char exact_text[INTERVAL_TEXT], f1_text[INTERVAL_TEXT];
    struct interval exact, f1;
    TRY(intervals_say(&job->intervals, exact_of, NULL, 2, exact_text, &exact));
    TRY(intervals_say(&job->intervals, f1_of_answers, NULL, 2, f1_text, &f1));
    if (!job->json)
        return output_measure("exact %.2f%s, F1 %.2f%s of %lld questions (%s)", score.exact,
                              exact_text, score.f1, f1_text, (long long)job->counts.questions,
                              kind);
    json_t *object = json_pack("{s:f, s:f, s:I, s:s}", "exact", score.exact, "f1", score.f1,
                               "questions", (json_int_t)job->counts.questions, "measure", kind);
    if (object && job->intervals.examples)
        json_object_update_new(object, json_pack("{s:f, s:f, s:f, s:f}", "exact_low", exact.low,
                                                 "exact_high", exact.high, "f1_low", f1.low,
                                                 "f1_high", f1.high));
    return output_json(object);
}

static enum status write_all(struct job *job)
{
    job->kind = answers_kind(&job->answers);
    TRY(measure_work_create(&job->work));
    for (int64_t i = 0; i < job->answers.count; i++) TRY(write_answer(job, i));
    return job->reference ? write_measures(job) : STATUS_OK;
}

// ---- the command ----
static enum status read_choice(const struct options *options, struct answer_choice *choice)
{
    const char *goal = option_text(options, "goal");
    *choice = (struct answer_choice){ANSWER_EXACT, ANSWERS_LONGEST};
    if (goal && !answer_goal_find(goal, &choice->goal))
        FAIL(STATUS_USAGE, "--goal: \"%s\" is none of exact, f1", goal);
    TRY(option_integer(options, "max-tokens", 1, INT32_MAX, &choice->longest));
    if (choice->goal == ANSWER_F1 && choice->longest > ANSWERS_LONGEST_F1)
        FAIL(STATUS_USAGE, "--max-tokens: %lld; --goal f1 takes at most %d, whose square it costs",
             (long long)choice->longest, ANSWERS_LONGEST_F1);
    return STATUS_OK;
}

// Questions without an answer count where others have one, as SQuAD 2.0's.
static enum status check_reference(const struct answers *answers, const char *path)
{
    for (int64_t i = 0; i < answers->count; i++)
        if (answers->question[i].answers_bytes) return STATUS_OK;
    FAIL(STATUS_INPUT, "%s has no answers to measure against", path);
}

static enum status answer_all(struct job *job, const struct options *options,
                              const struct loaded_model *model, struct answerer *answerer)
{
    struct answer_choice choice;
    const struct answers_setup setup = {.path = options->argument[1],
                                        .tokenizer = model->tokenizer,
                                        .context = model->config.context,
                                        .known = true};
    TRY(read_choice(options, &choice));
    TRY(answers_read(&setup, &job->answers));
    if (job->reference) TRY(check_reference(&job->answers, setup.path));
    if (job->answers.unknown)
        log_warning("%s: %lld character%s unknown to the model and left out", setup.path,
                    (long long)job->answers.unknown, job->answers.unknown == 1 ? " is" : "s are");
    TRY(memory_allocate((size_t)job->answers.windows.count, sizeof *job->spans, "the answers",
                        &job->spans));
    running = answerer;
    signals_catch(stop, false);
    TRY(answerer_run(answerer, &job->answers, &choice, job->spans));
    if (!signals_caught()) return write_all(job);
    terminal_say("stopped: nothing is %s", output_has_lines() ? "written" : "measured");
    return STATUS_OK;
}

static enum status run_model(struct job *job, const struct options *options,
                             const struct loaded_model *model)
{
    int64_t workers = cpu_cores(), batch = 16;
    struct answerer *answerer;
    TRY(option_integer(options, "workers", 1, 1024, &workers));
    TRY(option_integer(options, "batch", 1, 65536, &batch));
    TRY(answerer_create(model, batch, (int)workers, &answerer));
    enum status status = answer_all(job, options, model, answerer);
    running = NULL;
    answerer_destroy(answerer);
    return status;
}

static enum status run(const struct options *options)
{
    struct job job = {.json = option_given(options, "json"),
                      .reference = option_given(options, "reference") || !output_has_lines(),
                      .intervals.wanted = option_given(options, "intervals")};
    struct loaded_model *model;
    if (job.intervals.wanted && !job.reference)
        FAIL(STATUS_USAGE, "--intervals is for measuring; add --reference");
    TRY(model_directory_load(options->argument[0], &model));
    enum status status = run_model(&job, options, model);
    loaded_model_destroy(model);
    answers_release(&job.answers);
    measure_work_destroy(job.work);
    intervals_release(&job.intervals);
    free(job.spans);
    return signals_end(status);
}

const struct command answer_command = {
    "answer", "DIR FILE.json", "answers questions from contexts", 2, 2, rows, NULL, run,
};
