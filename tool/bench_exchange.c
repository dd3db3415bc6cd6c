// SPDX-License-Identifier: Apache-2.0
// For every way and size: the gradients of all replicas are summed at the owners of slices and new weights are spread, as in a step.
//
// All ways and the peer (the transport's own all-reduce of the same block) take turns in every round, each first once, so that a
// neighbour's load meets all of them; a round's time is that of the slowest replica; what is printed is the median (and as JSON the
// least, too). Bytes are counted, and stand beside what no way can do with less: 2 (N - 1) / N of the block.
#include "bench_exchange.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "output.h"
#include "parallel/batch_tree.h"
#include "parallel/slices.h"
#include "parallel/travel.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SIZES = 16, MOST_WAYS = 8, MOST_ROUNDS = 1001, MOST_REPLICAS = 64 };

struct plan {
    int64_t size[MOST_SIZES]; // bytes of a block
    int sizes, rounds, ways;  // ways: the registry's, and behind them the peer
    int only;                 // the one that is measured, -1: all
    int64_t bucket_elements;
    bool json, processes;
    int replicas; // of this process
};
// What one replica has measured of one way and one size.
struct row {
    double seconds[MOST_ROUNDS];
    double sent, received, messages; // of a round
    bool there;
};
struct runner {
    const struct plan *plan;
    struct comm *net;
    struct block gradient;
    struct row row[MOST_WAYS];
    enum status status;
    char message[512];
    pthread_t thread;
};

// ---- what is asked for ----
static const double default_sizes[] = {1e6, 4e6, 25e6, 100e6};

static enum status read_size(const char *word, double *bytes_p)
{
    char *end = NULL;
    double value = strtod(word, &end);
    double unit = *end == 'k' || *end == 'K' ? 1e3 : *end == 'M' ? 1e6 : *end == 'G' ? 1e9 : 1;
    if (unit > 1) end++;
    if (end == word || *end || !(value * unit >= 4) || !(value * unit <= 1e12))
        FAIL(STATUS_USAGE, "--sizes: \"%s\" is not a size from 4 to 1000G bytes, such as 25M",
             word);
    *bytes_p = value * unit;
    return STATUS_OK;
}

static enum status read_sizes(const char *list, struct plan *plan)
{
    char words[256];
    if (!list) {
        plan->sizes = (int)(sizeof default_sizes / sizeof *default_sizes);
        for (int i = 0; i < plan->sizes; i++) plan->size[i] = (int64_t)default_sizes[i] / 4 * 4;
        return STATUS_OK;
    }
    if (strlen(list) >= sizeof words) FAIL(STATUS_USAGE, "--sizes: at most %d sizes", MOST_SIZES);
    snprintf(words, sizeof words, "%s", list);
    char *rest = words, *word;
    while ((word = strsep(&rest, ",")) != NULL) {
        double bytes = 0;
        if (plan->sizes == MOST_SIZES) FAIL(STATUS_USAGE, "--sizes: at most %d sizes", MOST_SIZES);
        TRY(read_size(word, &bytes));
        plan->size[plan->sizes++] = (int64_t)bytes / 4 * 4;
    }
    return STATUS_OK;
}

static enum status read_plan(const struct options *options, struct plan *plan)
{
    int64_t replicas = 2, rounds = 7;
    double bucket = 25;
    const char *transport = option_text(options, "transport");
    plan->json = option_given(options, "json");
    if (transport && strcmp(transport, "threads") != 0 && strcmp(transport, "mpi") != 0)
        FAIL(STATUS_USAGE, "--transport: \"%s\" is not threads or mpi", transport);
    plan->processes = transport && !strcmp(transport, "mpi");
    TRY(read_sizes(option_text(options, "sizes"), plan));
    TRY(option_integer(options, "replicas", 1, MOST_REPLICAS, &replicas));
    TRY(option_integer(options, "rounds", 1, MOST_ROUNDS, &rounds));
    TRY(option_number(options, "bucket-mb", 0, 1e6, &bucket));
    if (plan->processes && option_given(options, "replicas"))
        FAIL(STATUS_USAGE, "--replicas: under mpirun its -n says how many there are");
    plan->replicas = plan->processes ? 1 : (int)replicas;
    plan->rounds = (int)rounds;
    plan->bucket_elements = (int64_t)(bucket * 1e6 / 4) / SLICE_GRAIN * SLICE_GRAIN;
    const char *only = option_text(options, "exchange");
    plan->only = -1;
    for (; travel_way(plan->ways); plan->ways++)
        if (only && strcmp(only, travel_way(plan->ways)) == 0) plan->only = plan->ways;
    if (only && plan->only < 0)
        FAIL(STATUS_USAGE, "--exchange: \"%s\" is none of %s", only, travel_names());
    return STATUS_OK;
}

// ---- one replica ----
// What a step does between computing and updating, in place: then it is an all-reduce.
static enum status exchange_once(struct travel *travel, float *gradient)
{
    int buckets = travel_buckets(travel);
    for (int b = 0; b < buckets; b++) TRY(travel_reduce(travel, b, &gradient, gradient));
    for (int b = 0; b < buckets; b++) TRY(travel_spread(travel, b, gradient));
    return STATUS_OK;
}

// Round -1 warms up and is not kept. travel NULL: the peer.
static enum status take_turn(struct runner *runner, struct travel *travel, int64_t elements,
                             struct row *row, int round)
{
    struct comm *net = runner->net;
    float *gradient = runner->gradient.data;
    struct travel_traffic before = {0}, after = {0};
    if (!travel && !net->ops->all_reduce) return STATUS_OK;
    // Sums of sums would grow without end.
    for (int64_t i = 0; i < elements; i++) gradient[i] = (float)(i % 97) * 0.01f - 0.5f;
    if (travel) before = travel_traffic(travel);
    TRY(comm_barrier(net));
    double start = comm_seconds(net);
    TRY(travel ? exchange_once(travel, gradient) : comm_all_reduce(net, gradient, elements));
    double seconds = comm_seconds(net) - start;
    if (travel) after = travel_traffic(travel);
    row->there = true;
    row->sent = after.sent - before.sent;
    row->received = after.received - before.received;
    row->messages = (double)(after.messages - before.messages);
    if (round >= 0) row->seconds[round] = seconds;
    return STATUS_OK;
}

static enum status create_all(struct runner *runner, int64_t elements, struct travel **travel)
{
    const struct plan *plan = runner->plan;
    struct travel_setup setup = {.net = runner->net,
                                 .elements = elements,
                                 .leaves = runner->net->size,
                                 .bucket = plan->bucket_elements,
                                 .servers = 1};
    int *border;
    TRY(isa_choose(&setup.isa));
    TRY(memory_allocate((size_t)runner->net->size + 1, sizeof *border, "borders", &border));
    borders_equal(setup.leaves, runner->net->size, border);
    enum status status = STATUS_OK;
    for (int w = 0; w < plan->ways && !status; w++) {
        status = travel_create(travel_way(w), &setup, &travel[w]);
        if (!status) travel_route(travel[w], border);
    }
    free(border);
    return status;
}

static enum status measure_size(struct runner *runner, int64_t elements)
{
    struct travel *travel[MOST_WAYS] = {0};
    const struct plan *plan = runner->plan;
    memset(runner->row, 0, sizeof runner->row);
    enum status status = create_all(runner, elements, travel);
    for (int round = -1; round < plan->rounds && !status; round++)
        for (int i = 0; i <= plan->ways && !status; i++) {
            // Each goes first once.
            int w = (i + round + 1) % (plan->ways + 1);
            if (plan->only >= 0 && w != plan->only) continue;
            status = take_turn(runner, travel[w], elements, &runner->row[w], round);
        }
    for (int w = 0; w < plan->ways; w++) travel_destroy(travel[w]);
    return status;
}

// ---- what is printed ----
struct figure {
    // Of rounds: the median, the least, and the median of the time beside that of the all-reduce (0: there is none).
    double seconds, least, of_peer;
    double sent, busiest, messages;
    bool there;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

// Everybody's rows of all ways -> figures; a round took as long as its slowest replica.
static void digest(const struct plan *plan, const struct row *all, int size, struct figure *figure)
{
    static double slowest[MOST_WAYS][MOST_ROUNDS], ratio[MOST_ROUNDS];
    memset(slowest, 0, sizeof slowest);
    for (int w = 0; w <= plan->ways; w++) {
        struct figure *f = &figure[w];
        *f = (struct figure){.there = all[w].there};
        for (int r = 0; r < size; r++) {
            const struct row *row = &all[r * MOST_WAYS + w];
            f->sent += row->sent / size;
            f->messages += row->messages / size;
            f->busiest = fmax(f->busiest, fmax(row->sent, row->received));
            for (int i = 0; i < plan->rounds; i++)
                slowest[w][i] = fmax(slowest[w][i], row->seconds[i]);
        }
    }
    for (int w = 0; w <= plan->ways; w++) {
        for (int i = 0; i < plan->rounds; i++) ratio[i] = slowest[w][i] / slowest[plan->ways][i];
        if (figure[plan->ways].there) figure[w].of_peer = median(ratio, plan->rounds);
    }
    for (int w = 0; w <= plan->ways; w++) {
        figure[w].seconds = median(slowest[w], plan->rounds);
        figure[w].least = slowest[w][0]; // in order by now
    }
}

static enum status print_json(const struct runner *runner, int64_t bytes, const char *name,
                              const char *level, const struct figure *f)
{
    int size = runner->net->size;
    double formula = 2.0 * (size - 1) / size * (double)bytes;
    json_t *line = json_pack(
        "{s:s, s:s, s:s, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s}", "bench", "exchange",
        "exchange", name, "transport", runner->net->ops->name, "replicas", size, "bytes",
        (json_int_t)bytes, "seconds", f->seconds, "least_seconds", f->least, "gb_per_s",
        f->seconds > 0 ? 1e-9 * formula / f->seconds : 0.0, "sent", f->sent, "busiest", f->busiest,
        "formula", formula, "messages", f->messages, "exactness", level);
    json_object_set_new(line, "of_native_all_reduce",
                        f->of_peer > 0 ? json_real(f->of_peer) : json_null());
    // One line also where mpirun gives its processes a terminal.
    char *text = line ? json_dumps(line, JSON_REAL_PRECISION(12)) : NULL;
    json_decref(line);
    if (!text) FAIL(STATUS_MEMORY, "not enough memory for the result");
    enum status status = output_print("%s\n", text);
    free(text);
    return status;
}

static enum status print_line(const struct runner *runner, int64_t bytes, const char *name,
                              const char *level, const struct figure *f)
{
    char block[32], sent[32], busiest[32], least[32], peer[32] = "-";
    int size = runner->net->size;
    double formula = 2.0 * (size - 1) / size * (double)bytes;
    if (f->of_peer > 0) snprintf(peer, sizeof peer, "%.2f", f->of_peer);
    return output_print("%-9s %-11s %10.3f %8.2f %10s %10s %10s %8.0f %6s  %s\n",
                        output_bytes((double)bytes, block), name, 1e3 * f->seconds,
                        f->seconds > 0 ? 1e-9 * formula / f->seconds : 0,
                        output_bytes(f->sent, sent), output_bytes(f->busiest, busiest),
                        output_bytes(formula, least), f->messages, peer, level);
}

static enum status print(const struct runner *runner, int64_t bytes, const struct figure *figure)
{
    const struct plan *plan = runner->plan;
    for (int w = 0; w <= plan->ways; w++) {
        bool peer = w == plan->ways;
        const char *name = peer ? "all-reduce" : travel_way(w);
        const char *level =
            exactness_name(peer ? EXACTNESS_SAME_WORKERS : travel_exactness_of(name, WIRE_FLOAT32));
        if (!figure[w].there) continue;
        TRY((plan->json ? print_json : print_line)(runner, bytes, name, level, &figure[w]));
    }
    return output_finish();
}

// Collective: all rows come to everybody, replica 0 prints.
static enum status report(struct runner *runner, int64_t bytes)
{
    struct row *all;
    struct figure figure[MOST_WAYS];
    size_t size = (size_t)runner->net->size;
    TRY(memory_allocate(size, sizeof runner->row, "the measurements", &all));
    enum status status = comm_gather(runner->net, runner->row, sizeof runner->row, all);
    if (!status && runner->net->rank == 0) {
        digest(runner->plan, all, (int)size, figure);
        status = print(runner, bytes, figure);
    }
    free(all);
    return status;
}

static enum status print_head(const struct runner *runner)
{
    if (runner->plan->json || runner->net->rank) return STATUS_OK;
    TRY(output_print("%d replicas over %s; GB/s of what each must send at least; medians of %d\n",
                     runner->net->size, runner->net->ops->name, runner->plan->rounds));
    return output_print("%-9s %-11s %10s %8s %10s %10s %10s %8s %6s  %s\n", "block", "exchange",
                        "ms", "GB/s", "sent", "busiest", "formula", "messages", "ratio", "level");
}

static enum status run_all(struct runner *runner)
{
    const struct plan *plan = runner->plan;
    // From 4 MiB on memory lies in huge pages; the model's does.
    int64_t most = 8 << 20;
    for (int i = 0; i < plan->sizes; i++)
        if (plan->size[i] > most) most = plan->size[i];
    TRY(block_create((size_t)most, "gradients", &runner->gradient));
    TRY(print_head(runner));
    for (int i = 0; i < plan->sizes; i++) {
        TRY(measure_size(runner, plan->size[i] / (int64_t)sizeof(float)));
        TRY(report(runner, plan->size[i]));
    }
    return STATUS_OK;
}

static void *run_replica(void *context)
{
    struct runner *runner = context;
    cpu_flush_to_zero();
    runner->status = run_all(runner);
    if (runner->status) comm_abandon(runner->net);
    error_copy(runner->message, sizeof runner->message);
    block_destroy(&runner->gradient);
    return NULL;
}

static enum status run_threads(const struct plan *plan, struct runner *runner, struct comm **net)
{
    int started = 0;
    for (; started < plan->replicas; started++) {
        runner[started].plan = plan;
        runner[started].net = net[started];
        if (pthread_create(&runner[started].thread, NULL, run_replica, &runner[started])) break;
    }
    // Those that run wait for the others.
    if (started < plan->replicas) comm_abandon(net[started]);
    for (int r = 0; r < started; r++) pthread_join(runner[r].thread, NULL);
    if (started < plan->replicas)
        FAIL(STATUS_MEMORY, "%d threads cannot be started", plan->replicas);
    // The others fail because one did.
    for (int pass = 0; pass < 2; pass++)
        for (int r = 0; r < started; r++)
            if (runner[r].status && (pass || runner[r].status != STATUS_PEER))
                return error_adopt(runner[r].status, runner[r].message);
    return STATUS_OK;
}

enum status bench_exchange(const struct options *options)
{
    struct plan plan = {0};
    struct runner *runner;
    struct comm *net[MOST_REPLICAS] = {0};
    TRY(read_plan(options, &plan));
    TRY(memory_allocate((size_t)plan.replicas, sizeof *runner, "the measurement", &runner));
    enum status status = comm_create(plan.processes ? "mpi" : NULL, plan.replicas, net);
    if (!status) {
        status = run_threads(&plan, runner, net);
        comm_destroy(net, plan.replicas);
    }
    free(runner);
    return status;
}
