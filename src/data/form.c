// SPDX-License-Identifier: Apache-2.0
#include "data/form.h"

#include <string.h>
#include <xxhash.h>

static int64_t ngrams(const struct form *form, int64_t n)
{
    int64_t count = 0;
    for (int64_t k = 2; k <= form->order; k++) count += n >= k ? n - k + 1 : 0;
    return count;
}

static int64_t one_length(const struct form *form, int64_t n) { return n + ngrams(form, n); }

int64_t form_length(const struct form *form, int64_t n, int64_t second)
{
    int64_t length = form->first + one_length(form, n);
    if (second >= 0) length += 1 + one_length(form, second);
    return length ? length : 1;
}

int64_t form_longest(const struct form *form, int64_t context)
{
    int64_t n = context;
    while (n > 0 && form_length(form, n, -1) > context) n--;
    return n;
}

int64_t form_longest_pair(const struct form *form, int64_t context)
{
    int64_t n = context / 2;
    while (n >= 0 && form_length(form, n, n) > context) n--;
    return n;
}

void form_sentence(const struct form *form, int64_t number, int64_t count, int64_t length,
                   int32_t marks[SENTENCE_MARKS])
{
    const int64_t last = SENTENCE_PLACES - 1;
    int64_t from_end = count - 1 - number, bucket = 0;
    // Each border is a quarter above the one before: 1, 2, …, 8, 10, 12, 15, 18, 22, 27, …
    for (int64_t border = 1; border <= length && bucket < SENTENCE_LENGTHS - 1; bucket++)
        border += border < 8 ? 1 : border / 4;
    int32_t base = form->size + SPECIALS;
    marks[0] = base + (int32_t)(number < last ? number : last);
    marks[1] = base + SENTENCE_PLACES + (int32_t)(from_end < last ? from_end : last);
    marks[2] = base + 2 * SENTENCE_PLACES + (int32_t)(SENTENCE_PLACES * number / count);
    marks[3] = base + 3 * SENTENCE_PLACES + (int32_t)bucket;
}

// The first id of n-grams.
static int32_t ngram_base(const struct form *form)
{
    return form->size + SPECIALS + (form->sentence ? SENTENCE_MARK_IDS : 0);
}

static int64_t write_text(const struct form *form, const struct form_text *text, int number,
                          const struct form_change *change, int32_t *tokens)
{
    int64_t n = text->count, count, marks = form->sentence ? SENTENCE_MARKS : 0;
    if (n > 0) memcpy(tokens, text->ids, (size_t)n * sizeof *tokens);
    if (change && n > marks)
        n = marks + augment(change->augmentation, change->epoch, change->example, number,
                            tokens + marks, n - marks);
    count = n;
    for (int64_t k = 2; k <= form->order; k++)
        for (int64_t i = 0; i + k <= n; i++) {
            uint32_t hash = XXH32(tokens + i, (size_t)k * sizeof *tokens, (uint32_t)k);
            tokens[count++] = ngram_base(form) + (int32_t)(hash % (uint32_t)form->hash);
        }
    return count;
}

// Without memory of its own: a micro-batch is filled in every step. Source: Shell 1959.
static void sort(int32_t *tokens, int64_t n)
{
    for (int64_t gap = n / 2; gap > 0; gap /= 2)
        for (int64_t i = gap; i < n; i++) {
            int32_t token = tokens[i];
            int64_t j = i;
            for (; j >= gap && tokens[j - gap] > token; j -= gap) tokens[j] = tokens[j - gap];
            tokens[j] = token;
        }
}

static int64_t leave_once(int32_t *tokens, int64_t n)
{
    int64_t kept = 0;
    sort(tokens, n);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || tokens[i] != tokens[i - 1]) tokens[kept++] = tokens[i];
    return kept;
}

int64_t form_write(const struct form *form, const struct form_text text[2],
                   const struct form_change *change, int32_t *tokens)
{
    int64_t count = 0;
    int32_t mark = special_id(form->size, SPECIAL_FIRST);
    if (form->first) tokens[count++] = mark;
    count += write_text(form, &text[0], 0, change, tokens + count);
    if (text[1].count >= 0) {
        tokens[count++] = mark;
        count += write_text(form, &text[1], 1, change, tokens + count);
    }
    if (count == 0) tokens[count++] = special_id(form->size, SPECIAL_END);
    return form->once ? leave_once(tokens, count) : count;
}

int64_t form_vocabulary(const struct form *form)
{
    return ngram_base(form) + (form->order > 1 ? form->hash : 0);
}
