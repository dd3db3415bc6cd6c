// SPDX-License-Identifier: Apache-2.0
#include "train/feed_answer.h"

#include "base/memory.h"
#include "data/best_answer.h"
#include "data/row_tokenizer.h"
#include "train/run_schema.h"

#include <stdlib.h>
#include <string.h>

static bool has_file(const struct run_config *config, int file)
{
    return file == 0 || config->data.valid[0];
}

static const struct answers *answers_of(const struct example_feed *feed,
                                        const struct examples *rows)
{
    return &feed->answers[rows - feed->read];
}

// ---- reading ----
static enum status read_questions(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    for (int file = 0; file < 2 && has_file(config, file); file++) {
        const struct answers_setup setup = {.path = file ? config->data.valid : config->data.train,
                                            .replace = config->data.replace,
                                            .tokenizer = trainer->tokenizer,
                                            .context = config->model.context,
                                            .stop = &trainer->stop};
        struct answers *answers = &feed->answers[file];
        TRY(answers_read(&setup, answers));
        feed->read[file] = answers->windows; // which owns them from now on
        answers->windows = (struct examples){0};
    }
    return STATUS_OK;
}

enum status answer_setup(struct trainer *trainer)
{
    const struct run_config *config = &trainer->config;
    struct rows_setup rows[2];
    bool both = !strcmp(config->data.tokenizer, "char") && config->data.valid[0];
    for (int file = 0; file < 2; file++) {
        rows[file] =
            answers_texts(file ? config->data.valid : config->data.train, config->data.replace);
        rows[file].stop = &trainer->stop;
    }
    TRY(setup_tokenizer(config, "data.tokenizer", config->data.tokenizer, rows, both ? 2 : 1,
                        &trainer->tokenizer));
    TRY(setup_vocabulary(trainer));
    examples_of(trainer)->form.first = true;
    setup_augmentation(trainer);
    return read_questions(trainer);
}

// ---- who is held out ----
static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Articles in the order of their hashes, each once.
static enum status list_articles(const struct answers *answers, uint64_t **article_p,
                                 int64_t *count_p)
{
    uint64_t *article;
    int64_t count = 0;
    TRY(memory_allocate((size_t)answers->count, sizeof *article, "the articles", &article));
    for (int64_t i = 0; i < answers->count; i++) article[i] = answers->question[i].article;
    qsort(article, (size_t)answers->count, sizeof *article, by_number);
    for (int64_t i = 0; i < answers->count; i++)
        if (count == 0 || article[count - 1] != article[i]) article[count++] = article[i];
    *article_p = article;
    *count_p = count;
    return STATUS_OK;
}

static int64_t place_of(const uint64_t *article, int64_t count, uint64_t wanted)
{
    const uint64_t *found = bsearch(&wanted, article, (size_t)count, sizeof *article, by_number);
    return found - article;
}

static enum status add_windows(struct share *share, int64_t *room, const struct question *question)
{
    for (int64_t i = 0; i < question->windows; i++)
        TRY(share_add(share, room, (int32_t)(question->first_window + i)));
    return STATUS_OK;
}

static enum status hold_out(struct trainer *trainer, const struct answers *answers,
                            const bool *held, int64_t have)
{
    int64_t room = 0, n = 0;
    struct share *share = &examples_of(trainer)->held_out;
    for (int64_t i = 0; i < answers->count; i++)
        if (!held || held[i])
            if (row_is_asked(&trainer->config, n++, have))
                TRY(add_windows(share, &room, &answers->question[i]));
    return STATUS_OK;
}

static enum status split_articles(struct trainer *trainer, bool *held)
{
    const struct run_config *config = &trainer->config;
    struct example_feed *feed = examples_of(trainer);
    const struct answers *answers = &feed->answers[0];
    int64_t room = 0, count, have = 0;
    uint64_t *article;
    TRY(list_articles(answers, &article, &count));
    enum status status = check_folds(config, count, "articles");
    for (int64_t i = 0; i < answers->count && !status; i++) {
        const struct question *question = &answers->question[i];
        held[i] = row_is_held_out(config, count, place_of(article, count, question->article));
        have += held[i];
        // From an answer that stands nowhere nothing is learned; held out, it counts.
        if (!held[i] && !question->lost) status = add_windows(&feed->learned, &room, question);
    }
    free(article);
    TRY(status);
    if (config->data.valid[0])
        return hold_out(trainer, &feed->answers[1], NULL, feed->answers[1].count);
    return hold_out(trainer, answers, held, have);
}

enum status answer_split(struct trainer *trainer)
{
    struct example_feed *feed = examples_of(trainer);
    const struct run_config *config = &trainer->config;
    bool *held;
    feed->learned.rows = &feed->read[0];
    feed->held_out.rows = &feed->read[config->data.valid[0] ? 1 : 0];
    TRY(memory_allocate((size_t)feed->answers[0].count, sizeof *held, "the questions", &held));
    enum status status = split_articles(trainer, held);
    free(held);
    TRY(status);
    if (feed->learned.count == 0)
        FAIL(STATUS_INPUT,
             "%s: no question is left to learn from: of %lld, %lld have answers that do not stand "
             "in "
             "their contexts, and the others are held out (articles are held out whole; questions "
             "of the same title are one)",
             config->data.train, (long long)feed->answers[0].count,
             (long long)feed->answers[0].lost);
    return STATUS_OK;
}

// ---- a row ----
// The answer is a part of the context or place 0. Both cross-entropies count half.
int64_t answer_fill(const struct trainer *trainer, const struct examples *rows, int32_t example,
                    int64_t row, int64_t tokens, const struct batch_inputs *in)
{
    const struct answers *answers = answers_of(examples_of(trainer), rows);
    float *mask = in->mask + row * tokens;
    int64_t base = tokens, count = 0;
    if (example >= 0) {
        base = answers_base(rows, example);
        (void)example_text(rows, example, 1, &count);
    }
    for (int64_t i = 0; i < tokens; i++)
        mask[i] = i == 0 || (i >= base && i < base + count) ? 0 : SPAN_NEVER;
    if (in->matches) answers_matches(answers, rows, example, tokens, in->matches + row * tokens);
    in->labels[row] = example < 0 ? -1 : rows->label[example];
    in->ends[row] = example < 0 ? -1 : answers->last[example];
    in->weights[row] = example < 0 ? 0 : 0.5F;
    return example >= 0;
}

// ---- held-out questions ----
static struct answer_choice choice_of(const struct run_config *config)
{
    struct answer_choice choice = {.longest = config->data.answer_tokens};
    (void)answer_goal_find(config->data.answer_goal, &choice.goal); // run_key.c has refused others
    return choice;
}

enum status answer_plan(struct trainer *trainer)
{
    struct example_feed *feed = examples_of(trainer);
    const struct answer_choice choice = choice_of(&trainer->config);
    int64_t longest = 0;
    for (int i = 0; i < trainer->feed.shapes; i++)
        if (trainer->feed.shape[i].tokens > longest) longest = trainer->feed.shape[i].tokens;
    feed->choosing_each = answer_scratch(&choice, longest);
    size_t all = (size_t)trainer->workers * feed->choosing_each;
    trainer->feed.bytes += all * sizeof *feed->choosing;
    return memory_allocate(all, sizeof *feed->choosing, "the answers", &feed->choosing);
}

void answer_take(const struct trainer *trainer, int rank, int64_t g, const float *scores)
{
    const struct answer_choice choice = choice_of(&trainer->config);
    const struct example_feed *feed = examples_of(trainer);
    const struct share *share = &feed->held_out;
    struct verdict *verdict = feed->verdict + g * share->buckets.most_rows;
    struct model_sizes sizes = trainer->feed.shape[share->bucket[g]];
    for (int64_t row = 0; row < sizes.batch; row++) {
        int32_t example = share_row(share, g, row);
        if (example < 0) continue;
        struct answer_span span =
            answers_best(share->rows, example, scores + row * sizes.tokens * 2, &choice,
                         feed->choosing + (size_t)rank * feed->choosing_each);
        verdict[row] = (struct verdict){span.first, span.score, span.last};
    }
}

// The window whose answer is best, of each question; -1: it is not asked.
struct choice {
    int32_t window;
    struct verdict verdict;
};

// Windows come in the order of the plan; of equally good ones the first of the text is taken.
static void choose(const struct trainer *trainer, const struct answers *answers,
                   struct choice *choice)
{
    const struct example_feed *feed = examples_of(trainer);
    const struct share *share = &feed->held_out;
    int64_t rows = share->buckets.most_rows;
    for (int64_t i = 0; i < answers->count; i++) choice[i].window = -1;
    for (int64_t k = 0; k < trainer->feed.groups * rows; k++) {
        int32_t window = share_row(share, k / rows, k % rows);
        if (window < 0) continue;
        struct choice *best = &choice[answers->asked[window]];
        const struct verdict *verdict = &feed->verdict[k];
        bool better = verdict->score > best->verdict.score ||
                      (!(verdict->score < best->verdict.score) && window < best->window);
        if (best->window < 0 || better) *best = (struct choice){window, *verdict};
    }
}

static enum status score_choices(const struct trainer *trainer, const struct choice *choice,
                                 struct answer_counts *counts)
{
    const struct example_feed *feed = examples_of(trainer);
    const struct examples *rows = feed->held_out.rows;
    const struct answers *answers = answers_of(feed, rows);
    enum answer_kind kind = answers_kind(answers);
    struct measure_work *work;
    enum status status = STATUS_OK;
    TRY(measure_work_create(&work));
    for (int64_t i = 0; i < answers->count && !status; i++) {
        if (choice[i].window < 0) continue;
        struct answer_span span = {choice[i].verdict.predicted, choice[i].verdict.last, 0};
        struct text text = answers_text(answers, rows, choice[i].window, span);
        status = answers_score(answers, i, text, kind, work, counts);
    }
    measure_work_destroy(work);
    return status;
}

enum status answer_measure(const struct trainer *trainer, struct evaluation_report *report)
{
    const struct example_feed *feed = examples_of(trainer);
    const struct answers *answers = answers_of(feed, feed->held_out.rows);
    struct answer_counts counts = {0};
    struct choice *choice;
    TRY(memory_allocate((size_t)answers->count, sizeof *choice, "the questions", &choice));
    choose(trainer, answers, choice);
    enum status status = score_choices(trainer, choice, &counts);
    free(choice);
    TRY(status);
    struct answer_score score = answer_score(&counts);
    report_add(report, "val/exact", score.exact / 100);
    report_add(report, "val/f1", score.f1 / 100);
    return STATUS_OK;
}
