// SPDX-License-Identifier: Apache-2.0
// What a run file says of workers, threads and the exchange: whether it fits together.
#include "base/cpu.h"
#include "train/run_schema.h"

#include <string.h>

static enum status check_staleness(const struct run_config *config, bool server)
{
    long long staleness = (long long)config->parallel.staleness;
    if (!server)
        FAIL_KEY(config, "parallel.staleness",
                 "%lld is for parallel.exchange: server, not %s; leave it at 0", staleness,
                 config->parallel.exchange);
    if (strcmp(config->parallel.balance, "none") != 0)
        FAIL_KEY(config, "parallel.balance",
                 "%s needs a batch that is summed as one; with parallel.staleness above 0 leave it "
                 "at none",
                 config->parallel.balance);
    if (strcmp(config->parallel.wire, "bf16") == 0)
        FAIL_KEY(config, "parallel.wire",
                 "with parallel.staleness above 0 gradients travel as float32; leave it at that");
    if (strcmp(config->parallel.overlap, "on") == 0)
        FAIL_KEY(config, "parallel.overlap",
                 "with parallel.staleness above 0 a worker pushes when its leaves are done; leave "
                 "it at auto");
    return STATUS_OK;
}

// Whether a setting fits the number of processes is known when they have met (train/crew.c).
static enum status check_exchange(struct run_config *config)
{
    const char *exchange = config->parallel.exchange;
    bool local = !strcmp(exchange, "local-sgd"), server = !strcmp(exchange, "server");
    if (!config->parallel.servers_compute && !server)
        FAIL_KEY(config, "parallel.servers_compute",
                 "only parallel.exchange: server has servers, not %s; leave it at true", exchange);
    if (config->parallel.staleness > 0) TRY(check_staleness(config, server));
    if (local && strcmp(config->parallel.balance, "none") != 0)
        FAIL_KEY(config, "parallel.balance",
                 "%s needs a batch that is summed as one; with local-sgd leave it at none",
                 config->parallel.balance);
    if (!strcmp(config->parallel.wire, "bf16") &&
        (!strcmp(exchange, "tree") || !strcmp(exchange, "ring") || !strcmp(exchange, "native") ||
         local))
        FAIL_KEY(config, "parallel.wire",
                 "bf16 is for the exchanges direct and server, not %s; leave it at float32",
                 exchange);
    return STATUS_OK;
}

// Threads of all workers, and of one worker for each core: every operation waits until all of them have had their turn (128 on 2 cores
// took 2.5 ms for each, 1,024 above 20).
enum { MOST_THREADS = 4096, MOST_ON_A_CORE = 16 };

enum status run_check_parallel(struct run_config *config)
{
    int64_t cores = config->cores ? config->cores : cpu_cores(), replicas = config->replicas;
    int64_t *workers = &config->parallel.workers, *threads = &config->parallel.threads;
    if (!*workers) {
        int64_t most = replicas > 1 ? (config->leaves + replicas - 1) / replicas : config->leaves;
        *workers = *threads > 1 ? cores / *threads : cores;
        if (*workers < 1) *workers = 1;
        if (*workers > most) *workers = most;
        config->chosen.workers = *workers;
    }
    if (!*threads) *threads = config->chosen.threads = cores > *workers ? cores / *workers : 1;
    if (*workers * *threads > MOST_THREADS)
        FAIL_KEY(config, "parallel.threads", "%lld of %lld workers are %lld; at most %lld may be",
                 (long long)*threads, (long long)*workers, (long long)(*workers * *threads),
                 (long long)MOST_THREADS);
    if (*threads > MOST_ON_A_CORE * cores)
        FAIL_KEY(config, "parallel.threads",
                 "%lld of a worker on %lld core%s: each operation would wait until all have had "
                 "their turn; at most %lld may be, and 0 shares the cores out",
                 (long long)*threads, (long long)cores, cores == 1 ? "" : "s",
                 (long long)(MOST_ON_A_CORE * cores));
    return check_exchange(config);
}
