// SPDX-License-Identifier: Apache-2.0
// Answers test/interop/measures_agree.py: reads a JSON object a line, computes its measure, writes a JSON array of numbers or texts.
// Examples go to three workers' counts in turn, which are then merged backwards.
#include "base/json.h"
#include "base/memory.h"
#include "text/answer.h"
#include "text/auc.h"
#include "text/bleu.h"
#include "text/chrf.h"
#include "text/confusion.h"
#include "text/distinct.h"
#include "text/rouge.h"
#include "text/stemmer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 3, MOST_REFERENCES = 8 };

static struct measure_work *work;

static struct text text_at(json_t *list, size_t index)
{
    json_t *value = json_array_get(list, index);
    return (struct text){json_string_value(value), json_string_length(value)};
}

static int flag(json_t *root, const char *key) { return json_is_true(json_object_get(root, key)); }

static const char *word(json_t *root, const char *key)
{
    return json_string_value(json_object_get(root, key));
}

static double number(json_t *root, const char *key)
{
    return json_number_value(json_object_get(root, key));
}

// The examples of a case: hypotheses and, for each, references.
struct examples {
    json_t *hypotheses, *references;
};

static struct text example(const struct examples *examples, size_t i,
                           struct text references[MOST_REFERENCES], int *count_p)
{
    json_t *own = json_array_get(examples->references, i);
    *count_p = (int)json_array_size(own);
    for (int r = 0; r < *count_p; r++) references[r] = text_at(own, (size_t)r);
    return text_at(examples->hypotheses, i);
}

static void merge(void *counts, size_t bytes)
{
    char *all = counts;
    for (int w = WORKERS - 1; w > 0; w--) counts_add(all, all + (size_t)w * bytes, bytes);
}

static enum status bleu(json_t *root, const struct examples *examples, json_t *out)
{
    struct bleu_options options = {.smoothing_value = number(root, "value"),
                                   .lower_case = flag(root, "lower"),
                                   .effective_order = flag(root, "effective")};
    bleu_tokenizer_find(word(root, "tokenizer"), &options.tokenizer);
    bleu_smoothing_find(word(root, "smoothing"), &options.smoothing);
    struct bleu_counts counts[WORKERS] = {{0}};
    struct text references[MOST_REFERENCES];
    int count = 0;
    for (size_t i = 0; i < json_array_size(examples->hypotheses); i++) {
        struct text hypothesis = example(examples, i, references, &count);
        TRY(bleu_add(work, &options, hypothesis, references, count, &counts[i % WORKERS]));
    }
    merge(counts, sizeof *counts);
    char signature[160];
    bleu_signature(&options, count, signature);
    json_array_append_new(out, json_real(bleu_score(&options, counts).score));
    json_array_append_new(out, json_string(signature));
    return STATUS_OK;
}

static enum status chrf(json_t *root, const struct examples *examples, json_t *out)
{
    struct chrf_options options = {.words = (int)number(root, "words"),
                                   .beta = (int)number(root, "beta"),
                                   .lower_case = flag(root, "lower"),
                                   .spaces = flag(root, "spaces"),
                                   .epsilon = flag(root, "epsilon")};
    struct chrf_counts counts[WORKERS] = {{.matches = {0}}};
    struct text references[MOST_REFERENCES];
    int count = 0;
    for (size_t i = 0; i < json_array_size(examples->hypotheses); i++) {
        struct text hypothesis = example(examples, i, references, &count);
        TRY(chrf_add(work, &options, hypothesis, references, count, &counts[i % WORKERS]));
    }
    merge(counts, sizeof *counts);
    char signature[160];
    chrf_signature(&options, count, signature);
    json_array_append_new(out, json_real(chrf_score(&options, counts)));
    json_array_append_new(out, json_string(signature));
    return STATUS_OK;
}

static enum status rouge(json_t *root, const struct examples *examples, json_t *out)
{
    struct rouge_options options = {.characters = flag(root, "characters"),
                                    .stem = flag(root, "stem")};
    struct rouge_counts counts[WORKERS] = {{0}};
    struct text references[MOST_REFERENCES];
    int count;
    for (size_t i = 0; i < json_array_size(examples->hypotheses); i++) {
        struct text hypothesis = example(examples, i, references, &count);
        TRY(rouge_add(work, &options, hypothesis, references, count, &counts[i % WORKERS]));
    }
    merge(counts, sizeof *counts);
    struct rouge_score score = rouge_score(counts);
    for (int type = 0; type < ROUGE_TYPES; type++) {
        json_array_append_new(out, json_real(score.precision[type]));
        json_array_append_new(out, json_real(score.recall[type]));
        json_array_append_new(out, json_real(score.f1[type]));
    }
    return STATUS_OK;
}

static enum status answers(json_t *root, const struct examples *examples, json_t *out)
{
    enum answer_kind kind = strcmp(word(root, "measure"), "cmrc") ? ANSWER_SQUAD : ANSWER_CMRC;
    struct answer_counts counts[WORKERS] = {{0}};
    struct text references[MOST_REFERENCES];
    int count;
    for (size_t i = 0; i < json_array_size(examples->hypotheses); i++) {
        struct text prediction = example(examples, i, references, &count);
        TRY(answer_add(work, kind, prediction, references, count, &counts[i % WORKERS]));
    }
    merge(counts, sizeof *counts);
    json_array_append_new(out, json_real(answer_score(counts).exact));
    json_array_append_new(out, json_real(answer_score(counts).f1));
    return STATUS_OK;
}

static void append_scores(json_t *out, struct class_score score)
{
    json_array_append_new(out, json_real(score.precision));
    json_array_append_new(out, json_real(score.recall));
    json_array_append_new(out, json_real(score.f1));
}

static enum status classify(json_t *root, json_t *out)
{
    json_t *truth = json_object_get(root, "truth"), *predicted = json_object_get(root, "predicted");
    struct confusion worker[WORKERS];
    int classes = (int)number(root, "classes");
    for (int w = 0; w < WORKERS; w++) TRY(confusion_create(classes, &worker[w]));
    for (size_t i = 0; i < json_array_size(truth); i++)
        confusion_add(&worker[i % WORKERS], (int)json_integer_value(json_array_get(truth, i)),
                      (int)json_integer_value(json_array_get(predicted, i)));
    for (int w = WORKERS - 1; w > 0; w--) confusion_merge(&worker[0], &worker[w]);
    struct confusion_score score = confusion_score(&worker[0]);
    json_array_append_new(out, json_real(score.accuracy));
    append_scores(out, score.macro);
    append_scores(out, score.weighted);
    for (int i = 0; i < classes; i++) append_scores(out, confusion_class(&worker[0], i));
    for (int i = 0; i < classes * classes; i++)
        json_array_append_new(out, json_integer(worker[0].count[i]));
    for (int w = 0; w < WORKERS; w++) confusion_release(&worker[w]);
    return STATUS_OK;
}

static enum status area(json_t *root, json_t *out)
{
    json_t *scores = json_object_get(root, "scores"), *labels = json_object_get(root, "labels");
    struct auc worker[WORKERS] = {{0}};
    for (size_t i = 0; i < json_array_size(scores); i++)
        TRY(auc_add(&worker[i % WORKERS], json_number_value(json_array_get(scores, i)),
                    json_integer_value(json_array_get(labels, i)) == 1));
    for (int w = WORKERS - 1; w > 0; w--) TRY(auc_merge(&worker[0], &worker[w]));
    json_array_append_new(out, json_real(auc_score(&worker[0])));
    for (int w = 0; w < WORKERS; w++) auc_release(&worker[w]);
    return STATUS_OK;
}

static enum status different(json_t *root, json_t *texts, json_t *out)
{
    struct distinct worker[WORKERS];
    for (int w = 0; w < WORKERS; w++)
        distinct_init(&worker[w], (int)number(root, "n"), flag(root, "characters"));
    for (size_t i = 0; i < json_array_size(texts); i++)
        TRY(distinct_add(&worker[i % WORKERS], text_at(texts, i)));
    for (int w = WORKERS - 1; w > 0; w--) TRY(distinct_merge(&worker[0], &worker[w]));
    json_array_append_new(out, json_real(distinct_score(&worker[0])));
    for (int w = 0; w < WORKERS; w++) distinct_release(&worker[w]);
    return STATUS_OK;
}

// Texts in, texts out: "lower", "stem", and the names of BLEU's tokenizers.
static enum status convert(const char *how, json_t *texts, json_t *out)
{
    struct bleu_options options = {.smoothing = BLEU_SMOOTH_EXP};
    struct buffer buffer = {0};
    for (size_t i = 0; i < json_array_size(texts); i++) {
        buffer_clear(&buffer);
        if (strcmp(how, "lower") == 0) {
            TRY(buffer_add_lower(&buffer, text_at(texts, i)));
        } else if (strcmp(how, "stem") == 0) {
            TRY(buffer_add(&buffer, text_at(texts, i)));
            buffer.bytes = porter_stem(buffer.at, buffer.bytes);
        } else {
            if (!bleu_tokenizer_find(how, &options.tokenizer))
                FAIL(STATUS_USAGE, "unknown measure %s", how);
            TRY(bleu_tokenize(work, &options, text_at(texts, i), &buffer));
        }
        json_array_append_new(out, json_stringn(buffer.bytes ? buffer.at : "", buffer.bytes));
    }
    buffer_release(&buffer);
    return STATUS_OK;
}

static enum status compute(json_t *root, json_t *out)
{
    const char *measure = word(root, "measure");
    struct examples examples = {json_object_get(root, "hypotheses"),
                                json_object_get(root, "references")};
    json_t *texts = json_object_get(root, "texts");
    if (strcmp(measure, "bleu") == 0) return bleu(root, &examples, out);
    if (strcmp(measure, "chrf") == 0) return chrf(root, &examples, out);
    if (strcmp(measure, "rouge") == 0) return rouge(root, &examples, out);
    if (strcmp(measure, "squad") == 0 || strcmp(measure, "cmrc") == 0)
        return answers(root, &examples, out);
    if (strcmp(measure, "classify") == 0) return classify(root, out);
    if (strcmp(measure, "auc") == 0) return area(root, out);
    if (strcmp(measure, "distinct") == 0) return different(root, texts, out);
    return convert(measure, texts, out);
}

static enum status answer_line(const char *line, size_t bytes)
{
    json_t *root, *out = json_array();
    TRY(json_parse(line, bytes, "standard input", &root));
    TRY(compute(root, out));
    char *text = json_dumps(out, JSON_COMPACT | JSON_REAL_PRECISION(17));
    puts(text);
    free(text);
    json_decref(out);
    json_decref(root);
    return STATUS_OK;
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    enum status status = measure_work_create(&work);
    for (ssize_t bytes; !status && (bytes = getline(&line, &room, stdin)) > 0;)
        status = answer_line(line, (size_t)bytes);
    if (status) fprintf(stderr, "%s\n", error_message());
    measure_work_destroy(work);
    free(line);
    return status != STATUS_OK;
}
