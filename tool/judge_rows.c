// SPDX-License-Identifier: Apache-2.0
#include "judge_rows.h"

#include "base/memory.h"
#include "base/number.h"
#include "intervals.h"
#include "output.h"
#include "text/auc.h"
#include "text/confusion.h"
#include "text/number_errors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row_counts {
    int64_t rows, right;
};
struct judge_rows {
    const struct loaded_model *model;
    const char *path;
    struct confusion confusion;
    struct auc auc;
    struct intervals intervals;
    int64_t rows;
    struct number_errors errors;
};

enum status judge_rows_create(const struct loaded_model *model, const char *path, bool intervals,
                              struct judge_rows **judge_p)
{
    struct judge_rows *judge;
    if (intervals && !model->labels)
        FAIL(STATUS_USAGE, "--intervals is for classes, and the model's outcome is a number");
    TRY(memory_allocate(1, sizeof *judge, "the measures", &judge));
    judge->model = model;
    judge->path = path;
    judge->intervals.wanted = intervals && model->labels;
    enum status status =
        model->labels ? confusion_create(model->labels, &judge->confusion) : STATUS_OK;
    if (status) {
        judge_rows_destroy(judge);
        return status;
    }
    *judge_p = judge;
    return STATUS_OK;
}

void judge_rows_destroy(struct judge_rows *judge)
{
    if (!judge) return;
    confusion_release(&judge->confusion);
    auc_release(&judge->auc);
    intervals_release(&judge->intervals);
    free(judge);
}

static enum status add_number(struct judge_rows *judge, struct text target, float value,
                              uint64_t line)
{
    char word[NUMBER_TEXT];
    double truth;
    int shown = text_cut_bytes(target.at, target.bytes, sizeof word - 1);
    snprintf(word, sizeof word, "%.*s", shown, target.at);
    if (target.bytes >= sizeof word || !number_parse(word, &truth))
        FAIL(STATUS_INPUT, "%s line %llu: \"%s\" is no number", judge->path,
             (unsigned long long)line, word);
    number_errors_add(&judge->errors, (double)value, truth);
    judge->rows++;
    return STATUS_OK;
}

enum status judge_rows_add(struct judge_rows *judge, struct text target,
                           const struct judgement *judgement, uint64_t line)
{
    const struct loaded_model *model = judge->model;
    int32_t truth = 0;
    if (!model->labels) return add_number(judge, target, judgement->scores[0], line);
    while (truth < model->labels && (strncmp(model->label[truth], target.at, target.bytes) != 0 ||
                                     model->label[truth][target.bytes]))
        truth++;
    if (truth == model->labels)
        FAIL(STATUS_INPUT, "%s line %llu: \"%.*s\" is none of the model's %d classes", judge->path,
             (unsigned long long)line, text_cut_bytes(target.at, target.bytes, 60), target.at,
             model->labels);
    confusion_add(&judge->confusion, truth, judgement->predicted);
    if (model->labels == 2) {
        const float *scores = judgement->scores;
        float score = model->config.classes == 1 ? scores[0] : scores[1] - scores[0];
        TRY(auc_add(&judge->auc, (double)score, truth == 1));
    }
    judge->rows++;
    const struct row_counts counts = {1, truth == judgement->predicted};
    return intervals_keep(&judge->intervals, &counts, sizeof counts);
}

static double accuracy_of(const void *context, const void *counts)
{
    const struct row_counts *all = counts;
    (void)context;
    return (double)all->right / (double)all->rows;
}

static enum status print_numbers(const struct judge_rows *judge, bool json)
{
    struct number_score score = number_errors_score(&judge->errors);
    char r2[40] = ""; // nothing where all truths are equal
    if (json)
        return output_json(json_pack("{s:I, s:o, s:o, s:o}", "rows", (json_int_t)judge->rows, "mae",
                                     output_json_number(score.mae), "rmse",
                                     output_json_number(score.rmse), "r2",
                                     output_json_number(score.r2)));
    if (!isnan(score.r2)) snprintf(r2, sizeof r2, ", R2 %.4f", score.r2);
    return output_measure("%lld rows: mean absolute error %.6g, root mean square error %.6g%s",
                          (long long)judge->rows, score.mae, score.rmse, r2);
}

static json_t *class_object(const struct judge_rows *judge, int32_t class)
{
    struct class_score score = confusion_class(&judge->confusion, class);
    return json_pack(
        "{s:o, s:f, s:f, s:f, s:I}", "class",
        output_json_text(judge->model->label[class], strlen(judge->model->label[class])),
        "precision", score.precision, "recall", score.recall, "f1", score.f1, "support",
        (json_int_t)score.support);
}

static enum status print_object(const struct judge_rows *judge, const struct confusion_score *score,
                                double auc, const struct interval *accuracy)
{
    json_t *object = json_pack("{s:I, s:f, s:f}", "rows", (json_int_t)judge->rows, "accuracy",
                               score->accuracy, "f1", score->macro.f1);
    const int64_t *cell = judge->confusion.count; // NULL: very many classes
    json_t *classes = json_array(), *matrix = cell ? json_array() : NULL;
    int32_t count = judge->model->labels;
    for (int32_t c = 0; c < count; c++) {
        json_t *row = cell ? json_array() : NULL;
        json_array_append_new(classes, class_object(judge, c));
        for (int32_t p = 0; cell && p < count; p++)
            json_array_append_new(row, json_integer(*cell++));
        if (cell) json_array_append_new(matrix, row);
    }
    if (judge->intervals.examples) {
        json_object_set_new(object, "accuracy_low", json_real(accuracy->low));
        json_object_set_new(object, "accuracy_high", json_real(accuracy->high));
    }
    if (count == 2) json_object_set_new(object, "auc", output_json_number(auc));
    json_object_set_new(object, "classes", classes);
    if (matrix) json_object_set_new(object, "confusion", matrix);
    return output_json(object);
}

enum status judge_rows_print(struct judge_rows *judge, bool json)
{
    if (judge->rows == 0) FAIL(STATUS_INPUT, "%s has no rows to measure", judge->path);
    if (!judge->model->labels) return print_numbers(judge, json);
    struct confusion_score score = confusion_score(&judge->confusion);
    double auc = judge->model->labels == 2 ? auc_score(&judge->auc) : 0;
    char interval[INTERVAL_TEXT];
    struct interval accuracy;
    TRY(intervals_say(&judge->intervals, accuracy_of, NULL, 4, interval, &accuracy));
    if (json) return print_object(judge, &score, auc, &accuracy);
    TRY(output_measure("%lld rows: accuracy %.4f%s, macro precision %.4f, recall %.4f, F1 %.4f",
                       (long long)judge->rows, score.accuracy, interval, score.macro.precision,
                       score.macro.recall, score.macro.f1));
    if (judge->model->labels != 2) return STATUS_OK;
    return output_measure("area under the curve %.4f", auc);
}
