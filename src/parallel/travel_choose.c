// SPDX-License-Identifier: Apache-2.0
// exchange: auto. A few buckets travel by every exact way, and the quickest is taken: what is fastest depends on the network, the
// number of replicas and the size of a bucket, and all three are here to be asked.
#include "parallel/travel_ops.h"

#include <math.h>
#include <stdlib.h>

enum {
    ROUNDS = 3,
    // Of a run whose bucket is the whole block: what it takes to see the bandwidth.
    MOST_ELEMENTS = 8 << 20,
};

struct trial {
    struct travel_setup setup; // elements: of one bucket
    const int *border;
    struct block block;
    double *all; // [replicas] everybody's seconds
};

static enum status there_and_back(struct travel *travel, float *data)
{
    float *node[MAX_NODES];
    // What is summed does not matter, so all nodes are one buffer.
    for (int i = 0; i < MAX_NODES; i++) node[i] = data;
    TRY(travel_reduce(travel, 0, node, data));
    return travel_spread(travel, 0, data);
}

// The best round, each as long as at its slowest replica: the same number at every replica.
static enum status measure(const struct trial *trial, struct travel *travel, double *seconds_p)
{
    struct comm *net = trial->setup.net;
    double best = (double)INFINITY;
    for (int round = -1; round < ROUNDS; round++) {
        TRY(comm_barrier(net));
        double start = comm_seconds(net), slowest = 0;
        TRY(there_and_back(travel, trial->block.data));
        double seconds = comm_seconds(net) - start;
        TRY(comm_gather(net, &seconds, sizeof seconds, trial->all));
        for (int r = 0; r < net->size; r++)
            if (trial->all[r] > slowest) slowest = trial->all[r];
        if (round >= 0 && slowest < best) best = slowest;
    }
    *seconds_p = best;
    return STATUS_OK;
}

static enum status try_way(const struct trial *trial, const char *name, double *seconds_p)
{
    struct travel *travel = NULL;
    TRY(travel_create(name, &trial->setup, &travel));
    travel_route(travel, trial->border);
    enum status status = measure(trial, travel, seconds_p);
    travel_destroy(travel);
    return status;
}

static enum status try_all(const struct trial *trial, struct travel_choice *choice_p)
{
    struct travel_choice choice = {0};
    double least = (double)INFINITY;
    for (int i = 0; travel_way(i); i++) {
        double seconds = 0;
        if (!travel_by_itself(travel_way(i), trial->setup.wire)) continue;
        TRY(try_way(trial, travel_way(i), &seconds));
        choice.tried[choice.count].name = travel_way(i);
        choice.tried[choice.count++].seconds = seconds;
        if (seconds < least || !choice.name) {
            least = seconds;
            choice.name = travel_way(i);
        }
    }
    *choice_p = choice;
    return STATUS_OK;
}

enum status travel_choose(const struct travel_setup *setup, const int *border,
                          struct travel_choice *choice_p)
{
    struct trial trial = {.setup = *setup, .border = border};
    int64_t elements = setup->elements;
    if (setup->bucket && setup->bucket < elements) elements = setup->bucket;
    if (!setup->bucket && elements > MOST_ELEMENTS) elements = MOST_ELEMENTS;
    trial.setup.elements = elements;
    trial.setup.bucket = 0;
    TRY(memory_allocate((size_t)setup->net->size, sizeof(double), "the choice of an exchange",
                        &trial.all));
    enum status status =
        block_create((size_t)elements * sizeof(float), "the choice of an exchange", &trial.block);
    if (!status) status = try_all(&trial, choice_p);
    block_destroy(&trial.block);
    free(trial.all);
    return status;
}
