// SPDX-License-Identifier: Apache-2.0
// Several replicas as threads of one test, each with a trainer of its own.
#ifndef STN_TEST_TRAIN_REPLICAS_H
#define STN_TEST_TRAIN_REPLICAS_H

#include "base/cpu.h"
#include "comm/comm.h"
#include "support.h"

#include <pthread.h>

enum { MOST_REPLICAS = 8 };

struct replica {
    struct run_config config;
    struct comm *net;
    child_work work; // called with this replica's own config
    void *context;
    struct child_result result;
    pthread_t thread;
};

// What a replica's thread works on.
static _Thread_local struct comm *own_net;

static inline void *replica_main(void *context)
{
    struct replica *replica = context;
    own_net = replica->net;
    replica->work(&replica->config, replica->context, &replica->result);
    error_clear();
    return NULL;
}

// Runs `work` at every replica. workers[r]: replica r's, NULL: config's.
static inline void run_replicas(const struct run_config *config, int replicas, const int *workers,
                                child_work work, void *context, struct child_result *result)
{
    struct comm *net[MOST_REPLICAS];
    static struct replica replica[MOST_REPLICAS];
    memset(replica, 0, sizeof replica);
    assert_int_equal(comm_create(replicas > 1 ? "threads" : "self", replicas, net), STATUS_OK);
    for (int r = 0; r < replicas; r++) {
        replica[r] =
            (struct replica){.config = *config, .net = net[r], .work = work, .context = context};
        if (workers) replica[r].config.parallel.workers = workers[r];
        assert_int_equal(pthread_create(&replica[r].thread, NULL, replica_main, &replica[r]), 0);
    }
    for (int r = 0; r < replicas; r++) {
        pthread_join(replica[r].thread, NULL);
        result[r] = replica[r].result;
    }
    comm_destroy(net, replicas);
}

// train_steps() of support.h as one of several replicas.
static inline void replica_steps(const struct run_config *config, void *context,
                                 struct child_result *result)
{
    train_steps_in(own_net, config, context, result);
}
#endif
