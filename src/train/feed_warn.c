// SPDX-License-Identifier: Apache-2.0
// What rows show of a mistake, told before the first step: classes that nothing is learned of, labels that look alike, unknown words.
#include "base/log.h"
#include "base/memory.h"
#include "text/buffer.h"
#include "text/unicode.h"
#include "train/feed_examples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED = 2, SHOWN = 60 };

// ---- classes ----

// All are of data.train, so one without a row has them among those that are held out.
static enum status warn_of_classes(const struct trainer *trainer)
{
    const struct example_feed *feed = examples_of(trainer);
    const struct labels *labels = &feed->labels;
    char names[NAMED * (SHOWN + 8)] = "";
    int64_t *count;
    int32_t missing = 0;
    size_t used = 0;
    TRY(count_classes(feed, &count));
    for (int32_t i = 0; i < labels->count; i++) {
        if (count[i] || missing++ >= NAMED) continue;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s\"%.*s\"", used ? ", " : "",
                                 CUT(labels->name[i], SHOWN));
    }
    free(count);
    if (missing)
        log_warning("%s: %d of %d classes %s no row to learn from, all are held out: %s%s",
                    trainer->config.data.train, missing, labels->count,
                    missing == 1 ? "has" : "have", names, missing > NAMED ? ", …" : "");
    return STATUS_OK;
}

static int compare_bare(const void *a, const void *b)
{
    struct text x = text_bare(text_of(*(const char *const *)a)),
                y = text_bare(text_of(*(const char *const *)b));
    int order = memcmp(x.at, y.at, x.bytes < y.bytes ? x.bytes : y.bytes);
    return order ? order : (x.bytes > y.bytes) - (x.bytes < y.bytes);
}

static enum status warn_of_blanks(const struct trainer *trainer)
{
    const struct labels *labels = &examples_of(trainer)->labels;
    size_t count = (size_t)labels->count, i = 1;
    const char **name;
    TRY(memory_allocate(count, sizeof *name, "the labels", &name));
    for (size_t k = 0; k < count; k++) name[k] = labels->name[k];
    qsort(name, count, sizeof *name, compare_bare);
    while (i < count && compare_bare(&name[i - 1], &name[i])) i++;
    if (i < count)
        log_warning("%s: the labels \"%.*s\" and \"%.*s\" differ by blanks at their ends only, and "
                    "are different classes",
                    trainer->config.data.train, CUT(name[i - 1], SHOWN), CUT(name[i], SHOWN));
    free(name);
    return STATUS_OK;
}

// ---- words ----

static const struct tokenizer *tokenizer_of(const struct trainer *trainer, int text)
{
    const struct tokenizer *source = examples_of(trainer)->source_tokenizer;
    return source && text == 0 ? source : trainer->tokenizer;
}

struct words {
    int64_t all, unknown;
};

static struct words count_words(const struct trainer *trainer, const struct examples *rows,
                                int text)
{
    const struct tokenizer *tokenizer = tokenizer_of(trainer, text);
    int32_t unknown = tokenizer_unknown(tokenizer), size = tokenizer_size(tokenizer);
    struct words words = {0};
    int64_t count;
    for (int64_t i = 0; i < rows->count; i++) {
        const int32_t *ids = example_text(rows, i, text, &count);
        for (int64_t k = 0; k < count; k++) {
            words.all += ids[k] < size; // not the marks of a sentence
            words.unknown += ids[k] == unknown;
        }
    }
    return words;
}

static const char *which_of(const struct examples *rows, int text)
{
    return rows->texts == 1 ? "" : text ? ", second text" : ", first text";
}

static void warn_of_unknown(const struct trainer *trainer, int file, int text)
{
    const struct run_config *config = &trainer->config;
    const struct examples *rows = &examples_of(trainer)->read[file];
    const char *path = file ? config->data.valid : config->data.train;
    struct words words = count_words(trainer, rows, text);
    double share = words.all ? (double)words.unknown / (double)words.all : 0;
    if (share > 0.5)
        log_warning("%s%s: %.0f %% of the tokens are words that the tokenizer lacks (<unk>); a "
                    "tokenizer of such texts is wanted",
                    path, which_of(rows, text), 100 * share);
    else if (share > 0.05)
        log_info("%s%s: %.0f %% of the tokens are words that the tokenizer lacks (<unk>)", path,
                 which_of(rows, text), 100 * share);
}

static bool is_chinese(const struct tokenizer *tokenizer)
{
    struct letters letters = {0};
    for (int32_t id = 0; id < tokenizer_size(tokenizer); id++) {
        size_t bytes = 0;
        const uint8_t *piece = tokenizer_piece(tokenizer, id, &bytes);
        if (piece) unicode_count_letters(piece, bytes, &letters);
    }
    return letters.chinese > letters.latin;
}

// Chinese between spaces: a text is one word, or nearly.
static void warn_of_whole_texts(const struct trainer *trainer, int text)
{
    const struct run_config *config = &trainer->config;
    const struct example_feed *feed = examples_of(trainer);
    const struct examples *rows = &feed->read[0];
    bool source = feed->source_tokenizer && text == 0;
    const char *name = source ? config->data.source_tokenizer : config->data.tokenizer;
    if (strcmp(name, "word") != 0 || strcmp(config->data.split, "spaces") != 0) return;
    int64_t words = count_words(trainer, rows, text).all;
    if (words < 2 * rows->count && is_chinese(tokenizer_of(trainer, text)))
        log_warning("%s%s: a text is %.1f words, since Chinese has no spaces between them; "
                    "data.split: words makes each character one",
                    config->data.train, which_of(rows, text), (double)words / (double)rows->count);
}

enum status feed_warn(const struct trainer *trainer)
{
    const struct example_feed *feed = examples_of(trainer);
    if (!crew_speaks(trainer)) return STATUS_OK;
    if (feed->labels.count) TRY(warn_of_classes(trainer));
    if (feed->labels.count) TRY(warn_of_blanks(trainer));
    for (int text = 0; text < feed->read[0].texts; text++) {
        warn_of_whole_texts(trainer, text);
        for (int file = 0; file < 2; file++) warn_of_unknown(trainer, file, text);
    }
    return STATUS_OK;
}
