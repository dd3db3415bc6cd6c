// SPDX-License-Identifier: Apache-2.0
#include "data/best_answer.h"

#include "base/stable_math.h"

#include <string.h>

bool answer_goal_find(const char *word, enum answer_goal *goal_p)
{
    if (strcmp(word, "exact") != 0 && strcmp(word, "f1") != 0) return false;
    *goal_p = *word == 'e' ? ANSWER_EXACT : ANSWER_F1;
    return true;
}

// The context's part of the scores [places, 2].
struct places {
    const float *scores;
    int64_t count, longest;
};

static struct answer_span most_likely(const struct places *p)
{
    struct answer_span best = {-1, -1, 0};
    for (int64_t i = 0; i < p->count; i++)
        for (int64_t j = i; j < p->count && j < i + p->longest; j++) {
            float score = p->scores[2 * i] + p->scores[2 * j + 1];
            if (best.first < 0 || score > best.score)
                best = (struct answer_span){(int32_t)i, (int32_t)j, score};
        }
    return best;
}

// ---- for F1 ----
enum { ARRAYS = 3 };
struct odds {
    double *first, *last; // how likely a place is, over the likeliest
    double *worth;        // what a place adds to the answer it stands in
};

size_t answer_scratch(const struct answer_choice *choice, int64_t tokens)
{
    return choice->goal == ANSWER_F1 ? ARRAYS * (size_t)tokens : 0;
}

static void read_odds(const struct places *p, int which, double *odds)
{
    float most = p->scores[which];
    for (int64_t i = 1; i < p->count; i++)
        if (p->scores[2 * i + which] > most) most = p->scores[2 * i + which];
    for (int64_t i = 0; i < p->count; i++)
        odds[i] = stable_exp((double)p->scores[2 * i + which] - (double)most);
}

// In an answer of n tokens: F1 with a right one of m tokens is 2 / (n + m) for each that both have. A piece adds that at its
// first token and takes it away behind its last; the sums of these are what the places are worth.
static void weigh(const struct places *p, int64_t n, const struct odds *odds)
{
    double sum = 0;
    memset(odds->worth, 0, (size_t)p->count * sizeof *odds->worth);
    for (int64_t i = 0; i < p->count; i++)
        for (int64_t j = i; j < p->count && j < i + p->longest; j++) {
            double share = odds->first[i] * odds->last[j] * 2 / (double)(n + j - i + 1);
            odds->worth[i] += share;
            if (j + 1 < p->count) odds->worth[j + 1] -= share;
        }
    for (int64_t i = 0; i < p->count; i++) {
        sum += odds->worth[i];
        odds->worth[i] = sum;
    }
}

// Of equally good ones the shortest, then the first of the text. `best` stays where no odds are known (scores that are no numbers, or
// too far apart).
static struct answer_span most_shared(const struct places *p, const struct odds *odds,
                                      struct answer_span best)
{
    double most = 0;
    for (int64_t n = 1; n <= p->longest && n <= p->count; n++) {
        double gain = 0;
        weigh(p, n, odds);
        for (int64_t j = 0; j < p->count; j++) {
            gain += odds->worth[j];
            if (j >= n) gain -= odds->worth[j - n];
            if (j < n - 1 || !(gain > most)) continue;
            most = gain;
            best.first = (int32_t)(j - n + 1), best.last = (int32_t)j;
        }
    }
    return best;
}

struct answer_span answers_best(const struct examples *windows, int64_t window, const float *scores,
                                const struct answer_choice *choice, double *scratch)
{
    int64_t base = answers_base(windows, window);
    struct places p = {scores + 2 * base, 0, choice->longest};
    (void)example_text(windows, window, 1, &p.count);
    if (p.count == 0) return (struct answer_span){0, 0, -scores[0] - scores[1]};
    struct answer_span best = most_likely(&p);
    if (choice->goal == ANSWER_F1) {
        const struct odds odds = {scratch, scratch + p.count, scratch + 2 * p.count};
        read_odds(&p, 0, scratch);
        read_odds(&p, 1, scratch + p.count);
        best = most_shared(&p, &odds, best);
    }
    best.first += (int32_t)base, best.last += (int32_t)base;
    best.score -= scores[0] + scores[1];
    return best;
}
