// SPDX-License-Identifier: Apache-2.0
#include "infer/extract.h"

#include "base/memory.h"
#include "data/extracts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct extractor {
    struct classifier *classifier; // NULL: the first sentences
    bool odds;                     // scores are log odds
};
// The sentences of all texts of a call, one text's behind another's.
struct cutting {
    struct text *sentence;  // [count]
    int64_t *first;         // [texts + 1]
    float *score;           // [count]
    struct judgement *said; // [count]
    int64_t count, room;
};

// ---- life cycle ----
enum status extractor_create(const struct loaded_model *model, int64_t rows, int workers,
                             struct extractor **extractor_p)
{
    struct extractor *extractor;
    if (model && !model->config.sentences)
        FAIL(STATUS_UNSUPPORTED,
             "the model (%s) chooses no sentences: it was trained for another task",
             model->config.type);
    TRY(memory_allocate(1, sizeof *extractor, "summaries", &extractor));
    enum status status =
        model ? classifier_create(model, rows, workers, &extractor->classifier) : STATUS_OK;
    if (status) {
        free(extractor);
        return status;
    }
    extractor->odds = model && model->config.loss == LOSS_BINARY;
    *extractor_p = extractor;
    return STATUS_OK;
}

void extractor_destroy(struct extractor *extractor)
{
    if (!extractor) return;
    classifier_destroy(extractor->classifier);
    free(extractor);
}

void extractor_stop(struct extractor *extractor)
{
    if (extractor->classifier) classifier_stop(extractor->classifier);
}

void extraction_release(struct extraction *extraction)
{
    free(extraction->chosen);
    extraction->chosen = NULL;
}

// ---- cutting ----
static enum status add_sentence(struct cutting *cutting, struct text sentence)
{
    if (cutting->count == cutting->room) {
        int64_t room = cutting->room ? 2 * cutting->room : 1024;
        TRY(memory_grow(&cutting->sentence, (size_t)room, sizeof *cutting->sentence, "sentences"));
        cutting->room = room;
    }
    cutting->sentence[cutting->count++] = sentence;
    return STATUS_OK;
}

static enum status cut(struct cutting *cutting, const struct extract_input *inputs, int64_t count)
{
    TRY(memory_allocate((size_t)count + 1, sizeof *cutting->first, "the texts", &cutting->first));
    for (int64_t i = 0; i < count; i++) {
        struct text sentence;
        size_t at = 0;
        while (extracts_next(inputs[i].text, inputs[i].list, &at, &sentence))
            TRY(add_sentence(cutting, sentence));
        cutting->first[i + 1] = cutting->count;
    }
    return STATUS_OK;
}

static void cutting_release(struct cutting *cutting)
{
    free(cutting->sentence);
    free(cutting->first);
    free(cutting->score);
    free(cutting->said);
}

// ---- scoring ----
static enum status score(struct extractor *extractor, struct cutting *cutting, int64_t texts)
{
    struct example_input *inputs;
    size_t count = (size_t)(cutting->count ? cutting->count : 1);
    TRY(memory_allocate(count, sizeof *cutting->score, "scores", &cutting->score));
    TRY(memory_allocate(count, sizeof *cutting->said, "scores", &cutting->said));
    TRY(memory_allocate(count, sizeof *inputs, "sentences", &inputs));
    for (int64_t text = 0; text < texts; text++)
        for (int64_t i = cutting->first[text]; i < cutting->first[text + 1]; i++) {
            inputs[i] = (struct example_input){.text = {cutting->sentence[i]},
                                               .sentence = i - cutting->first[text],
                                               .sentences =
                                                   cutting->first[text + 1] - cutting->first[text]};
            cutting->said[i].scores = &cutting->score[i];
            cutting->said[i].done = !extractor->classifier;
        }
    enum status status = STATUS_OK;
    if (extractor->classifier)
        status = classifier_run(extractor->classifier, inputs, cutting->count, cutting->said);
    free(inputs);
    return status;
}

// ---- choosing ----
static int best_first(const void *a, const void *b)
{
    const struct chosen_sentence *x = a, *y = b;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int in_order(const void *a, const void *b)
{
    const struct chosen_sentence *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_done(const struct cutting *cutting, int64_t text)
{
    for (int64_t i = cutting->first[text]; i < cutting->first[text + 1]; i++)
        if (!cutting->said[i].done) return false;
    return true;
}

static enum status choose(const struct extractor *extractor, const struct cutting *cutting,
                          int64_t text, int64_t most, struct extraction *extraction)
{
    int64_t first = cutting->first[text], count = cutting->first[text + 1] - first;
    *extraction = (struct extraction){.sentences = count};
    if (!is_done(cutting, text)) return STATUS_OK;
    for (int64_t i = first; i < first + count; i++) {
        if (!isfinite(cutting->score[i]))
            FAIL(STATUS_DIVERGED, "a score is not finite (%g): the weights are no trained model's",
                 (double)cutting->score[i]);
        extraction->left += cutting->said[i].left;
        extraction->unknown += cutting->said[i].unknown;
    }
    if (count)
        TRY(memory_allocate((size_t)count, sizeof *extraction->chosen, "a summary",
                            &extraction->chosen));
    struct chosen_sentence *chosen = extraction->chosen;
    for (int64_t i = 0; i < count; i++)
        chosen[i] =
            (struct chosen_sentence){cutting->sentence[first + i], i, cutting->score[first + i]};
    extraction->count = count < most ? count : most;
    if (count) qsort(chosen, (size_t)count, sizeof *chosen, best_first);
    if (count) qsort(chosen, (size_t)extraction->count, sizeof *chosen, in_order);
    for (int64_t i = 0; extractor->odds && i < extraction->count; i++)
        chosen[i].score = (float)(1 / (1 + exp(-(double)chosen[i].score)));
    extraction->done = true;
    return STATUS_OK;
}

enum status extractor_run(struct extractor *extractor, const struct extract_input *inputs,
                          int64_t count, int64_t most, struct extraction *extractions)
{
    struct cutting cutting = {0};
    for (int64_t i = 0; i < count; i++) extractions[i] = (struct extraction){0};
    enum status status = cut(&cutting, inputs, count);
    if (!status) status = score(extractor, &cutting, count);
    for (int64_t i = 0; i < count && !status; i++)
        status = choose(extractor, &cutting, i, most, &extractions[i]);
    cutting_release(&cutting);
    return status;
}
