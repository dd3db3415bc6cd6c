// SPDX-License-Identifier: Apache-2.0
// Who lives: every process tells its neighbours, rank + 2^k and rank - 2^k, once a second that it does.
//
// So does every piece of a message that comes from it. A neighbour that has been silent for the timeout, or whose process has ended on
// this host, is lost. Who learns of a loss first by itself tells all neighbours, and they tell theirs, once: after log2(P) hops all
// have the same name. From then on nothing of MPI is called any more, for a call may wait for ever for the lost one. A word to a
// neighbour is not sent while the one before is on its way, so a process that stands still costs its neighbours no memory.
#include "base/memory.h"
#include "comm/mpi/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// Seconds. A tick that comes so late was stopped itself: then nobody else's silence counts.
static const double BETWEEN_TICKS = 0.1, BETWEEN_LOOKS = 0.25, BETWEEN_BEATS = 1.0, STOPPED = 2.0,
                    TELLING = 0.5;

double mpi_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void sleep_milliseconds(long milliseconds)
{
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

enum { BEAT, TOLD };
static int word_request(int neighbour, int which) { return WORD_RECEIVERS + 2 * neighbour + which; }

static int listen(struct net *net, int slot)
{
    struct pulse *pulse = &net->pulse;
    return net->calls->receive(MPI_CHANNEL_CONTROL, &pulse->came[slot], (int)sizeof(struct word),
                               MPI_ANYBODY, 0, pulse->requests, slot);
}

// Starts a word to neighbour n; one that cannot be sent makes its silence seen by the others.
static void send_word(struct net *net, int n, int which, struct word word)
{
    struct neighbour *neighbour = &net->pulse.neighbour[n];
    bool *busy = which == BEAT ? &neighbour->beating : &neighbour->telling;
    struct word *mine = which == BEAT ? &neighbour->beat : &neighbour->told;
    if (*busy) return;
    *mine = word;
    *busy = net->calls->send(MPI_CHANNEL_CONTROL, mine, (int)sizeof *mine, neighbour->rank, 0,
                             net->pulse.requests, word_request(n, which)) == 0;
}

static void note_failure(struct net *net, struct word failure, int error)
{
    if (atomic_load(&net->failed)) return;
    net->failure = failure;
    net->failure_error = error;
    atomic_store(&net->failed, true);
}

void pulse_hear(struct net *net, int rank, double now)
{
    struct pulse *pulse = &net->pulse;
    for (int n = 0; n < pulse->neighbours; n++) {
        struct neighbour *neighbour = &pulse->neighbour[n];
        if (neighbour->rank == rank && neighbour->heard < now) neighbour->heard = now;
    }
}

static void hear(struct net *net, const struct word *word, int from, double now)
{
    pulse_hear(net, from, now);
    if (word->kind != LOST_NOBODY && word->rank >= 0 && word->rank < net->comm.size)
        note_failure(net, *word, 0);
}

// Takes what has come and frees what has gone out.
static void take_words(struct net *net, double now)
{
    struct pulse *pulse = &net->pulse;
    struct mpi_done done[MPI_MOST_DONE];
    int count = 0, all = WORD_RECEIVERS + 2 * pulse->neighbours;
    if (net->calls->test(pulse->requests, all, done, &count)) return;
    for (int i = 0; i < count; i++) {
        int index = done[i].index;
        if (index < WORD_RECEIVERS) {
            if (done[i].outcome == MPI_CAME && done[i].bytes == sizeof(struct word))
                hear(net, &pulse->came[index], done[i].peer, now);
            if (done[i].outcome == MPI_CAME) listen(net, index);
            continue;
        }
        struct neighbour *neighbour = &pulse->neighbour[(index - WORD_RECEIVERS) / 2];
        if ((index - WORD_RECEIVERS) % 2 == BEAT)
            neighbour->beating = false;
        else
            neighbour->telling = false;
    }
}

// Tells the neighbours of the failure and gives the words a moment to leave. The last that is asked of MPI.
static void tell(struct net *net)
{
    struct pulse *pulse = &net->pulse;
    struct word word = net->failure;
    double end = mpi_now() + TELLING;
    for (int n = 0; n < pulse->neighbours; n++) {
        bool lost = pulse->neighbour[n].rank == word.rank;
        if (!lost) send_word(net, n, TOLD, word);
    }
    for (bool under_way = true; under_way && mpi_now() < end; sleep_milliseconds(1)) {
        take_words(net, mpi_now());
        under_way = false;
        for (int n = 0; n < pulse->neighbours; n++) under_way |= pulse->neighbour[n].telling;
    }
}

void pulse_lose(struct net *net, enum lost kind, int rank, int error)
{
    if (atomic_load(&net->failed)) return;
    struct word word = {.kind = (int32_t)kind,
                        .rank = rank,
                        .milliseconds = (int32_t)(1000 * net->pulse.timeout),
                        .finder = net->comm.rank};
    note_failure(net, word, error);
    tell(net);
}

// On the same host, and no process has its number any more.
static bool has_ended(const struct net *net, int rank)
{
    const struct place *mine = &net->place[net->comm.rank], *place = &net->place[rank];
    return mine->namespace && place->namespace == mine->namespace &&
           place->machine == mine->machine && kill((pid_t)place->process, 0) && errno == ESRCH;
}

static void look(struct net *net, double now)
{
    struct pulse *pulse = &net->pulse;
    for (int n = 0; n < pulse->neighbours && !atomic_load(&net->failed); n++) {
        struct neighbour *neighbour = &pulse->neighbour[n];
        if (has_ended(net, neighbour->rank))
            pulse_lose(net, LOST_ENDED, neighbour->rank, 0);
        else if (now - neighbour->heard > pulse->timeout)
            pulse_lose(net, LOST_SILENT, neighbour->rank, 0);
    }
}

void pulse_tick(struct net *net, double now)
{
    struct pulse *pulse = &net->pulse;
    double passed = now - pulse->ticked;
    if (atomic_load(&net->failed) || passed < BETWEEN_TICKS / 10) return;
    pulse->ticked = now;
    for (int n = 0; passed > STOPPED && n < pulse->neighbours; n++)
        pulse->neighbour[n].heard += passed;
    take_words(net, now);
    if (atomic_load(&net->failed)) {
        tell(net);
        return;
    }
    if (now >= pulse->next_beat) {
        double between = pulse->timeout / 4 < BETWEEN_BEATS ? pulse->timeout / 4 : BETWEEN_BEATS;
        pulse->next_beat = now + between;
        for (int n = 0; n < pulse->neighbours; n++)
            send_word(net, n, BEAT, (struct word){.kind = LOST_NOBODY});
    }
    if (now >= pulse->next_look) {
        pulse->next_look = now + BETWEEN_LOOKS;
        look(net, now);
    }
}

void pulse_set_timeout(struct net *net, double seconds)
{
    struct pulse *pulse = &net->pulse;
    pulse->timeout = seconds;
    pulse->next_beat = 0;
    for (int n = 0; n < pulse->neighbours; n++) pulse->neighbour[n].heard = mpi_now();
}

// By a clock that nobody sets: one that was set back would let a beat wait until the old time comes again.
static void wait_for_tick(struct net *net)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(1e9 * BETWEEN_TICKS);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&net->pulse.stop, &net->lock, &until);
}

static void *beat(void *context)
{
    struct net *net = context;
    struct pulse *pulse = &net->pulse;
    pthread_mutex_lock(&net->lock);
    while (!pulse->stopping) {
        pulse_tick(net, mpi_now());
        wait_for_tick(net);
    }
    pthread_mutex_unlock(&net->lock);
    return NULL;
}

static void add_neighbour(struct net *net, int rank)
{
    struct pulse *pulse = &net->pulse;
    if (rank == net->comm.rank) return;
    for (int n = 0; n < pulse->neighbours; n++)
        if (pulse->neighbour[n].rank == rank) return;
    pulse->neighbour[pulse->neighbours++] = (struct neighbour){.rank = rank, .heard = mpi_now()};
}

enum status pulse_start(struct net *net)
{
    struct pulse *pulse = &net->pulse;
    int size = net->comm.size, rank = net->comm.rank;
    for (int distance = 1; distance < size && distance > 0; distance *= 2) {
        add_neighbour(net, (rank + distance) % size);
        add_neighbour(net, (rank + size - distance) % size);
    }
    int all = WORD_RECEIVERS + 2 * pulse->neighbours;
    TRY(memory_allocate((size_t)all, (size_t)net->calls->request_bytes, "signs of life",
                        &pulse->requests));
    net->calls->clear(pulse->requests, all);
    for (int slot = 0; slot < WORD_RECEIVERS; slot++)
        if (listen(net, slot)) FAIL(STATUS_PEER, "%s does not receive", net->calls->name);
    pulse->timeout = 10;
    pulse->ticked = mpi_now();
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pulse->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    // Signals are for the threads that know what to do about them.
    sigset_t all_signals, before;
    sigfillset(&all_signals);
    pthread_sigmask(SIG_SETMASK, &all_signals, &before);
    pulse->runs = pthread_create(&pulse->thread, NULL, beat, net) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!pulse->runs)
        FAIL(STATUS_MEMORY, "cannot start the thread that shows that this worker lives");
    return STATUS_OK;
}

void pulse_stop(struct net *net, bool orderly)
{
    struct pulse *pulse = &net->pulse;
    if (!pulse->runs) return;
    pthread_mutex_lock(&net->lock);
    pulse->stopping = true;
    pthread_cond_signal(&pulse->stop);
    pthread_mutex_unlock(&net->lock);
    pthread_join(pulse->thread, NULL);
    pthread_cond_destroy(&pulse->stop);
    pulse->runs = false;
    if (!orderly) return;
    // Beats that are on their way arrive, since everybody listens until all are here.
    double end = mpi_now() + TELLING;
    for (bool under_way = true; under_way && mpi_now() < end;) {
        take_words(net, mpi_now());
        under_way = false;
        for (int n = 0; n < pulse->neighbours; n++) under_way |= pulse->neighbour[n].beating;
    }
    for (int slot = 0; slot < WORD_RECEIVERS; slot++) net->calls->cancel(pulse->requests, slot);
    struct mpi_done done[MPI_MOST_DONE];
    int count = 0;
    if (net->calls->test(pulse->requests, WORD_RECEIVERS, done, &count)) return;
}

enum status pulse_failure(const struct net *net, const char *waited)
{
    const struct word *word = &net->failure;
    int size = net->comm.size, rank = word->rank;
    char how[256], words[160] = "";
    if (net->failure_error) net->calls->explain(net->failure_error, words, sizeof words);
    if (word->kind == LOST_GAVE_UP)
        snprintf(how, sizeof how, "has given up");
    else if (word->kind == LOST_SILENT)
        snprintf(how, sizeof how, "has been silent for %g s", word->milliseconds / 1000.0);
    else if (word->kind == LOST_ENDED)
        snprintf(how, sizeof how, "is gone: its process has ended");
    else
        snprintf(how, sizeof how, "cannot be reached%s%s", words[0] ? ": " : "", words);
    if (rank == net->comm.rank && word->kind != LOST_GAVE_UP)
        FAIL(STATUS_PEER, "the others go on without this worker, %d of %d (%s): it %s", rank, size,
             net->place[rank].host, how);
    FAIL(STATUS_PEER, "worker %d of %d (%s) %s%s%s", rank, size, net->place[rank].host, how,
         waited[0] ? "; " : "", waited);
}
