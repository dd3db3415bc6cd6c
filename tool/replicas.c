// SPDX-License-Identifier: Apache-2.0
#include "replicas.h"

#include "base/memory.h"
#include "comm/agree.h"
#include "output.h"
#include "terminal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum status replicas_join(struct replicas *replicas)
{
    replicas->net = NULL;
    TRY(identity_find(&replicas->identity));
    TRY(identity_join(&replicas->identity, &replicas->net));
    return STATUS_OK;
}

// A launcher ends all processes when the first of them fails: whoever speaks has spoken before they part, and its exit code comes first.
enum status replicas_leave(struct replicas *replicas, enum status status)
{
    bool others = replicas->net, speaks = replicas_speak(replicas);
    if (others && status && speaks && !output_reader_left()) terminal_failure(status);
    if (others) comm_destroy(&replicas->net, 1);
    if (others && status && !speaks) nanosleep(&(struct timespec){0, 500000000}, NULL);
    return status;
}

bool replicas_speak(const struct replicas *replicas)
{
    return !replicas->net || replicas->net->rank == 0;
}

enum status replicas_agree(const struct replicas *replicas, enum status status)
{
    return replicas->net ? comm_agree(replicas->net, status) : status;
}

// ---- threads ----
struct replica {
    const struct run_config *config;
    struct comm *net;
    replica_work work;
    const void *context;
    pthread_t thread;
    enum status status;
    char message[1024];
};

static void *replica_main(void *context)
{
    struct replica *replica = context;
    replica->status =
        replica->work(replica->context, replica->config, replica->net, replica->net->rank == 0);
    if (replica->status) {
        error_copy(replica->message, sizeof replica->message);
        error_clear();
        // Those that have not failed with it must not wait for it.
        comm_abandon(replica->net);
    }
    return NULL;
}

static enum status run_threads(struct replica *replica, struct comm **net, int count)
{
    int started = 0;
    while (started < count) {
        replica[started].net = net[started];
        if (pthread_create(&replica[started].thread, NULL, replica_main, &replica[started])) break;
        started++;
    }
    if (started < count) comm_abandon(net[started]);
    for (int r = 0; r < started; r++) pthread_join(replica[r].thread, NULL);
    if (started < count)
        FAIL(STATUS_MEMORY, "replica %d of %d cannot be started; set parallel.workers to less",
             started, count);
    const struct replica *failed = NULL;
    for (int r = 0; r < count; r++)
        if (replica[r].status &&
            (!failed || (failed->status == STATUS_PEER && replica[r].status != STATUS_PEER)))
            failed = &replica[r];
    return failed ? error_adopt(failed->status, failed->message) : STATUS_OK;
}

static enum status run_copies(const struct run_config *config, replica_work work,
                              const void *context)
{
    static struct run_config own;
    struct replica *replica = NULL;
    struct comm **net = NULL;
    int count = (int)config->parallel.workers;
    own = *config;
    own.parallel.workers = 1;
    TRY(memory_allocate((size_t)count, sizeof *replica, "the replicas", &replica));
    enum status status = memory_allocate((size_t)count, sizeof(void *), "the replicas", &net);
    if (!status) status = comm_create("threads", count, net);
    if (status) goto free_tables;
    for (int r = 0; r < count; r++)
        replica[r] = (struct replica){.config = &own, .work = work, .context = context};
    status = run_threads(replica, net, count);
    comm_destroy(net, count);

free_tables:
    free(net);
    free(replica);
    return status;
}

enum status replicas_run(const struct replicas *replicas, const struct run_config *config,
                         replica_work work, const void *context)
{
    const char *exchange = config->parallel.exchange;
    bool stale = strcmp(exchange, "server") == 0 && config->parallel.staleness > 0;
    bool copies = strcmp(exchange, "ring") == 0 || strcmp(exchange, "local-sgd") == 0 || stale;
    if (!replicas->net && strcmp(exchange, "native") == 0)
        FAIL(STATUS_USAGE, "parallel.exchange: native is the sum of an MPI library, and this "
                           "process is alone; start it with mpirun, or set it to direct");
    if (!replicas->net && copies && config->parallel.workers > 1)
        return run_copies(config, work, context);
    return work(context, config, replicas->net, replicas_speak(replicas));
}
