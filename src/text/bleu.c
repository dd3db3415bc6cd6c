// SPDX-License-Identifier: Apache-2.0
// BLEU. The tokenizers go by their published rules in their published order, byte by byte where a rule speaks of ASCII only.
#include "text/bleu.h"

#include "text/unicode.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- tokenizers ----
static bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
static bool is_stop(char byte) { return byte == '.' || byte == ','; }

// ASCII marks that stand alone: all but ' , - . (mteval-v13a's first rule).
static bool is_mark(char byte)
{
    return (byte >= '{' && byte <= '~') || (byte >= '[' && byte <= '`') ||
           (byte >= ' ' && byte <= '&') || (byte >= '(' && byte <= '+') ||
           (byte >= ':' && byte <= '@') || byte == '/';
}

// mteval-v13a's four rules. A rule looks at pairs of bytes from the left and goes on behind what it has taken.
static enum status split_marks(struct text text, struct buffer *out)
{
    TRY(buffer_reserve(out, 3 * text.bytes));
    for (size_t i = 0; i < text.bytes; i++) {
        bool mark = is_mark(text.at[i]);
        if (mark) out->at[out->bytes++] = ' ';
        out->at[out->bytes++] = text.at[i];
        if (mark) out->at[out->bytes++] = ' ';
    }
    return STATUS_OK;
}

// One of the rules on pairs: the pattern "%1 %2 " (after both), " %1 %2" (before both).
static enum status split_pairs(struct text text, bool (*first)(char), bool (*second)(char),
                               bool spaced_behind, struct buffer *out)
{
    TRY(buffer_reserve(out, 2 * text.bytes));
    for (size_t i = 0; i < text.bytes; i++) {
        char one = text.at[i];
        if (i + 1 == text.bytes || !first(one) || !second(text.at[i + 1])) {
            out->at[out->bytes++] = one;
            continue;
        }
        if (!spaced_behind) out->at[out->bytes++] = ' ';
        out->at[out->bytes++] = one;
        out->at[out->bytes++] = ' ';
        out->at[out->bytes++] = text.at[++i];
        if (spaced_behind) out->at[out->bytes++] = ' ';
    }
    return STATUS_OK;
}

static bool is_no_digit(char byte) { return !is_digit(byte); }
static bool is_dash(char byte) { return byte == '-'; }

// From one buffer to the other and back; the result is in `one`.
static enum status apply_rules(struct buffer *one, struct buffer *two)
{
    buffer_clear(two);
    TRY(split_marks(buffer_text(one), two));
    buffer_clear(one);
    TRY(split_pairs(buffer_text(two), is_no_digit, is_stop, true, one));
    buffer_clear(two);
    TRY(split_pairs(buffer_text(one), is_stop, is_no_digit, false, two));
    buffer_clear(one);
    return split_pairs(buffer_text(two), is_digit, is_dash, true, one);
}

static enum status tokenize_13a(struct text text, struct buffer *one, struct buffer *two)
{
    static const char *const replaced[][2] = {{"-\n", ""},    {"\n", " "},   {"&quot;", "\""},
                                              {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
    TRY(buffer_add_replaced(one, text, "<skipped>", ""));
    for (size_t i = 0; i < sizeof replaced / sizeof *replaced; i++) {
        if (!one->bytes || !memchr(one->at, replaced[i][0][0], one->bytes)) continue;
        buffer_clear(two);
        TRY(buffer_add_replaced(two, buffer_text(one), replaced[i][0], replaced[i][1]));
        struct buffer other = *one;
        *one = *two;
        *two = other;
    }
    buffer_clear(two);
    TRY(buffer_add(two, text_of(" ")));
    TRY(buffer_add(two, buffer_text(one)));
    TRY(buffer_add(two, text_of(" ")));
    buffer_clear(one);
    TRY(buffer_add(one, buffer_text(two)));
    return apply_rules(one, two);
}

// What counts as Chinese. The third row from the top is what sacreBLEU's comparison of strings makes of its range
// U+20000 to U+2A6D6, and the fourth of U+2F800 to U+2FA1D: kept, since published figures are computed so.
static bool is_chinese(uint32_t code)
{
    static const uint32_t range[][2] = {
        {0x3400, 0x4DB5}, {0x4E00, 0x9FBB}, {0x2001, 0x2A6D}, {0x2F81, 0x2FA1}, {0xF900, 0xFA2D},
        {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9}, {0xFF00, 0xFFEF}, {0x2E80, 0x2EFF}, {0x3000, 0x303F},
        {0x31C0, 0x31EF}, {0x2F00, 0x2FDF}, {0x2FF0, 0x2FFF}, {0x3100, 0x312F}, {0x31A0, 0x31BF},
        {0xFE10, 0xFE1F}, {0xFE30, 0xFE4F}, {0x2600, 0x27BF}, {0x3200, 0x33FF}};
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (code >= range[i][0] && code <= range[i][1]) return true;
    return false;
}

// Appends the text with spaces round each character that `alone` picks (all of them: NULL).
static enum status isolate(struct text text, bool (*alone)(uint32_t), struct buffer *out)
{
    TRY(buffer_reserve(out, 3 * text.bytes));
    for (size_t i = 0; i < text.bytes;) {
        uint32_t code;
        size_t length = (size_t)unicode_read((const uint8_t *)text.at + i, text.bytes - i, &code);
        bool spaced = !alone || alone(code);
        if (spaced) out->at[out->bytes++] = ' ';
        memcpy(out->at + out->bytes, text.at + i, length);
        out->bytes += length;
        if (spaced) out->at[out->bytes++] = ' ';
        i += length;
    }
    return STATUS_OK;
}

// The text with spaces between words, in the work's buffer 0; uses the others.
static enum status segment(struct measure_work *work, const struct bleu_options *options,
                           struct text text)
{
    struct buffer *one = measure_buffer(work, 0), *two = measure_buffer(work, 1),
                  *lower = measure_buffer(work, 2);
    buffer_clear(one);
    buffer_clear(lower);
    if (options->lower_case) {
        TRY(buffer_add_lower(lower, text));
        text = buffer_text(lower);
    }
    text = text_strip_end(text);
    switch (options->tokenizer) {
    case BLEU_13A:
        return tokenize_13a(text, one, two);
    case BLEU_ZH:
        TRY(isolate(text_strip(text), is_chinese, one));
        return apply_rules(one, two);
    case BLEU_CHAR:
        return isolate(text, NULL, one);
    default:
        return buffer_add(one, text);
    }
}

enum status bleu_tokenize(struct measure_work *work, const struct bleu_options *options,
                          struct text text, struct buffer *out)
{
    measure_work_start(work);
    TRY(segment(work, options, text));
    const struct buffer *words = measure_buffer(work, 0);
    size_t start = 0, first = out->bytes;
    for (size_t i = 0; i <= words->bytes;) {
        uint32_t code = ' ';
        size_t length = 1;
        if (i < words->bytes)
            length = (size_t)unicode_read((const uint8_t *)words->at + i, words->bytes - i, &code);
        if (unicode_is_space(code)) {
            if (i > start && out->bytes > first) TRY(buffer_add(out, text_of(" ")));
            TRY(buffer_add(out, (struct text){words->at + start, i - start}));
            start = i + length;
        }
        i += length;
    }
    return STATUS_OK;
}

// ---- counts ----
static int64_t nearest_length(const struct symbols *hypothesis, const struct symbols *references,
                              int count)
{
    int64_t nearest = -1, distance = 0;
    for (int r = 0; r < count; r++) {
        int64_t length = references[r].count, away = length - hypothesis->count;
        if (away < 0) away = -away;
        if (nearest < 0 || away < distance || (away == distance && length < nearest)) {
            nearest = length;
            distance = away;
        }
    }
    return nearest;
}

enum status bleu_add(struct measure_work *work, const struct bleu_options *options,
                     struct text hypothesis, const struct text *references, int count,
                     struct bleu_counts *counts)
{
    struct symbols *lists;
    struct bleu_counts own = {0};
    if (count < 1) FAIL(STATUS_USAGE, "BLEU needs at least one reference");
    measure_work_start(work);
    TRY(measure_lists(work, count + 1, &lists));
    for (int i = 0; i <= count; i++) {
        TRY(segment(work, options, i ? references[i - 1] : hypothesis));
        TRY(measure_words(work, buffer_text(measure_buffer(work, 0)), &lists[i]));
    }
    own.hypothesis_words = lists[0].count;
    own.reference_words = nearest_length(&lists[0], lists + 1, count);
    for (int n = 0; n < BLEU_ORDERS; n++) {
        own.total[n] = ngram_count(&lists[0], n + 1);
        TRY(ngram_matches(work, &lists[0], lists + 1, count, n + 1, &own.matches[n]));
    }
    counts_add(counts, &own, sizeof own);
    return STATUS_OK;
}

// ---- score ----
static double smoothing_value(const struct bleu_options *options)
{
    if (options->smoothing_value > 0) return options->smoothing_value;
    return options->smoothing == BLEU_SMOOTH_FLOOR ? 0.1 : 1;
}

struct bleu_score bleu_score(const struct bleu_options *options, const struct bleu_counts *counts)
{
    struct bleu_score result = {.brevity_penalty = 1};
    double words = (double)counts->hypothesis_words, wanted = (double)counts->reference_words;
    if (words < wanted) result.brevity_penalty = words > 0 ? exp(1 - wanted / words) : 0;
    int64_t any = 0;
    for (int n = 0; n < BLEU_ORDERS; n++) any += counts->matches[n];
    if (any == 0) return result;
    double halved = 1, value = smoothing_value(options), logs = 0;
    int orders = BLEU_ORDERS;
    for (int n = 0; n < BLEU_ORDERS; n++) {
        bool added = options->smoothing == BLEU_SMOOTH_ADD_K && n > 0;
        double matches = (double)counts->matches[n] + (added ? value : 0);
        double total = (double)counts->total[n] + (added ? value : 0);
        if (total == 0) break;
        if (options->effective_order) orders = n + 1;
        if (matches == 0 && options->smoothing == BLEU_SMOOTH_EXP) matches = 1 / (halved *= 2);
        if (matches == 0 && options->smoothing == BLEU_SMOOTH_FLOOR) matches = value;
        result.precision[n] = 100 * matches / total;
    }
    for (int n = 0; n < orders; n++)
        logs += result.precision[n] > 0 ? log(result.precision[n]) : -9999999999;
    result.score = result.brevity_penalty * exp(logs / orders);
    return result;
}

// ---- names ----
static const char *const tokenizer_names[] = {"13a", "zh", "char", "none"};
static const char *const smoothing_names[] = {"exp", "floor", "add-k", "none"};

static bool find(const char *const names[4], const char *name, int *index_p)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0) {
            *index_p = i;
            return true;
        }
    return false;
}

bool bleu_tokenizer_find(const char *name, enum bleu_tokenizer *tokenizer_p)
{
    int index;
    bool found = find(tokenizer_names, name, &index);
    if (found) *tokenizer_p = (enum bleu_tokenizer)index;
    return found;
}

bool bleu_smoothing_find(const char *name, enum bleu_smoothing *smoothing_p)
{
    int index;
    bool found = find(smoothing_names, name, &index);
    if (found) *smoothing_p = (enum bleu_smoothing)index;
    return found;
}

void bleu_signature(const struct bleu_options *options, int references, char signature[160])
{
    char value[32] = "";
    if (options->smoothing == BLEU_SMOOTH_FLOOR || options->smoothing == BLEU_SMOOTH_ADD_K)
        snprintf(value, sizeof value, "[%.2f]", smoothing_value(options));
    snprintf(signature, 160, "nrefs:%d|case:%s|eff:%s|tok:%s|smooth:%s%s|version:stentor-%s",
             references, options->lower_case ? "lc" : "mixed",
             options->effective_order ? "yes" : "no", tokenizer_names[options->tokenizer],
             smoothing_names[options->smoothing], value, STENTOR_VERSION);
}
