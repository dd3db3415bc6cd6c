// SPDX-License-Identifier: Apache-2.0
#include "score_lines.h"

#include "base/memory.h"
#include "data/lines.h"
#include "intervals.h"
#include "line_input.h"
#include "output.h"
#include "text/distinct.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>

enum { KINDS = 2 }; // distinct-1 and distinct-2
enum { AS_ASKED, OF_CHINESE, WAYS };

// Of all lines, in one way. Which one it is, where the references decide, is known behind the last of them.
struct way {
    struct written_options measures;
    struct written_counts all;
    struct intervals intervals;
    struct distinct distinct[KINDS];
};

struct score_lines {
    struct score_options options;
    struct lines *reference;
    struct measure_work *work;
    int64_t count, there; // lines that came, and of them those that the file had
    enum status status;   // the first failure
    char message[1024];
    struct letters letters; // of the references
    struct way way[WAYS];
    int ways;
};

static void init_way(const struct score_options *options, int which, struct way *way)
{
    struct written_options *measures = &way->measures;
    *measures = options->measures;
    if (which == OF_CHINESE && options->rouge_by_references)
        measures->rouge_options.characters = true;
    if (which == OF_CHINESE && options->bleu_by_references) measures->bleu.tokenizer = BLEU_ZH;
    way->intervals.wanted = options->intervals;
    bool characters = (measures->rouge && measures->rouge_options.characters) ||
                      measures->bleu.tokenizer == BLEU_ZH || measures->bleu.tokenizer == BLEU_CHAR;
    for (int n = 0; n < KINDS; n++) distinct_init(&way->distinct[n], n + 1, characters);
}

static const struct way *way_of(const struct score_lines *s)
{
    return &s->way[s->ways > 1 && unicode_letters_are_chinese(&s->letters) ? OF_CHINESE : AS_ASKED];
}

enum status score_lines_create(const struct score_options *options, struct score_lines **scores_p)
{
    struct score_lines *scores;
    if (options->reference) TRY(line_input_check_text(options->reference));
    TRY(memory_allocate(1, sizeof *scores, "measures", &scores));
    scores->options = *options;
    scores->ways = options->rouge_by_references || options->bleu_by_references ? WAYS : 1;
    for (int i = 0; i < scores->ways; i++) init_way(options, i, &scores->way[i]);
    enum status status = STATUS_OK;
    if (options->reference) status = lines_open(options->reference, false, &scores->reference);
    if (!status) status = measure_work_create(&scores->work);
    if (status) {
        score_lines_destroy(scores);
        return status;
    }
    *scores_p = scores;
    return STATUS_OK;
}

void score_lines_destroy(struct score_lines *scores)
{
    if (!scores) return;
    lines_close(scores->reference);
    measure_work_destroy(scores->work);
    for (int i = 0; i < WAYS; i++) {
        intervals_release(&scores->way[i].intervals);
        for (int n = 0; n < KINDS; n++) distinct_release(&scores->way[i].distinct[n]);
    }
    free(scores);
}

static enum status add_to_way(struct way *way, struct measure_work *work, struct text line,
                              const struct text *references, int count)
{
    struct written_counts counts = {0};
    TRY(written_add(work, &way->measures, line, references, count, &counts));
    for (int n = 0; n < KINDS; n++) TRY(distinct_add(&way->distinct[n], line));
    counts_add(&way->all, &counts, sizeof counts);
    return intervals_keep(&way->intervals, &counts, sizeof counts);
}

static enum status add(struct score_lines *s, struct text line, const struct text *references,
                       int count)
{
    s->there++;
    for (int i = 0; i < count; i++)
        unicode_count_letters((const uint8_t *)references[i].at, references[i].bytes, &s->letters);
    for (int i = 0; i < s->ways; i++) TRY(add_to_way(&s->way[i], s->work, line, references, count));
    return STATUS_OK;
}

static enum status add_next(struct score_lines *s, struct text line)
{
    struct line reference;
    bool more;
    TRY(lines_next(s->reference, &reference, &more));
    if (!more) return STATUS_OK;
    return add(s, line, &(struct text){reference.text, reference.bytes}, 1);
}

static void keep_error(struct score_lines *s, enum status status)
{
    s->status = status;
    if (!status) return;
    error_copy(s->message, sizeof s->message);
    error_clear();
}

void score_lines_add(struct score_lines *s, struct text line)
{
    s->count++;
    if (!s->status && s->there + 1 >= s->count) keep_error(s, add_next(s, line));
}

void score_lines_add_against(struct score_lines *s, struct text line, const struct text *references,
                             int count)
{
    s->count++;
    if (!s->status) keep_error(s, add(s, line, references, count));
}

// ---- intervals of summed counts ----
struct rouge_of {
    enum rouge_type type;
};
static double rouge_f1(const void *context, const void *counts)
{
    const struct rouge_of *of = context;
    return rouge_score(&((const struct written_counts *)counts)->rouge).f1[of->type];
}
static double bleu_of(const void *context, const void *counts)
{
    const struct written_options *measures = context;
    return bleu_score(&measures->bleu, &((const struct written_counts *)counts)->bleu).score;
}
static double chrf_of(const void *context, const void *counts)
{
    const struct written_options *measures = context;
    return chrf_score(&measures->chrf, &((const struct written_counts *)counts)->chrf);
}

// Adds `name`, and where intervals are wanted name_low and name_high; or says the interval in `text`.
static enum status with_interval(const struct way *way, bootstrap_score score, const void *context,
                                 int decimals, const char *name, json_t *object,
                                 char text[INTERVAL_TEXT])
{
    struct interval interval;
    char key[32];
    TRY(intervals_say(&way->intervals, score, context, decimals, text, &interval));
    if (!object) return STATUS_OK;
    json_object_set_new(object, name, json_real(score(context, &way->all)));
    if (!way->intervals.examples) return STATUS_OK;
    snprintf(key, sizeof key, "%s_low", name);
    json_object_set_new(object, key, json_real(interval.low));
    snprintf(key, sizeof key, "%s_high", name);
    json_object_set_new(object, key, json_real(interval.high));
    return STATUS_OK;
}

// ---- what is said at the end ----
static enum status say_rouge(const struct way *way, json_t *object)
{
    struct rouge_score score = rouge_score(&way->all.rouge);
    const char *by = way->measures.rouge_options.characters ? "characters" : "words";
    bool stem = way->measures.rouge_options.stem;
    if (object) {
        json_object_set_new(object, "rouge_by", json_string(by));
        json_object_set_new(object, "rouge_stem", json_boolean(stem));
    }
    for (int i = 0; i < ROUGE_TYPES; i++) {
        const struct rouge_of of = {(enum rouge_type)i};
        char interval[INTERVAL_TEXT];
        TRY(with_interval(way, rouge_f1, &of, 4, rouge_names[i], object, interval));
        if (!object)
            TRY(output_measure("%-9s by:%s|stem:%s = %.4f%s (precision %.4f, recall %.4f)",
                               rouge_names[i], by, stem ? "yes" : "no", score.f1[i], interval,
                               score.precision[i], score.recall[i]));
    }
    return STATUS_OK;
}

static enum status say_bleu(const struct way *way, json_t *object)
{
    const struct written_options *o = &way->measures;
    struct bleu_score bleu = bleu_score(&o->bleu, &way->all.bleu);
    char bleu_text[160], chrf_text[160], bleu_interval[INTERVAL_TEXT], chrf_interval[INTERVAL_TEXT];
    bleu_signature(&o->bleu, 1, bleu_text);
    chrf_signature(&o->chrf, 1, chrf_text);
    TRY(with_interval(way, bleu_of, o, 2, "bleu", object, bleu_interval));
    TRY(with_interval(way, chrf_of, o, 2, "chrf", object, chrf_interval));
    if (object) {
        json_object_set_new(object, "bleu_signature", json_string(bleu_text));
        json_object_set_new(object, "brevity_penalty", json_real(bleu.brevity_penalty));
        json_object_set_new(object, "chrf_signature", json_string(chrf_text));
        return STATUS_OK;
    }
    TRY(output_measure("BLEU %s = %.2f%s (%.1f/%.1f/%.1f/%.1f, brevity penalty %.3f)", bleu_text,
                       bleu.score, bleu_interval, bleu.precision[0], bleu.precision[1],
                       bleu.precision[2], bleu.precision[3], bleu.brevity_penalty));
    return output_measure("%s %s = %.2f%s", o->chrf.words ? "chrF++" : "chrF", chrf_text,
                          chrf_score(&o->chrf, &way->all.chrf), chrf_interval);
}

static enum status say(const struct way *way, json_t *object)
{
    double one = distinct_score(&way->distinct[0]), two = distinct_score(&way->distinct[1]);
    if (way->measures.bleu_chrf) TRY(say_bleu(way, object));
    if (way->measures.rouge) TRY(say_rouge(way, object));
    if (object) {
        json_object_set_new(object, "distinct1", json_real(one));
        json_object_set_new(object, "distinct2", json_real(two));
    } else
        return output_measure("distinct-1 %.4f, distinct-2 %.4f", one, two);
    return STATUS_OK;
}

enum status score_lines_print(struct score_lines *s, const char *input, bool json)
{
    struct line line;
    bool more = false;
    if (s->status) return error_adopt(s->status, s->message);
    if (s->there < s->count)
        FAIL(STATUS_INPUT, "%s has %lld lines, but the input has %lld; a line stands for each",
             s->options.reference, (long long)s->there, (long long)s->count);
    if (s->reference) TRY(lines_next(s->reference, &line, &more));
    if (more)
        FAIL(STATUS_INPUT, "%s has more lines than the input's %lld; a line stands for each",
             s->options.reference, (long long)s->count);
    if (s->count == 0) FAIL(STATUS_INPUT, "%s has no rows to measure", input);
    if (!json) return say(way_of(s), NULL);
    json_t *object = json_pack("{s:I}", "lines", (json_int_t)s->count);
    if (!object) FAIL(STATUS_MEMORY, "not enough memory for the measures");
    enum status status = say(way_of(s), object);
    if (!status) return output_json(object);
    json_decref(object);
    return status;
}
