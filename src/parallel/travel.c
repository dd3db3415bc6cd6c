// SPDX-License-Identifier: Apache-2.0
// The ways that this build has, and what they share: buckets, slices, nodes of all replicas, transfers, staging memory.
#include "parallel/travel.h"

#include "parallel/slices.h"
#include "parallel/travel_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct travel_ops direct_travel, tree_travel, ring_travel, server_travel,
    native_travel;

static const struct travel_ops *const registry[] = {&direct_travel, &tree_travel,   &ring_travel,
                                                    &server_travel, &native_travel, NULL};

const char *exactness_name(enum exactness exactness)
{
    static const char *const name[] = {"exact", "same-workers", "approximate"};
    return name[exactness];
}

const char *wire_name(enum wire wire) { return wire == WIRE_BF16 ? "bf16" : "float32"; }

const char *travel_way(int index) { return registry[index] ? registry[index]->name : NULL; }

const char *travel_names(void) { return "direct, tree, ring, server, native"; }

static const struct travel_ops *find(const char *name)
{
    for (int i = 0; registry[i]; i++)
        if (strcmp(registry[i]->name, name) == 0) return registry[i];
    return NULL;
}

enum status travel_check(const char *name, const struct travel_setup *setup, int replicas)
{
    const struct travel_ops *ops = find(name);
    if (!ops)
        FAIL(STATUS_USAGE,
             "there is no exchange called \"%s\" between processes; this build has %s", name,
             travel_names());
    if (setup->wire == WIRE_BF16 && !ops->rounds)
        FAIL(STATUS_USAGE,
             "exchange %s sends sums on, which bf16 would round again at every hop; with bf16 on "
             "the wire use direct or server",
             name);
    if (ops->owners && (setup->servers < 0 || setup->servers > replicas))
        FAIL(STATUS_USAGE, "%d parameter servers for %d processes; there can be 1 to %d",
             setup->servers, replicas, replicas);
    return STATUS_OK;
}

bool travel_by_itself(const char *name, enum wire wire)
{
    const struct travel_ops *ops = find(name);
    return ops->by_itself && (wire == WIRE_FLOAT32 || ops->rounds);
}

enum exactness travel_exactness_of(const char *name, enum wire wire)
{
    const struct travel_ops *ops = find(name);
    INVARIANT(ops, "no exchange called \"%s\"", name);
    return wire == WIRE_BF16 ? EXACTNESS_APPROXIMATE : ops->exactness;
}

// ---- life cycle ----
int64_t travel_bucket_elements(const struct travel_setup *setup)
{
    return setup->bucket && setup->bucket < setup->elements ? setup->bucket : setup->elements;
}

int64_t travel_longest(const struct travel_setup *setup, int slices)
{
    int64_t first, last;
    slice_of(travel_bucket_elements(setup), slices, 0, &first, &last);
    return last;
}

size_t travel_staging(int64_t pieces, int64_t longest, size_t element_bytes)
{
    size_t all = checked_multiply((size_t)pieces, (size_t)(longest + 16) * element_bytes);
    size_t least = (size_t)pieces * SLICE_GRAIN * element_bytes;
    size_t bytes = all < TRAVEL_STAGING ? all : TRAVEL_STAGING;
    return bytes > least ? bytes : least;
}

static size_t staging_of(const struct travel_ops *ops, const struct travel_setup *setup,
                         int replicas)
{
    size_t bytes = replicas > 1 ? ops->staging_bytes(setup, replicas) : 0, page = TRAVEL_STAGING;
    // A huge page rather than most of one: 2 MB in small pages took 1.2 times as long to fill from
    // another process and to sum (Open MPI, MPICH; AMD EPYC).
    return bytes > page / 2 && bytes < page ? page : bytes;
}

static size_t transfers_of(const struct travel_ops *ops, const struct travel_setup *setup,
                           int replicas)
{
    return (size_t)ops->transfers(setup, replicas);
}

size_t travel_bytes(const char *name, const struct travel_setup *setup, int replicas)
{
    const struct travel_ops *ops = find(name);
    size_t size = (size_t)replicas, leaves = (size_t)setup->leaves;
    INVARIANT(ops, "no exchange called \"%s\"", name);
    return sizeof(struct travel) + staging_of(ops, setup, replicas) +
           transfers_of(ops, setup, replicas) * sizeof(struct transfer) +
           2 * (size + 1) * sizeof(int) + leaves * sizeof(struct node) +
           (leaves + 1) * sizeof(float *) + (2 * leaves + 2) * sizeof(int16_t);
}

size_t travel_touched_bytes(const char *name, const struct travel_setup *setup, int replicas,
                            int rank, const int *border)
{
    const struct travel_ops *ops = find(name);
    size_t all = travel_bytes(name, setup, replicas), staging = staging_of(ops, setup, replicas);
    if (!ops->touched || replicas < 2 || staging == TRAVEL_STAGING) return all;
    size_t touched = ops->touched(setup, replicas, rank, border);
    return touched < staging ? all - staging + touched : all;
}

static enum status allocate(struct travel *travel)
{
    const struct travel_setup *setup = &travel->setup;
    size_t size = (size_t)travel->size, leaves = (size_t)setup->leaves;
    size_t staging = staging_of(travel->ops, setup, travel->size);
    const char *what = "the exchange between processes";
    TRY(memory_allocate(transfers_of(travel->ops, setup, travel->size), sizeof(struct transfer),
                        what, &travel->transfer));
    TRY(memory_allocate(size + 1, sizeof(int), what, &travel->border));
    TRY(memory_allocate(size + 1, sizeof(int), what, &travel->nodes_before));
    TRY(memory_allocate(leaves, sizeof(struct node), what, &travel->node));
    TRY(memory_allocate(leaves + 1, sizeof(float *), what, &travel->array));
    TRY(memory_allocate(2 * leaves + 2, sizeof(int16_t), what, &travel->program));
    if (!staging) return STATUS_OK;
    TRY((staging == TRAVEL_STAGING ? block_create_warm : block_create)(staging, what,
                                                                       &travel->staging));
    return STATUS_OK;
}

enum status travel_create(const char *name, const struct travel_setup *setup,
                          struct travel **travel_p)
{
    INVARIANT(setup->bucket >= 0 && setup->bucket % SLICE_GRAIN == 0 && setup->elements > 0,
              "buckets of %lld of %lld elements", (long long)setup->bucket,
              (long long)setup->elements);
    TRY(travel_check(name, setup, setup->net->size));
    struct travel *travel = NULL;
    TRY(memory_allocate(1, sizeof *travel, "the exchange between processes", &travel));
    travel->ops = find(name);
    travel->setup = *setup;
    travel->net = setup->net;
    travel->rank = setup->net->rank;
    travel->size = setup->net->size;
    travel->owners = travel->ops->owners ? travel->ops->owners(setup, travel->size) : travel->size;
    travel->bucket = travel_bucket_elements(setup);
    travel->kernels = update_kernels_of(setup->isa);
    enum status status = allocate(travel);
    if (status) {
        travel_destroy(travel);
        return status;
    }
    *travel_p = travel;
    return STATUS_OK;
}

void travel_destroy(struct travel *travel)
{
    if (!travel) return;
    block_destroy(&travel->staging);
    free(travel->program);
    free(travel->array);
    free(travel->node);
    free(travel->nodes_before);
    free(travel->border);
    free(travel->transfer);
    free(travel);
}

// ---- what lies where ----
enum exactness travel_exactness(const struct travel *travel)
{
    return travel_exactness_of(travel->ops->name, travel->setup.wire);
}

int travel_buckets(const struct travel *travel)
{
    return (int)((travel->setup.elements + travel->bucket - 1) / travel->bucket);
}

static struct span bucket_of(const struct travel *travel, int bucket)
{
    int64_t first = bucket * travel->bucket, last = first + travel->bucket;
    return (struct span){first, last < travel->setup.elements ? last : travel->setup.elements};
}

void travel_bucket(const struct travel *travel, int bucket, int64_t *first_p, int64_t *last_p)
{
    struct span span = bucket_of(travel, bucket);
    *first_p = span.first;
    *last_p = span.last;
}

struct span travel_slices(const struct travel *travel, struct span bucket, int first, int last)
{
    if (first >= last) return (struct span){bucket.first, bucket.first};
    int64_t from, to, unused;
    slice_of(span_length(bucket), travel->owners, first, &from, &unused);
    slice_of(span_length(bucket), travel->owners, last - 1, &unused, &to);
    return (struct span){bucket.first + from, bucket.first + to};
}

struct span travel_own(const struct travel *travel, struct span bucket, int rank)
{
    int slice = travel->ops->slice ? travel->ops->slice(travel, rank) : rank;
    if (slice < 0 || slice >= travel->owners) return (struct span){bucket.first, bucket.first};
    return travel_slices(travel, bucket, slice, slice + 1);
}

void travel_owned(const struct travel *travel, int bucket, int rank, int64_t *first_p,
                  int64_t *last_p)
{
    struct span own = travel_own(travel, bucket_of(travel, bucket), rank);
    *first_p = own.first;
    *last_p = own.last;
}

struct span span_piece(struct span span, int64_t elements, int64_t piece)
{
    int64_t length = span_length(span), from = piece * elements;
    if (from > length) from = length;
    int64_t to = length - from < elements ? length : from + elements;
    return (struct span){span.first + from, span.first + to};
}

int travel_nodes(const struct travel *travel, int rank)
{
    return travel->nodes_before[rank + 1] - travel->nodes_before[rank];
}

// ---- a step ----
void travel_route(struct travel *travel, const int *border)
{
    int leaves = travel->setup.leaves, count = 0;
    INVARIANT(border[0] == 0 && border[travel->size] == leaves, "borders %d to %d of %d leaves",
              border[0], border[travel->size], leaves);
    memcpy(travel->border, border, ((size_t)travel->size + 1) * sizeof *border);
    for (int r = 0; r < travel->size; r++) {
        struct node node[MAX_NODES];
        int nodes = run_nodes(border[r], border[r + 1], node);
        travel->nodes_before[r] = count;
        memcpy(travel->node + count, node, (size_t)nodes * sizeof *node);
        count += nodes;
    }
    travel->nodes_before[travel->size] = count;
    travel->operations = tree_program(travel->node, count, leaves, travel->program);
}

void travel_send(struct travel *travel, int *count_p, int peer, const void *data, size_t bytes)
{
    if (!bytes) return;
    // A round only reads what it sends.
    travel->transfer[(*count_p)++] =
        (struct transfer){.peer = peer, .sends = true, .data = (void *)data, .bytes = bytes};
    travel->traffic.sent += (double)bytes;
    travel->traffic.messages++;
}

void travel_receive(struct travel *travel, int *count_p, int peer, void *data, size_t bytes)
{
    if (!bytes) return;
    travel->transfer[(*count_p)++] =
        (struct transfer){.peer = peer, .sends = false, .data = data, .bytes = bytes};
    travel->traffic.received += (double)bytes;
    travel->traffic.messages++;
}

// One replica has all nodes.
static void reduce_alone(struct travel *travel, struct span bucket, float *const *node,
                         float *target)
{
    if (travel->operations == 1 && target == node[0]) return;
    for (int i = 0; i < travel_nodes(travel, 0); i++) travel->array[i] = node[i] + bucket.first;
    travel->kernels->tree_sum(target + bucket.first, travel->array, travel->program,
                              travel->operations, span_length(bucket));
}

enum status travel_reduce(struct travel *travel, int bucket, float *const *node, float *target)
{
    struct span span = bucket_of(travel, bucket);
    if (travel->size > 1) return travel->ops->reduce(travel, span, node, target);
    reduce_alone(travel, span, node, target);
    return STATUS_OK;
}

enum status travel_spread(struct travel *travel, int bucket, float *data)
{
    if (travel->size == 1) return STATUS_OK;
    return travel->ops->spread(travel, bucket_of(travel, bucket), data);
}

struct travel_traffic travel_traffic(const struct travel *travel) { return travel->traffic; }
