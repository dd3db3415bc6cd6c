// SPDX-License-Identifier: Apache-2.0
#include "infer/sampling.h"

#include "base/philox.h"
#include "base/stable_math.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum status sampler_create(int64_t size, struct sampler *sampler_p)
{
    struct sampler sampler = {.size = size};
    TRY(memory_allocate((size_t)size, 2 * sizeof *sampler.all, "sampling", &sampler.all));
    enum status status = memory_allocate((size_t)size, 1, "sampling", &sampler.seen);
    if (status) {
        free(sampler.all);
        return status;
    }
    sampler.heap = sampler.all + size;
    *sampler_p = sampler;
    return STATUS_OK;
}

void sampler_release(struct sampler *sampler)
{
    free(sampler->all);
    free(sampler->seen);
    *sampler = (struct sampler){0};
}

void sampler_start(struct sampler *sampler) { memset(sampler->seen, 0, (size_t)sampler->size); }

void sampler_see(struct sampler *sampler, int32_t id)
{
    INVARIANT(id >= 0 && id < sampler->size, "id %d of %lld", id, (long long)sampler->size);
    sampler->seen[id] = 1;
}

// ---- a heap with the likeliest candidate on top ----

static bool is_likelier(struct candidate a, struct candidate b)
{
    return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
}

static void sink(struct candidate *heap, int64_t size, int64_t i)
{
    struct candidate moving = heap[i];
    for (int64_t child; (child = 2 * i + 1) < size; i = child) {
        if (child + 1 < size && is_likelier(heap[child + 1], heap[child])) child++;
        if (!is_likelier(heap[child], moving)) break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

// Swaps the top with the last one and shortens the heap: what was taken stands behind the heap, the likeliest last.
static struct candidate take_top(struct candidate *heap, int64_t *size)
{
    struct candidate top = heap[0];
    heap[0] = heap[--*size];
    heap[*size] = top;
    if (*size > 0) sink(heap, *size, 0);
    return top;
}

// The least likely candidate that top-k and top-p keep. `total` is the weight of all.
static struct candidate last_kept(struct candidate *heap, int64_t size,
                                  const struct generate_options *options, double total)
{
    int64_t left = size, kept = size;
    for (int64_t i = size / 2; i-- > 0;) sink(heap, size, i);
    if (options->top_k > 0 && options->top_k < size) {
        kept = options->top_k;
        total = 0;
        for (int64_t i = 0; i < kept; i++) total += take_top(heap, &left).weight;
    }
    // The smallest set whose weight reaches the share top_p of the total. Taken ones are not taken again.
    double sum = 0;
    for (int64_t i = 0; i < kept; i++) {
        struct candidate next = size - i > left ? heap[size - 1 - i] : take_top(heap, &left);
        sum += next.weight;
        if (i == kept - 1 || (options->top_p < 1 && sum >= options->top_p * total)) return next;
    }
    return heap[0]; // not reached: kept >= 1
}

// ---- the choice ----

static enum status penalise(struct sampler *sampler, double penalty, float *logits)
{
    for (int64_t i = 0; i < sampler->size; i++) {
        if (!isfinite(logits[i]))
            FAIL(STATUS_DIVERGED,
                 "the model gives the logit %g for id %lld: its weights are damaged or have "
                 "diverged",
                 (double)logits[i], (long long)i);
        if (sampler->seen[i] && penalty != 1) {
            double logit = (double)logits[i];
            logits[i] = (float)(logit > 0 ? logit / penalty : logit * penalty);
        }
    }
    return STATUS_OK;
}

static int32_t largest(const float *logits, int64_t size)
{
    int64_t best = 0;
    for (int64_t i = 1; i < size; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

static bool is_kept(struct candidate candidate, struct candidate last, double min_p)
{
    return candidate.weight > 0 && candidate.weight >= min_p && !is_likelier(last, candidate);
}

// Draws among those that are at least as likely as `last` and as min_p, in the order of ids.
static int32_t draw(const struct candidate *all, int64_t size, struct candidate last, double min_p,
                    double uniform)
{
    double total = 0, sum = 0;
    int32_t chosen = 0; // overwritten: the likeliest is always kept
    for (int64_t i = 0; i < size; i++)
        if (is_kept(all[i], last, min_p)) total += all[i].weight;
    for (int64_t i = 0; i < size; i++) {
        if (!is_kept(all[i], last, min_p)) continue;
        chosen = all[i].id;
        sum += all[i].weight;
        if (sum > uniform * total) break;
    }
    return chosen;
}

// Weights relative to the likeliest's, which is 1; returns their sum.
static double weigh(const float *logits, int64_t size, double temperature, struct candidate *out)
{
    double most = (double)logits[largest(logits, size)], total = 0;
    for (int64_t i = 0; i < size; i++) {
        double weight = stable_exp(((double)logits[i] - most) / temperature);
        out[i] = (struct candidate){weight, (int32_t)i};
        total += weight;
    }
    return total;
}

enum status sampler_choose(struct sampler *sampler, const struct generate_options *options,
                           int64_t token, float *logits, int32_t *id_p)
{
    int64_t size = sampler->size;
    TRY(penalise(sampler, options->repetition_penalty, logits));
    if (options->temperature == 0) {
        *id_p = largest(logits, size);
        return STATUS_OK;
    }
    double total = weigh(logits, size, options->temperature, sampler->all);
    struct candidate last = {-1, INT32_MAX}; // less likely than any
    if (options->top_k > 0 || options->top_p < 1) {
        memcpy(sampler->heap, sampler->all, (size_t)size * sizeof *sampler->heap);
        last = last_kept(sampler->heap, size, options, total);
    }
    struct philox_address at = {.seed = options->seed,
                                .stream = philox_stream(PHILOX_SAMPLE, 0),
                                .step = (uint32_t)token,
                                .sequence = (uint32_t)((uint64_t)token >> 32)};
    *id_p = draw(sampler->all, size, last, options->min_p, philox_uniform(at, 0));
    return STATUS_OK;
}
