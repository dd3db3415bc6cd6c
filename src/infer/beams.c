// SPDX-License-Identifier: Apache-2.0
#include "infer/beams.h"

#include "base/memory.h"
#include "base/stable_math.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum status beams_create(int64_t width, int64_t steps, double length_penalty, bool draws,
                         struct beams *beams_p)
{
    struct beams beams = {
        .width = width, .steps = steps, .length_penalty = length_penalty, .draws = draws};
    size_t n = (size_t)width, all = checked_multiply(n, (size_t)steps);
    enum status status = memory_allocate(n, sizeof *beams.sums, "beams", &beams.sums);
    if (!status) status = memory_allocate(all, sizeof *beams.tokens, "beams", &beams.tokens);
    if (!status) status = memory_allocate(all, sizeof *beams.parent, "beams", &beams.parent);
    if (!status) status = memory_allocate(n, sizeof *beams.ended, "beams", &beams.ended);
    if (!status) status = memory_allocate(2 * n, sizeof *beams.list, "beams", &beams.list);
    if (!status) status = memory_allocate(2 * n, sizeof *beams.finished, "beams", &beams.finished);
    if (status) {
        beams_release(&beams);
        return status;
    }
    *beams_p = beams;
    return STATUS_OK;
}

size_t beams_bytes(int64_t width, int64_t steps)
{
    const struct beams *one = NULL;
    size_t n = (size_t)width, lists = 2 * sizeof *one->list + 2 * sizeof *one->finished;
    return sizeof *one + n * (sizeof *one->sums + sizeof *one->ended + lists +
                              (size_t)steps * (sizeof *one->tokens + sizeof *one->parent));
}

static void drop_finished(struct beams *beams)
{
    for (int64_t i = 0; i < beams->found; i++) free(beams->finished[i].ids);
    beams->found = 0;
}

void beams_release(struct beams *beams)
{
    if (beams->finished) drop_finished(beams);
    free(beams->sums);
    free(beams->tokens);
    free(beams->parent);
    free(beams->ended);
    free(beams->list);
    free(beams->finished);
    *beams = (struct beams){0};
}

void beams_start(struct beams *beams, int64_t most)
{
    INVARIANT(most >= 0 && most < beams->steps, "%lld tokens of %lld", (long long)most,
              (long long)beams->steps);
    drop_finished(beams);
    beams->most = most;
    beams->step = beams->listed = 0;
    beams->alive = beams->draws ? beams->width : 1;
    beams->done = false;
    for (int64_t i = 0; i < beams->width; i++) {
        beams->sums[i] = 0;
        beams->ended[i] = false;
    }
}

// ---- a step ----
// Puts a continuation into its place in the list, behind those that are as likely.
static void list_add(struct beams *beams, struct continuation new)
{
    int64_t room = 2 * beams->width, at = beams->listed;
    if (at == room) at--;
    while (at > 0 && beams->list[at - 1].sum < new.sum) at--;
    int64_t moved = (beams->listed < room ? beams->listed : room - 1) - at;
    memmove(beams->list + at + 1, beams->list + at, (size_t)moved * sizeof new);
    beams->list[at] = new;
    if (beams->listed < room) beams->listed++;
}

void beams_offer(struct beams *beams, int64_t beam, const float *log_probabilities, int32_t end)
{
    double sum = beams->sums[beam];
    struct continuation *list = beams->list;
    int64_t room = 2 * beams->width;
    int32_t first = beams->step == beams->most ? end : 0;
    for (int32_t id = first; id <= end; id++) {
        double next = sum + (double)log_probabilities[id];
        // NaN fails both; minus infinity the second.
        if (beams->listed == room ? next > list[room - 1].sum : next > -HUGE_VAL)
            list_add(beams, (struct continuation){next, (int32_t)beam, id});
    }
}

void beams_offer_one(struct beams *beams, int64_t beam, int32_t id, double log_probability)
{
    // In the order of beams, whatever they are worth.
    beams->list[beams->listed++] =
        (struct continuation){beams->sums[beam] + log_probability, (int32_t)beam, id};
}

static double score_of(const struct beams *beams, double sum, int64_t length)
{
    double penalty = beams->length_penalty;
    if (penalty == 0) return sum;
    return penalty == 1 ? sum / (double)length
                        : sum / stable_exp(penalty * stable_log((double)length));
}

// What stands before the continuation, and the continuation itself unless it ends.
static enum status finish(struct beams *beams, struct continuation last, bool cut)
{
    int64_t count = beams->step, at = beams->draws ? beams->found : 0;
    struct hypothesis new = {.count = count, .log_probability = last.sum, .cut = cut};
    TRY(memory_allocate((size_t)(count ? count : 1), sizeof *new.ids, "a hypothesis", &new.ids));
    int64_t beam = last.beam;
    for (int64_t t = count; t-- > 0; beam = beams->parent[t * beams->width + beam])
        new.ids[t] = beams->tokens[t * beams->width + beam];
    new.score = score_of(beams, last.sum, count + 1);
    while (!beams->draws && at < beams->found && beams->finished[at].score >= new.score) at++;
    memmove(beams->finished + at + 1, beams->finished + at,
            (size_t)(beams->found - at) * sizeof new);
    beams->finished[at] = new;
    beams->found++;
    return STATUS_OK;
}

// A draw's beams stay where they are, also those that have ended.
static enum status advance_draws(struct beams *beams, int32_t end, int32_t *parents,
                                 int32_t *tokens)
{
    int64_t open = 0;
    for (int64_t i = 0; i < beams->width; i++) parents[i] = (int32_t)i, tokens[i] = 0;
    for (int64_t i = 0; i < beams->listed; i++) {
        struct continuation one = beams->list[i];
        beams->sums[one.beam] = one.sum;
        tokens[one.beam] = one.id;
        if (one.id == end) beams->ended[one.beam] = true;
        open += one.id != end;
    }
    memcpy(beams->tokens + beams->step * beams->width, tokens,
           (size_t)beams->width * sizeof *tokens);
    memcpy(beams->parent + beams->step * beams->width, parents,
           (size_t)beams->width * sizeof *parents);
    beams->done = open == 0;
    for (int64_t i = 0; beams->done && i < beams->width; i++) {
        int64_t length = 0, last = beams->step;
        while (length < last && beams->tokens[length * beams->width + i] != end) length++;
        beams->step = length;
        enum status status = finish(beams, (struct continuation){beams->sums[i], (int32_t)i, end},
                                    length == beams->most);
        beams->step = last;
        TRY(status);
    }
    return STATUS_OK;
}

static enum status advance_beams(struct beams *beams, int32_t end, int32_t *parents,
                                 int32_t *tokens)
{
    int64_t next = 0, width = beams->width;
    bool cut = beams->step == beams->most;
    for (int64_t rank = 0; rank < beams->listed; rank++) {
        struct continuation one = beams->list[rank];
        if (one.id == end) {
            if (rank < width) TRY(finish(beams, one, cut));
        } else if (next < width) {
            parents[next] = one.beam;
            tokens[next] = one.id;
            beams->sums[next++] = one.sum;
        }
    }
    if (next > 0) {
        memcpy(beams->tokens + beams->step * width, tokens, (size_t)next * sizeof *tokens);
        memcpy(beams->parent + beams->step * width, parents, (size_t)next * sizeof *parents);
    }
    beams->alive = next;
    beams->done = next == 0 || beams->found >= width;
    return STATUS_OK;
}

enum status beams_advance(struct beams *beams, int32_t end, int32_t *parents, int32_t *tokens)
{
    if (beams->listed == 0)
        FAIL(STATUS_DIVERGED, "the model's probabilities are not finite: its weights are damaged "
                              "or have diverged");
    TRY(beams->draws ? advance_draws(beams, end, parents, tokens)
                     : advance_beams(beams, end, parents, tokens));
    beams->step++;
    beams->listed = 0;
    return STATUS_OK;
}

enum status beams_take(struct beams *beams, int64_t count, struct search_result *result_p)
{
    struct search_result result = {.count = count < beams->found ? count : beams->found};
    TRY(memory_allocate((size_t)(result.count ? result.count : 1), sizeof *result.best,
                        "hypotheses", &result.best));
    memcpy(result.best, beams->finished, (size_t)result.count * sizeof *result.best);
    for (int64_t i = result.count; i < beams->found; i++) free(beams->finished[i].ids);
    beams->found = 0;
    *result_p = result;
    return STATUS_OK;
}
