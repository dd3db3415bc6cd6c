// SPDX-License-Identifier: Apache-2.0
// One file, two cases: a replica alone owns the whole block and sums the workers' nodes where it measures them; one of several
// owns a part of every bucket, which came summed.
#include "parallel/exchange.h"

#include "base/memory.h"
#include "parallel/slices.h"
#include "parallel/update_kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Elements that are summed and then squared while they are in the first-level cache.
enum { CHUNK = 4 * SLICE_GRAIN };

struct span {
    int64_t first, last;
};

// Elements that do not learn. Their sums are put away and become 0 where they lie, so that they count in no norm.
struct apart {
    int64_t first, last;
    float *way; // of a statistic: where its sum is put; NULL: frozen
};

struct exchange {
    struct exchange_setup setup;
    const struct update_kernels *kernels;
    double *partial;  // [grains] sums of squares
    float *largest;   // [owners]
    float **source;   // [leaves] where the workers' nodes lie, in order of leaves
    const float **at; // [owners * leaves] the same at a chunk's place, for each owner's own use
    struct node *node;
    int16_t *program;
    int sources, operations;
    float *sum; // what is measured: the first source, or what came to this replica
    // What this replica owns, in order; one after another they are the elements [0, owned) that its owners share.
    struct span *span;
    int spans;
    int64_t owned;
    struct apart *apart; // in order
    float *way;          // sums of all statistics
    int aparts;
    // Of several replicas.
    float *merged
        [MAX_NODES]; // where the replica's nodes lie: in the buffer of the first worker's node of each
    int start[MAX_NODES + 1]; // of their operations in `program`
    int merges;
    double *packed; // what replicas tell each other: each its largest magnitude, then its grains
    size_t *offset; // [replicas + 1] bytes of packed
    int *run;       // [replicas + 1] leaves of each replica
};

static int64_t grains_of(int64_t elements) { return (elements + SLICE_GRAIN - 1) / SLICE_GRAIN; }

static int replicas_of(const struct exchange *exchange)
{
    return exchange->setup.travel ? exchange->setup.net->size : 1;
}

// ---- life cycle ----
size_t exchange_bytes(int64_t elements, int owners, int leaves, int replicas, int buckets)
{
    size_t o = (size_t)owners, l = (size_t)leaves, r = (size_t)replicas;
    size_t several = ((size_t)grains_of(elements) + r) * sizeof(double) +
                     (r + 1) * (sizeof(size_t) + sizeof(int));
    return sizeof(struct exchange) + (size_t)grains_of(elements) * sizeof(double) +
           o * sizeof(float) + l * (sizeof(float *) + sizeof(struct node) + 2 * sizeof(int16_t)) +
           o * l * sizeof(float *) + (size_t)buckets * sizeof(struct span) +
           (replicas > 1 ? several : 0);
}

static enum status allocate_shared(struct exchange *exchange)
{
    size_t replicas = (size_t)replicas_of(exchange);
    size_t numbers = (size_t)grains_of(exchange->setup.elements) + replicas;
    TRY(memory_allocate(numbers, sizeof(double), "the gradient's norm", &exchange->packed));
    TRY(memory_allocate(replicas + 1, sizeof(size_t), "the exchange", &exchange->offset));
    TRY(memory_allocate(replicas + 1, sizeof(int), "the exchange", &exchange->run));
    return STATUS_OK;
}

static enum status allocate(struct exchange *exchange, int buckets)
{
    const struct exchange_setup *setup = &exchange->setup;
    size_t owners = (size_t)setup->owners, leaves = (size_t)setup->leaves;
    const char *what = "the exchange";
    TRY(memory_allocate((size_t)grains_of(setup->elements), sizeof(double), "the gradient's norm",
                        &exchange->partial));
    TRY(memory_allocate(owners, sizeof(float), what, &exchange->largest));
    TRY(memory_allocate(leaves, sizeof(float *), what, &exchange->source));
    TRY(memory_allocate(owners * leaves, sizeof(float *), what, &exchange->at));
    TRY(memory_allocate(leaves, sizeof(struct node), what, &exchange->node));
    TRY(memory_allocate(2 * leaves, sizeof(int16_t), what, &exchange->program));
    TRY(memory_allocate((size_t)buckets, sizeof(struct span), what, &exchange->span));
    if (setup->travel) TRY(allocate_shared(exchange));
    return STATUS_OK;
}

// Where each replica's numbers lie in `packed`, and what this one owns.
static void lay_out(struct exchange *exchange, int buckets)
{
    const struct exchange_setup *setup = &exchange->setup;
    if (!setup->travel) {
        exchange->span[exchange->spans++] = (struct span){0, setup->elements};
        exchange->owned = setup->elements;
        return;
    }
    size_t numbers = 0;
    for (int r = 0; r < setup->net->size; r++) {
        exchange->offset[r] = numbers++ * sizeof(double);
        for (int b = 0; b < buckets; b++) {
            struct span span;
            travel_owned(setup->travel, b, r, &span.first, &span.last);
            numbers += (size_t)grains_of(span.last - span.first);
            if (r != setup->net->rank || span.first == span.last) continue;
            exchange->span[exchange->spans++] = span;
            exchange->owned += span.last - span.first;
        }
    }
    exchange->offset[setup->net->size] = numbers * sizeof(double);
}

// Neighbours that are frozen become one, with the padding between them.
static enum status set_apart(struct exchange *exchange)
{
    const struct exchange_setup *setup = &exchange->setup;
    int64_t count = 0, statistics = 0, used = 0;
    for (int i = 0; i < setup->segments; i++) {
        const struct segment *segment = &setup->segment[i];
        count += segment->kind != SEGMENT_LEARNS;
        if (segment->kind == SEGMENT_STATISTIC) statistics += segment->last - segment->first;
    }
    if (count == 0) return STATUS_OK;
    TRY(memory_allocate((size_t)count, sizeof *exchange->apart, "the exchange", &exchange->apart));
    TRY(memory_allocate((size_t)statistics + 1, sizeof(float), "statistics", &exchange->way));
    for (int i = 0; i < setup->segments; i++) {
        const struct segment *segment = &setup->segment[i];
        struct apart *before = exchange->aparts ? &exchange->apart[exchange->aparts - 1] : NULL;
        bool frozen = segment->kind == SEGMENT_FROZEN;
        if (segment->kind == SEGMENT_LEARNS || !exchange->apart) continue;
        if (frozen && before && !before->way && setup->segment[i - 1].kind == SEGMENT_FROZEN) {
            before->last = segment->last;
            continue;
        }
        exchange->apart[exchange->aparts++] =
            (struct apart){segment->first, segment->last, frozen ? NULL : exchange->way + used};
        if (!frozen) used += segment->last - segment->first;
    }
    return STATUS_OK;
}

enum status exchange_create(const struct exchange_setup *setup, struct exchange **exchange_p)
{
    struct exchange *exchange = NULL;
    int buckets = setup->travel ? travel_buckets(setup->travel) : 1;
    TRY(memory_allocate(1, sizeof *exchange, "the exchange", &exchange));
    exchange->setup = *setup;
    if (!setup->owners) exchange->setup.owners = setup->workers;
    exchange->kernels = update_kernels_of(setup->isa);
    enum status status = allocate(exchange, buckets);
    if (!status) status = set_apart(exchange);
    if (status) {
        exchange_destroy(exchange);
        return status;
    }
    lay_out(exchange, buckets);
    *exchange_p = exchange;
    return STATUS_OK;
}

void exchange_destroy(struct exchange *exchange)
{
    if (!exchange) return;
    free(exchange->way);
    free(exchange->apart);
    free(exchange->run);
    free(exchange->offset);
    free(exchange->packed);
    free(exchange->span);
    free(exchange->program);
    free(exchange->node);
    free(exchange->at);
    free(exchange->source);
    free(exchange->largest);
    free(exchange->partial);
    free(exchange);
}

const float *exchange_sum(const struct exchange *exchange) { return exchange->sum; }
int64_t exchange_owned(const struct exchange *exchange) { return exchange->owned; }

// ---- who has what ----
void exchange_route(struct exchange *exchange, const int *border,
                    const struct gradients *const *gradients)
{
    const struct exchange_setup *setup = &exchange->setup;
    const int *own = border + (setup->travel ? setup->base[setup->net->rank] : 0);
    int count = 0;
    for (int r = 0; r < setup->workers; r++) {
        struct node node[MAX_NODES];
        int nodes = run_nodes(own[r], own[r + 1], node);
        for (int i = 0; i < nodes; i++) {
            exchange->node[count] = node[i];
            exchange->source[count++] =
                gradients_buffer(gradients[r], run_node_buffer(own[r], own[r + 1], i));
        }
    }
    exchange->sources = count;
    if (!setup->travel) {
        exchange->operations =
            tree_program(exchange->node, count, setup->leaves, exchange->program);
        exchange->sum = exchange->source[0];
        return;
    }
    exchange->merges = merge_program(exchange->node, count, own[0], own[setup->workers],
                                     exchange->program, exchange->start);
    for (int i = 0; i < exchange->merges; i++)
        exchange->merged[i] = exchange->source[exchange->program[exchange->start[i]]];
    // A replica without a leaf has a buffer all the same, for what it owns.
    exchange->sum = count ? exchange->merged[0] : gradients_buffer(gradients[0], 0);
    for (int r = 0; r <= setup->net->size; r++) exchange->run[r] = border[setup->base[r]];
    travel_route(setup->travel, exchange->run);
}

// ---- several replicas ----
void exchange_merge(struct exchange *exchange, int owner, int64_t first, int64_t last)
{
    const float **at = exchange->at + (int64_t)owner * exchange->setup.leaves;
    if (exchange->merges == exchange->sources) return;
    for (int64_t chunk = first; chunk < last; chunk += CHUNK) {
        int64_t n = last - chunk < CHUNK ? last - chunk : CHUNK;
        for (int i = 0; i < exchange->sources; i++) at[i] = exchange->source[i] + chunk;
        for (int i = 0; i < exchange->merges; i++) {
            int operations = exchange->start[i + 1] - exchange->start[i];
            if (operations > 1)
                exchange->kernels->tree_sum(exchange->merged[i] + chunk, at,
                                            exchange->program + exchange->start[i], operations, n);
        }
    }
}

enum status exchange_travel(struct exchange *exchange, int bucket)
{
    TRY(travel_reduce(exchange->setup.travel, bucket, exchange->merged, exchange->sum));
    return STATUS_OK;
}

// Copies the sums of the grains that replica `rank` owns into `packed`, or out of it.
static void pack_grains(struct exchange *exchange, int rank, bool in)
{
    struct travel *travel = exchange->setup.travel;
    double *numbers = exchange->packed + exchange->offset[rank] / sizeof(double) + 1;
    for (int b = 0; b < travel_buckets(travel); b++) {
        int64_t first, last;
        travel_owned(travel, b, rank, &first, &last);
        size_t grains = (size_t)grains_of(last - first);
        double *partial = exchange->partial + first / SLICE_GRAIN;
        if (in)
            memcpy(numbers, partial, grains * sizeof *numbers);
        else
            memcpy(partial, numbers, grains * sizeof *numbers);
        numbers += grains;
    }
}

// A NaN, once there, stays: it is larger than nothing, and nothing is larger than it.
static void take_larger(float *largest, float magnitude)
{
    if (magnitude > *largest || isnan(magnitude)) *largest = magnitude;
}

enum status exchange_share(struct exchange *exchange)
{
    const struct exchange_setup *setup = &exchange->setup;
    int rank = setup->net->rank;
    float largest = 0;
    for (int i = 0; i < setup->owners; i++) take_larger(&largest, exchange->largest[i]);
    exchange->packed[exchange->offset[rank] / sizeof(double)] = (double)largest;
    pack_grains(exchange, rank, true);
    TRY(comm_share(setup->net, exchange->packed, exchange->offset));
    largest = 0;
    for (int r = 0; r < setup->net->size; r++) {
        take_larger(&largest, (float)exchange->packed[exchange->offset[r] / sizeof(double)]);
        if (r != rank) pack_grains(exchange, r, false);
    }
    for (int i = 0; i < setup->owners; i++) exchange->largest[i] = largest;
    return STATUS_OK;
}

enum status exchange_spread(struct exchange *exchange)
{
    struct travel *travel = exchange->setup.travel;
    for (int b = 0; b < travel_buckets(travel); b++)
        TRY(travel_spread(travel, b, exchange->setup.weights));
    return STATUS_OK;
}

// ---- the slice of an owner ----
// The pieces of what this replica owns that are thread `owner`'s: calls `use` for each.
static void for_each_piece(struct exchange *exchange, int owner, const void *context,
                           void (*use)(struct exchange *exchange, int owner, struct span piece,
                                       const void *context))
{
    int64_t first, last, before = 0;
    slice_of(exchange->owned, exchange->setup.owners, owner, &first, &last);
    for (int i = 0; i < exchange->spans && before < last; i++) {
        struct span span = exchange->span[i];
        int64_t length = span.last - span.first;
        int64_t from = first > before ? first - before : 0;
        int64_t to = last - before < length ? last - before : length;
        before += length;
        if (from < to)
            use(exchange, owner, (struct span){span.first + from, span.first + to}, context);
    }
}

// Two nodes, the common case of two workers, are added where their sum is used: reading one array more in the update costs
// less than writing the sum (0.92 of the time with huge pages, equal without; bench/update, AMD EPYC, 2 workers).
static bool added_in_use(const struct exchange *exchange)
{
    return !exchange->setup.travel && !exchange->setup.sums && exchange->sources == 2 &&
           exchange->setup.optimizer.clip_infinity <= 0;
}

static bool summed_here(const struct exchange *exchange)
{
    return !exchange->setup.travel && exchange->operations > 1 && !added_in_use(exchange);
}

// The first of those apart that ends behind `element`, or `aparts`.
static int first_apart(const struct exchange *exchange, int64_t element)
{
    int low = 0, high = exchange->aparts;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (exchange->apart[middle].last > element)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// Of what this replica owns: frozen, so never touched.
static int64_t idle_elements(const struct exchange *exchange)
{
    int64_t idle = 0;
    for (int i = 0; i < exchange->spans; i++)
        for (int k = first_apart(exchange, exchange->span[i].first); k < exchange->aparts; k++) {
            const struct apart *apart = &exchange->apart[k];
            struct span span = exchange->span[i];
            int64_t from = apart->first > span.first ? apart->first : span.first;
            int64_t to = apart->last < span.last ? apart->last : span.last;
            if (from >= span.last) break;
            if (!apart->way) idle += to - from;
        }
    return idle;
}

struct exchange_traffic exchange_traffic(const struct exchange *exchange)
{
    const struct exchange_setup *setup = &exchange->setup;
    int states = (setup->state[0] != NULL) + (setup->state[1] != NULL);
    int nodes = setup->travel ? 1 : exchange->sources, summed = summed_here(exchange);
    int gradients = added_in_use(exchange) ? 2 : 1;
    double array = (double)(exchange->owned - idle_elements(exchange)) * (double)sizeof(float);
    // Weights and state are read and written.
    return (struct exchange_traffic){array * (nodes + summed),
                                     array * (gradients + 2 * (1 + states))};
}

static bool all_frozen(const struct exchange *exchange, int64_t first, int64_t last)
{
    int i = first_apart(exchange, first);
    if (i == exchange->aparts) return false;
    const struct apart *apart = &exchange->apart[i];
    return !apart->way && apart->first <= first && apart->last >= last;
}

// Puts the sums (plus `more`, unless NULL) of what does not learn away.
static void put_apart(struct exchange *exchange, int64_t first, int64_t last, float *sum,
                      float *more)
{
    for (int i = first_apart(exchange, first); i < exchange->aparts; i++) {
        const struct apart *apart = &exchange->apart[i];
        if (apart->first >= last) return;
        int64_t from = apart->first > first ? apart->first : first;
        int64_t to = apart->last < last ? apart->last : last;
        if (!apart->way) memset(sum + from, 0, (size_t)(to - from) * sizeof *sum);
        // Statistics are in no norm, but one that is not finite ends the step as a gradient would.
        for (int64_t k = from; k < to && apart->way; k++) {
            float way = more ? sum[k] + more[k] : sum[k];
            apart->way[k - apart->first] = way;
            sum[k] = isfinite(way) ? 0 : NAN;
        }
        if (more) memset(more + from, 0, (size_t)(to - from) * sizeof *more);
    }
}

static void reduce_piece(struct exchange *exchange, int owner, struct span piece,
                         const void *context)
{
    const struct exchange_setup *setup = &exchange->setup;
    const struct update_kernels *kernels = exchange->kernels;
    const float **at = exchange->at + (int64_t)owner * setup->leaves;
    double scale = *(const double *)context;
    for (int64_t chunk = piece.first; chunk < piece.last; chunk += CHUNK) {
        int64_t n = piece.last - chunk < CHUNK ? piece.last - chunk : CHUNK;
        float *sum = exchange->sum + chunk;
        double *partial = exchange->partial + chunk / SLICE_GRAIN;
        if (all_frozen(exchange, chunk, chunk + n)) continue; // their squares stay 0
        if (added_in_use(exchange)) {
            put_apart(exchange, chunk, chunk + n, exchange->sum, exchange->source[1]);
            kernels->square_sums(partial, sum, exchange->source[1] + chunk, scale, n);
            continue;
        }
        if (summed_here(exchange)) {
            for (int i = 0; i < exchange->sources; i++) at[i] = exchange->source[i] + chunk;
            kernels->tree_sum(sum, at, exchange->program, exchange->operations, n);
        }
        put_apart(exchange, chunk, chunk + n, exchange->sum, NULL);
        kernels->square_sums(partial, sum, NULL, scale, n);
        if (setup->optimizer.clip_infinity > 0)
            take_larger(&exchange->largest[owner], kernels->max_magnitude(sum, n));
    }
}

void exchange_reduce(struct exchange *exchange, int owner, double scale)
{
    exchange->largest[owner] = 0;
    for_each_piece(exchange, owner, &scale, reduce_piece);
}

struct gradient_size exchange_measure(const struct exchange *exchange, double scale)
{
    struct gradient_size size = {0, 0};
    size.norm = sqrt(pairwise_sum(exchange->partial, grains_of(exchange->setup.elements)));
    for (int i = 0; i < exchange->setup.owners; i++) {
        double magnitude = (double)exchange->largest[i] * scale;
        if (magnitude > size.largest || isnan(magnitude)) size.largest = magnitude;
    }
    return size;
}

// w -= rate * sum, as two roundings: the same on every processor.
static void update_statistic(const struct exchange *exchange, int64_t first, int64_t last,
                             double rate)
{
    const struct apart *apart = &exchange->apart[first_apart(exchange, first)];
    const float *way = apart->way + (first - apart->first);
    float *w = exchange->setup.weights + first;
    for (int64_t i = 0; i < last - first; i++) {
        float moved = (float)rate * way[i];
        w[i] -= moved;
    }
}

// Elements [from, to) of a segment; own: the step with the segment's decay.
static void update_range(const struct exchange *exchange, struct optimizer_step own, int64_t from,
                         int64_t to)
{
    const struct exchange_setup *setup = &exchange->setup;
    if (added_in_use(exchange)) own.more = exchange->source[1] + from;
    float *state[2] = {setup->state[0] ? setup->state[0] + from : NULL,
                       setup->state[1] ? setup->state[1] + from : NULL};
    optimizer_update(&setup->optimizer, &own, setup->isa, setup->weights + from, state,
                     exchange->sum + from, to - from);
}

static void update_piece(struct exchange *exchange, int owner, struct span piece,
                         const void *context)
{
    const struct exchange_setup *setup = &exchange->setup;
    (void)owner;
    for (int i = 0; i < setup->segments; i++) {
        const struct segment *segment = &setup->segment[i];
        int64_t from = segment->first > piece.first ? segment->first : piece.first;
        int64_t to = segment->last < piece.last ? segment->last : piece.last;
        if (from >= to || segment->kind == SEGMENT_FROZEN) continue;
        struct optimizer_step own = *(const struct optimizer_step *)context;
        if (segment->kind == SEGMENT_STATISTIC) {
            update_statistic(exchange, from, to, own.statistic_rate);
            continue;
        }
        own.decay = segment->decay;
        own.learning_rate *= segment->rate;
        int64_t most = setup->written ? CHUNK : to - from;
        for (int64_t at = from; at < to; at += most) {
            int64_t end = to - at < most ? to : at + most;
            update_range(exchange, own, at, end);
            if (setup->written)
                setup->written(setup->context,
                               &(struct weights_written){piece.first, piece.last, at, end});
        }
    }
}

void exchange_update(struct exchange *exchange, int owner, const struct optimizer_step *step)
{
    for_each_piece(exchange, owner, step, update_piece);
}
