// SPDX-License-Identifier: Apache-2.0
// What scores of held-out examples are worth: accuracy, F1, the area under the curve; errors of numbers; what translations are.
#include "comm/comm.h"
#include "text/auc.h"
#include "text/confusion.h"
#include "text/number_errors.h"
#include "train/feed_answer.h"
#include "train/feed_extract.h"
#include "train/feed_translate.h"

#include <math.h>
#include <string.h>

// ---- one group ----

static struct verdict verdict_of(const struct model_config *model, const float *scores)
{
    int32_t best = 0;
    if (model->classes == 1) {
        float border = model->loss == LOSS_SQUARED ? 0.5F : 0;
        return (struct verdict){scores[0] > border, scores[0], 0};
    }
    for (int32_t c = 1; c < model->classes; c++)
        if (scores[c] > scores[best]) best = c;
    return (struct verdict){best, scores[1] - scores[0], 0};
}

void take_scores(const struct trainer *trainer, int rank, int64_t g, const float *scores)
{
    const struct example_feed *feed = examples_of(trainer);
    const struct model_config *model = &trainer->config.model;
    const struct share *share = &feed->held_out;
    if (model->spans) {
        answer_take(trainer, rank, g, scores);
        return;
    }
    struct verdict *verdict = feed->verdict + g * share->buckets.most_rows;
    int64_t rows = trainer->feed.shape[share->bucket[g]].batch;
    for (int64_t row = 0; row < rows; row++)
        verdict[row] = verdict_of(model, scores + row * model->classes);
}

// ---- all of them ----

// The verdicts of all replicas' groups.
static enum status share_verdicts(const struct trainer *trainer)
{
    const struct crew *crew = &trainer->crew;
    const struct example_feed *feed = examples_of(trainer);
    if (!crew->net) return STATUS_OK;
    size_t each = (size_t)feed->held_out.buckets.most_rows * sizeof *feed->verdict;
    for (int r = 0; r <= crew->replicas; r++)
        crew->offset[r] = (size_t)groups_before(trainer, r) * each;
    return comm_share(crew->net, feed->verdict, crew->offset);
}

typedef enum status (*verdict_function)(void *context, int32_t row, const struct verdict *verdict);

static enum status for_each(const struct trainer *trainer, verdict_function function, void *context)
{
    const struct example_feed *feed = examples_of(trainer);
    int64_t rows = feed->held_out.buckets.most_rows;
    for (int64_t g = 0; g < trainer->feed.groups; g++)
        for (int64_t row = 0; row < rows; row++) {
            int32_t example = share_row(&feed->held_out, g, row);
            if (example >= 0) TRY(function(context, example, &feed->verdict[g * rows + row]));
        }
    return STATUS_OK;
}

void report_add(struct evaluation_report *report, const char *tag, double value)
{
    INVARIANT(report->measures < EVALUATION_MEASURES, "%d measures", report->measures);
    report->measure[report->measures++] = (struct measure){tag, value};
}

struct classes {
    const struct examples *rows;
    struct confusion confusion;
    struct auc auc;
    bool two;
    bool unordered; // a score of the two is no number
};

static enum status add_class(void *context, int32_t row, const struct verdict *verdict)
{
    struct classes *classes = context;
    int32_t truth = classes->rows->label[row];
    confusion_add(&classes->confusion, truth, verdict->predicted);
    if (isnan(verdict->score)) classes->unordered = true;
    if (!classes->two || classes->unordered) return STATUS_OK;
    return auc_add(&classes->auc, (double)verdict->score, truth == 1);
}

static enum status measure_classes(const struct trainer *trainer, struct evaluation_report *report)
{
    const struct example_feed *feed = examples_of(trainer);
    struct classes classes = {.rows = feed->held_out.rows, .two = feed->labels.count == 2};
    TRY(confusion_create(feed->labels.count, &classes.confusion));
    enum status status = for_each(trainer, add_class, &classes);
    if (!status) {
        struct confusion_score score = confusion_score(&classes.confusion);
        report_add(report, "val/accuracy", score.accuracy);
        report_add(report, "val/f1", score.macro.f1);
        if (classes.two)
            report_add(report, "val/auc",
                       classes.unordered ? (double)NAN : auc_score(&classes.auc));
    }
    auc_release(&classes.auc);
    confusion_release(&classes.confusion);
    return status;
}

struct errors {
    const struct examples *rows;
    struct number_errors all;
};

// In the order of the plan, which no worker changes.
static enum status add_error(void *context, int32_t row, const struct verdict *verdict)
{
    struct errors *errors = context;
    number_errors_add(&errors->all, (double)verdict->score, (double)errors->rows->number[row]);
    return STATUS_OK;
}

static enum status measure_numbers(const struct trainer *trainer, struct evaluation_report *report)
{
    struct errors errors = {.rows = examples_of(trainer)->held_out.rows};
    TRY(for_each(trainer, add_error, &errors));
    struct number_score score = number_errors_score(&errors.all);
    report_add(report, "val/mae", score.mae);
    report_add(report, "val/rmse", score.rmse);
    if (!isnan(score.r2)) report_add(report, "val/r2", score.r2);
    return STATUS_OK;
}

// ---- what is not known ----
enum status measure_known(const struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    const struct example_feed *feed = examples_of(trainer);
    const struct share *held = &feed->held_out;
    const int32_t *label = held->rows->label;
    int64_t i = 1;
    if (held->count == 0 || strcmp(config->measure, "auc") != 0) return STATUS_OK;
    if (feed->labels.count != 2)
        FAIL(STATUS_USAGE, "train.measure: auc is of two classes, and %s has %d",
             config->data.train, feed->labels.count);
    while (i < held->count && label[held->row[i]] == label[held->row[0]]) i++;
    if (i < held->count) return STATUS_OK;
    FAIL(STATUS_INPUT,
         "%s: all %lld held-out rows are of class \"%.*s\", and train.measure: auc compares two; "
         "hold out rows of both (data.valid, data.valid_fraction), or measure accuracy or f1",
         config->data.valid[0] ? config->data.valid : config->data.train, (long long)held->count,
         CUT(feed->labels.name[label[held->row[0]]], 60));
}

enum status measure_held_out(struct trainer *trainer, struct evaluation_report *report)
{
    const struct example_feed *feed = examples_of(trainer);
    if (!feed->verdict) {
        report_add(report, "val/perplexity", exp(report->loss));
        return translate_measure(trainer, report);
    }
    TRY(share_verdicts(trainer));
    if (trainer->config.model.spans) return answer_measure(trainer, report);
    if (trainer->config.model.sentences) return extract_measure(trainer, report);
    return feed->labels.count ? measure_classes(trainer, report) : measure_numbers(trainer, report);
}
