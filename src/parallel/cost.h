// SPDX-License-Identifier: Apache-2.0
// What a step takes on a cluster that is only described: formulas, no measurement (doc/plan.md writes them out).
//
// A cluster is a dozen numbers, a run a dozen more; cost_step() adds up what the worker with the longest run of leaves computes, what the
// replicas exchange, hidden behind the backward pass and not, and the update. `simulated` (comm/simulated.h) runs the real exchange on
// the same links; a test holds the formulas against it. cost_layout() adds what tensor and pipeline parallel runs of others pay, so that
// their published tables can be compared.
#ifndef STN_PARALLEL_COST_H
#define STN_PARALLEL_COST_H

#include "base/numeric.h"
#include "comm/simulated.h"

#include <stdbool.h>
#include <stdint.h>

struct cluster {
    int64_t nodes, workers; // workers of a node
    bool
        shares_memory; // the workers of a node share one copy of the weights; else each has its own
    double peak[PRECISION_COUNT]; // operations a second of a worker
    double efficiency, attention; // shares of it that products reach, and attention
    double memory;                // bytes of a node; not shared: of a worker
    double memory_bandwidth;      // bytes a second, likewise
    struct link inside, between;  // of a worker; of a node
};

// A micro-batch, forward and backward.
struct work {
    double products, attention; // operations
    double bytes;               // that all other operations read and write
};
double cost_work(const struct cluster *cluster, enum precision precision, const struct work *work);

struct workload {
    struct work work;
    enum precision precision;
    double elements; // of the block of weights
    int states;      // of the optimizer
    int64_t micro_batches, leaves;
    double tokens;        // of a step
    const char *exchange; // direct, tree, ring, server, native, local-sgd
    int servers;
    bool servers_only; // the servers' replicas compute nothing
    double wire;       // bytes of a gradient's element on the way
    bool overlap;
    double bucket;      // bytes; 0: all in one
    int64_t sync_every; // local-sgd: steps from one average to the next
};

// ---- the exchange alone ----
// Of one collective over `replicas` replicas of which `owners` own a slice: seconds, and what the replica that moves most sends or
// receives.
struct way_cost {
    double seconds, bytes, messages;
};
// `bytes` of one node; nodes: that each replica holds (1 where runs are aligned to the tree).
struct way_cost cost_reduce(const char *way, const struct link *link, int64_t replicas,
                            int64_t owners, double bytes, double nodes);
struct way_cost cost_spread(const char *way, const struct link *link, int64_t replicas,
                            int64_t owners, double bytes);

// ---- a step ----
struct step_cost {
    double compute;         // mean over the workers
    double wait;            // for the worker with the longest run of leaves
    double update;          // partial sums, norm and optimizer, in memory
    double hidden, exposed; // exchange behind the backward pass, and beside it
    double seconds;         // all but `hidden`
    double bytes, messages; // of the replica that moves most
    double tokens;          // a second
    int64_t replicas;
};
struct step_cost cost_step(const struct cluster *cluster, const struct workload *workload);
// The exchange with the least time of those that keep the bits (exact); ties: the first of direct, tree, server.
const char *cost_best_exchange(const struct cluster *cluster, const struct workload *workload);

// ---- models cut over workers: what others publish ----
// A GPT or Llama in training; doc/plan.md has the formulas and their sources.
struct transformer {
    double layers, width, context, vocabulary;
    double heads, kv_heads; // of queries; of keys and of values
    double hidden;          // of the feed-forward part
    bool gated;             // three matrices in it instead of two
    bool tied;              // the token table is the output layer, too
};
double transformer_parameters(const struct transformer *model);
struct arrangement {
    int64_t workers, tensor, pipeline; // the rest is data parallel
    int64_t chunks;             // of layers that a pipeline's worker has, interleaved; 1: not
    int64_t batch, micro_batch; // sequences
    enum precision precision;
    double recompute; // share of the layers' products that is computed twice
    bool shards;      // weights are gathered for each pass (FSDP) while others compute
    bool overlap;     // gradients travel behind the backward pass of the last micro-batch
    // What a layer's forward pass reads and writes besides products, in arrays of [tokens, width] of which every tensor-parallel worker
    // has the whole, in those that they share, and in arrays of [heads, tokens, context], shared.
    double outside, inside, scores;
};
struct arrangement_cost {
    double compute, tensor, bubble, stages, exchange, update; // seconds, what is hidden not counted
    double seconds;
    double flops; // of the step: products and attention, with what is computed twice
};
struct arrangement_cost cost_layout(const struct cluster *cluster, const struct transformer *model,
                                    const struct arrangement *layout);
#endif
