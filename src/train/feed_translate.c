// SPDX-License-Identifier: Apache-2.0
// What a translator is worth by what it writes: held-out texts are decoded, as `stentor translate` does it, and compared with their
// targets.
//
// Texts are dealt out to the workers of all replicas in turn. What is written for one depends on itself and the weights alone, and
// measures are sums of whole numbers: the same bits for any number of workers.
#include "train/feed_translate.h"

#include "base/memory.h"
#include "data/extracts.h"
#include "infer/translate.h"
#include "text/unicode.h"
#include "text/written.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE, TARGET, SIDES };

// Texts of the held-out rows, in their order.
struct held_texts {
    int64_t count;
    struct buffer text[SIDES];
    int64_t *place[SIDES]; // [count + 1] in it
    bool *list;            // [count]: a target is several, each as good, on lines of their own
    bool chinese;          // the targets
    struct loaded_model
        model; // the run's, as it would be read from its directory; borrowed from the trainer
    struct translator *translator; // NULL before the first evaluation
};
struct scoring {
    struct written_options options;
    struct measure_work *work;
    struct written_counts written;
};

static struct text held_text(const struct held_texts *held, int side, int64_t i)
{
    const int64_t *place = held->place[side] + i;
    return (struct text){held->text[side].at + place[0], (size_t)(place[1] - place[0])};
}

// ---- the texts ----
static enum status add_row(struct held_texts *held, const struct row *row)
{
    for (int side = 0; side < SIDES; side++) {
        const struct row_field *field = &row->field[side];
        TRY(buffer_add(&held->text[side], (struct text){field->text, field->bytes}));
        held->place[side][held->count + 1] = (int64_t)held->text[side].bytes;
    }
    held->list[held->count++] = row->field[TARGET].list;
    return STATUS_OK;
}

// Rows that are held out stand in the order of the file.
static enum status add_rows(const struct share *share, struct rows *rows, struct held_texts *held)
{
    struct row row = {.path = ""};
    bool more = true;
    for (int32_t number = 0; held->count < share->count; number++) {
        TRY(rows_next(rows, &row, &more));
        if (!more) FAIL(STATUS_INPUT, "a file of rows has become shorter while it was read");
        if (share->row[held->count] == number) TRY(add_row(held, &row));
    }
    return STATUS_OK;
}

static enum status read_texts(const struct trainer *trainer, struct held_texts *held)
{
    const struct share *share = &examples_of(trainer)->held_out;
    struct rows_setup setup;
    struct rows *rows;
    for (int side = 0; side < SIDES; side++)
        TRY(memory_allocate((size_t)share->count + 1, sizeof *held->place[side],
                            "the held-out texts", &held->place[side]));
    TRY(memory_allocate((size_t)share->count, 1, "the held-out texts", &held->list));
    setup_pairs(trainer, trainer->config.data.valid[0] ? 1 : 0, &setup);
    TRY(rows_open(&setup, &rows));
    enum status status = add_rows(share, rows, held);
    rows_close(rows);
    TRY(status);
    const struct buffer *target = &held->text[TARGET];
    held->chinese = unicode_is_chinese((const uint8_t *)target->at, target->bytes);
    return STATUS_OK;
}

enum status translate_open(struct trainer *trainer)
{
    struct example_feed *feed = examples_of(trainer);
    if (!run_decodes(&trainer->config) || feed->held_out.count == 0) return STATUS_OK;
    TRY(memory_allocate(1, sizeof *feed->texts, "the held-out texts", &feed->texts));
    return read_texts(trainer, feed->texts);
}

size_t translate_text_bytes(const struct example_feed *feed)
{
    const struct held_texts *held = feed->texts;
    if (!held) return 0;
    return held->text[SOURCE].room + held->text[TARGET].room +
           SIDES * (size_t)(held->count + 1) * sizeof *held->place[0] +
           (size_t)held->count * sizeof *held->list;
}

void translate_close(struct example_feed *feed)
{
    for (int side = 0; feed->texts && side < SIDES; side++) {
        buffer_release(&feed->texts->text[side]);
        free(feed->texts->place[side]);
    }
    if (feed->texts) {
        free(feed->texts->list);
        translator_destroy(feed->texts->translator);
    }
    free(feed->texts);
    feed->texts = NULL;
}

// ---- decoding ----
static enum status model_of(const struct trainer *trainer, struct loaded_model *model_p)
{
    struct loaded_model model = {
        .config = trainer->config.model,
        .parameters = trainer->parameters,
        .weights = trainer->weights,
        .tokenizer = trainer->tokenizer,
        .source_tokenizer = examples_of(trainer)->source_tokenizer,
    };
    TRY(model_find(model.config.type, &model.type));
    *model_p = model;
    return STATUS_OK;
}

static bool is_own(const struct trainer *trainer, int64_t i)
{
    const struct crew *crew = &trainer->crew;
    int64_t worker = i % crew->all - crew->first;
    return worker >= 0 && worker < trainer->workers;
}

struct search_options translate_options(const struct run_config *config)
{
    struct search_options options;
    search_defaults(&options);
    options.beams = config->measure_beam;
    return options;
}

// Ids of the sources that this replica translates, their ends among them; none of an empty one.
static enum status own_lengths(const struct trainer *trainer, int64_t **lengths_p, int64_t *count_p)
{
    const struct share *share = &examples_of(trainer)->held_out;
    int64_t *lengths, count = 0, ids;
    TRY(memory_allocate((size_t)share->count, sizeof *lengths, "lengths of texts", &lengths));
    for (int64_t i = 0; i < share->count; i++) {
        (void)example_text(share->rows, share->row[i], 0, &ids);
        if (ids > 0 && is_own(trainer, i)) lengths[count++] = ids + 1;
    }
    *lengths_p = lengths;
    *count_p = count;
    return STATUS_OK;
}

enum status translate_plan(struct trainer *trainer)
{
    struct held_texts *held = examples_of(trainer)->texts;
    struct search_options options = translate_options(&trainer->config);
    struct translator *translator;
    int64_t *lengths, count;
    size_t bytes = 0, results;
    if (!held) return STATUS_OK;
    TRY(model_of(trainer, &held->model));
    // What cannot be translated is refused now, not at the first evaluation.
    TRY(translator_create(&held->model, &options, 1, &translator));
    translator_destroy(translator);
    TRY(own_lengths(trainer, &lengths, &count));
    enum status status = translator_bytes(
        &held->model, &options, trainer->workers * trainer->threads, lengths, count, &bytes);
    free(lengths);
    TRY(status);
    results = (size_t)held->count * (sizeof(struct translation) + sizeof(struct candidate_text) +
                                     sizeof(struct text) + sizeof(uint64_t));
    results += 2 * held->text[TARGET].bytes;
    trainer->feed.decoding = results > SIZE_MAX - bytes ? SIZE_MAX : results + bytes;
    return STATUS_OK;
}

// ---- scoring ----
static enum status score(struct scoring *s, const struct translation *translation,
                         struct text target, bool list)
{
    struct text text = {"", 0}, *wanted;
    int count;
    if (translation->count) text = buffer_text(&translation->best[0].text);
    TRY(extracts_references(target, list, &wanted, &count));
    enum status status = written_add(s->work, &s->options, text, wanted, count, &s->written);
    free(wanted);
    return status;
}

// What this replica translates.
struct decoding {
    struct text *text;
    uint64_t *row;
    struct translation *translation;
    int64_t count;
};

static enum status take_own(const struct trainer *trainer, const struct held_texts *held,
                            struct decoding *own)
{
    const char *what = "translations of held-out texts";
    size_t room = (size_t)held->count;
    TRY(memory_allocate(room, sizeof *own->text, what, &own->text));
    TRY(memory_allocate(room, sizeof *own->row, what, &own->row));
    TRY(memory_allocate(room, sizeof *own->translation, what, &own->translation));
    for (int64_t i = 0; i < held->count; i++)
        if (is_own(trainer, i)) {
            own->text[own->count] = held_text(held, SOURCE, i);
            own->row[own->count++] = (uint64_t)i;
        }
    return STATUS_OK;
}

// By a translator that stays for the next evaluation: its programs read the weights where training writes them.
static enum status decode_own(const struct trainer *trainer, struct held_texts *held,
                              struct decoding *own)
{
    struct search_options options = translate_options(&trainer->config);
    options.stop = &trainer->stop;
    if (!held->translator) {
        TRY(model_of(trainer, &held->model));
        TRY(translator_create(&held->model, &options, trainer->workers * trainer->threads,
                              &held->translator));
    }
    return translator_run(held->translator, own->text, own->row, own->count, own->translation);
}

static enum status score_own(const struct trainer *trainer, struct held_texts *held,
                             struct scoring *scoring)
{
    struct decoding own = {0};
    enum status status = take_own(trainer, held, &own);
    if (!status) status = decode_own(trainer, held, &own);
    for (int64_t i = 0; i < own.count && !status; i++) {
        int64_t row = (int64_t)own.row[i];
        struct text target = held_text(held, TARGET, row);
        status = score(scoring, &own.translation[i], target, held->list[row]);
    }
    for (int64_t i = 0; i < own.count; i++) translation_release(&own.translation[i]);
    free(own.text);
    free(own.row);
    free(own.translation);
    return status;
}

// The counts of all replicas, at each.
static enum status sum_written(const struct trainer *trainer, struct written_counts *all,
                               struct written_counts *written)
{
    const struct crew *crew = &trainer->crew;
    if (!crew->net) return STATUS_OK;
    TRY(comm_gather(crew->net, written, sizeof *written, all));
    *written = (struct written_counts){0};
    for (int r = 0; r < crew->replicas; r++) counts_add(written, &all[r], sizeof *written);
    return STATUS_OK;
}

static enum status score_all(struct trainer *trainer, struct held_texts *held,
                             struct scoring *scoring)
{
    struct written_counts *all = NULL;
    enum status status =
        memory_allocate((size_t)trainer->crew.replicas, sizeof *all, "measures", &all);
    if (!status) status = measure_work_create(&scoring->work);
    if (!status) status = score_own(trainer, held, scoring);
    measure_work_destroy(scoring->work);
    status = crew_agree(trainer, status);
    if (!status) status = sum_written(trainer, all, &scoring->written);
    free(all);
    return status;
}

static void report_written(const struct scoring *s, struct evaluation_report *report)
{
    if (!s->options.rouge) {
        report_add(report, "val/bleu", bleu_score(&s->options.bleu, &s->written.bleu).score);
        report_add(report, "val/chrf", chrf_score(&s->options.chrf, &s->written.chrf));
        return;
    }
    struct rouge_score rouge = rouge_score(&s->written.rouge);
    report_add(report, "val/rouge1", rouge.f1[ROUGE_1]);
    report_add(report, "val/rouge2", rouge.f1[ROUGE_2]);
    report_add(report, "val/rougeL", rouge.f1[ROUGE_L]);
}

enum status translate_measure(struct trainer *trainer, struct evaluation_report *report)
{
    const struct run_config *config = &trainer->config;
    struct held_texts *held = examples_of(trainer)->texts;
    bool lower_case = config->data.lower_case;
    if (!held) return STATUS_OK;
    bool rouge = strncmp(config->measure, "rouge", 5) == 0;
    const struct written_options options = {
        .rouge = rouge,
        .bleu_chrf = !rouge,
        .bleu = {.tokenizer = held->chinese ? BLEU_ZH : BLEU_13A, .lower_case = lower_case},
        .chrf = {.lower_case = lower_case},
        .rouge_options = {.characters = held->chinese},
    };
    struct scoring scoring = {.options = options};
    // Weights without a finite loss write nothing, and that is worth 0.
    if (isfinite(report->loss)) TRY(score_all(trainer, held, &scoring));
    report_written(&scoring, report);
    return STATUS_OK;
}
