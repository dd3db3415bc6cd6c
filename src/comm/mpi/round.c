// SPDX-License-Identifier: Apache-2.0
// Rounds of messages over MPI: every message in pieces, started together, then tested until they are done.
//
// Few bytes are under way between two workers at a time. One test may copy everything that it can (Open MPI reads the other's memory in
// it), and a process that copies gigabytes in one call would be silent for so long; and words of the pulse wait behind all pieces that
// were sent before them (384 of a slow receiver held them up for 10 s). A bound for each worker, not for all together, since one that
// sends later must not keep others waiting. Each piece that comes, or is taken, is a sign of life of its worker.
//
// A piece's label is the message's size (its low bits) and whether the piece is the last one. So a receiver that expects another size
// sees it at the first piece, and can say what was sent. Between two processes MPI keeps the order of messages, hence of pieces.
//
// Who waits tests without pause at first, since what it waits for is often nearly there; then gives its turn away between two tests;
// then sleeps, longer and longer. Each piece that arrives starts that anew.
#include "base/memory.h"
#include "comm/mpi/internal.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// Nanoseconds of the sleeps; seconds of giving turns away, and bytes a second that are to be expected of a network while they are
// under way: library and kernel carry little on their own.
enum { SHORTEST_SLEEP = 20000, LONGEST_SLEEP = 1000000 };
static const double YIELDING = 0.002, EXPECTED_RATE = 1e9, COPYING_RATE = 4e9;
// Whole pieces of one worker that are received at a time, and that are sent to one: these wait until the other has received.
enum { RECEIVED_AT_ONCE = 4, SENT_AT_ONCE = 8 };
// Bytes that no library takes before the other one is there.
enum { UNBUFFERED = 1 << 20 };

struct waiting {
    int tests;
    long sleep;
    double since; // the last that came, or when the spinning ended
};

static void wait_a_little(const struct net *net, struct waiting *waiting, double now, double bytes)
{
    // With a core for each worker, what another is just copying is worth spinning for: a turn that is given away on a busy machine
    // comes back after milliseconds.
    if (waiting->tests++ < net->spins ||
        (net->spins && now - waiting->since < bytes / COPYING_RATE))
        return;
    if (now - waiting->since < YIELDING + bytes / EXPECTED_RATE) {
        sched_yield();
        return;
    }
    nanosleep(&(struct timespec){0, waiting->sleep}, NULL);
    if (waiting->sleep < LONGEST_SLEEP) waiting->sleep += waiting->sleep / 4;
}

static void wait_anew(struct waiting *waiting, double now)
{
    *waiting = (struct waiting){.sleep = SHORTEST_SLEEP, .since = now};
}

static int label_of(const struct net *net, size_t bytes, bool last)
{
    size_t mask = ((size_t)1 << net->size_bits) - 1;
    return (int)((bytes & mask) << 1) | last;
}

static int pieces_of(const struct net *net, size_t bytes)
{
    return bytes ? (int)((bytes - 1) / net->most_piece + 1) : 1;
}

static enum status reserve(struct net *net, int pieces)
{
    if (pieces <= net->capacity) return STATUS_OK;
    int capacity = 2 * pieces;
    TRY(memory_grow(&net->requests, (size_t)capacity, (size_t)net->calls->request_bytes,
                    "messages under way"));
    TRY(memory_grow(&net->piece, (size_t)capacity, sizeof *net->piece, "messages under way"));
    // No request is under way between two rounds.
    net->calls->clear(net->requests, capacity);
    net->capacity = capacity;
    return STATUS_OK;
}

// What is under way: the pieces of `transfer`, or a sum where it is NULL.
struct carrying {
    struct net *net;
    const struct transfer *transfer;
    int pieces, left;
    double bytes;
    double now; // of this look
};

// Who is lost, and what this worker waited for: something of the lost one where there is such.
static enum status say_lost(const struct carrying *carrying)
{
    const struct net *net = carrying->net;
    const struct transfer *found = NULL;
    char waited[200];
    const char *host = net->place[net->comm.rank].host;
    for (int i = 0; carrying->transfer && i < carrying->pieces; i++) {
        if (net->piece[i].transfer < 0) continue;
        const struct transfer *transfer = &carrying->transfer[net->piece[i].transfer];
        if (!found || (found->peer != net->failure.rank && transfer->peer == net->failure.rank))
            found = transfer;
    }
    if (found)
        snprintf(waited, sizeof waited, "worker %d (%s) waited to %s %zu bytes %s worker %d",
                 net->comm.rank, host, found->sends ? "send" : "receive", found->bytes,
                 found->sends ? "to" : "from", found->peer);
    else
        snprintf(waited, sizeof waited, "worker %d (%s) waited for a sum over all", net->comm.rank,
                 host);
    return pulse_failure(net, waited);
}

static int start_piece(struct net *net, const struct transfer *transfer, int i)
{
    const struct piece *piece = &net->piece[i];
    transfer += piece->transfer;
    size_t from = (size_t)piece->number * net->most_piece;
    char *data = transfer->data ? (char *)transfer->data + from : NULL;
    if (transfer->sends)
        return net->calls->send(MPI_CHANNEL_DATA, data, (int)piece->bytes, transfer->peer,
                                piece->label, net->requests, i);
    return net->calls->receive(MPI_CHANNEL_DATA, data, (int)piece->bytes, transfer->peer,
                               MPI_ANY_LABEL, net->requests, i);
}

static struct queue *queue_of(struct net *net, const struct transfer *transfer)
{
    return transfer->sends ? &net->sent[transfer->peer] : &net->received[transfer->peer];
}

// Starts what goes next the way of `one`, as far as its window allows. The lock is held.
static int start_next(struct net *net, const struct transfer *transfer, const struct transfer *one)
{
    struct queue *queue = queue_of(net, one);
    size_t most = net->most_piece * (one->sends ? SENT_AT_ONCE : RECEIVED_AT_ONCE);
    int error = 0;
    while (queue->first >= 0 && queue->under_way < most && !error) {
        error = start_piece(net, transfer, queue->first);
        queue->under_way += net->piece[queue->first].bytes;
        queue->first = net->piece[queue->first].next;
    }
    return error;
}

static void join_queue(struct net *net, const struct transfer *transfer, int i)
{
    struct queue *queue = queue_of(net, transfer);
    if (queue->first < 0)
        queue->first = i;
    else
        net->piece[queue->last].next = i;
    queue->last = i;
}

// Lays out the pieces of transfer t from entry `first` on, in the order of the message; returns where the next one's begin.
static int lay_out(struct net *net, const struct transfer *transfer, int t, int first)
{
    int pieces = pieces_of(net, transfer->bytes);
    for (int p = 0; p < pieces; p++) {
        size_t left = transfer->bytes - (size_t)p * net->most_piece;
        net->piece[first + p] =
            (struct piece){.transfer = t,
                           .number = p,
                           .label = label_of(net, transfer->bytes, p == pieces - 1),
                           .next = -1,
                           .bytes = left < net->most_piece ? left : net->most_piece};
        join_queue(net, transfer, first + p);
    }
    return first + pieces;
}

static enum status refuse_size(const struct net *net, const struct transfer *transfer,
                               const struct mpi_done *done)
{
    size_t mask = ((size_t)1 << net->size_bits) - 1, sent = (size_t)done->label >> 1;
    char size[40] = "another number of";
    // Only the low bits travel; they are the size when it is below 2^bits, as the other's is then.
    if (sent != (transfer->bytes & mask) && transfer->bytes <= mask)
        snprintf(size, sizeof size, "%zu", sent);
    FAIL(STATUS_PEER, "worker %d sent %s bytes where worker %d expects %zu", transfer->peer, size,
         net->comm.rank, transfer->bytes);
}

// A piece is complete, well or not. The lock is held.
static enum status finish_piece(struct carrying *carrying, const struct mpi_done *done)
{
    struct net *net = carrying->net;
    struct piece *piece = &net->piece[done->index];
    const struct transfer *transfer =
        carrying->transfer ? &carrying->transfer[piece->transfer] : NULL;
    carrying->left--;
    if (done->outcome == MPI_FAILED) {
        int beside = (net->comm.rank + 1) % net->comm.size;
        pulse_lose(net, LOST_UNREACHABLE, transfer ? transfer->peer : beside, done->error);
        return say_lost(carrying);
    }
    piece->transfer = -1;
    if (!transfer) return STATUS_OK;
    if (!transfer->sends &&
        (done->outcome != MPI_CAME || done->bytes != piece->bytes || done->label != piece->label))
        return refuse_size(net, transfer, done);
    if (!transfer->sends || piece->bytes >= UNBUFFERED)
        pulse_hear(net, transfer->peer, carrying->now);
    queue_of(net, transfer)->under_way -= piece->bytes;
    int error = start_next(net, carrying->transfer, transfer);
    if (!error) return STATUS_OK;
    pulse_lose(net, LOST_UNREACHABLE, transfer->peer, error);
    return say_lost(carrying);
}

// Looks once at what has been done; `moved` says whether anything was.
static enum status look_once(struct carrying *carrying, double now, bool *moved)
{
    struct net *net = carrying->net;
    struct mpi_done done[MPI_MOST_DONE];
    int count = 0;
    enum status status = STATUS_OK;
    carrying->now = now;
    pthread_mutex_lock(&net->lock);
    if (!atomic_load(&net->failed)) {
        int error = net->calls->test(net->requests, carrying->pieces, done, &count);
        if (error) pulse_lose(net, LOST_UNREACHABLE, net->comm.rank, error);
    }
    for (int i = 0; i < count && !status; i++) status = finish_piece(carrying, &done[i]);
    if (!status && carrying->left) pulse_tick(net, now);
    if (!status && carrying->left && atomic_load(&net->failed)) status = say_lost(carrying);
    pthread_mutex_unlock(&net->lock);
    *moved = count > 0;
    return status;
}

// After a failure nothing shall come into the caller's memory any more, as far as MPI can be kept from it.
static void drop_pieces(struct carrying *carrying)
{
    struct net *net = carrying->net;
    struct mpi_done done[MPI_MOST_DONE];
    int count;
    pthread_mutex_lock(&net->lock);
    for (int i = 0; i < carrying->pieces; i++) {
        const struct piece *piece = &net->piece[i];
        if (piece->transfer >= 0 &&
            !(carrying->transfer && carrying->transfer[piece->transfer].sends))
            net->calls->cancel(net->requests, i);
    }
    for (int attempt = 0; attempt < 10; attempt++)
        if (net->calls->test(net->requests, carrying->pieces, done, &count)) break;
    net->calls->clear(net->requests, carrying->pieces);
    pthread_mutex_unlock(&net->lock);
}

static enum status finish_pieces(struct carrying *carrying)
{
    struct waiting waiting;
    enum status status = STATUS_OK;
    wait_anew(&waiting, mpi_now());
    while (!status && carrying->left) {
        bool moved = false;
        double now = mpi_now();
        status = look_once(carrying, now, &moved);
        if (moved)
            wait_anew(&waiting, now);
        else if (!status)
            wait_a_little(carrying->net, &waiting, now, carrying->bytes);
    }
    if (status) drop_pieces(carrying);
    return status;
}

// Starts the round: what is received first, so that it finds its place when it comes.
static void start_all(struct carrying *carrying, int count)
{
    struct net *net = carrying->net;
    const struct transfer *transfer = carrying->transfer;
    int error = 0, peer = net->comm.rank;
    for (int t = 0; t < count; t++)
        *queue_of(net, &transfer[t]) = (struct queue){.first = -1, .last = -1};
    for (int t = 0, i = 0; t < count; t++) i = lay_out(net, &transfer[t], t, i);
    pthread_mutex_lock(&net->lock);
    for (int sends = 0; sends < 2; sends++)
        for (int t = 0; t < count && !error; t++) {
            if (transfer[t].sends != (bool)sends) continue;
            peer = transfer[t].peer;
            error = start_next(net, transfer, &transfer[t]);
        }
    if (error) pulse_lose(net, LOST_UNREACHABLE, peer, error);
    pthread_mutex_unlock(&net->lock);
}

enum status round_mpi(struct comm *comm, struct transfer *transfer, int count)
{
    struct net *net = comm->state;
    struct carrying carrying = {.net = net, .transfer = transfer};
    if (atomic_load(&net->failed)) return pulse_failure(net, "");
    for (int t = 0; t < count; t++) {
        carrying.pieces += pieces_of(net, transfer[t].bytes);
        carrying.bytes += (double)transfer[t].bytes;
    }
    TRY(reserve(net, carrying.pieces));
    carrying.left = carrying.pieces;
    start_all(&carrying, count);
    return finish_pieces(&carrying);
}

enum status poll_mpi(struct comm *comm, int *peer_p)
{
    struct net *net = comm->state;
    int peer = -1;
    pthread_mutex_lock(&net->lock);
    if (!atomic_load(&net->failed)) {
        int error = net->calls->probe(&peer);
        if (error) pulse_lose(net, LOST_UNREACHABLE, comm->rank, error);
        pulse_tick(net, mpi_now());
    }
    pthread_mutex_unlock(&net->lock);
    if (atomic_load(&net->failed)) return pulse_failure(net, "");
    *peer_p = peer;
    return STATUS_OK;
}

enum status all_reduce_mpi(struct comm *comm, float *data, int64_t n)
{
    enum { MOST = 1 << 28 };
    struct net *net = comm->state;
    if (atomic_load(&net->failed)) return pulse_failure(net, "");
    TRY(reserve(net, 1));
    for (int64_t from = 0; from < n; from += MOST) {
        int part = (int)(n - from < MOST ? n - from : MOST);
        struct carrying carrying = {
            .net = net, .pieces = 1, .left = 1, .bytes = (double)part * sizeof(float)};
        net->piece[0].transfer = 0;
        pthread_mutex_lock(&net->lock);
        int error = net->calls->sum(data + from, part, net->requests, 0);
        if (error) pulse_lose(net, LOST_UNREACHABLE, comm->rank, error);
        pthread_mutex_unlock(&net->lock);
        TRY(finish_pieces(&carrying));
    }
    return STATUS_OK;
}
