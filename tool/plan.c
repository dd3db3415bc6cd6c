// SPDX-License-Identifier: Apache-2.0
// stentor plan: what a run would take on a cluster that is only described. doc/plan.md has the formulas.
#include "plan.h"

#include "base/memory.h"
#include "base/number.h"
#include "options.h"
#include "output.h"
#include "parallel/batch_tree.h"
#include "progress.h"
#include "run_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_row rows[] = {
    {"cluster", "FILE", "the cluster, a YAML file of the keys below (needed)"},
    {"nodes", "LIST", "rows of the table of scaling, such as 1,2,64 (default 1,2,4 … 4096)"},
    {"set", "KEY=VALUE", "changes a key of the run file; may be repeated"},
    {"json", NULL, "prints the result as one JSON object"},
    {NULL, NULL, NULL},
};

static void help(void)
{
    const char *name, *start, *meaning;
    printf("\nkeys of a cluster file (section.key, default):\n");
    for (int i = 0; cluster_file_key(i, &name, &start, &meaning); i++)
        printf("  %-24s %-10s %s\n", name, start, meaning);
    printf("\n`stentor bench --cluster-file FILE` writes the description of this machine. A step's "
           "time is a formula\n(doc/plan.md), not a measurement; the bits of a run do not depend "
           "on any of it.\n");
}

// ---- the table ----
static enum status add_row(struct outlook *plan, int64_t nodes)
{
    if (plan->rows == PLAN_ROWS)
        FAIL(STATUS_USAGE, "--nodes: more than %d numbers", (int)PLAN_ROWS);
    plan->row[plan->rows++].nodes = nodes;
    return STATUS_OK;
}

static enum status read_nodes(struct outlook *plan, const char *list)
{
    for (const char *at = list; list; at++) {
        char word[24];
        int64_t nodes;
        size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", text_cut_bytes(at, length, 23), at);
        if (!number_parse_integer(word, &nodes) || nodes < 1 || nodes > 1 << 20)
            FAIL(STATUS_USAGE,
                 "--nodes: \"%s\" is not a number of nodes from 1 to 1048576; write 1,2,64", word);
        TRY(add_row(plan, nodes));
        at += length;
        if (!*at) return STATUS_OK;
    }
    for (int64_t nodes = 1; nodes <= 4096; nodes *= 2) TRY(add_row(plan, nodes));
    return STATUS_OK;
}

// The run with as many leaves as so many nodes can use.
static struct step_cost strong_cost(const struct outlook *plan, int64_t nodes)
{
    struct cluster cluster = plan->file.cluster;
    struct workload run = plan->forecast.workload;
    int64_t workers = nodes * cluster.workers;
    if (run.leaves < workers) run.leaves = workers;
    if (run.leaves > run.micro_batches) run.leaves = run.micro_batches;
    if (run.leaves > MAX_LEAVES) run.leaves = MAX_LEAVES;
    cluster.nodes = nodes;
    return cost_step(&cluster, &run);
}

static struct step_cost weak_cost(const struct outlook *plan, int64_t nodes)
{
    struct cluster cluster = plan->file.cluster;
    struct workload larger = forecast_larger(&plan->forecast, nodes);
    int64_t workers = nodes * cluster.workers;
    if (larger.leaves < workers) larger.leaves = workers;
    if (larger.leaves > larger.micro_batches) larger.leaves = larger.micro_batches;
    if (larger.leaves > MAX_LEAVES) larger.leaves = MAX_LEAVES;
    cluster.nodes = nodes;
    return cost_step(&cluster, &larger);
}

static void fill_row(struct outlook *plan, struct plan_row *row)
{
    struct cluster cluster = plan->file.cluster;
    cluster.nodes = row->nodes;
    row->strong = strong_cost(plan, row->nodes);
    row->weak = weak_cost(plan, row->nodes);
    row->exchange = "none";
    if (row->strong.replicas > 1)
        row->exchange = cost_best_exchange(&cluster, &plan->forecast.workload);
    row->strong_efficiency =
        strong_cost(plan, 1).seconds / row->strong.seconds / (double)row->nodes;
    row->weak_efficiency = weak_cost(plan, 1).seconds / row->weak.seconds;
}

static enum status check_precision(const struct outlook *plan, const char *path)
{
    enum precision precision = plan->forecast.workload.precision;
    const char *name = precision_name(precision);
    if (plan->file.cluster.peak[precision] > 0) return STATUS_OK;
    FAIL(STATUS_USAGE,
         "%s: worker.%s: the run computes in %s, and the peak for it is missing; add it, or set "
         "train.precision",
         path, name, name);
}

// ---- JSON ----
static json_t *cost_json(const struct step_cost *c)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "step_seconds", c->seconds,
                     "compute_seconds", c->compute, "wait_seconds", c->wait, "update_seconds",
                     c->update, "exchange_seconds", c->exposed, "exchange_hidden_seconds",
                     c->hidden, "tokens_per_second", c->tokens, "bytes_per_replica", c->bytes,
                     "messages_per_replica", c->messages);
}

static json_t *rows_json(const struct outlook *plan)
{
    json_t *list = json_array();
    for (int i = 0; i < plan->rows; i++) {
        const struct plan_row *row = &plan->row[i];
        json_array_append_new(list,
                              json_pack("{s:I, s:o, s:f, s:o, s:f, s:s}", "nodes",
                                        (json_int_t)row->nodes, "strong", cost_json(&row->strong),
                                        "strong_efficiency", row->strong_efficiency, "weak",
                                        cost_json(&row->weak), "weak_efficiency",
                                        row->weak_efficiency, "best_exchange", row->exchange));
    }
    return list;
}

static json_t *advice_json(const struct plan_advice *a)
{
    if (!a->found) return json_null();
    return json_pack("{s:I, s:I, s:I, s:s, s:o, s:I}", "micro_batch", (json_int_t)a->micro_batch,
                     "leaves", (json_int_t)a->leaves, "recompute_layers",
                     (json_int_t)a->recompute_layers, "exchange", a->exchange, "step",
                     cost_json(&a->cost), "memory_bytes", (json_int_t)a->node_bytes);
}

static enum status print_json(const struct outlook *plan)
{
    const struct memory_report *m = &plan->memory;
    const struct cluster *c = &plan->file.cluster;
    return output_json(json_pack(
        "{s:s, s:o, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}, s:o, s:o, s:o}",
        "kind", "plan", "cluster", output_json_text(plan->file.name, strlen(plan->file.name)),
        "nodes", (json_int_t)c->nodes, "workers", (json_int_t)c->nodes * (json_int_t)c->workers,
        "replicas", (json_int_t)plan->cost.replicas, "parameters",
        (json_int_t)plan->forecast.parameters, "memory_bytes", "weights", (json_int_t)m->weights,
        "packed_weights", (json_int_t)m->packed_weights, "optimizer_state",
        (json_int_t)m->optimizer_state, "gradients", (json_int_t)m->gradients, "activations",
        (json_int_t)m->activations, "other", (json_int_t)m->other, "total", (json_int_t)m->total,
        "available", (json_int_t)c->memory, "step", cost_json(&plan->cost), "scaling",
        rows_json(plan), "advice", advice_json(&plan->advice)));
}

// ---- text ----
// "12.3 ms", "4.56 s", "3:04:05"
static const char *duration(double seconds, char text[32])
{
    if (seconds >= 600) return progress_time(seconds, text);
    if (seconds > 0 && seconds < 1e-3)
        snprintf(text, 32, "%.3g us", 1e6 * seconds);
    else if (seconds < 1)
        snprintf(text, 32, "%.3g ms", 1e3 * seconds);
    else
        snprintf(text, 32, "%.3g s", seconds);
    return text;
}

static enum status print_head(const struct outlook *plan)
{
    const struct cluster *c = &plan->file.cluster;
    const struct forecast *f = &plan->forecast;
    char b[32], name[256];
    TRY(output_print("cluster    %s: %lld node%s of %lld worker%s, %.4g GFLOP/s each in %s\n",
                     output_clean(plan->file.name, name), (long long)c->nodes,
                     c->nodes == 1 ? "" : "s", (long long)c->workers, c->workers == 1 ? "" : "s",
                     1e-9 * c->peak[f->workload.precision], f->config.precision));
    return output_print(
        "run        %s, %s parameters; a step is %lld sequences of %lld tokens in %lld leaves, "
        "micro-batches of %lld; exchange %s\n",
        f->config.model.type, output_count(f->parameters, b), (long long)f->config.batch,
        (long long)f->config.model.context, (long long)f->config.leaves,
        (long long)f->config.micro_batch, f->workload.exchange);
}

static enum status print_memory(const struct outlook *plan)
{
    const struct memory_report *m = &plan->memory;
    const struct cluster *c = &plan->file.cluster;
    const char *fits = (double)m->total > c->memory ? ": it does not fit" : "";
    char t[8][32];
    return output_print(
        "memory     %s of %s a %s%s: weights %s, optimizer %s, gradients %s, activations %s, "
        "packed weights and other %s; at most %s a worker\n",
        output_bytes((double)m->total, t[0]), output_bytes(c->memory, t[1]),
        c->shares_memory ? "node" : "worker", fits, output_bytes((double)m->weights, t[2]),
        output_bytes((double)m->optimizer_state, t[3]), output_bytes((double)m->gradients, t[4]),
        output_bytes((double)m->activations, t[5]),
        output_bytes((double)(m->packed_weights + m->other), t[6]),
        output_bytes((double)m->worker_total, t[7]));
}

static enum status print_step(const struct outlook *plan)
{
    const struct step_cost *c = &plan->cost;
    char t[8][32];
    TRY(output_print("a step     %s: computing %s, waiting for the longest run %s, sums and update "
                     "%s, exchange %s (and %s hidden); %s tokens/s\n",
                     duration(c->seconds, t[0]), duration(c->compute, t[1]),
                     duration(c->wait, t[2]), duration(c->update, t[3]), duration(c->exposed, t[4]),
                     duration(c->hidden, t[5]), output_count(c->tokens, t[6])));
    if (c->replicas < 2) return STATUS_OK;
    return output_print("           a replica moves at most %s and %s messages each way\n",
                        output_bytes(c->bytes, t[0]), output_count(c->messages, t[1]));
}

static enum status print_rows(const struct outlook *plan)
{
    char t[4][32];
    TRY(output_print("\n%8s  %-32s  %-32s\n%8s  %10s %12s %8s  %10s %12s %8s  %s\n", "",
                     "the same batch (strong)", "a batch for each node (weak)", "nodes", "a step",
                     "tokens/s", "of 1", "a step", "tokens/s", "of 1", "best exchange"));
    for (int i = 0; i < plan->rows; i++) {
        const struct plan_row *row = &plan->row[i];
        TRY(output_print("%8lld  %10s %12s %7.1f%%  %10s %12s %7.1f%%  %s\n", (long long)row->nodes,
                         duration(row->strong.seconds, t[0]),
                         output_count(row->strong.tokens, t[1]), 100 * row->strong_efficiency,
                         duration(row->weak.seconds, t[2]), output_count(row->weak.tokens, t[3]),
                         100 * row->weak_efficiency, row->exchange));
    }
    return output_print("with as many train.leaves as workers can use: at most the micro-batches, "
                        "and %d\n\n",
                        (int)MAX_LEAVES);
}

static enum status print_advice(const struct outlook *plan)
{
    const struct plan_advice *a = &plan->advice;
    char t[2][32];
    if (!a->found)
        return output_print("advice     nothing that was tried fits into %s; a smaller model, or "
                            "nodes with more memory\n",
                            output_bytes(plan->file.cluster.memory, t[0]));
    return output_print(
        "advice     train.micro_batch: %lld, train.leaves: %lld, model.recompute_layers: %lld, "
        "parallel.exchange: %s\n           take %s a step and %s a %s (another micro_batch or "
        "leaves: other bits)\n",
        (long long)a->micro_batch, (long long)a->leaves, (long long)a->recompute_layers,
        a->exchange, duration(a->cost.seconds, t[0]), output_bytes((double)a->node_bytes, t[1]),
        plan->file.cluster.shares_memory ? "node" : "worker");
}

static enum status print_text(const struct outlook *plan)
{
    TRY(print_head(plan));
    TRY(print_memory(plan));
    TRY(print_step(plan));
    TRY(print_rows(plan));
    return print_advice(plan);
}

// ---- the command ----
static enum status make(const struct options *options, struct run_config *config,
                        struct outlook *plan)
{
    const char *path = option_text(options, "cluster");
    if (!path)
        FAIL(STATUS_USAGE, "plan: --cluster FILE is missing; `stentor bench --cluster-file FILE` "
                           "writes one of this machine");
    TRY(read_nodes(plan, option_text(options, "nodes")));
    TRY(cluster_file_read(path, &plan->file));
    TRY(run_file_read(options, options->argument[0], config));
    TRY(run_config_check_from(config));
    const struct cluster *cluster = &plan->file.cluster;
    config->parallel.workers = cluster->shares_memory ? cluster->workers : 1;
    config->parallel.threads = 1;
    TRY(forecast_create(config, &plan->forecast));
    TRY(check_precision(plan, path));
    if (!strcmp(config->parallel.exchange, "auto"))
        plan->forecast.workload.exchange = cost_best_exchange(cluster, &plan->forecast.workload);
    TRY(forecast_memory(&plan->forecast, cluster, &plan->memory));
    plan->cost = cost_step(cluster, &plan->forecast.workload);
    for (int i = 0; i < plan->rows; i++) fill_row(plan, &plan->row[i]);
    return outlook_advise(plan);
}

static enum status run(const struct options *options)
{
    static struct run_config config;
    static struct outlook plan;
    enum status status = make(options, &config, &plan);
    if (!status) status = option_given(options, "json") ? print_json(&plan) : print_text(&plan);
    forecast_release(&plan.forecast);
    return status;
}

const struct command plan_command = {
    "plan", "RUN.yaml", "what a run would take on a cluster that is only described", 1, 1, rows,
    help,   run,
};
