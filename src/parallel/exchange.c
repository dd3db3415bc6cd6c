// SPDX-License-Identifier: Apache-2.0
#include "parallel/exchange.h"

#include "parallel/slices.h"
#include "parallel/update_kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Elements that are summed and then squared while they are in the first-level cache.
enum { CHUNK = 4 * SLICE_GRAIN };

struct exchange {
    struct exchange_setup setup;
    const struct update_kernels *kernels;
    double *partial;  // [grains] sums of squares
    float *largest;   // [owners]
    float **source;   // [leaves] where the nodes lie, in order of leaves
    const float **at; // [owners * leaves] the same at a chunk's place, for each owner's own use
    struct node *node;
    int16_t *program;
    int sources, operations;
};

static int64_t grains_of(int64_t elements) { return (elements + SLICE_GRAIN - 1) / SLICE_GRAIN; }

enum status exchange_check(const char *name)
{
    if (strcmp(name, "direct") != 0)
        FAIL(STATUS_USAGE, "there is no exchange called \"%s\"; this build has direct", name);
    return STATUS_OK;
}

size_t exchange_bytes(int64_t elements, int owners, int leaves)
{
    size_t o = (size_t)owners, l = (size_t)leaves;
    return sizeof(struct exchange) + (size_t)grains_of(elements) * sizeof(double) +
           o * sizeof(float) + l * (sizeof(float *) + sizeof(struct node) + 2 * sizeof(int16_t)) +
           o * l * sizeof(float *);
}

enum status exchange_create(const struct exchange_setup *setup, struct exchange **exchange_p)
{
    struct exchange *exchange = NULL;
    TRY(memory_allocate(1, sizeof *exchange, "the exchange", &exchange));
    exchange->setup = *setup;
    if (!setup->owners) exchange->setup.owners = setup->workers;
    size_t owners = (size_t)exchange->setup.owners, leaves = (size_t)setup->leaves;
    exchange->kernels = update_kernels_of(setup->isa);
    enum status status = memory_allocate((size_t)grains_of(setup->elements), sizeof(double),
                                         "the gradient's norm", &exchange->partial);
    if (!status)
        status = memory_allocate(owners, sizeof(float), "the exchange", &exchange->largest);
    if (!status)
        status = memory_allocate(leaves, sizeof(float *), "the exchange", &exchange->source);
    if (!status)
        status = memory_allocate(owners * leaves, sizeof(float *), "the exchange", &exchange->at);
    if (!status)
        status = memory_allocate(leaves, sizeof(struct node), "the exchange", &exchange->node);
    if (!status)
        status = memory_allocate(2 * leaves, sizeof(int16_t), "the exchange", &exchange->program);
    if (status) {
        exchange_destroy(exchange);
        return status;
    }
    *exchange_p = exchange;
    return STATUS_OK;
}

void exchange_destroy(struct exchange *exchange)
{
    if (!exchange) return;
    free(exchange->program);
    free(exchange->node);
    free(exchange->at);
    free(exchange->source);
    free(exchange->largest);
    free(exchange->partial);
    free(exchange);
}

void exchange_route(struct exchange *exchange, const int *border,
                    const struct gradients *const *gradients)
{
    int count = 0;
    for (int r = 0; r < exchange->setup.workers; r++) {
        struct node node[MAX_NODES];
        int nodes = run_nodes(border[r], border[r + 1], node);
        for (int i = 0; i < nodes; i++) {
            exchange->node[count] = node[i];
            exchange->source[count++] =
                gradients_buffer(gradients[r], run_node_buffer(border[r], border[r + 1], i));
        }
    }
    exchange->sources = count;
    exchange->operations =
        tree_program(exchange->node, count, exchange->setup.leaves, exchange->program);
}

// Two nodes, the common case of two workers, are added where their sum is used: reading one array more in the update costs
// less than writing the sum (0.92 of the time with huge pages, equal without; bench/update, AMD EPYC, 2 workers).
static bool added_in_use(const struct exchange *exchange)
{
    return exchange->sources == 2 && exchange->setup.optimizer.clip_infinity <= 0;
}

struct exchange_traffic exchange_traffic(const struct exchange *exchange)
{
    const struct exchange_setup *setup = &exchange->setup;
    int states = (setup->state[0] != NULL) + (setup->state[1] != NULL);
    int nodes = exchange->sources, summed = exchange->operations > 1 && !added_in_use(exchange);
    int gradients = added_in_use(exchange) ? 2 : 1;
    double array = (double)setup->elements * (double)sizeof(float);
    // Weights and state are read and written.
    return (struct exchange_traffic){array * (nodes + summed),
                                     array * (gradients + 2 * (1 + states))};
}

void exchange_reduce(struct exchange *exchange, int owner, double scale)
{
    const struct exchange_setup *setup = &exchange->setup;
    const struct update_kernels *kernels = exchange->kernels;
    const float **at = exchange->at + (int64_t)owner * setup->leaves;
    int64_t first, last;
    slice_of(setup->elements, setup->owners, owner, &first, &last);
    float largest = 0;
    for (int64_t chunk = first; chunk < last; chunk += CHUNK) {
        int64_t n = last - chunk < CHUNK ? last - chunk : CHUNK;
        float *sum = exchange->source[0] + chunk;
        double *partial = exchange->partial + chunk / SLICE_GRAIN;
        if (added_in_use(exchange)) {
            kernels->square_sums(partial, sum, exchange->source[1] + chunk, scale, n);
            continue;
        }
        if (exchange->operations > 1) {
            for (int i = 0; i < exchange->sources; i++) at[i] = exchange->source[i] + chunk;
            kernels->tree_sum(sum, at, exchange->program, exchange->operations, n);
        }
        kernels->square_sums(partial, sum, NULL, scale, n);
        if (setup->optimizer.clip_infinity <= 0) continue;
        float magnitude = kernels->max_magnitude(sum, n);
        // A NaN, once there, stays: it is larger than nothing, and nothing is larger than it.
        if (magnitude > largest || isnan(magnitude)) largest = magnitude;
    }
    exchange->largest[owner] = largest;
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

void exchange_update(struct exchange *exchange, int owner, const struct optimizer_step *step)
{
    const struct exchange_setup *setup = &exchange->setup;
    int64_t first, last;
    slice_of(setup->elements, setup->owners, owner, &first, &last);
    for (int i = 0; i < setup->segments; i++) {
        const struct segment *segment = &setup->segment[i];
        int64_t from = segment->first > first ? segment->first : first;
        int64_t to = segment->last < last ? segment->last : last;
        if (from >= to) continue;
        struct optimizer_step own = *step;
        own.decay = segment->decay;
        if (added_in_use(exchange)) own.more = exchange->source[1] + from;
        float *state[2] = {setup->state[0] ? setup->state[0] + from : NULL,
                           setup->state[1] ? setup->state[1] + from : NULL};
        optimizer_update(&setup->optimizer, &own, setup->isa, setup->weights + from, state,
                         exchange->source[0] + from, to - from);
    }
}
