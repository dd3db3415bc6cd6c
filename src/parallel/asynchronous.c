// SPDX-License-Identifier: Apache-2.0
#include "parallel/asynchronous.h"

#include "base/memory.h"
#include "parallel/batch_tree.h"
#include "parallel/slices.h"
#include "parallel/update_kernels.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// What a worker tells a server, and two servers each other.
struct request {
    int64_t clock;     // of the gradient that follows; -1: none does
    int64_t want;      // clock for which weights are wanted; -1: none are
    int32_t last;      // nothing will be pushed any more
    int32_t gives;     // between servers: the weights that were asked for follow
    int32_t asks, pad; // between servers: this is a request (clock, want, last count)
    double tokens;
};

// What a server knows of a replica.
struct client {
    int64_t clock, want; // pushes so far; what it waits for, -1: nothing
    bool last, finished; // has pushed its last; has its last weights
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
    int came;      // pushes of the clock under way (S = 0)
    double tokens; // of them
    int64_t ahead;
    double asked;  // when the servers above were asked last
    bool own_asks; // this replica's worker waits for its request to be answered
    struct mailbox mailbox;
};

static bool is_worker(const struct asynchronous *a, int replica)
{
    return replica >= a->setup.servers || a->setup.servers_compute;
}

bool asynchronous_is_server(const struct asynchronous *a) { return a->rank < a->setup.servers; }
bool asynchronous_is_worker(const struct asynchronous *a) { return is_worker(a, a->rank); }
int64_t asynchronous_ahead(const struct asynchronous *a) { return a->ahead; }

void asynchronous_owned(const struct asynchronous *a, int server, int64_t *first_p, int64_t *last_p)
{
    slice_of(a->setup.elements, a->setup.servers, server, first_p, last_p);
}

static int nodes_of(const struct asynchronous *a, int replica)
{
    return a->nodes_before[replica + 1] - a->nodes_before[replica];
}

// ---- life cycle ----
// Weights, a sum, and what is pushed: the nodes of all replicas where they wait for each other, else of one.
static int64_t slice_copies(const struct asynchronous_setup *setup)
{
    return 2 + (setup->staleness ? run_nodes_most(setup->leaves) : setup->leaves);
}

static int64_t slice_elements(const struct asynchronous_setup *setup)
{
    int64_t first, last;
    slice_of(setup->elements, setup->servers, 0, &first, &last);
    return last;
}

static size_t transfers_most(const struct asynchronous_setup *setup)
{
    // A worker's step: to and from each server; a meeting of two servers: both ways.
    size_t nodes = (size_t)run_nodes_most(setup->leaves);
    return (nodes + 2) * (size_t)setup->servers + 2 * nodes + 4;
}

size_t asynchronous_bytes(const struct asynchronous_setup *setup, int replicas)
{
    size_t size = (size_t)replicas, leaves = (size_t)setup->leaves;
    return sizeof(struct asynchronous) + transfers_most(setup) * sizeof(struct transfer) +
           size * (sizeof(struct request) + sizeof(struct client) + sizeof(struct errand)) +
           2 * (size + 1) * sizeof(int) +
           leaves * (sizeof(struct node) + sizeof(float *) + 2 * sizeof(int16_t)) +
           (size_t)(slice_copies(setup) * slice_elements(setup)) * sizeof(float);
}

static enum status allocate(struct asynchronous *a)
{
    size_t size = (size_t)a->size, leaves = (size_t)a->setup.leaves;
    const char *what = "the parameter server";
    TRY(memory_allocate(size + 1, sizeof(int), what, &a->border));
    TRY(memory_allocate(size + 1, sizeof(int), what, &a->nodes_before));
    TRY(memory_allocate(transfers_most(&a->setup), sizeof *a->transfer, what, &a->transfer));
    TRY(memory_allocate(size, sizeof *a->request, what, &a->request));
    TRY(memory_allocate(size, sizeof *a->client, what, &a->client));
    TRY(memory_allocate(size, sizeof *a->errand, what, &a->errand));
    TRY(memory_allocate(leaves, sizeof *a->node, what, &a->node));
    TRY(memory_allocate(leaves, sizeof *a->array, what, &a->array));
    TRY(memory_allocate(2 * leaves, sizeof *a->program, what, &a->program));
    if (!asynchronous_is_server(a)) return STATUS_OK;
    size_t slice = (size_t)(a->last - a->first) * sizeof(float);
    if (!slice) return STATUS_OK;
    TRY(block_create(checked_multiply((size_t)slice_copies(&a->setup), slice), what, &a->memory));
    a->weights = a->memory.data;
    a->sum = a->weights + (a->last - a->first);
    a->pushed = a->sum + (a->last - a->first);
    memcpy(a->weights, a->setup.weights + a->first, slice);
    return STATUS_OK;
}

static void lay_out(struct asynchronous *a)
{
    int count = 0;
    memcpy(a->border, a->setup.border, ((size_t)a->size + 1) * sizeof *a->border);
    for (int r = 0; r < a->size; r++) {
        struct node node[MAX_NODES];
        int nodes = run_nodes(a->border[r], a->border[r + 1], node);
        INVARIANT(is_worker(a, r) || nodes == 0, "server %d has leaves", r);
        a->nodes_before[r] = count;
        memcpy(a->node + count, node, (size_t)nodes * sizeof *node);
        count += nodes;
        a->client[r].want = -1;
        // Who does not compute is never waited for.
        a->client[r].last = a->client[r].finished = !is_worker(a, r);
    }
    a->nodes_before[a->size] = count;
    a->operations = tree_program(a->node, count, a->setup.leaves, a->program);
}

enum status asynchronous_create(const struct asynchronous_setup *setup,
                                struct asynchronous **asynchronous_p)
{
    int size = setup->net->size, most = setup->servers_compute ? size : size - 1;
    if (setup->servers < 1 || setup->servers > most)
        FAIL(STATUS_USAGE, "%d parameter servers%s for %d processes; there can be 1 to %d",
             setup->servers, setup->servers_compute ? "" : " that do not compute", size, most);
    if (setup->staleness < 0)
        FAIL(STATUS_USAGE, "a staleness of %d; 0 or more would do", setup->staleness);
    struct asynchronous *a = NULL;
    TRY(memory_allocate(1, sizeof *a, "the parameter server", &a));
    a->setup = *setup;
    a->net = setup->net;
    a->rank = setup->net->rank;
    a->size = size;
    a->workers = setup->servers_compute ? size : size - setup->servers;
    a->kernels = update_kernels_of(setup->isa);
    if (asynchronous_is_server(a)) asynchronous_owned(a, a->rank, &a->first, &a->last);
    pthread_mutex_init(&a->mailbox.mutex, NULL);
    pthread_cond_init(&a->mailbox.changed, NULL);
    enum status status = allocate(a);
    if (status) {
        asynchronous_destroy(a);
        return status;
    }
    lay_out(a);
    *asynchronous_p = a;
    return STATUS_OK;
}

void asynchronous_destroy(struct asynchronous *a)
{
    if (!a) return;
    pthread_cond_destroy(&a->mailbox.changed);
    pthread_mutex_destroy(&a->mailbox.mutex);
    block_destroy(&a->memory);
    free(a->program);
    free(a->array);
    free(a->node);
    free(a->errand);
    free(a->client);
    free(a->request);
    free(a->transfer);
    free(a->nodes_before);
    free(a->border);
    free(a);
}

// ---- messages ----
static void add(struct asynchronous *a, int *count_p, int peer, bool sends, const void *data,
                size_t bytes)
{
    if (!bytes) return;
    // A round only reads what it sends.
    a->transfer[(*count_p)++] =
        (struct transfer){.peer = peer, .sends = sends, .data = (void *)data, .bytes = bytes};
}

// This replica's nodes of a server's slice.
static void add_gradient(struct asynchronous *a, int *count_p, int server, const float *const *node)
{
    int64_t first, last;
    asynchronous_owned(a, server, &first, &last);
    for (int j = 0; j < nodes_of(a, a->rank); j++)
        add(a, count_p, server, true, node[j] + first, (size_t)(last - first) * sizeof(float));
}

static void add_weights(struct asynchronous *a, int *count_p, int server, float *weights)
{
    int64_t first, last;
    asynchronous_owned(a, server, &first, &last);
    add(a, count_p, server, false, weights + first, (size_t)(last - first) * sizeof(float));
}

// Where node j of a replica's push lies at this server.
static float *pushed_at(const struct asynchronous *a, int replica, int j)
{
    int slot = a->setup.staleness ? j : a->nodes_before[replica] + j;
    return a->pushed + slot * (a->last - a->first);
}

static void add_pushed(struct asynchronous *a, int *count_p, int replica)
{
    for (int j = 0; j < nodes_of(a, replica) && a->last > a->first; j++)
        add(a, count_p, replica, false, pushed_at(a, replica, j),
            (size_t)(a->last - a->first) * sizeof(float));
}

// ---- a server's work ----
static void update(struct asynchronous *a, const float *gradient, double tokens, int64_t clock,
                   int worker)
{
    const struct push push = {a->first, a->last, gradient, a->weights, tokens, clock, worker};
    if (a->last > a->first) a->setup.update(a->setup.context, &push);
}

// The nodes of one replica, one after the other.
static const float *sum_of(struct asynchronous *a, int replica)
{
    int16_t program[2 * MAX_NODES];
    int operations = 0, nodes = nodes_of(a, replica);
    if (nodes == 1 || a->last == a->first) return pushed_at(a, replica, 0);
    for (int j = 0; j < nodes; j++) {
        a->array[j] = pushed_at(a, replica, j);
        program[operations++] = (int16_t)j;
        if (j > 0) program[operations++] = -1;
    }
    a->kernels->tree_sum(a->sum, a->array, program, operations, a->last - a->first);
    return a->sum;
}

// All pushes of a clock are there: one step, as if it had been computed at one place.
static void update_together(struct asynchronous *a, int64_t clock)
{
    for (int i = 0; i < a->nodes_before[a->size] && a->last > a->first; i++)
        a->array[i] = a->pushed + i * (a->last - a->first);
    if (a->last > a->first)
        a->kernels->tree_sum(a->sum, a->array, a->program, a->operations, a->last - a->first);
    update(a, a->sum, a->tokens, clock, -1);
    a->came = 0;
    a->tokens = 0;
}

// A request whose gradient, if it has one, is in its place.
static enum status take(struct asynchronous *a, int replica, const struct request *request)
{
    struct client *client = &a->client[replica];
    if (request->clock >= 0) {
        if (request->clock != client->clock)
            FAIL(STATUS_PEER, "worker %d pushes clock %lld, and %lld was due", replica,
                 (long long)request->clock, (long long)client->clock);
        client->clock++;
        if (a->setup.staleness == 0) {
            a->tokens += request->tokens;
            if (++a->came == a->workers) update_together(a, request->clock);
        } else if (nodes_of(a, replica) > 0) {
            update(a, sum_of(a, replica), request->tokens, request->clock, replica);
        }
    }
    client->want = request->want;
    client->last = client->last || request->last;
    return STATUS_OK;
}

static int64_t slowest(const struct asynchronous *a)
{
    int64_t least = INT64_MAX;
    for (int r = 0; r < a->size; r++)
        if (!a->client[r].last && a->client[r].clock < least) least = a->client[r].clock;
    return least;
}

// Whether a replica may have the weights it waits for.
static bool may_go_on(const struct asynchronous *a, int replica)
{
    const struct client *client = &a->client[replica];
    int64_t least = slowest(a);
    if (client->want < 0) return false;
    // The last weights are those after everybody's last push.
    if (client->last) return least == INT64_MAX;
    return least >= client->want - a->setup.staleness;
}

static void note_given(struct asynchronous *a, int replica)
{
    struct client *client = &a->client[replica];
    int64_t least = slowest(a);
    if (least != INT64_MAX && client->want - least > a->ahead) a->ahead = client->want - least;
    client->finished = client->last;
    client->want = -1;
}

// A worker that is no server has put everything it sends and waits for into one round.
static enum status receive_request(struct asynchronous *a, int replica)
{
    struct request request;
    TRY(comm_receive(a->net, &request, sizeof request, replica));
    int count = 0;
    if (request.clock >= 0) add_pushed(a, &count, replica);
    if (count) TRY(comm_round(a->net, a->transfer, count));
    return take(a, replica, &request);
}

static enum status give_to_workers(struct asynchronous *a, bool *moved_p)
{
    size_t bytes = (size_t)(a->last - a->first) * sizeof(float);
    for (int r = a->setup.servers; r < a->size; r++) {
        if (!may_go_on(a, r)) continue;
        if (bytes) TRY(comm_send(a->net, a->weights, bytes, r));
        note_given(a, r);
        *moved_p = true;
    }
    return STATUS_OK;
}

// ---- this replica's own worker: through the mailbox ----
static enum status take_own(struct asynchronous *a, bool *moved_p)
{
    struct mailbox *mailbox = &a->mailbox;
    pthread_mutex_lock(&mailbox->mutex);
    bool asks = mailbox->post == POST_REQUEST;
    if (asks) mailbox->post = POST_TAKEN;
    pthread_mutex_unlock(&mailbox->mutex);
    if (!asks) return STATUS_OK;
    *moved_p = a->own_asks = true;
    for (int s = 0; s < a->setup.servers; s++)
        if (s != a->rank) a->errand[s] = (struct errand){true, true};
    size_t bytes = (size_t)(a->last - a->first) * sizeof(float);
    for (int j = 0; j < nodes_of(a, a->rank) && bytes && mailbox->request.clock >= 0; j++)
        memcpy(pushed_at(a, a->rank, j), mailbox->node[j] + a->first, bytes);
    return take(a, a->rank, &mailbox->request);
}

static void give_to_own(struct asynchronous *a, bool *moved_p)
{
    struct mailbox *mailbox = &a->mailbox;
    if (!is_worker(a, a->rank)) return;
    if (may_go_on(a, a->rank)) {
        size_t bytes = (size_t)(a->last - a->first) * sizeof(float);
        if (bytes) memcpy(mailbox->weights + a->first, a->weights, bytes);
        note_given(a, a->rank);
        *moved_p = true;
    }
    if (!a->own_asks || a->client[a->rank].want >= 0) return;
    for (int s = 0; s < a->setup.servers; s++)
        if (a->errand[s].waits) return;
    pthread_mutex_lock(&mailbox->mutex);
    mailbox->post = POST_DONE;
    pthread_cond_broadcast(&mailbox->changed);
    pthread_mutex_unlock(&mailbox->mutex);
    a->own_asks = false;
    *moved_p = true;
}

// ---- two servers whose replicas compute ----
// Both say what they ask and what they give, then both send it.
static enum status meet(struct asynchronous *a, int peer, bool *moved_p)
{
    struct mailbox *mailbox = &a->mailbox;
    struct request own = {.clock = -1, .want = -1}, *theirs = &a->request[peer];
    struct errand *errand = &a->errand[peer];
    size_t bytes = (size_t)(a->last - a->first) * sizeof(float);
    if (errand->untold) own = mailbox->request;
    own.asks = errand->untold;
    own.gives = may_go_on(a, peer);
    int count = 0;
    add(a, &count, peer, true, &own, sizeof own);
    add(a, &count, peer, false, theirs, sizeof *theirs);
    TRY(comm_round(a->net, a->transfer, count));
    count = 0;
    if (own.asks && own.clock >= 0) add_gradient(a, &count, peer, mailbox->node);
    if (own.gives) add(a, &count, peer, true, a->weights, bytes);
    if (theirs->asks && theirs->clock >= 0) add_pushed(a, &count, peer);
    if (theirs->gives) add_weights(a, &count, peer, mailbox->weights);
    if (count) TRY(comm_round(a->net, a->transfer, count));
    if (own.gives) note_given(a, peer);
    if (own.asks) errand->untold = false;
    if (theirs->gives) errand->waits = false;
    if (theirs->asks) TRY(take(a, peer, theirs));
    *moved_p = *moved_p || own.asks || own.gives || theirs->asks || theirs->gives;
    return STATUS_OK;
}

// Whether two servers have nothing to say to each other any more; both know it after the same meeting.
static bool parted(const struct asynchronous *a, int peer)
{
    return a->client[peer].finished && a->client[a->rank].last && !a->errand[peer].untold &&
           !a->errand[peer].waits;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// The lower of two servers asks: at once when it has something to say, else every half millisecond what the other has.
static enum status ask_servers(struct asynchronous *a, bool *moved_p)
{
    static const double PAUSE = 0.0005;
    if (!a->setup.servers_compute) return STATUS_OK;
    double time = now();
    bool due = time - a->asked > PAUSE;
    for (int s = a->rank + 1; s < a->setup.servers; s++)
        if (!parted(a, s) && (due || a->errand[s].untold || may_go_on(a, s)))
            TRY(meet(a, s, moved_p));
    if (due) a->asked = time;
    return STATUS_OK;
}

// ---- the loop ----
static bool all_finished(const struct asynchronous *a)
{
    for (int r = 0; r < a->size; r++)
        if (!a->client[r].finished) return false;
    for (int s = 0; s < a->setup.servers && a->setup.servers_compute; s++)
        if (s != a->rank && !parted(a, s)) return false;
    return !a->own_asks;
}

static enum status serve_once(struct asynchronous *a, bool *moved_p)
{
    int peer = -1;
    if (a->size > 1) TRY(comm_poll(a->net, &peer));
    if (peer >= 0) {
        *moved_p = true;
        // Without a pause: a push is answered when it comes.
        if (peer < a->setup.servers)
            TRY(meet(a, peer, moved_p));
        else
            TRY(receive_request(a, peer));
    }
    TRY(take_own(a, moved_p));
    TRY(give_to_workers(a, moved_p));
    give_to_own(a, moved_p);
    return ask_servers(a, moved_p);
}

static void pause_a_little(int idle)
{
    enum { YIELDS = 50, SHORTEST = 20000, LONGEST = 500000 };
    if (idle < YIELDS) {
        sched_yield();
        return;
    }
    long sleep = SHORTEST * (long)(idle - YIELDS + 1);
    nanosleep(&(struct timespec){0, sleep < LONGEST ? sleep : LONGEST}, NULL);
}

enum status asynchronous_serve(struct asynchronous *a)
{
    enum status status = STATUS_OK;
    for (int idle = 0; !status && !all_finished(a);) {
        bool moved = false;
        status = serve_once(a, &moved);
        idle = moved ? 0 : idle + 1;
        if (idle) pause_a_little(idle);
    }
    // A worker that waits here must not wait for ever.
    pthread_mutex_lock(&a->mailbox.mutex);
    if (status) a->mailbox.post = POST_CLOSED;
    pthread_cond_broadcast(&a->mailbox.changed);
    pthread_mutex_unlock(&a->mailbox.mutex);
    return status;
}

// ---- a worker's step ----
static enum status step_by_mail(struct asynchronous *a, const struct request *request,
                                const float *const *node, float *weights)
{
    struct mailbox *mailbox = &a->mailbox;
    pthread_mutex_lock(&mailbox->mutex);
    if (mailbox->post != POST_CLOSED) {
        mailbox->request = *request;
        mailbox->node = node;
        mailbox->weights = weights;
        mailbox->post = POST_REQUEST;
    }
    while (mailbox->post != POST_DONE && mailbox->post != POST_CLOSED)
        pthread_cond_wait(&mailbox->changed, &mailbox->mutex);
    bool done = mailbox->post == POST_DONE;
    if (done) mailbox->post = POST_EMPTY;
    pthread_mutex_unlock(&mailbox->mutex);
    if (!done) FAIL(STATUS_PEER, "the parameter server of this process has ended");
    return STATUS_OK;
}

static enum status step_by_round(struct asynchronous *a, const struct request *request,
                                 const float *const *node, float *weights)
{
    int count = 0;
    a->request[0] = *request;
    for (int s = 0; s < a->setup.servers; s++) {
        add(a, &count, s, true, &a->request[0], sizeof a->request[0]);
        if (request->clock >= 0) add_gradient(a, &count, s, node);
        add_weights(a, &count, s, weights);
    }
    return comm_round(a->net, a->transfer, count);
}

static enum status step(struct asynchronous *a, const float *const *node, double tokens, bool last,
                        float *weights)
{
    struct request request = {.clock = -1, .last = last, .tokens = tokens};
    INVARIANT(asynchronous_is_worker(a), "replica %d is no worker", a->rank);
    if (node) request.clock = a->clock++;
    request.want = a->clock;
    if (asynchronous_is_server(a)) return step_by_mail(a, &request, node, weights);
    return step_by_round(a, &request, node, weights);
}

enum status asynchronous_step(struct asynchronous *a, const float *const *node, double tokens,
                              float *weights)
{
    return step(a, node, tokens, false, weights);
}

enum status asynchronous_finish(struct asynchronous *a, const float *const *node, double tokens,
                                float *weights)
{
    return step(a, node, tokens, true, weights);
}
