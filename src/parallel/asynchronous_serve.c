// SPDX-License-Identifier: Apache-2.0
// A server's side.
#include "parallel/asynchronous_parts.h"

#include <sched.h>
#include <string.h>
#include <time.h>

// ---- a server's work ----
// Where node j of a replica's push lies at this server.
static float *pushed_at(const struct asynchronous *a, int replica, int j)
{
    int slot = a->setup.staleness ? j : a->nodes_before[replica] + j;
    return a->pushed + slot * (a->last - a->first);
}

static void add_pushed(struct asynchronous *a, int *count_p, int replica)
{
    for (int j = 0; j < asynchronous_nodes(a, replica) && a->last > a->first; j++)
        asynchronous_add(a, count_p, replica, false, pushed_at(a, replica, j),
                         (size_t)(a->last - a->first) * sizeof(float));
}

static void update(struct asynchronous *a, const float *gradient, const struct request *request,
                   int worker)
{
    const struct push push = {
        .first = a->first,
        .last = a->last,
        .gradient = gradient,
        .weights = a->weights,
        .tokens = request->tokens,
        .factor = request->factor,
        .clock = request->clock,
        .worker = worker,
    };
    if (a->last > a->first) a->setup.update(a->setup.context, &push);
}

// The nodes of one replica, one after the other.
static const float *sum_of(struct asynchronous *a, int replica)
{
    int16_t program[2 * MAX_NODES];
    int operations = 0, nodes = asynchronous_nodes(a, replica);
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
    update(a, a->sum, &(struct request){.clock = clock, .tokens = a->tokens, .factor = 1}, -1);
    a->came = 0;
    a->tokens = 0;
}

static void count_push(struct asynchronous *a, const struct request *request)
{
    struct count *count = &a->count[request->clock % a->counts];
    count->came++;
    count->loss += request->loss;
    count->tokens += request->tokens;
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
        count_push(a, request);
        if (a->setup.staleness == 0) {
            a->tokens += request->tokens;
            if (++a->came == a->workers) update_together(a, request->clock);
        } else if (asynchronous_nodes(a, replica) > 0) {
            update(a, sum_of(a, replica), request, replica);
        }
    }
    client->want = request->want;
    client->last = client->last || request->last;
    a->wish = a->wish || request->wish;
    if (a->rank > 0 && request->until >= 0) a->until = request->until;
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
    client->granted = client->want;
    client->want = -1;
}

// Server 0 names the first clock that nobody has weights for: whoever comes there has been told before.
static void name_end(struct asynchronous *a)
{
    if (a->rank > 0 && a->setup.stops && a->setup.stops(a->setup.context)) a->wish = true;
    if (a->rank > 0 || a->until >= 0) return;
    if (!a->wish && !(a->setup.stops && a->setup.stops(a->setup.context))) return;
    for (int r = 0; r < a->size; r++)
        if (!a->client[r].last && a->client[r].granted >= a->until)
            a->until = a->client[r].granted + 1;
}

// A worker that is no server has put everything it sends and waits for into one round.
static enum status receive_request(struct asynchronous *a, int replica)
{
    struct request request = {0};
    int count = 0;
    asynchronous_add(a, &count, replica, false, &request, sizeof request);
    TRY(asynchronous_round(a, count));
    count = 0;
    if (request.clock >= 0) add_pushed(a, &count, replica);
    TRY(asynchronous_round(a, count));
    return take(a, replica, &request);
}

static enum status give_to_workers(struct asynchronous *a, bool *moved_p)
{
    size_t bytes = (size_t)(a->last - a->first) * sizeof(float);
    for (int r = a->setup.servers; r < a->size; r++) {
        if (!may_go_on(a, r)) continue;
        const struct reply reply = {a->until, a->wish};
        int count = 0;
        asynchronous_add(a, &count, r, true, &reply, sizeof reply);
        asynchronous_add(a, &count, r, true, a->weights, bytes);
        TRY(asynchronous_round(a, count));
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
    for (int j = 0; j < asynchronous_nodes(a, a->rank) && bytes && mailbox->request.clock >= 0; j++)
        memcpy(pushed_at(a, a->rank, j), mailbox->node[j] + a->first, bytes);
    return take(a, a->rank, &mailbox->request);
}

static void give_to_own(struct asynchronous *a, bool *moved_p)
{
    struct mailbox *mailbox = &a->mailbox;
    if (!asynchronous_computes(a, a->rank)) return;
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
    mailbox->until = a->until;
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
    own.until = a->until;
    own.wish = own.wish || a->wish;
    own.gives = may_go_on(a, peer);
    int count = 0;
    asynchronous_add(a, &count, peer, true, &own, sizeof own);
    asynchronous_add(a, &count, peer, false, theirs, sizeof *theirs);
    TRY(asynchronous_round(a, count));
    count = 0;
    if (own.asks && own.clock >= 0) asynchronous_add_gradient(a, &count, peer, mailbox->node);
    if (own.gives) asynchronous_add(a, &count, peer, true, a->weights, bytes);
    if (theirs->asks && theirs->clock >= 0) add_pushed(a, &count, peer);
    if (theirs->gives) asynchronous_add_weights(a, &count, peer, mailbox->weights);
    TRY(asynchronous_round(a, count));
    a->wish = a->wish || theirs->wish;
    if (peer == 0) a->until = theirs->until;
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

static enum status hear(struct asynchronous *a, int peer, bool *moved_p)
{
    char word[1];
    *moved_p = true;
    if (peer >= a->setup.servers) return receive_request(a, peer);
    if (a->setup.servers_compute && !parted(a, peer)) return meet(a, peer, moved_p);
    // It has nothing to say any more but that.
    TRY(comm_receive(a->net, word, sizeof word, peer));
    a->client[peer].released = true;
    return STATUS_OK;
}

static enum status serve_once(struct asynchronous *a, bool *moved_p)
{
    int peer = -1;
    if (atomic_load(&a->ended)) FAIL(STATUS_PEER, "process %d has been ended", a->rank);
    if (a->size > 1) TRY(comm_poll(a->net, &peer));
    // Without a pause: a push is answered when it comes.
    if (peer >= 0) TRY(hear(a, peer, moved_p));
    TRY(take_own(a, moved_p));
    name_end(a);
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

// Everybody may use the net for something else when no server listens any more.
static enum status release_all(struct asynchronous *a)
{
    const char word[1] = {1};
    char heard[1];
    int count = 0;
    for (int r = 0; r < a->size; r++)
        if (r != a->rank) asynchronous_add(a, &count, r, true, word, sizeof word);
    for (int s = 0; s < a->setup.servers; s++)
        if (s != a->rank && !a->client[s].released)
            asynchronous_add(a, &count, s, false, heard, sizeof heard);
    return asynchronous_round(a, count);
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
    if (!status) status = release_all(a);
    // A worker that waits here must not wait for ever.
    pthread_mutex_lock(&a->mailbox.mutex);
    if (status) a->mailbox.post = POST_CLOSED;
    pthread_cond_broadcast(&a->mailbox.changed);
    pthread_mutex_unlock(&a->mailbox.mutex);
    return status;
}

void asynchronous_end(struct asynchronous *a) { atomic_store(&a->ended, true); }

// Whether all have pushed `clock`, and some have gone on or ended, so that what comes next is known.
static bool is_past(const struct asynchronous *a, int64_t clock)
{
    bool goes_on = false;
    if (slowest(a) <= clock) return false;
    for (int r = a->setup.servers; r < a->size; r++)
        goes_on = goes_on || a->client[r].clock > clock + 1 || a->client[r].last;
    return goes_on;
}

enum status asynchronous_serve_clock(struct asynchronous *a, int64_t clock, struct tally *tally_p)
{
    INVARIANT(!asynchronous_is_worker(a), "server %d computes", a->rank);
    for (int idle = 0; !is_past(a, clock);) {
        bool moved = false;
        TRY(serve_once(a, &moved));
        idle = moved ? 0 : idle + 1;
        if (idle) pause_a_little(idle);
    }
    struct count *count = &a->count[clock % a->counts];
    *tally_p = (struct tally){count->loss, count->tokens, count->came == 0};
    *count = (struct count){.came = 0};
    return STATUS_OK;
}
