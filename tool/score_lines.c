// SPDX-License-Identifier: Apache-2.0
#include "score_lines.h"

#include "base/memory.h"
#include "data/lines.h"
#include "output.h"
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>

struct score_lines {
    struct score_options options;
    struct lines *reference;
    struct measure_work *work;
    int64_t count, there; // lines that came, and of them those that the file had
    enum status status;   // the first failure
    char message[1024];
    struct bleu_counts bleu;
    struct chrf_counts chrf;
    struct rouge_counts rouge;
};

enum status score_lines_create(const struct score_options *options, struct score_lines **scores_p)
{
    struct score_lines *scores;
    TRY(memory_allocate(1, sizeof *scores, "measures", &scores));
    scores->options = *options;
    enum status status = lines_open(options->reference, false, &scores->reference);
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
    free(scores);
}

static enum status add(struct score_lines *s, struct text line)
{
    struct line reference;
    bool more;
    TRY(lines_next(s->reference, &reference, &more));
    if (!more) return STATUS_OK;
    s->there++;
    const struct text wanted = {reference.text, reference.bytes};
    if (s->options.rouge)
        return rouge_add(s->work, &s->options.rouge_options, line, &wanted, 1, &s->rouge);
    TRY(bleu_add(s->work, &s->options.bleu, line, &wanted, 1, &s->bleu));
    return chrf_add(s->work, &s->options.chrf, line, &wanted, 1, &s->chrf);
}

void score_lines_add(struct score_lines *s, struct text line)
{
    s->count++;
    if (s->status || s->there + 1 < s->count) return;
    s->status = add(s, line);
    if (!s->status) return;
    snprintf(s->message, sizeof s->message, "%s", error_message());
    error_clear();
}

static enum status print_rouge(const struct score_lines *s, bool json)
{
    struct rouge_score score = rouge_score(&s->rouge);
    const char *by = s->options.rouge_options.characters ? "characters" : "words";
    bool stem = s->options.rouge_options.stem;
    if (!json) {
        for (int i = 0; i < ROUGE_TYPES; i++)
            terminal_say("%-9s by:%s|stem:%s = %.4f (precision %.4f, recall %.4f)", rouge_names[i],
                         by, stem ? "yes" : "no", score.f1[i], score.precision[i], score.recall[i]);
        return STATUS_OK;
    }
    json_t *object = json_pack("{s:I, s:s, s:b}", "lines", (json_int_t)s->count, "rouge_by", by,
                               "rouge_stem", stem);
    for (int i = 0; object && i < ROUGE_TYPES; i++)
        json_object_set_new(object, rouge_names[i], json_real(score.f1[i]));
    return output_json(object);
}

static enum status print_bleu(const struct score_lines *s, bool json)
{
    struct bleu_score bleu = bleu_score(&s->options.bleu, &s->bleu);
    double chrf = chrf_score(&s->options.chrf, &s->chrf);
    char bleu_text[160], chrf_text[160];
    bleu_signature(&s->options.bleu, 1, bleu_text);
    chrf_signature(&s->options.chrf, 1, chrf_text);
    if (json)
        return output_json(json_pack("{s:I, s:f, s:s, s:f, s:f, s:s}", "lines",
                                     (json_int_t)s->count, "bleu", bleu.score, "bleu_signature",
                                     bleu_text, "brevity_penalty", bleu.brevity_penalty, "chrf",
                                     chrf, "chrf_signature", chrf_text));
    terminal_say("BLEU %s = %.2f (%.1f/%.1f/%.1f/%.1f, brevity penalty %.3f)", bleu_text,
                 bleu.score, bleu.precision[0], bleu.precision[1], bleu.precision[2],
                 bleu.precision[3], bleu.brevity_penalty);
    terminal_say("chrF %s = %.2f", chrf_text, chrf);
    return STATUS_OK;
}

enum status score_lines_print(struct score_lines *s, bool json)
{
    struct line line;
    bool more = false;
    if (s->status) return error_adopt(s->status, s->message);
    if (s->there < s->count)
        FAIL(STATUS_INPUT, "%s has %lld lines, but the input has %lld; a line stands for each",
             s->options.reference, (long long)s->there, (long long)s->count);
    TRY(lines_next(s->reference, &line, &more));
    if (more)
        FAIL(STATUS_INPUT, "%s has more lines than the input's %lld; a line stands for each",
             s->options.reference, (long long)s->count);
    return s->options.rouge ? print_rouge(s, json) : print_bleu(s, json);
}
