// SPDX-License-Identifier: Apache-2.0
// Workers that are threads of one process: they read each other's memory where it lies.
//
// A barrier counts arrivals; the last one opens the gate (base/gate.h), without a lock while nobody sleeps. Waiters spin first,
// because runs end nearly together; with more workers than cores they do not, for a spinning thread would keep the core from
// the one it waits for. A message waits in its sender's outbox until the receiver has copied it.
#include "base/cpu.h"
#include "base/gate.h"
#include "base/memory.h"
#include "comm/comm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const struct comm_ops threads_comm;

// Some 40 microseconds: what waking a sleeping thread costs.
enum { SPINS = 2000, YIELDS = 20, CACHE_LINE = 64 };

// A message on its way; `full` until the receiver has it. One for each sender, since sending blocks.
struct outbox {
    _Alignas(CACHE_LINE) pthread_mutex_t mutex;
    pthread_cond_t changed;
    const void *data;
    size_t bytes;
    int receiver;
    bool full;
};

struct meeting {
    _Alignas(CACHE_LINE) atomic_int arrived;
    atomic_uint complete;  // barriers that all have reached
    struct gate gate;      // opens with each of them, and when a worker gives up
    atomic_int abandoned;  // 1 + rank of the worker that gave up, 0: none
    const void **given;    // [workers] what each brought to a gather
    struct outbox *outbox; // [workers]
    struct comm *comm;     // [workers]
    int workers;
};

static void free_meeting(struct meeting *meeting)
{
    free(meeting->comm);
    free(meeting->outbox);
    free(meeting->given);
    free(meeting);
}

// NULL when there is not enough memory.
static struct meeting *allocate_meeting(int workers)
{
    size_t count = (size_t)workers;
    // calloc would align to 16 bytes only.
    struct meeting *meeting = aligned_alloc(CACHE_LINE, sizeof *meeting);
    if (!meeting) return NULL;
    memset(meeting, 0, sizeof *meeting);
    meeting->given = calloc(count, sizeof(void *));
    meeting->comm = calloc(count, sizeof *meeting->comm);
    meeting->outbox = aligned_alloc(CACHE_LINE, checked_multiply(count, sizeof *meeting->outbox));
    if (!meeting->given || !meeting->comm || !meeting->outbox) {
        free_meeting(meeting);
        return NULL;
    }
    memset(meeting->outbox, 0, count * sizeof *meeting->outbox);
    return meeting;
}

static enum status create_threads(int workers, struct comm **comm_p)
{
    struct meeting *meeting = allocate_meeting(workers);
    if (!meeting) FAIL(STATUS_MEMORY, "not enough memory for %d workers to meet", workers);
    meeting->workers = workers;
    gate_init(&meeting->gate, workers <= cpu_cores() ? SPINS : 0, YIELDS);
    for (int i = 0; i < workers; i++) {
        pthread_mutex_init(&meeting->outbox[i].mutex, NULL);
        pthread_cond_init(&meeting->outbox[i].changed, NULL);
        meeting->comm[i] = (struct comm){&threads_comm, i, workers, meeting};
        comm_p[i] = &meeting->comm[i];
    }
    return STATUS_OK;
}

static void destroy_threads(struct comm **comm, int workers)
{
    struct meeting *meeting = comm[0]->state;
    for (int i = 0; i < workers; i++) {
        pthread_cond_destroy(&meeting->outbox[i].changed);
        pthread_mutex_destroy(&meeting->outbox[i].mutex);
        comm[i] = NULL;
    }
    gate_release(&meeting->gate);
    free_meeting(meeting);
}

static enum status given_up(struct meeting *meeting)
{
    int who = atomic_load(&meeting->abandoned) - 1;
    FAIL(STATUS_PEER, "worker %d of %d has given up", who, meeting->workers);
}

static enum status barrier_threads(struct comm *comm)
{
    struct meeting *meeting = comm->state;
    if (atomic_load(&meeting->abandoned)) return given_up(meeting);
    unsigned round = gate_round(&meeting->gate), complete = atomic_load(&meeting->complete);
    if (atomic_fetch_add(&meeting->arrived, 1) + 1 == meeting->workers) {
        atomic_store(&meeting->arrived, 0);
        atomic_fetch_add(&meeting->complete, 1);
        gate_open(&meeting->gate);
        return STATUS_OK;
    }
    gate_wait(&meeting->gate, round);
    return atomic_load(&meeting->complete) != complete ? STATUS_OK : given_up(meeting);
}

static enum status gather_threads(struct comm *comm, const void *mine, size_t bytes, void *all)
{
    struct meeting *meeting = comm->state;
    meeting->given[comm->rank] = mine;
    TRY(barrier_threads(comm));
    for (int i = 0; i < meeting->workers && bytes; i++)
        memcpy((char *)all + (size_t)i * bytes, meeting->given[i], bytes);
    // `mine` may change again once everybody has read it.
    TRY(barrier_threads(comm));
    return STATUS_OK;
}

static enum status send_threads(struct comm *comm, const void *data, size_t bytes, int peer)
{
    struct meeting *meeting = comm->state;
    struct outbox *outbox = &meeting->outbox[comm->rank];
    pthread_mutex_lock(&outbox->mutex);
    outbox->data = data;
    outbox->bytes = bytes;
    outbox->receiver = peer;
    outbox->full = true;
    pthread_cond_broadcast(&outbox->changed);
    while (outbox->full && !atomic_load(&meeting->abandoned))
        pthread_cond_wait(&outbox->changed, &outbox->mutex);
    bool taken = !outbox->full;
    outbox->full = false;
    pthread_mutex_unlock(&outbox->mutex);
    return taken ? STATUS_OK : given_up(meeting);
}

static enum status receive_threads(struct comm *comm, void *data, size_t bytes, int peer)
{
    struct meeting *meeting = comm->state;
    struct outbox *outbox = &meeting->outbox[peer];
    pthread_mutex_lock(&outbox->mutex);
    while (!(outbox->full && outbox->receiver == comm->rank) && !atomic_load(&meeting->abandoned))
        pthread_cond_wait(&outbox->changed, &outbox->mutex);
    bool there = outbox->full && outbox->receiver == comm->rank;
    size_t sent = outbox->bytes;
    bool fits = there && sent == bytes;
    if (fits) {
        if (bytes) memcpy(data, outbox->data, bytes);
        outbox->full = false;
        pthread_cond_broadcast(&outbox->changed);
    }
    pthread_mutex_unlock(&outbox->mutex);
    if (!there) return given_up(meeting);
    if (!fits)
        FAIL(STATUS_PEER, "worker %d sent %zu bytes where worker %d expects %zu", peer, sent,
             comm->rank, bytes);
    return STATUS_OK;
}

static void abandon_threads(struct comm *comm)
{
    struct meeting *meeting = comm->state;
    int nobody = 0;
    atomic_compare_exchange_strong(&meeting->abandoned, &nobody, comm->rank + 1);
    gate_open(&meeting->gate);
    // Each lock is taken once after the flag is set, so that no waiter can miss it.
    for (int i = 0; i < meeting->workers; i++) {
        pthread_mutex_lock(&meeting->outbox[i].mutex);
        pthread_cond_broadcast(&meeting->outbox[i].changed);
        pthread_mutex_unlock(&meeting->outbox[i].mutex);
    }
}

const struct comm_ops threads_comm = {
    .name = "threads",
    .shares_memory = true,
    .create = create_threads,
    .destroy = destroy_threads,
    .barrier = barrier_threads,
    .gather = gather_threads,
    .send = send_threads,
    .receive = receive_threads,
    .abandon = abandon_threads,
};
