// SPDX-License-Identifier: Apache-2.0
#include "data/sampler.h"

#include "base/philox.h"

enum { SHUFFLE_SHIFT = 0, SHUFFLE_WINDOWS = 1 }; // operations of PHILOX_SHUFFLE

// An epoch leaves between context - 1 and 2 context - 2 ids unused where it can, so that its windows may begin at `context`
// places or more, and their borders fall everywhere; a range too short for that has one window.
enum status sampler_init(struct sampler *sampler, const struct corpus *corpus, int64_t first,
                         int64_t last, int64_t context, uint64_t seed)
{
    INVARIANT(first >= 0 && first <= last && last <= corpus->count, "range [%lld, %lld) of %lld",
              (long long)first, (long long)last, (long long)corpus->count);
    INVARIANT(context >= 1, "context %lld", (long long)context);
    int64_t count = last - first;
    if (count < 2)
        FAIL(STATUS_INPUT,
             "the text has %s here; even a context of 1 needs 2 or more: give more text",
             count ? "1 token" : "no token");
    if (count <= context)
        FAIL(STATUS_INPUT,
             "the text has %lld tokens here; a context of %lld needs %lld or more: give more text, "
             "or set model.context to %lld or less",
             (long long)count, (long long)context, (long long)context + 1, (long long)count - 1);
    int64_t windows = (count - context) / context;
    *sampler = (struct sampler){.corpus = corpus,
                                .first = first,
                                .last = last,
                                .context = context,
                                .seed = seed,
                                .windows = windows > 1 ? windows : 1};
    return STATUS_OK;
}

enum status sampler_init_evaluation(struct sampler *sampler, const struct corpus *corpus,
                                    int64_t first, int64_t last, int64_t context)
{
    INVARIANT(first >= 0 && first <= last && last <= corpus->count, "range [%lld, %lld) of %lld",
              (long long)first, (long long)last, (long long)corpus->count);
    INVARIANT(context >= 1, "context %lld", (long long)context);
    if (last - first < 2)
        FAIL(STATUS_INPUT,
             "the text has %s here; a loss needs 2 tokens or more, each but the first is predicted",
             last > first ? "1 token" : "no token");
    *sampler = (struct sampler){.corpus = corpus, .first = first, .last = last, .context = context};
    return STATUS_OK;
}

int64_t sampler_epoch(const struct sampler *sampler, int64_t n) { return n / sampler->windows; }

// Where the first window of an epoch begins. Every place is possible, so that in time every id is used.
static int64_t shift(const struct sampler *sampler, uint32_t epoch)
{
    int64_t places = sampler->last - sampler->first - sampler->windows * sampler->context;
    struct philox_address at = {.seed = sampler->seed,
                                .stream = philox_stream(PHILOX_SHUFFLE, SHUFFLE_SHIFT),
                                .step = epoch};
    uint64_t bits = (uint64_t)philox_bits(at, 0) << 32 | philox_bits(at, 1);
    return (int64_t)(bits % (uint64_t)places);
}

void sampler_training(const struct sampler *sampler, int64_t n, int32_t *tokens, int32_t *targets)
{
    INVARIANT(n >= 0 && sampler->windows > 0, "sample %lld", (long long)n);
    uint32_t epoch = (uint32_t)sampler_epoch(sampler, n);
    int64_t window = permutation_at(sampler->seed, epoch, sampler->windows, n % sampler->windows);
    int64_t start = sampler->first + shift(sampler, epoch) + window * sampler->context;
    for (int64_t i = 0; i < sampler->context; i++) {
        tokens[i] = corpus_id(sampler->corpus, start + i);
        targets[i] = corpus_id(sampler->corpus, start + i + 1);
    }
}

int64_t sampler_evaluation_windows(const struct sampler *sampler)
{
    return (sampler->last - sampler->first - 1 + sampler->context - 1) / sampler->context;
}

void sampler_evaluation(const struct sampler *sampler, int64_t window, int32_t *tokens,
                        int32_t *targets)
{
    INVARIANT(window >= 0 && window < sampler_evaluation_windows(sampler), "window %lld",
              (long long)window);
    int64_t start = sampler->first + window * sampler->context;
    for (int64_t i = 0; i < sampler->context; i++) {
        bool inside = start + i + 1 < sampler->last;
        tokens[i] = inside ? corpus_id(sampler->corpus, start + i) : 0;
        targets[i] = inside ? corpus_id(sampler->corpus, start + i + 1) : -1;
    }
}

// ---- the permutation ----
// A Feistel network permutes 0 .. 4^half - 1, the least such range that holds n and 64 (on fewer bits a network reaches too few
// of the permutations). Walking on from a value that is n or more, until one is below n, gives a permutation of 0 .. n - 1:
// the walk stays in its cycle, which i, being below n, ends. Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains".
enum { ROUNDS = 8, LEAST_HALF = 3 };

static uint64_t feistel(uint64_t seed, uint32_t epoch, int half, uint64_t value)
{
    const uint64_t mask = (1ull << half) - 1;
    uint64_t left = value >> half, right = value & mask;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t counter[4] = {(uint32_t)right, philox_stream(PHILOX_SHUFFLE, SHUFFLE_WINDOWS),
                               round, epoch};
        philox4x32(counter, seed);
        uint64_t next = (left ^ counter[0]) & mask;
        left = right;
        right = next;
    }
    return left << half | right;
}

int64_t permutation_at(uint64_t seed, uint32_t epoch, int64_t n, int64_t i)
{
    INVARIANT(i >= 0 && i < n, "element %lld of %lld", (long long)i, (long long)n);
    int half = LEAST_HALF;
    while (half < 32 && n > 1ll << (2 * half)) half++; // 64 bits of domain hold any n
    uint64_t value = (uint64_t)i;
    do value = feistel(seed, epoch, half, value);
    while (value >= (uint64_t)n);
    return (int64_t)value;
}
