// SPDX-License-Identifier: Apache-2.0
// What the two sides of a parameter server share. For asynchronous*.c only.
#ifndef STN_PARALLEL_ASYNCHRONOUS_PARTS_H
#define STN_PARALLEL_ASYNCHRONOUS_PARTS_H

#include "base/memory.h"
#include "parallel/asynchronous.h"
#include "parallel/batch_tree.h"
#include "parallel/update_kernels.h"

#include <pthread.h>
#include <stdatomic.h>

// What a worker tells a server, and two servers each other.
struct request {
    int64_t clock; // of the gradient that follows; -1: none does
    int64_t want;  // clock for which weights are wanted; -1: none are
    int64_t until; // clock at which all finish, as far as is known here; -1: none
    int32_t last;  // nothing will be pushed any more
    int32_t gives; // between servers: the weights that were asked for follow
    int32_t asks;  // between servers: this is a request (clock, want, last count)
    int32_t wish;  // this replica wants all to stop
    double tokens, loss, factor;
};
// What a server tells a worker before its weights.
struct reply {
    int64_t until, wish;
};

// What a server knows of a replica.
struct client {
    int64_t clock, want; // pushes so far; what it waits for, -1: nothing
    int64_t granted;     // clock of the newest weights that it has
    bool last, finished; // has pushed its last; has its last weights
    bool released;       // a server: it listens to nobody any more
};
// What this replica's own worker has with another server.
struct errand {
    bool untold, waits; // its request has not been told yet; its weights have not come
};

enum post { POST_EMPTY, POST_REQUEST, POST_TAKEN, POST_DONE, POST_CLOSED };
struct mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum post post;
    struct request request;
    const float *const *node;
    float *weights;
    int64_t until;
};
// Pushes of one clock.
struct count {
    double loss, tokens;
    int came;
};

struct asynchronous {
    struct asynchronous_setup setup;
    struct comm *net;
    int rank, size, workers;
    int64_t clock;     // of this replica's worker
    int *border;       // [size + 1]
    int *nodes_before; // [size + 1]
    const struct update_kernels *kernels;
    struct transfer *transfer;
    struct request *request; // [size] on their way
    struct reply *reply;     // [size]
    int64_t told;            // what this replica's worker knows of `until`
    bool heard;              // this replica's worker: a server says that somebody wants all to stop
    _Atomic int64_t sent, received; // bytes
    // A server's.
    int64_t first, last; // elements of the slice
    struct block memory; // weights, sum, pushed nodes
    float *weights, *sum, *pushed;
    struct client *client; // [size]
    struct errand *errand; // [size]
    struct node *node;     // [leaves] all nodes
    const float **array;   // [leaves]
    int16_t *program;      // [2 * leaves] of all nodes
    int operations;
    int came;            // pushes of the clock under way (S = 0)
    double tokens;       // of them
    struct count *count; // [counts] of clock c at c mod counts
    int64_t counts;
    int64_t ahead;
    int64_t until; // clock at which all finish, -1: none
    bool wish;     // somebody wants all to stop
    atomic_bool ended;
    double asked;  // when the servers above were asked last
    bool own_asks; // this replica's worker waits for its request to be answered
    struct mailbox mailbox;
};

bool asynchronous_computes(const struct asynchronous *a, int replica);
// Nodes that a replica pushes.
int asynchronous_nodes(const struct asynchronous *a, int replica);
// Adds a message to the round under way (count so far: *count_p), unless it is empty.
void asynchronous_add(struct asynchronous *a, int *count_p, int peer, bool sends, const void *data,
                      size_t bytes);
enum status asynchronous_round(struct asynchronous *a, int count) CHECK_RESULT;
// This replica's nodes of a server's slice; a server's weights.
void asynchronous_add_gradient(struct asynchronous *a, int *count_p, int server,
                               const float *const *node);
void asynchronous_add_weights(struct asynchronous *a, int *count_p, int server, float *weights);
#endif
