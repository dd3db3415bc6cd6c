// SPDX-License-Identifier: Apache-2.0
// Life, and a worker's side.
#include "parallel/asynchronous.h"

#include "parallel/asynchronous_parts.h"
#include "parallel/slices.h"

#include <stdlib.h>
#include <string.h>

bool asynchronous_computes(const struct asynchronous *a, int replica)
{
    return replica >= a->setup.servers || a->setup.servers_compute;
}

bool asynchronous_is_server(const struct asynchronous *a) { return a->rank < a->setup.servers; }
bool asynchronous_is_worker(const struct asynchronous *a)
{
    return asynchronous_computes(a, a->rank);
}
int64_t asynchronous_ahead(const struct asynchronous *a) { return a->ahead; }
const float *asynchronous_weights(const struct asynchronous *a) { return a->weights; }

int64_t asynchronous_until(const struct asynchronous *a)
{
    return asynchronous_is_worker(a) ? a->told : a->until;
}

void asynchronous_traffic(const struct asynchronous *a, double *sent_p, double *received_p)
{
    *sent_p = (double)atomic_load(&a->sent);
    *received_p = (double)atomic_load(&a->received);
}

void asynchronous_owned(const struct asynchronous *a, int server, int64_t *first_p, int64_t *last_p)
{
    slice_of(a->setup.elements, a->setup.servers, server, first_p, last_p);
}

int asynchronous_nodes(const struct asynchronous *a, int replica)
{
    return a->nodes_before[replica + 1] - a->nodes_before[replica];
}

// ---- life cycle ----
static int nodes_most(const struct asynchronous_setup *setup)
{
    return setup->nodes ? setup->nodes : run_nodes_most(setup->leaves);
}

// Weights, a sum, and what is pushed: the nodes of all replicas where they wait for each other, else of one, which alone is no sum.
static int64_t slice_copies(const struct asynchronous_setup *setup)
{
    int nodes = nodes_most(setup);
    return setup->staleness ? 1 + nodes + (nodes > 1) : 2 + setup->leaves;
}

// Clocks that may be pushed before the first of them has been told of.
static int64_t counts_of(const struct asynchronous_setup *setup)
{
    return 2 * ((int64_t)setup->staleness + 2);
}

static size_t transfers_most(const struct asynchronous_setup *setup, int replicas)
{
    // A worker's step: to and from each server; a meeting of two servers: both ways; the end: from a server to all, and from servers.
    size_t nodes = (size_t)nodes_most(setup), servers = (size_t)setup->servers;
    return (nodes + 3) * servers + 2 * nodes + 4 + (size_t)replicas + servers;
}

size_t asynchronous_bytes(const struct asynchronous_setup *setup, int replicas, int rank)
{
    int64_t first = 0, last = 0;
    if (rank < setup->servers) slice_of(setup->elements, setup->servers, rank, &first, &last);
    size_t size = (size_t)replicas, leaves = (size_t)setup->leaves;
    return sizeof(struct asynchronous) + transfers_most(setup, replicas) * sizeof(struct transfer) +
           size * (sizeof(struct request) + sizeof(struct reply) + sizeof(struct client) +
                   sizeof(struct errand)) +
           (size_t)counts_of(setup) * sizeof(struct count) + 2 * (size + 1) * sizeof(int) +
           leaves * (sizeof(struct node) + sizeof(float *) + 2 * sizeof(int16_t)) +
           (size_t)(slice_copies(setup) * (last - first)) * sizeof(float);
}

static enum status allocate(struct asynchronous *a)
{
    size_t size = (size_t)a->size, leaves = (size_t)a->setup.leaves;
    const char *what = "the parameter server";
    TRY(memory_allocate(size + 1, sizeof(int), what, &a->border));
    TRY(memory_allocate(size + 1, sizeof(int), what, &a->nodes_before));
    TRY(memory_allocate(transfers_most(&a->setup, a->size), sizeof *a->transfer, what,
                        &a->transfer));
    TRY(memory_allocate(size, sizeof *a->request, what, &a->request));
    TRY(memory_allocate(size, sizeof *a->reply, what, &a->reply));
    TRY(memory_allocate((size_t)counts_of(&a->setup), sizeof *a->count, what, &a->count));
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
    a->pushed = a->weights + (a->last - a->first);
    a->sum = a->pushed + (slice_copies(&a->setup) - 2) * (a->last - a->first);
    return STATUS_OK;
}

static void lay_out(struct asynchronous *a)
{
    int count = 0;
    memcpy(a->border, a->setup.border, ((size_t)a->size + 1) * sizeof *a->border);
    for (int r = 0; r < a->size; r++) {
        struct node node[MAX_NODES];
        int nodes = run_nodes(a->border[r], a->border[r + 1], node);
        INVARIANT(asynchronous_computes(a, r) || nodes == 0, "server %d has leaves", r);
        a->nodes_before[r] = count;
        memcpy(a->node + count, node, (size_t)nodes * sizeof *node);
        count += nodes;
    }
    a->nodes_before[a->size] = count;
    a->operations = tree_program(a->node, count, a->setup.leaves, a->program);
}

void asynchronous_restart(struct asynchronous *a, const float *weights)
{
    for (int r = 0; r < a->size; r++) {
        // Who does not compute is never waited for.
        bool idle = !asynchronous_computes(a, r);
        a->client[r] = (struct client){.want = -1, .last = idle, .finished = idle};
        a->errand[r] = (struct errand){false, false};
    }
    for (int64_t i = 0; i < a->counts; i++) a->count[i] = (struct count){.came = 0};
    a->clock = 0;
    a->until = a->told = -1;
    a->wish = a->heard = a->own_asks = false;
    a->came = 0;
    a->tokens = 0;
    a->mailbox.post = POST_EMPTY;
    if (a->weights)
        memcpy(a->weights, weights + a->first, (size_t)(a->last - a->first) * sizeof *weights);
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
    a->counts = counts_of(setup);
    lay_out(a);
    asynchronous_restart(a, setup->weights);
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
    free(a->count);
    free(a->reply);
    free(a->request);
    free(a->transfer);
    free(a->nodes_before);
    free(a->border);
    free(a);
}

// ---- messages ----
void asynchronous_add(struct asynchronous *a, int *count_p, int peer, bool sends, const void *data,
                      size_t bytes)
{
    if (!bytes) return;
    // A round only reads what it sends.
    a->transfer[(*count_p)++] =
        (struct transfer){.peer = peer, .sends = sends, .data = (void *)data, .bytes = bytes};
    atomic_fetch_add(sends ? &a->sent : &a->received, (int64_t)bytes);
}

enum status asynchronous_round(struct asynchronous *a, int count)
{
    return count ? comm_round(a->net, a->transfer, count) : STATUS_OK;
}

// This replica's nodes of a server's slice.
void asynchronous_add_gradient(struct asynchronous *a, int *count_p, int server,
                               const float *const *node)
{
    int64_t first, last;
    asynchronous_owned(a, server, &first, &last);
    for (int j = 0; j < asynchronous_nodes(a, a->rank); j++)
        asynchronous_add(a, count_p, server, true, node[j] + first,
                         (size_t)(last - first) * sizeof(float));
}

void asynchronous_add_weights(struct asynchronous *a, int *count_p, int server, float *weights)
{
    int64_t first, last;
    asynchronous_owned(a, server, &first, &last);
    asynchronous_add(a, count_p, server, false, weights + first,
                     (size_t)(last - first) * sizeof(float));
}

// ---- a worker's step ----
static enum status step_by_mail(struct asynchronous *a, const struct request *request,
                                const struct pushed *pushed, float *weights)
{
    struct mailbox *mailbox = &a->mailbox;
    pthread_mutex_lock(&mailbox->mutex);
    if (mailbox->post != POST_CLOSED) {
        mailbox->request = *request;
        mailbox->node = pushed ? pushed->node : NULL;
        mailbox->weights = weights;
        mailbox->post = POST_REQUEST;
    }
    while (mailbox->post != POST_DONE && mailbox->post != POST_CLOSED)
        pthread_cond_wait(&mailbox->changed, &mailbox->mutex);
    bool done = mailbox->post == POST_DONE;
    if (done) mailbox->post = POST_EMPTY;
    a->told = mailbox->until;
    pthread_mutex_unlock(&mailbox->mutex);
    if (!done) FAIL(STATUS_PEER, "the parameter server of this process has ended");
    return STATUS_OK;
}

static enum status step_by_round(struct asynchronous *a, const struct request *request,
                                 const struct pushed *pushed, float *weights)
{
    int count = 0;
    a->request[0] = *request;
    for (int s = 0; s < a->setup.servers; s++) {
        asynchronous_add(a, &count, s, true, &a->request[0], sizeof a->request[0]);
        if (pushed) asynchronous_add_gradient(a, &count, s, pushed->node);
        asynchronous_add(a, &count, s, false, &a->reply[s], sizeof a->reply[s]);
        asynchronous_add_weights(a, &count, s, weights);
    }
    TRY(asynchronous_round(a, count));
    a->told = a->reply[0].until;
    for (int s = 0; s < a->setup.servers; s++) a->heard = a->heard || a->reply[s].wish;
    return STATUS_OK;
}

// Servers say that they listen no more, one and all: a message for another purpose would be taken for a push before.
static enum status wait_for_release(struct asynchronous *a)
{
    char word[1];
    for (int s = 0; s < a->setup.servers; s++) TRY(comm_receive(a->net, word, sizeof word, s));
    return STATUS_OK;
}

static enum status step(struct asynchronous *a, const struct pushed *pushed, bool last,
                        float *weights)
{
    struct request request = {.clock = -1, .last = last, .until = a->told};
    INVARIANT(asynchronous_is_worker(a), "replica %d is no worker", a->rank);
    if (pushed) {
        request.clock = a->clock++;
        request.tokens = pushed->tokens;
        request.loss = pushed->loss;
        request.factor = pushed->factor;
    }
    request.want = a->clock;
    request.wish = a->heard || (a->setup.stops && a->setup.stops(a->setup.context));
    if (asynchronous_is_server(a)) return step_by_mail(a, &request, pushed, weights);
    TRY(step_by_round(a, &request, pushed, weights));
    return last ? wait_for_release(a) : STATUS_OK;
}

enum status asynchronous_step(struct asynchronous *a, const struct pushed *pushed, float *weights)
{
    return step(a, pushed, false, weights);
}

enum status asynchronous_finish(struct asynchronous *a, const struct pushed *pushed, float *weights)
{
    return step(a, pushed, true, weights);
}
