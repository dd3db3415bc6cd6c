// SPDX-License-Identifier: Apache-2.0
#include "text/rouge.h"

#include "base/memory.h"
#include "text/stemmer.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

const char *const rouge_names[ROUGE_TYPES] = {"rouge1", "rouge2", "rougeL", "rougeLsum"};

// ---- words ----
enum {
    WORDS,
    ENDS,
    KINDS
}; // a text's lists: its words; for each line, how many words have come by its end

static bool is_word_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

static enum status push(struct measure_work *work, const char *at, size_t bytes,
                        struct symbols *words)
{
    int32_t id;
    TRY(measure_intern(work, (struct text){at, bytes}, &id));
    return symbols_push(words, id);
}

static enum status add_words(struct measure_work *work, const struct rouge_options *options,
                             char *line, size_t bytes, struct symbols *words)
{
    for (size_t i = 0; i < bytes; i++) {
        size_t start = i;
        while (i < bytes && is_word_byte(line[i])) i++;
        size_t length = i - start;
        if (length > 3 && options->stem) length = porter_stem(line + start, length);
        if (length) TRY(push(work, line + start, length, words));
    }
    return STATUS_OK;
}

static enum status add_characters(struct measure_work *work, const char *line, size_t bytes,
                                  struct symbols *words)
{
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        size_t length = (size_t)unicode_read((const uint8_t *)line + i, bytes - i, &code);
        if (!unicode_is_space(code)) TRY(push(work, line + i, length, words));
        i += length;
    }
    return STATUS_OK;
}

static enum status read_text(struct measure_work *work, const struct rouge_options *options,
                             struct text text, struct symbols lists[KINDS])
{
    struct buffer *lower = measure_buffer(work, 0);
    buffer_clear(lower);
    TRY(buffer_add_lower(lower, text));
    for (size_t i = 0; i < lower->bytes; i++) {
        char *line = lower->at + i, *end = memchr(line, '\n', lower->bytes - i);
        size_t bytes = end ? (size_t)(end - line) : lower->bytes - i;
        if (options->characters)
            TRY(add_characters(work, line, bytes, &lists[WORDS]));
        else
            TRY(add_words(work, options, line, bytes, &lists[WORDS]));
        TRY(symbols_push(&lists[ENDS], (int32_t)lists[WORDS].count));
        i += bytes;
    }
    return STATUS_OK;
}

// ---- longest common subsequences ----
// The table's last row but one and last, and for reading the way back, whether the left neighbour is above the upper.
struct subsequence {
    int32_t *row;  // [columns + 1]
    uint8_t *left; // [rows][columns]; NULL where only the length is wanted
    int64_t rows, columns;
};

static enum status subsequence_create(int64_t rows, int64_t columns, bool way,
                                      struct subsequence *table_p)
{
    struct subsequence table = {.rows = rows, .columns = columns};
    TRY(memory_allocate((size_t)columns + 1, sizeof *table.row, "a row of lengths", &table.row));
    enum status status = STATUS_OK;
    if (way)
        status =
            memory_allocate((size_t)rows, (size_t)columns, "a table of subsequences", &table.left);
    if (status) goto free_row;
    *table_p = table;
    return STATUS_OK;
free_row:
    free(table.row);
    return status;
}

static void subsequence_release(struct subsequence *table)
{
    free(table->row);
    free(table->left);
}

static int32_t subsequence_fill(struct subsequence *table, const int32_t *reference,
                                const int32_t *hypothesis)
{
    int32_t *row = table->row;
    memset(row, 0, ((size_t)table->columns + 1) * sizeof *row);
    for (int64_t i = 0; i < table->rows; i++) {
        int32_t corner = 0; // the upper left neighbour
        for (int64_t j = 0; j < table->columns; j++) {
            int32_t up = row[j + 1], left = row[j];
            if (table->left) table->left[i * table->columns + j] = left > up;
            row[j + 1] = reference[i] == hypothesis[j] ? corner + 1 : left > up ? left : up;
            corner = up;
        }
    }
    return row[table->columns];
}

// Marks the words of the reference that are in the subsequence that rouge_score's way back finds.
static void subsequence_mark(const struct subsequence *table, const int32_t *reference,
                             const int32_t *hypothesis, uint8_t *marked)
{
    int64_t i = table->rows, j = table->columns;
    while (i > 0 && j > 0) {
        if (reference[i - 1] == hypothesis[j - 1]) {
            marked[--i] = 1;
            j--;
        } else if (table->left[(i - 1) * table->columns + j - 1]) {
            j--;
        } else {
            i--;
        }
    }
}

static enum status common_length(const struct symbols *reference, const struct symbols *hypothesis,
                                 int64_t *length_p)
{
    struct subsequence table;
    TRY(subsequence_create(reference->count, hypothesis->count, false, &table));
    *length_p = subsequence_fill(&table, reference->ids, hypothesis->ids);
    subsequence_release(&table);
    return STATUS_OK;
}

// ---- Lsum ----
// Marks, in all of the reference, the union over the hypothesis' lines.
static enum status mark_union(const struct symbols reference[KINDS],
                              const struct symbols hypothesis[KINDS], uint8_t *marked)
{
    for (int64_t r = 0; r < reference[ENDS].count; r++) {
        int64_t first = r ? reference[ENDS].ids[r - 1] : 0, rows = reference[ENDS].ids[r] - first;
        for (int64_t h = 0; h < hypothesis[ENDS].count; h++) {
            int64_t start = h ? hypothesis[ENDS].ids[h - 1] : 0;
            struct subsequence table;
            TRY(subsequence_create(rows, hypothesis[ENDS].ids[h] - start, true, &table));
            const int32_t *one = reference[WORDS].ids + first, *two = hypothesis[WORDS].ids + start;
            if (rows && table.columns) {
                subsequence_fill(&table, one, two);
                subsequence_mark(&table, one, two, marked + first);
            }
            subsequence_release(&table);
        }
    }
    return STATUS_OK;
}

static int32_t largest(const struct symbols *words, int32_t most)
{
    for (int64_t i = 0; i < words->count; i++)
        if (words->ids[i] > most) most = words->ids[i];
    return most;
}

// A marked word hits as long as the hypothesis has one of its kind left.
static enum status count_hits(const struct symbols reference[KINDS],
                              const struct symbols hypothesis[KINDS], const uint8_t *marked,
                              int64_t *hits_p)
{
    int32_t *left, most = largest(&hypothesis[WORDS], largest(&reference[WORDS], 0));
    int64_t hits = 0;
    TRY(memory_allocate((size_t)most + 1, sizeof *left, "counts of words", &left));
    for (int64_t i = 0; i < hypothesis[WORDS].count; i++) left[hypothesis[WORDS].ids[i]]++;
    for (int64_t i = 0; i < reference[WORDS].count; i++)
        if (marked[i] && left[reference[WORDS].ids[i]] > 0) {
            left[reference[WORDS].ids[i]]--;
            hits++;
        }
    free(left);
    *hits_p = hits;
    return STATUS_OK;
}

static enum status union_hits(const struct symbols reference[KINDS],
                              const struct symbols hypothesis[KINDS], int64_t *hits_p)
{
    uint8_t *marked;
    TRY(memory_allocate((size_t)reference[WORDS].count, 1, "marks of words", &marked));
    enum status status = mark_union(reference, hypothesis, marked);
    if (!status) status = count_hits(reference, hypothesis, marked, hits_p);
    free(marked);
    return status;
}

// ---- an example ----
struct shares {
    double precision, recall, f1;
};

static struct shares shares_of(int64_t hits, int64_t hypothesis, int64_t reference)
{
    struct shares shares = {hypothesis ? (double)hits / (double)hypothesis : 0,
                            reference ? (double)hits / (double)reference : 0, 0};
    shares.f1 = f1_of(shares.precision, shares.recall);
    return shares;
}

static enum status compare(struct measure_work *work, const struct symbols hypothesis[KINDS],
                           const struct symbols reference[KINDS],
                           struct shares shares_p[ROUGE_TYPES])
{
    const struct symbols *one = &hypothesis[WORDS], *two = &reference[WORDS];
    int64_t hits[ROUGE_TYPES] = {0};
    for (int n = 1; n <= 2; n++) TRY(ngram_matches(work, one, two, 1, n, &hits[n - 1]));
    if (one->count && two->count) {
        TRY(common_length(two, one, &hits[ROUGE_L]));
        TRY(union_hits(reference, hypothesis, &hits[ROUGE_LSUM]));
    }
    for (int type = 0; type < ROUGE_TYPES; type++) {
        int n = type == ROUGE_2 ? 2 : 1;
        shares_p[type] = shares_of(hits[type], ngram_count(one, n), ngram_count(two, n));
    }
    return STATUS_OK;
}

enum status rouge_add(struct measure_work *work, const struct rouge_options *options,
                      struct text hypothesis, const struct text *references, int count,
                      struct rouge_counts *counts)
{
    struct symbols *lists;
    struct shares best[ROUGE_TYPES] = {{0}}, own[ROUGE_TYPES];
    if (count < 1) FAIL(STATUS_USAGE, "ROUGE needs at least one reference");
    measure_work_start(work);
    TRY(measure_lists(work, KINDS * (count + 1), &lists));
    for (int i = 0; i <= count; i++)
        TRY(read_text(work, options, i ? references[i - 1] : hypothesis,
                      lists + (ptrdiff_t)KINDS * i));
    for (int r = 1; r <= count; r++) {
        TRY(compare(work, lists, lists + (ptrdiff_t)KINDS * r, own));
        for (int type = 0; type < ROUGE_TYPES; type++)
            if (own[type].f1 > best[type].f1) best[type] = own[type];
    }
    counts->examples++;
    for (int type = 0; type < ROUGE_TYPES; type++) {
        counts->precision[type] += share_fixed(best[type].precision);
        counts->recall[type] += share_fixed(best[type].recall);
        counts->f1[type] += share_fixed(best[type].f1);
    }
    return STATUS_OK;
}

struct rouge_score rouge_score(const struct rouge_counts *counts)
{
    struct rouge_score score;
    for (int type = 0; type < ROUGE_TYPES; type++) {
        score.precision[type] = share_mean(counts->precision[type], counts->examples);
        score.recall[type] = share_mean(counts->recall[type], counts->examples);
        score.f1[type] = share_mean(counts->f1[type], counts->examples);
    }
    return score;
}
