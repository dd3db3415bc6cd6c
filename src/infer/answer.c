// SPDX-License-Identifier: Apache-2.0
#include "infer/answer.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "data/form.h"
#include "infer/scorers.h"

#include <math.h>
#include <stdlib.h>

struct answerer {
    struct scorers scorers;
    struct form form;
    // Of the present call.
    const struct answers *answers;
    const struct answer_choice *choice;
    double *scratch; // [workers, scratch_each]
    size_t scratch_each;
    struct answer_span *spans;
};

// ---- life cycle ----
static enum status check_model(struct answerer *answerer, const struct loaded_model *model)
{
    if (!model->config.spans || !(model->type->tasks & TASK_ANSWER))
        FAIL(STATUS_UNSUPPORTED, "the model (%s) finds no answers: it was trained for another task",
             model->config.type);
    if (!model->tokenizer)
        FAIL(STATUS_UNSUPPORTED,
             "the model has no tokenizer that is known here, so it cannot read text");
    answerer->form = (struct form){.size = tokenizer_size(model->tokenizer), .first = true};
    if (form_vocabulary(&answerer->form) > model->config.vocabulary ||
        model->config.context < ANSWERS_CONTEXT)
        FAIL(STATUS_UNSUPPORTED,
             "a tokenizer of %d ids and windows of %lld tokens do not belong to a model of %lld",
             tokenizer_size(model->tokenizer), (long long)model->config.context,
             (long long)model->config.vocabulary);
    if (model->config.matches && model->config.matches != ANSWERS_MATCHES)
        FAIL(STATUS_UNSUPPORTED,
             "the model knows %lld kinds of places that match a question; this version tells %d",
             (long long)model->config.matches, ANSWERS_MATCHES);
    return STATUS_OK;
}

enum status answerer_create(const struct loaded_model *model, int64_t rows, int workers,
                            struct answerer **answerer_p)
{
    struct answerer *answerer;
    TRY(memory_allocate(1, sizeof *answerer, "answers", &answerer));
    enum status status = check_model(answerer, model);
    if (!status) status = scorers_init(&answerer->scorers, model, TASK_ANSWER, rows, workers);
    if (status) {
        answerer_destroy(answerer);
        return status;
    }
    *answerer_p = answerer;
    return STATUS_OK;
}

void answerer_destroy(struct answerer *answerer)
{
    if (!answerer) return;
    scorers_release(&answerer->scorers);
    free(answerer);
}

void answerer_stop(struct answerer *answerer) { atomic_store(&answerer->scorers.stop, true); }

// ---- a batch ----
struct taking {
    const struct answerer *answerer;
    const int64_t *members;
    int64_t count, tokens;
    double *scratch;
    float wrong; // a score that is not finite, or 0
};

static float find_wrong(const float *scores, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(scores[i])) return scores[i];
    return 0;
}

static void take_scores(void *context, int tag, const void *data)
{
    struct taking *taking = context;
    const struct answerer *answerer = taking->answerer;
    (void)tag;
    for (int64_t i = 0; i < taking->count; i++) {
        int64_t window = taking->members[i];
        const float *scores = (const float *)data + i * taking->tokens * 2;
        taking->wrong = find_wrong(scores, taking->tokens * 2);
        if (taking->wrong != 0) return;
        answerer->spans[window] = answers_best(&answerer->answers->windows, window, scores,
                                               answerer->choice, taking->scratch);
    }
}

static int64_t window_length(const struct answerer *answerer, int64_t window)
{
    const int64_t *place = answerer->answers->windows.place + 2 * window;
    return form_length(&answerer->form, place[1] - place[0], place[2] - place[1]);
}

static void fill(const struct taking *taking, const struct scorer *scorer)
{
    const struct answerer *answerer = taking->answerer;
    int32_t *to = program_input(scorer->program, scorer->inputs.tokens);
    int32_t *positions = program_input(scorer->program, scorer->inputs.positions);
    int32_t *lengths = program_input(scorer->program, scorer->inputs.lengths);
    int32_t *matches =
        scorer->inputs.matches ? program_input(scorer->program, scorer->inputs.matches) : NULL;
    for (int64_t row = 0; row < scorer->rows; row++, to += taking->tokens) {
        int64_t count = 0, window = row < taking->count ? taking->members[row] : -1;
        if (matches)
            answers_matches(answerer->answers, &answerer->answers->windows, window, taking->tokens,
                            matches + row * taking->tokens);
        struct form_text text[2];
        for (int t = 0; t < 2 && row < taking->count; t++)
            text[t].ids =
                example_text(&answerer->answers->windows, taking->members[row], t, &text[t].count);
        if (row < taking->count) count = form_write(&answerer->form, text, NULL, to);
        for (int64_t i = count; i < taking->tokens; i++) to[i] = 0;
        lengths[row] = count ? (int32_t)count : 1;
        for (int64_t i = 0; i < taking->tokens; i++) *positions++ = (int32_t)i;
    }
}

static enum status answer_batch(void *context, int worker, const int64_t *members, int64_t count)
{
    struct answerer *answerer = context;
    struct scorer *scorer;
    TRY(scorers_get(&answerer->scorers, worker, members, count, &scorer));
    struct taking taking = {answerer,
                            members,
                            count,
                            scorer->tokens,
                            answerer->scratch + (size_t)worker * answerer->scratch_each,
                            0};
    fill(&taking, scorer);
    cpu_flush_to_zero();
    program_run(scorer->program, take_scores, &taking);
    if (taking.wrong != 0)
        FAIL(STATUS_DIVERGED, "a score is not finite (%g): the weights are no trained model's",
             (double)taking.wrong);
    return STATUS_OK;
}

static enum status take_scratch(struct answerer *answerer, const int64_t *lengths, int64_t count)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < count; i++)
        if (lengths[i] > longest) longest = lengths[i];
    answerer->scratch_each = answer_scratch(answerer->choice, longest);
    return memory_allocate((size_t)answerer->scorers.workers * answerer->scratch_each,
                           sizeof *answerer->scratch, "the answers", &answerer->scratch);
}

enum status answerer_run(struct answerer *answerer, const struct answers *answers,
                         const struct answer_choice *choice, struct answer_span *spans)
{
    int64_t *lengths, count = answers->windows.count;
    TRY(memory_allocate((size_t)count, sizeof *lengths, "the windows", &lengths));
    answerer->answers = answers;
    answerer->choice = choice;
    answerer->spans = spans;
    for (int64_t i = 0; i < count; i++) lengths[i] = window_length(answerer, i);
    enum status status = take_scratch(answerer, lengths, count);
    if (!status) status = scorers_run(&answerer->scorers, lengths, count, answer_batch, answerer);
    free(answerer->scratch);
    answerer->scratch = NULL;
    free(lengths);
    return status;
}
