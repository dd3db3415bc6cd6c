// SPDX-License-Identifier: Apache-2.0
#include "infer/classify.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "data/form.h"
#include "infer/scorers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct classifier {
    const struct loaded_model *model; // borrowed
    struct scorers scorers;
    struct form form;
    // Of the present call: tokens of input i are tokens[place[i]] .. tokens[place[i + 1]].
    int32_t *tokens, *ids;
    int64_t *place;
    size_t tokens_room, ids_room;
    const struct example_input *inputs;
    struct judgement *judgements;
};

// ---- what scores mean ----

int32_t classifier_classes(const struct loaded_model *model) { return model->labels; }

static int32_t predict(const struct model_config *config, const float *scores)
{
    int32_t best = 0;
    if (config->classes == 1) return scores[0] > (config->loss == LOSS_SQUARED ? 0.5F : 0);
    for (int32_t c = 1; c < config->classes; c++)
        if (scores[c] > scores[best]) best = c;
    return best;
}

void classifier_probabilities(const struct loaded_model *model, const float *scores, float *out)
{
    const struct model_config *config = &model->config;
    double sum = 0;
    float most = scores[0];
    if (config->classes == 1 && model->labels == 2) {
        bool sure = config->loss == LOSS_BINARY;
        out[1] = sure ? (float)(1 / (1 + exp(-(double)scores[0]))) : scores[0];
        out[0] = sure ? 1 - out[1] : -scores[0];
        return;
    }
    for (int64_t c = 0; c < config->classes; c++) out[c] = scores[c];
    if (config->loss != LOSS_SOFTMAX) return;
    for (int64_t c = 1; c < config->classes; c++)
        if (scores[c] > most) most = scores[c];
    for (int64_t c = 0; c < config->classes; c++) sum += exp((double)(scores[c] - most));
    for (int64_t c = 0; c < config->classes; c++)
        out[c] = (float)(exp((double)(scores[c] - most)) / sum);
}

// ---- life cycle ----

static enum status check_model(struct classifier *classifier)
{
    const struct loaded_model *model = classifier->model;
    const struct model_config *config = &model->config;
    if (!model->type->scores || config->classes < 1 || config->spans ||
        !(model->type->tasks & (TASK_CLASSIFY | TASK_REGRESS)))
        FAIL(STATUS_UNSUPPORTED,
             "the model (%s) scores no examples: it was trained for another task", config->type);
    if (config->classes > 1 && !model->labels)
        FAIL(STATUS_INPUT,
             "the model tells %lld classes apart, and its folder has no labels.txt with their "
             "names, a "
             "line each",
             (long long)config->classes);
    if (config->sentences && (config->features || config->classes != 1))
        FAIL(STATUS_INPUT,
             "config.json says that the model chooses sentences, by %lld scores and %lld numbers "
             "of each; it must be one score of a text",
             (long long)config->classes, (long long)config->features);
    if (config->features) return STATUS_OK;
    if (!model->tokenizer)
        FAIL(STATUS_UNSUPPORTED,
             "the model has no tokenizer that is known here, so it cannot read text");
    classifier->form = (struct form){.size = tokenizer_size(model->tokenizer),
                                     .first = config->pool == POOL_FIRST,
                                     .once = config->presence,
                                     .sentence = config->sentences,
                                     .order = config->ngrams,
                                     .hash = (int32_t)config->ngram_hash};
    if (form_vocabulary(&classifier->form) > config->vocabulary)
        FAIL(
            STATUS_UNSUPPORTED,
            "tokenizer.json does not belong to the model: its %d ids, marks and n-grams make %lld, "
            "and the model's vocabulary has %lld",
            tokenizer_size(model->tokenizer), (long long)form_vocabulary(&classifier->form),
            (long long)config->vocabulary);
    if (config->sentences && form_longest(&classifier->form, config->context) <= SENTENCE_MARKS)
        FAIL(STATUS_UNSUPPORTED, "the model's context of %lld leaves no place for a sentence",
             (long long)config->context);
    return STATUS_OK;
}

enum status classifier_create(const struct loaded_model *model, int64_t rows, int workers,
                              struct classifier **classifier_p)
{
    enum model_tasks task = model_takes_labels(&model->config) ? TASK_CLASSIFY : TASK_REGRESS;
    struct classifier *classifier;
    TRY(memory_allocate(1, sizeof *classifier, "a classifier", &classifier));
    classifier->model = model;
    enum status status = check_model(classifier);
    if (!status) status = scorers_init(&classifier->scorers, model, task, rows, workers);
    if (status) {
        classifier_destroy(classifier);
        return status;
    }
    *classifier_p = classifier;
    return STATUS_OK;
}

void classifier_destroy(struct classifier *classifier)
{
    if (!classifier) return;
    scorers_release(&classifier->scorers);
    free(classifier->tokens);
    free(classifier->ids);
    free(classifier);
}

void classifier_stop(struct classifier *classifier)
{
    atomic_store(&classifier->scorers.stop, true);
}

// ---- a batch ----

struct taking {
    const struct classifier *classifier;
    const int64_t *members;
    int64_t count;
};

static void take_scores(void *context, int tag, const void *data)
{
    const struct taking *taking = context;
    int64_t classes = taking->classifier->model->config.classes;
    const float *scores = data;
    (void)tag;
    for (int64_t i = 0; i < taking->count; i++) {
        struct judgement *judgement = &taking->classifier->judgements[taking->members[i]];
        memcpy(judgement->scores, scores + i * classes, (size_t)classes * sizeof *scores);
        judgement->predicted = predict(&taking->classifier->model->config, judgement->scores);
        judgement->done = true;
    }
}

static void fill_tokens(const struct taking *taking, const struct scorer *scorer)
{
    int64_t tokens = scorer->tokens;
    int32_t *to = program_input(scorer->program, scorer->inputs.tokens);
    int32_t *positions = program_input(scorer->program, scorer->inputs.positions);
    int32_t *lengths = program_input(scorer->program, scorer->inputs.lengths);
    INVARIANT(taking->classifier->place, "%lld texts without tokens", (long long)taking->count);
    for (int64_t row = 0; row < scorer->rows; row++, to += tokens) {
        int64_t count = 0;
        if (row < taking->count) {
            const int64_t *place = taking->classifier->place + taking->members[row];
            count = place[1] - place[0];
            INVARIANT(count <= tokens, "%lld tokens in %lld places", (long long)count,
                      (long long)tokens);
            memcpy(to, taking->classifier->tokens + place[0], (size_t)count * sizeof *to);
        }
        for (int64_t i = count; i < tokens; i++) to[i] = 0;
        lengths[row] = count ? (int32_t)count : 1;
        for (int64_t i = 0; positions && i < tokens; i++) *positions++ = (int32_t)i;
    }
}

static void fill_features(const struct taking *taking, const struct scorer *scorer)
{
    const struct classifier *classifier = taking->classifier;
    int64_t features = classifier->model->config.features;
    float *to = program_input(scorer->program, scorer->inputs.features);
    memset(to, 0, (size_t)(scorer->rows * features) * sizeof *to);
    for (int64_t row = 0; row < taking->count; row++)
        memcpy(to + row * features, classifier->inputs[taking->members[row]].features,
               (size_t)features * sizeof *to);
}

static enum status score_batch(void *context, int worker, const int64_t *members, int64_t count)
{
    struct classifier *classifier = context;
    struct taking taking = {classifier, members, count};
    struct scorer *scorer;
    TRY(scorers_get(&classifier->scorers, worker, members, count, &scorer));
    if (scorer->inputs.features)
        fill_features(&taking, scorer);
    else
        fill_tokens(&taking, scorer);
    cpu_flush_to_zero();
    program_run(scorer->program, take_scores, &taking);
    return STATUS_OK;
}

// ---- texts ----

// Ids behind those that are there, at most `longest`.
static enum status encode(struct classifier *classifier, struct text text, int64_t longest,
                          size_t used, struct judgement *judgement, int64_t *count_p)
{
    const struct tokenizer *tokenizer = classifier->model->tokenizer;
    size_t room = used + tokenizer_room(tokenizer, text.bytes) + 1, count = 0;
    if (room > classifier->ids_room) {
        TRY(memory_grow(&classifier->ids, room, sizeof *classifier->ids, "a text's tokens"));
        classifier->ids_room = room;
    }
    int64_t unknown;
    TRY(tokenizer_encode_known(tokenizer, (const uint8_t *)text.at, text.bytes,
                               classifier->ids + used, &count, &unknown));
    judgement->unknown += unknown;
    if ((int64_t)count > longest) judgement->left += (int64_t)count - longest;
    *count_p = (int64_t)count > longest ? longest : (int64_t)count;
    return STATUS_OK;
}

static enum status form_input(struct classifier *classifier, int64_t i)
{
    const struct example_input *input = &classifier->inputs[i];
    struct judgement *judgement = &classifier->judgements[i];
    const struct form *form = &classifier->form;
    int64_t context = classifier->model->config.context, n[2] = {0, -1}, at = classifier->place[i];
    int64_t marks = form->sentence ? SENTENCE_MARKS : 0;
    bool pair = input->text[1].at != NULL;
    // As in training: two texts share the places.
    int64_t longest = pair ? form_longest_pair(form, context) : form_longest(form, context);
    if (longest < 0)
        FAIL(STATUS_UNSUPPORTED, "the model's context of %lld leaves no place for two texts",
             (long long)context);
    TRY(encode(classifier, input->text[0], longest - marks, (size_t)marks, judgement, &n[0]));
    if (marks) form_sentence(form, input->sentence, input->sentences, n[0], classifier->ids);
    n[0] += marks;
    if (pair) TRY(encode(classifier, input->text[1], longest, (size_t)n[0], judgement, &n[1]));
    size_t room = (size_t)(at + form_length(form, n[0], n[1]));
    if (room > classifier->tokens_room) {
        TRY(memory_grow(&classifier->tokens, 2 * room, sizeof *classifier->tokens, "tokens"));
        classifier->tokens_room = 2 * room;
    }
    const struct form_text text[2] = {{classifier->ids, n[0]}, {classifier->ids + n[0], n[1]}};
    classifier->place[i + 1] = at + form_write(form, text, NULL, classifier->tokens + at);
    return STATUS_OK;
}

static enum status run(struct classifier *classifier, int64_t count, int64_t *lengths)
{
    for (int64_t i = 0; i < count; i++) {
        if (!classifier->model->config.features) TRY(form_input(classifier, i));
        lengths[i] = classifier->model->config.features
                         ? 1
                         : classifier->place[i + 1] - classifier->place[i];
    }
    return scorers_run(&classifier->scorers, lengths, count, score_batch, classifier);
}

enum status classifier_run(struct classifier *classifier, const struct example_input *inputs,
                           int64_t count, struct judgement *judgements)
{
    size_t room = (size_t)count + 1;
    int64_t *lengths;
    for (int64_t i = 0; i < count; i++)
        judgements[i] = (struct judgement){.scores = judgements[i].scores};
    classifier->inputs = inputs;
    classifier->judgements = judgements;
    TRY(memory_allocate(room, sizeof *lengths, "the texts", &lengths));
    enum status status = STATUS_OK;
    if (!classifier->model->config.features)
        status = memory_allocate(room, sizeof *classifier->place, "the texts", &classifier->place);
    if (!status) status = run(classifier, count, lengths);
    free(classifier->place);
    classifier->place = NULL;
    free(lengths);
    return status;
}
