// SPDX-License-Identifier: Apache-2.0
// Partial sums travel round the ring, from each replica to the next: each adds its own and sends on.
//
// After N - 1 steps the sum of slice r, which began at replica r + 1, is complete at replica r; its order depends on N, so bits
// repeat on the same replicas only. Every link carries the same bytes at all times, whatever the number of replicas.
// Source: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
#include "parallel/slices.h"
#include "parallel/travel_ops.h"

#include <string.h>

extern const struct travel_ops ring_travel;

size_t staging_ring(const struct travel_setup *setup, int replicas)
{
    return travel_staging(1, travel_longest(setup, replicas), sizeof(float));
}

static int transfers_ring(const struct travel_setup *setup, int replicas)
{
    (void)setup, (void)replicas;
    return 2;
}

static int64_t piece_elements(const struct travel *travel)
{
    int64_t piece = (int64_t)(travel->staging.bytes / sizeof(float)), wanted = travel->setup.piece;
    return wanted > 0 && wanted < piece ? wanted : piece;
}

// Node 0 + node 1 + …, one after the other, behind `first` operations that the program holds already.
static int own_program(int16_t *program, int first, int nodes)
{
    int n = first;
    for (int i = 0; i < nodes; i++) {
        program[n++] = (int16_t)i;
        if (i > 0) program[n++] = -1;
    }
    return n;
}

void travel_sum_own(struct travel *travel, float *const *node, int64_t first, int64_t n, float *y)
{
    int16_t program[2 * MAX_NODES];
    int nodes = travel_nodes(travel, travel->rank);
    if (nodes == 0) {
        memset(y, 0, (size_t)n * sizeof *y);
        return;
    }
    for (int i = 0; i < nodes; i++) travel->array[i] = node[i] + first;
    int operations = own_program(program, 0, nodes);
    if (operations > 1 || y != travel->array[0])
        travel->kernels->tree_sum(y, travel->array, program, operations, n);
}

// What came + (own nodes, one after the other) goes to y.
static void add_own(struct travel *travel, const float *came, float *const *node, struct span part,
                    float *y)
{
    int16_t program[2 * MAX_NODES + 2];
    int nodes = travel_nodes(travel, travel->rank);
    for (int i = 0; i < nodes; i++) travel->array[i] = node[i] + part.first;
    travel->array[nodes] = came;
    program[0] = (int16_t)nodes;
    int operations = own_program(program, 1, nodes);
    if (nodes > 0) program[operations++] = -1;
    travel->kernels->tree_sum(y, travel->array, program, operations, span_length(part));
}

// One step: `sent`, which lies in `data`, goes to the next replica, `kept` comes from the one before and is summed into target.
static enum status step(struct travel *travel, const float *data, struct span sent,
                        struct span kept, float *const *node, float *target)
{
    int next = (travel->rank + 1) % travel->size;
    int before = (travel->rank + travel->size - 1) % travel->size;
    int64_t elements = piece_elements(travel);
    int64_t longest = span_length(sent) > span_length(kept) ? span_length(sent) : span_length(kept);
    float *staging = travel->staging.data;
    for (int64_t k = 0; k * elements < longest; k++) {
        struct span out = span_piece(sent, elements, k), in = span_piece(kept, elements, k);
        int count = 0;
        travel_receive(travel, &count, before, staging, (size_t)span_length(in) * sizeof *data);
        travel_send(travel, &count, next, data + out.first,
                    (size_t)span_length(out) * sizeof *data);
        TRY(travel_round(travel, count));
        if (span_length(in)) add_own(travel, staging, node, in, target + in.first);
    }
    return STATUS_OK;
}

enum status reduce_ring(struct travel *travel, struct span bucket, float *const *node,
                        float *target)
{
    int size = travel->size, slice = (travel->rank + size - 1) % size;
    struct span sent = travel_slices(travel, bucket, slice, slice + 1);
    const float *data = target;
    if (travel_nodes(travel, travel->rank) == 1)
        data = node[0];
    else
        travel_sum_own(travel, node, sent.first, span_length(sent), target + sent.first);
    for (int i = 0; i + 1 < size; i++) {
        slice = (slice + size - 1) % size;
        struct span kept = travel_slices(travel, bucket, slice, slice + 1);
        TRY(step(travel, data, sent, kept, node, target));
        sent = kept;
        data = target;
    }
    return STATUS_OK;
}

enum status spread_ring(struct travel *travel, struct span bucket, float *data)
{
    int size = travel->size, next = (travel->rank + 1) % size;
    int before = (travel->rank + size - 1) % size;
    for (int i = 0; i + 1 < size; i++) {
        int slice = (travel->rank - i + size) % size;
        struct span sent = travel_slices(travel, bucket, slice, slice + 1);
        slice = (slice + size - 1) % size;
        struct span kept = travel_slices(travel, bucket, slice, slice + 1);
        int count = 0;
        travel_receive(travel, &count, before, data + kept.first,
                       (size_t)span_length(kept) * sizeof *data);
        travel_send(travel, &count, next, data + sent.first,
                    (size_t)span_length(sent) * sizeof *data);
        TRY(travel_round(travel, count));
    }
    return STATUS_OK;
}

const struct travel_ops ring_travel = {
    .name = "ring",
    .exactness = EXACTNESS_SAME_WORKERS,
    .staging_bytes = staging_ring,
    .transfers = transfers_ring,
    .reduce = reduce_ring,
    .spread = spread_ring,
};
