// SPDX-License-Identifier: Apache-2.0
// Workers that are threads of one process: they read each other's memory where it lies.
//
// A barrier counts arrivals; the last one opens the gate (base/gate.h), without a lock while nobody sleeps. Waiters spin first,
// because runs end nearly together; with more workers than cores they do not, for a spinning thread would keep the core from
// the one it waits for.
//
// A message is the sender's own struct transfer, linked into the receiver's inbox (use.next; use.note says who sends). The
// receiver copies the bytes from where they lie and counts the sender's letters down; the sender stays in its round until then, so
// nothing is allocated and nothing outlives what it points to.
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
// use.note of a transfer that receives.
enum { WAITS, TAKEN };

struct inbox {
    _Alignas(CACHE_LINE) pthread_mutex_t mutex;
    struct transfer *first, *last; // the letters to this worker, in order of arrival
    atomic_int underway;           // this worker's own letters that are not copied yet
    struct gate gate; // opens for a letter, for the last own one copied, when a worker gives up
};

struct meeting {
    _Alignas(CACHE_LINE) atomic_int arrived;
    atomic_uint complete; // barriers that all have reached
    struct gate gate;     // opens with each of them, and when a worker gives up
    atomic_int abandoned; // 1 + rank of the worker that gave up, 0: none
    const void **given;   // [workers] what each brought to a gather
    struct inbox *inbox;  // [workers]
    struct comm *comm;    // [workers]
    int workers;
};

static void free_meeting(struct meeting *meeting)
{
    free(meeting->comm);
    free(meeting->inbox);
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
    meeting->inbox = aligned_alloc(CACHE_LINE, checked_multiply(count, sizeof *meeting->inbox));
    if (!meeting->given || !meeting->comm || !meeting->inbox) {
        free_meeting(meeting);
        return NULL;
    }
    memset(meeting->inbox, 0, count * sizeof *meeting->inbox);
    return meeting;
}

static enum status create_threads(int workers, struct comm **comm_p)
{
    struct meeting *meeting = allocate_meeting(workers);
    if (!meeting) FAIL(STATUS_MEMORY, "not enough memory for %d workers to meet", workers);
    meeting->workers = workers;
    int spins = workers <= cpu_cores() ? SPINS : 0;
    gate_init(&meeting->gate, spins, YIELDS);
    for (int i = 0; i < workers; i++) {
        pthread_mutex_init(&meeting->inbox[i].mutex, NULL);
        gate_init(&meeting->inbox[i].gate, spins, YIELDS);
        meeting->comm[i] =
            (struct comm){.ops = &threads_comm, .rank = i, .size = workers, .state = meeting};
        comm_p[i] = &meeting->comm[i];
    }
    return STATUS_OK;
}

static void destroy_threads(struct comm **comm, int workers)
{
    struct meeting *meeting = comm[0]->state;
    for (int i = 0; i < workers; i++) {
        gate_release(&meeting->inbox[i].gate);
        pthread_mutex_destroy(&meeting->inbox[i].mutex);
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

// ---- rounds
static void post(struct inbox *inbox, struct transfer *letter, int sender)
{
    letter->use.next = NULL;
    letter->use.note = sender;
    pthread_mutex_lock(&inbox->mutex);
    if (inbox->last)
        inbox->last->use.next = letter;
    else
        inbox->first = letter;
    inbox->last = letter;
    pthread_mutex_unlock(&inbox->mutex);
    gate_open(&inbox->gate);
}

// Takes `letter`, which follows `before` (NULL: it is the first), out of the inbox; its lock is held.
static void take_out(struct inbox *inbox, struct transfer *before, struct transfer *letter)
{
    struct transfer *next = letter->use.next;
    if (before)
        before->use.next = next;
    else
        inbox->first = next;
    if (!next) inbox->last = before;
}

// A letter of the inbox and the first transfer that still waits for one from its sender; sizes that differ stay where they are.
// Returns false when no letter is wanted yet.
static bool take_letter(struct inbox *inbox, struct transfer *transfer, int count,
                        struct transfer **letter_p, struct transfer **wanted_p)
{
    bool found = false;
    pthread_mutex_lock(&inbox->mutex);
    struct transfer *before = NULL, *letter = inbox->first;
    for (; letter && !found; before = letter, letter = letter->use.next)
        for (int i = 0; i < count && !found; i++) {
            struct transfer *wanted = &transfer[i];
            if (wanted->sends || wanted->use.note == TAKEN || wanted->peer != (int)letter->use.note)
                continue;
            found = true;
            *letter_p = letter;
            *wanted_p = wanted;
            if (wanted->bytes == letter->bytes) take_out(inbox, before, letter);
        }
    pthread_mutex_unlock(&inbox->mutex);
    return found;
}

// Copies every letter that is here and wanted; *missing_p counts those that are still to come.
static enum status copy_letters(struct meeting *meeting, int rank, struct transfer *transfer,
                                int count, int *missing_p)
{
    struct transfer *letter, *wanted;
    while (*missing_p && take_letter(&meeting->inbox[rank], transfer, count, &letter, &wanted)) {
        if (letter->bytes != wanted->bytes)
            FAIL(STATUS_PEER, "worker %d sent %zu bytes where worker %d expects %zu", wanted->peer,
                 letter->bytes, rank, wanted->bytes);
        if (letter->bytes) memcpy(wanted->data, letter->data, letter->bytes);
        wanted->use.note = TAKEN;
        *missing_p -= 1;
        // From here on the sender may leave, and its letter with it.
        struct inbox *sender = &meeting->inbox[wanted->peer];
        if (atomic_fetch_sub(&sender->underway, 1) == 1) gate_open(&sender->gate);
    }
    return STATUS_OK;
}

// After a failure: takes back the letters that nobody has begun to copy and waits for the others.
static void withdraw(struct meeting *meeting, int rank, struct transfer *transfer, int count)
{
    struct inbox *mine = &meeting->inbox[rank];
    for (int i = 0; i < count; i++) {
        if (!transfer[i].sends) continue;
        struct inbox *inbox = &meeting->inbox[transfer[i].peer];
        pthread_mutex_lock(&inbox->mutex);
        struct transfer *before = NULL, *letter = inbox->first;
        while (letter && letter != &transfer[i]) {
            before = letter;
            letter = letter->use.next;
        }
        if (letter) {
            take_out(inbox, before, letter);
            atomic_fetch_sub(&mine->underway, 1);
        }
        pthread_mutex_unlock(&inbox->mutex);
    }
    for (;;) {
        unsigned opened = gate_round(&mine->gate);
        if (atomic_load(&mine->underway) == 0) return;
        gate_wait(&mine->gate, opened);
    }
}

static enum status round_threads(struct comm *comm, struct transfer *transfer, int count)
{
    struct meeting *meeting = comm->state;
    struct inbox *mine = &meeting->inbox[comm->rank];
    if (atomic_load(&meeting->abandoned)) return given_up(meeting);
    int missing = 0, letters = 0;
    for (int i = 0; i < count; i++) {
        transfer[i].use.note = WAITS;
        letters += transfer[i].sends;
        missing += !transfer[i].sends;
    }
    // Before the first one is posted, so that the count cannot pass zero early.
    atomic_store(&mine->underway, letters);
    for (int i = 0; i < count; i++)
        if (transfer[i].sends) post(&meeting->inbox[transfer[i].peer], &transfer[i], comm->rank);
    enum status status = STATUS_OK;
    while (!status) {
        unsigned opened = gate_round(&mine->gate);
        status = copy_letters(meeting, comm->rank, transfer, count, &missing);
        if (status) break;
        if (!missing && atomic_load(&mine->underway) == 0) return STATUS_OK;
        if (atomic_load(&meeting->abandoned))
            status = given_up(meeting);
        else
            gate_wait(&mine->gate, opened);
    }
    withdraw(meeting, comm->rank, transfer, count);
    return status;
}

static enum status poll_threads(struct comm *comm, int *peer_p)
{
    struct meeting *meeting = comm->state;
    struct inbox *mine = &meeting->inbox[comm->rank];
    if (atomic_load(&meeting->abandoned)) return given_up(meeting);
    pthread_mutex_lock(&mine->mutex);
    *peer_p = mine->first ? (int)mine->first->use.note : -1;
    pthread_mutex_unlock(&mine->mutex);
    return STATUS_OK;
}

static void abandon_threads(struct comm *comm)
{
    struct meeting *meeting = comm->state;
    int nobody = 0;
    atomic_compare_exchange_strong(&meeting->abandoned, &nobody, comm->rank + 1);
    gate_open(&meeting->gate);
    for (int i = 0; i < meeting->workers; i++) gate_open(&meeting->inbox[i].gate);
}

static bool is_lost_threads(const struct comm *comm)
{
    struct meeting *meeting = comm->state;
    return atomic_load(&meeting->abandoned) != 0;
}

const struct comm_ops threads_comm = {
    .name = "threads",
    .shares_memory = true,
    .create = create_threads,
    .destroy = destroy_threads,
    .round = round_threads,
    .poll = poll_threads,
    .abandon = abandon_threads,
    .is_lost = is_lost_threads,
    .barrier = barrier_threads,
    .gather = gather_threads,
};
