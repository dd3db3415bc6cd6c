// SPDX-License-Identifier: Apache-2.0
// How the virtual workers really meet: whoever comes second copies.
//
// A receiver that finds no message posts its buffer in its own station; a sender that finds no buffer leaves its transfer at the
// receiver's. Either list is in order of coming, in buckets by peer, since a thousand workers may send to one. Nobody is woken before all
// that it waits for is done.
#include "comm/simulated.h"

#include "base/memory.h"
#include "comm/share.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const struct comm_ops simulated_comm;

// ROOM: transfers of a round that nothing is allocated for.
enum { BUCKETS = 64, STACK_BYTES = 256 << 10, ROOM = 64 };

// Linked by use.next. use.note of a sender's transfer: its station.
struct queue {
    struct transfer *first, *last;
};

// A message that the round has received: when its first byte came, how long the port takes.
struct arrival {
    double first, occupied;
    int peer, index;
};

struct world;
struct station {
    struct comm comm;
    struct world *world;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    // Under the mutex.
    struct queue posted[BUCKETS];  // receives that wait for a message
    struct queue arrived[BUCKETS]; // messages that wait for a receive
    int wrong_peer;                // -1, or who sent another size than was expected
    size_t wrong_sent, wrong_expected;
    // Of the round. time[i] of a sender's transfer is known before it is posted, a receiver's is written by whoever copies.
    atomic_int pending;
    const struct transfer *base;
    double *time; // [room] when the first byte reaches the receiver
    struct arrival *arrival;
    size_t room;
    // The worker's own.
    double clock, receive_free;
    struct simulated_traffic traffic;
};

struct world {
    struct network network;
    struct station *station; // [workers]
    int workers;
    atomic_int abandoned; // 1 + rank of the worker that gave up, 0: none
};

// ---- the network ----
double link_occupied(const struct link *link, double bytes)
{
    return link->gap + bytes / link->bandwidth;
}

const struct link *network_link(const struct network *network, int a, int b)
{
    int node = network->node > 1 ? network->node : 1;
    return a / node == b / node ? &network->inside : &network->between;
}

// ---- life ----
static void release_stations(struct world *world, int count)
{
    for (int i = 0; i < count; i++) {
        pthread_cond_destroy(&world->station[i].changed);
        pthread_mutex_destroy(&world->station[i].mutex);
        free(world->station[i].time);
        free(world->station[i].arrival);
    }
    free(world->station);
    free(world);
}

static enum status check_link(const struct link *link)
{
    if (!(link->latency >= 0 && link->gap >= 0 && link->bandwidth > 0))
        FAIL(STATUS_USAGE,
             "a link of %g s, %g s a message and %g bytes/s: the first two must not be negative, "
             "the third must be more than 0",
             link->latency, link->gap, link->bandwidth);
    return STATUS_OK;
}

static enum status make_room(struct station *me, int count)
{
    if ((size_t)count <= me->room) return STATUS_OK;
    TRY(memory_grow(&me->time, (size_t)count, sizeof *me->time, "a virtual worker's round"));
    TRY(memory_grow(&me->arrival, (size_t)count, sizeof *me->arrival, "a virtual worker's round"));
    me->room = (size_t)count;
    return STATUS_OK;
}

enum status simulated_create(const struct network *network, int workers, struct comm **comm_p)
{
    struct world *world = NULL;
    struct station *station = NULL;
    if (workers < 1) FAIL(STATUS_USAGE, "%d workers: there must be at least one", workers);
    TRY(check_link(&network->inside));
    TRY(check_link(&network->between));
    TRY(memory_allocate((size_t)workers, sizeof *station, "the virtual workers", &station));
    enum status status = memory_allocate(1, sizeof *world, "the virtual workers", &world);
    if (status) {
        free(station);
        return status;
    }
    world->network = *network;
    world->workers = workers;
    world->station = station;
    for (int i = 0; i < workers; i++) {
        pthread_mutex_init(&station[i].mutex, NULL);
        pthread_cond_init(&station[i].changed, NULL);
        station[i].world = world;
        station[i].wrong_peer = -1;
        station[i].comm = (struct comm){&simulated_comm, i, workers, &station[i]};
        if (!status) status = make_room(&station[i], ROOM);
    }
    if (status) {
        release_stations(world, workers);
        return status;
    }
    for (int i = 0; i < workers; i++) comm_p[i] = &station[i].comm;
    return STATUS_OK;
}

static enum status create_simulated(int workers, struct comm **comm_p)
{
    const struct link link = {.latency = 2e-6, .gap = 0, .bandwidth = 10e9};
    return simulated_create(&(struct network){link, link, 1}, workers, comm_p);
}

static void destroy_simulated(struct comm **comm, int workers)
{
    struct station *first = comm[0]->state;
    release_stations(first->world, workers);
    for (int i = 0; i < workers; i++) comm[i] = NULL;
}

// ---- queues ----
static void append(struct queue *queue, struct transfer *transfer)
{
    transfer->use.next = NULL;
    if (queue->last)
        queue->last->use.next = transfer;
    else
        queue->first = transfer;
    queue->last = transfer;
}

static struct station *sender_of(const struct transfer *transfer)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr): post_send put a pointer there
    return (struct station *)transfer->use.note;
}

static void unlink_after(struct queue *queue, struct transfer *before, struct transfer *transfer)
{
    if (before)
        before->use.next = transfer->use.next;
    else
        queue->first = transfer->use.next;
    if (queue->last == transfer) queue->last = before;
}

// The first transfer that receives from `peer`, taken out; NULL when there is none.
static struct transfer *take_posted(struct station *station, int peer)
{
    struct queue *queue = &station->posted[peer % BUCKETS];
    struct transfer *before = NULL, *at = queue->first;
    while (at && at->peer != peer) before = at, at = at->use.next;
    if (at) unlink_after(queue, before, at);
    return at;
}

// The first message from `peer`.
static struct transfer *take_arrived(struct station *station, int peer)
{
    struct queue *queue = &station->arrived[peer % BUCKETS];
    struct transfer *before = NULL, *at = queue->first;
    while (at && sender_of(at)->comm.rank != peer) before = at, at = at->use.next;
    if (at) unlink_after(queue, before, at);
    return at;
}

// A message that its sender has given up.
static void withdraw(struct station *station, struct transfer *transfer)
{
    struct queue *queue = &station->arrived[sender_of(transfer)->comm.rank % BUCKETS];
    struct transfer *before = NULL, *at = queue->first;
    while (at && at != transfer) before = at, at = at->use.next;
    if (at) unlink_after(queue, before, at);
}

// ---- a round ----
static enum status given_up(const struct world *world)
{
    int who = atomic_load(&((struct world *)world)->abandoned) - 1;
    FAIL(STATUS_PEER, "worker %d of %d has given up", who, world->workers);
}

// Another worker has finished one of the station's transfers.
static void finish_one(struct station *station)
{
    if (atomic_fetch_sub(&station->pending, 1) != 1) return;
    pthread_mutex_lock(&station->mutex);
    pthread_cond_signal(&station->changed);
    pthread_mutex_unlock(&station->mutex);
}

// Under the receiver's mutex. False when the sizes differ, which the receiver will say.
static bool copy_message(struct station *receiver, const struct transfer *receive,
                         const struct transfer *send)
{
    const struct station *sender = sender_of(send);
    if (send->bytes != receive->bytes) {
        receiver->wrong_peer = sender->comm.rank;
        receiver->wrong_sent = send->bytes;
        receiver->wrong_expected = receive->bytes;
        pthread_cond_signal(&receiver->changed);
        return false;
    }
    if (send->bytes) memcpy(receive->data, send->data, send->bytes);
    receiver->time[receive - receiver->base] = sender->time[send - sender->base];
    return true;
}

static void post_send(struct station *me, struct transfer *send)
{
    struct station *receiver = &me->world->station[send->peer];
    send->use.note = (intptr_t)me;
    pthread_mutex_lock(&receiver->mutex);
    struct transfer *receive = take_posted(receiver, me->comm.rank);
    bool copied = receive && copy_message(receiver, receive, send);
    if (!receive) append(&receiver->arrived[me->comm.rank % BUCKETS], send);
    pthread_mutex_unlock(&receiver->mutex);
    if (!copied) return;
    finish_one(receiver);
    atomic_fetch_sub(&me->pending, 1);
}

static void post_receive(struct station *me, struct transfer *receive)
{
    pthread_mutex_lock(&me->mutex);
    struct transfer *send = take_arrived(me, receive->peer);
    struct station *sender = send ? sender_of(send) : NULL;
    bool copied = send && copy_message(me, receive, send);
    if (!send) append(&me->posted[receive->peer % BUCKETS], receive);
    pthread_mutex_unlock(&me->mutex);
    if (!copied) return;
    finish_one(sender);
    atomic_fetch_sub(&me->pending, 1);
}

// When each message reaches its receiver: the port sends one after the other. Returns when it is free again.
static double departures(struct station *me, const struct transfer *transfer, int count)
{
    double free = me->clock;
    for (int i = 0; i < count; i++) {
        if (!transfer[i].sends) continue;
        const struct link *link =
            network_link(&me->world->network, me->comm.rank, transfer[i].peer);
        me->time[i] = free + link->latency;
        free += link_occupied(link, (double)transfer[i].bytes);
        me->traffic.sent_messages++;
        me->traffic.sent_bytes += (double)transfer[i].bytes;
    }
    return free;
}

static int compare_arrivals(const void *a, const void *b)
{
    const struct arrival *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    if (x->peer != y->peer) return x->peer < y->peer ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

// The port takes in what has arrived. Returns when the last message is through.
static double arrivals(struct station *me, const struct transfer *transfer, int count)
{
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        if (transfer[i].sends) continue;
        const struct link *link =
            network_link(&me->world->network, transfer[i].peer, me->comm.rank);
        me->arrival[n++] = (struct arrival){
            me->time[i], link_occupied(link, (double)transfer[i].bytes), transfer[i].peer, i};
        me->traffic.received_messages++;
        me->traffic.received_bytes += (double)transfer[i].bytes;
    }
    if (n) qsort(me->arrival, n, sizeof *me->arrival, compare_arrivals);
    for (size_t i = 0; i < n; i++) {
        const struct arrival *a = &me->arrival[i];
        double start = a->first > me->receive_free ? a->first : me->receive_free;
        me->receive_free = start + a->occupied;
    }
    return n ? me->receive_free : 0;
}

static enum status wait_round(struct station *me, struct transfer *transfer, int count)
{
    struct world *world = me->world;
    pthread_mutex_lock(&me->mutex);
    while (atomic_load(&me->pending) && me->wrong_peer < 0 && !atomic_load(&world->abandoned))
        pthread_cond_wait(&me->changed, &me->mutex);
    bool done = !atomic_load(&me->pending);
    int wrong = me->wrong_peer;
    // Nobody writes to this worker's buffers any more.
    if (!done) memset(me->posted, 0, sizeof me->posted);
    pthread_mutex_unlock(&me->mutex);
    if (done) return STATUS_OK;
    for (int i = 0; i < count; i++) {
        if (!transfer[i].sends) continue;
        struct station *receiver = &world->station[transfer[i].peer];
        pthread_mutex_lock(&receiver->mutex);
        withdraw(receiver, &transfer[i]);
        pthread_mutex_unlock(&receiver->mutex);
    }
    if (wrong < 0) return given_up(world);
    FAIL(STATUS_PEER, "worker %d sent %zu bytes where worker %d expects %zu", wrong, me->wrong_sent,
         me->comm.rank, me->wrong_expected);
}

static enum status round_simulated(struct comm *comm, struct transfer *transfer, int count)
{
    struct station *me = comm->state;
    if (atomic_load(&me->world->abandoned)) return given_up(me->world);
    TRY(make_room(me, count));
    me->base = transfer;
    atomic_store(&me->pending, count);
    double sent = departures(me, transfer, count);
    for (int i = 0; i < count; i++)
        if (transfer[i].sends)
            post_send(me, &transfer[i]);
        else
            post_receive(me, &transfer[i]);
    TRY(wait_round(me, transfer, count));
    double received = arrivals(me, transfer, count);
    simulated_reach(comm, sent > received ? sent : received);
    return STATUS_OK;
}

static enum status barrier_simulated(struct comm *comm)
{
    struct station *me = comm->state;
    if (atomic_load(&me->world->abandoned)) return given_up(me->world); // one worker has no rounds
    return barrier_by_rounds(comm);
}

static enum status poll_simulated(struct comm *comm, int *peer_p)
{
    struct station *me = comm->state;
    const struct transfer *best = NULL;
    double first = 0;
    int peer = -1;
    if (atomic_load(&me->world->abandoned)) return given_up(me->world);
    pthread_mutex_lock(&me->mutex);
    for (int b = 0; b < BUCKETS; b++)
        for (const struct transfer *at = me->arrived[b].first; at; at = at->use.next) {
            const struct station *sender = sender_of(at);
            double time = sender->time[at - sender->base];
            int rank = sender->comm.rank;
            if (best && (time > first || (time == first && rank > peer))) continue;
            best = at;
            first = time;
            peer = rank;
        }
    pthread_mutex_unlock(&me->mutex);
    *peer_p = peer;
    return STATUS_OK;
}

static void abandon_simulated(struct comm *comm)
{
    struct station *me = comm->state;
    struct world *world = me->world;
    int nobody = 0;
    atomic_compare_exchange_strong(&world->abandoned, &nobody, comm->rank + 1);
    // Each lock is taken once after the flag is set, so that no waiter can miss it.
    for (int i = 0; i < world->workers; i++) {
        pthread_mutex_lock(&world->station[i].mutex);
        pthread_cond_signal(&world->station[i].changed);
        pthread_mutex_unlock(&world->station[i].mutex);
    }
}

// ---- time and counts ----
static double seconds_simulated(struct comm *comm)
{
    const struct station *me = comm->state;
    return me->clock;
}

void simulated_compute(struct comm *comm, double seconds)
{
    struct station *me = comm->state;
    me->clock += seconds;
}

void simulated_reach(struct comm *comm, double seconds)
{
    struct station *me = comm->state;
    if (me->clock < seconds) me->clock = seconds;
}

struct simulated_traffic simulated_traffic(const struct comm *comm)
{
    const struct station *me = comm->state;
    return me->traffic;
}

// ---- threads ----
struct actor {
    pthread_t thread;
    struct comm *comm;
    enum status (*body)(struct comm *comm, void *context);
    void *context;
    enum status status;
    char message[512];
};

static void *act(void *context)
{
    struct actor *actor = context;
    actor->status = actor->body(actor->comm, actor->context);
    if (!actor->status) return NULL;
    error_copy(actor->message, sizeof actor->message);
    comm_abandon(actor->comm);
    return NULL;
}

static enum status outcome_of(const struct actor *actor, int workers)
{
    const struct actor *first = NULL;
    for (int i = 0; i < workers; i++) {
        if (!actor[i].status) continue;
        if (!first || (first->status == STATUS_PEER && actor[i].status != STATUS_PEER))
            first = &actor[i];
    }
    return first ? error_adopt(first->status, first->message) : STATUS_OK;
}

enum status simulated_run(struct comm **comm, int workers,
                          enum status (*body)(struct comm *comm, void *context), void *context)
{
    struct actor *actor;
    pthread_attr_t small;
    int started = 0;
    TRY(memory_allocate((size_t)workers, sizeof *actor, "the virtual workers", &actor));
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    for (; started < workers; started++) {
        actor[started].comm = comm[started];
        actor[started].body = body;
        actor[started].context = context;
        if (pthread_create(&actor[started].thread, &small, act, &actor[started])) break;
    }
    // Those that run wait for one that never will.
    if (started < workers) comm_abandon(comm[started]);
    for (int i = 0; i < started; i++) pthread_join(actor[i].thread, NULL);
    enum status status = outcome_of(actor, started);
    pthread_attr_destroy(&small);
    free(actor);
    if (started == workers) return status;
    error_clear();
    FAIL(STATUS_MEMORY, "the system starts only %d of %d threads for virtual workers", started,
         workers);
}

static bool is_lost_simulated(const struct comm *comm)
{
    struct station *me = comm->state;
    return atomic_load(&me->world->abandoned) != 0;
}

const struct comm_ops simulated_comm = {
    .name = "simulated",
    .shares_memory = false,
    .create = create_simulated,
    .destroy = destroy_simulated,
    .round = round_simulated,
    .poll = poll_simulated,
    .abandon = abandon_simulated,
    .is_lost = is_lost_simulated,
    .barrier = barrier_simulated,
    .seconds = seconds_simulated,
};
