// SPDX-License-Identifier: Apache-2.0
#include "parallel/cost.h"

#include "parallel/batch_tree.h"

#include <math.h>
#include <string.h>

static double larger(double a, double b) { return a > b ? a : b; }
static double smaller(double a, double b) { return a < b ? a : b; }

double cost_work(const struct cluster *cluster, enum precision precision, const struct work *work)
{
    double peak = cluster->peak[precision];
    double memory = cluster->memory_bandwidth;
    if (cluster->shares_memory) memory /= (double)cluster->workers;
    return work->products / (peak * cluster->efficiency) +
           work->attention / (peak * cluster->attention) + work->bytes / memory;
}

// ---- the exchange ----
// The port of whoever sends or receives most, one message after the other, and the way of the last one.
static struct way_cost port(const struct link *link, double messages, double bytes)
{
    struct way_cost cost = {0, bytes, messages};
    if (messages > 0) cost.seconds = link->latency + messages * link->gap + bytes / link->bandwidth;
    return cost;
}

static bool is(const char *way, const char *name) { return strcmp(way, name) == 0; }

// Rounds in which what moves halves; those beyond a power of two fold in pairs first.
static struct way_cost halving(const struct link *link, int64_t replicas, double bytes)
{
    struct way_cost cost = {0, 0, 0};
    int64_t cores = 1;
    double part = bytes;
    while (2 * cores <= replicas) {
        cores *= 2;
        part /= 2;
        cost.seconds += link->latency + link_occupied(link, part);
        cost.bytes += part;
        cost.messages++;
    }
    if (cores == replicas) return cost;
    cost.seconds += link->latency + link_occupied(link, bytes);
    cost.bytes += bytes;
    cost.messages++;
    return cost;
}

static struct way_cost round_the_ring(const struct link *link, double replicas, double bytes)
{
    double rounds = replicas - 1, part = bytes / replicas;
    return (struct way_cost){rounds * (link->latency + link_occupied(link, part)), rounds * part,
                             rounds};
}

static struct way_cost collective(const char *way, const struct link *link, int64_t replicas,
                                  int64_t owners, double bytes, double nodes)
{
    double others = (double)(replicas - 1);
    if (replicas < 2) return (struct way_cost){0, 0, 0};
    if (is(way, "tree") || is(way, "native")) return halving(link, replicas, bytes * nodes);
    if (is(way, "ring")) return round_the_ring(link, (double)replicas, bytes);
    // Also averages: every replica sends each owner its part; an owner hears from all others, and nobody's port has more to do.
    return port(link, others * nodes, others * nodes * bytes / (double)owners);
}

struct way_cost cost_reduce(const char *way, const struct link *link, int64_t replicas,
                            int64_t owners, double bytes, double nodes)
{
    return collective(way, link, replicas, owners, bytes, nodes);
}

struct way_cost cost_spread(const char *way, const struct link *link, int64_t replicas,
                            int64_t owners, double bytes)
{
    return collective(way, link, replicas, owners, bytes, 1);
}

// ---- a step ----
static int64_t replicas_of(const struct cluster *cluster)
{
    return cluster->shares_memory ? cluster->nodes : cluster->nodes * cluster->workers;
}

// Between replicas: workers with copies of their own share their node's link.
static struct link link_of(const struct cluster *cluster)
{
    if (cluster->shares_memory) return cluster->between;
    if (cluster->nodes == 1) return cluster->inside;
    struct link link = cluster->between;
    link.bandwidth = smaller(link.bandwidth / (double)cluster->workers, cluster->inside.bandwidth);
    return link;
}

// Leaves [*first_p, *last_p) of run `run` of `runs`, as borders_equal.
static void leaves_of(int64_t leaves, int64_t runs, int64_t run, int *first_p, int *last_p)
{
    int64_t share = leaves / runs, larger_runs = leaves % runs;
    *first_p = (int)(run * share + (run < larger_runs ? run : larger_runs));
    *last_p = *first_p + (int)(share + (run < larger_runs));
}

// Micro-batches of the longest run when `workers` share the leaves equally.
static double longest_run(const struct workload *workload, int64_t workers)
{
    int64_t most = 0;
    for (int64_t r = 0; r < workers && r < workload->leaves; r++) {
        int first, last, leaves = (int)workload->leaves;
        int64_t begin, end, other;
        leaves_of(leaves, workers, r, &first, &last);
        leaf_micro_batches(workload->micro_batches, leaves, first, &begin, &other);
        leaf_micro_batches(workload->micro_batches, leaves, last - 1, &other, &end);
        if (end - begin > most) most = end - begin;
    }
    return (double)most;
}

// Nodes that the first `count` of `runs` runs leave behind.
static double nodes_of(int64_t leaves, int64_t runs, int64_t count)
{
    int nodes = 0;
    for (int64_t r = 0; r < count && r < leaves; r++) {
        struct node node[MAX_NODES];
        int first, last;
        leaves_of(leaves, runs, r, &first, &last);
        nodes += run_nodes(first, last, node);
    }
    return nodes > 0 ? nodes : 1;
}

// Partial sums folded, read up the tree, measured, and the update: float32, bytes an element by what must move (doc/parallel.md).
static double update_seconds(const struct cluster *cluster, const struct workload *workload,
                             double longest, int64_t replicas)
{
    int64_t workers = cluster->nodes * cluster->workers, sharing = workers / replicas;
    double nodes = nodes_of(workload->leaves, workers, sharing), local = (double)sharing;
    double owned = workload->elements / (double)replicas;
    // Every micro-batch but the first of a node reads two arrays and writes one.
    double own = larger(1, nodes / local), folds = larger(0, longest - own);
    double fold = 12 * workload->elements * folds;
    double sums = nodes * workload->elements * 4 + (nodes > 2 ? 4 * workload->elements : 0);
    double step = (smaller(nodes, 2) * 4 + 8 + 8.0 * workload->states) * owned;
    if (replicas > 1) step = (4 + 8 + 8.0 * workload->states) * owned;
    // Each for itself.
    if (is(workload->exchange, "local-sgd"))
        step = (4 + 8 + 8.0 * workload->states) * workload->elements;
    // Workers fold at the same time.
    return (fold * local + sums + step) / cluster->memory_bandwidth;
}

static void exchange_cost(const struct cluster *cluster, const struct workload *workload,
                          double micro_batch, struct step_cost *cost)
{
    const struct link link = link_of(cluster);
    int64_t replicas = cost->replicas, owners = replicas;
    double bytes = 4 * workload->elements, wire = workload->wire * workload->elements;
    if (replicas < 2) return;
    if (is(workload->exchange, "server"))
        owners = (int64_t)larger(1, smaller(workload->servers, (double)replicas));
    double buckets = workload->bucket > 0 ? ceil(bytes / workload->bucket) : 1;
    bool averages = is(workload->exchange, "local-sgd");
    // A replica sends the nodes that its workers' fold into.
    double nodes = averages ? 1 : nodes_of(workload->leaves, replicas, 1);
    struct way_cost reduce =
        cost_reduce(workload->exchange, &link, replicas, owners, wire / buckets, nodes);
    struct way_cost spread =
        cost_spread(workload->exchange, &link, replicas, owners, bytes / buckets);
    double times = averages ? 1 / (double)workload->sync_every : 1;
    double in = reduce.seconds * buckets * times, out = spread.seconds * buckets * times;
    // Buckets but the last go while the last micro-batch's backward pass, two thirds of it, computes on.
    double behind =
        workload->overlap && !averages ? smaller(in * (1 - 1 / buckets), micro_batch * 2 / 3) : 0;
    cost->hidden = behind;
    cost->exposed = in - behind + out;
    cost->bytes = (reduce.bytes + spread.bytes) * buckets * times;
    cost->messages = (reduce.messages + spread.messages) * buckets * times;
}

static int64_t computing_workers(const struct cluster *cluster, const struct workload *workload,
                                 int64_t replicas)
{
    int64_t workers = cluster->nodes * cluster->workers;
    bool some_serve = workload->servers_only && is(workload->exchange, "server");
    if (!some_serve || workload->servers >= replicas) return workers;
    return workers / replicas * (replicas - workload->servers);
}

struct step_cost cost_step(const struct cluster *cluster, const struct workload *workload)
{
    struct step_cost cost = {.replicas = replicas_of(cluster)};
    int64_t workers = computing_workers(cluster, workload, cost.replicas);
    double micro_batch = cost_work(cluster, workload->precision, &workload->work);
    double longest = longest_run(workload, workers);
    cost.compute = micro_batch * (double)workload->micro_batches / (double)workers;
    cost.wait = micro_batch * longest - cost.compute;
    cost.update = update_seconds(cluster, workload, longest, cost.replicas);
    exchange_cost(cluster, workload, micro_batch, &cost);
    cost.seconds = cost.compute + cost.wait + cost.update + cost.exposed;
    cost.tokens = workload->tokens / cost.seconds;
    return cost;
}

const char *cost_best_exchange(const struct cluster *cluster, const struct workload *workload)
{
    static const char *const exact[] = {"direct", "tree", "server"};
    const char *best = exact[0];
    double least = 0;
    for (int i = 0; i < 3; i++) {
        struct workload trial = *workload;
        trial.exchange = exact[i];
        double seconds = cost_step(cluster, &trial).seconds;
        if (i && seconds >= least) continue;
        best = exact[i];
        least = seconds;
    }
    return best;
}
