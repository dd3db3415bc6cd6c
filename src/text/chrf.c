// SPDX-License-Identifier: Apache-2.0
#include "text/chrf.h"

#include "text/unicode.h"

#include <stdio.h>
#include <string.h>

// ---- words, with a mark at one of their ends taken off ----
static bool is_punctuation(uint8_t byte)
{
    return byte > ' ' && byte < 0x7F &&
           !((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
             (byte >= 'a' && byte <= 'z'));
}

static enum status push_word(struct measure_work *work, const char *at, size_t bytes,
                             struct symbols *symbols)
{
    int32_t id;
    TRY(measure_intern(work, (struct text){at, bytes}, &id));
    return symbols_push(symbols, id);
}

// "(hi)" gives "(hi" and ")": the end first, and only one.
static enum status push_split(struct measure_work *work, const char *at, size_t bytes,
                              struct symbols *symbols)
{
    uint32_t code;
    bool single = (size_t)unicode_read((const uint8_t *)at, bytes, &code) == bytes;
    size_t cut = 0;
    if (!single && is_punctuation((uint8_t)at[bytes - 1]))
        cut = bytes - 1;
    else if (!single && is_punctuation((uint8_t)at[0]))
        cut = 1;
    if (cut) TRY(push_word(work, at, cut, symbols));
    return push_word(work, at + cut, bytes - cut, symbols);
}

static enum status split_words(struct measure_work *work, struct text text, struct symbols *symbols)
{
    size_t start = 0;
    for (size_t i = 0; i <= text.bytes;) {
        uint32_t code = ' ';
        size_t length = 1;
        if (i < text.bytes)
            length = (size_t)unicode_read((const uint8_t *)text.at + i, text.bytes - i, &code);
        if (unicode_is_space(code)) {
            if (i > start) TRY(push_split(work, text.at + start, i - start, symbols));
            start = i + length;
        }
        i += length;
    }
    return STATUS_OK;
}

// ---- counts ----
enum { CHARACTERS, WORDS, KINDS };

static enum status read_text(struct measure_work *work, const struct chrf_options *options,
                             struct text text, struct symbols lists[KINDS])
{
    struct buffer *lower = measure_buffer(work, 0);
    buffer_clear(lower);
    if (options->lower_case) {
        TRY(buffer_add_lower(lower, text));
        text = buffer_text(lower);
    }
    TRY(measure_characters(text, options->spaces, &lists[CHARACTERS]));
    if (options->words) TRY(split_words(work, text, &lists[WORDS]));
    return STATUS_OK;
}

static enum status compare(struct measure_work *work, const struct chrf_options *options,
                           const struct symbols hypothesis[KINDS],
                           const struct symbols reference[KINDS], struct chrf_counts *counts_p)
{
    struct chrf_counts counts = {0};
    for (int order = 0; order < CHRF_CHARACTERS + options->words; order++) {
        int kind = order < CHRF_CHARACTERS ? CHARACTERS : WORDS;
        int n = kind == CHARACTERS ? order + 1 : order + 1 - CHRF_CHARACTERS;
        counts.reference[order] = ngram_count(&reference[kind], n);
        // What no n-gram of a reference stands against does not count.
        if (counts.reference[order]) counts.hypothesis[order] = ngram_count(&hypothesis[kind], n);
        TRY(ngram_matches(work, &hypothesis[kind], &reference[kind], 1, n, &counts.matches[order]));
    }
    *counts_p = counts;
    return STATUS_OK;
}

enum status chrf_add(struct measure_work *work, const struct chrf_options *options,
                     struct text hypothesis, const struct text *references, int count,
                     struct chrf_counts *counts)
{
    struct symbols *lists;
    struct chrf_counts own, best = {0};
    double best_score = -1;
    if (count < 1) FAIL(STATUS_USAGE, "chrF needs at least one reference");
    measure_work_start(work);
    TRY(measure_lists(work, KINDS * (count + 1), &lists));
    for (int i = 0; i <= count; i++)
        TRY(read_text(work, options, i ? references[i - 1] : hypothesis,
                      lists + (ptrdiff_t)KINDS * i));
    for (int r = 1; r <= count; r++) {
        TRY(compare(work, options, lists, lists + (ptrdiff_t)KINDS * r, &own));
        double score = chrf_score(options, &own);
        if (score > best_score) {
            best_score = score;
            best = own;
        }
    }
    counts_add(counts, &best, sizeof best);
    return STATUS_OK;
}

// ---- score ----
double chrf_score(const struct chrf_options *options, const struct chrf_counts *counts)
{
    static const double tiny = 1e-16; // sacreBLEU's
    double beta = options->beta ? options->beta : 2, factor = beta * beta, sum = 0;
    double precisions = 0, recalls = 0;
    int orders = CHRF_CHARACTERS + options->words, effective = 0;
    for (int i = 0; i < orders; i++) {
        double matches = (double)counts->matches[i], hypothesis = (double)counts->hypothesis[i],
               reference = (double)counts->reference[i];
        double precision = hypothesis > 0 ? matches / hypothesis : tiny;
        double recall = reference > 0 ? matches / reference : tiny;
        double weighed = factor * precision + recall;
        sum += weighed > 0 ? (1 + factor) * precision * recall / weighed : tiny;
        if (hypothesis > 0 && reference > 0) {
            precisions += precision;
            recalls += recall;
            effective++;
        }
    }
    if (options->epsilon) return 100 * sum / orders;
    if (precisions + recalls == 0) return 0;
    precisions /= effective;
    recalls /= effective;
    return 100 * (1 + factor) * precisions * recalls / (factor * precisions + recalls);
}

void chrf_signature(const struct chrf_options *options, int references, char signature[160])
{
    snprintf(signature, 160, "nrefs:%d|case:%s|eff:%s|nc:%d|nw:%d|space:%s|version:stentor-%s",
             references, options->lower_case ? "lc" : "mixed", options->epsilon ? "no" : "yes",
             CHRF_CHARACTERS, options->words, options->spaces ? "yes" : "no", STENTOR_VERSION);
}
