// SPDX-License-Identifier: Apache-2.0
// Workers that are processes, on one host or many: one rank of an MPI job. The files of mpi/ do the work (mpi/internal.h).
#include "comm/mpi.h"

#include "base/cpu.h"
#include "base/machine.h"
#include "base/memory.h"
#include "comm/mpi/internal.h"
#include "comm/share.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern const struct comm_ops mpi_comm;

// Tests of what a worker waits for before it gives its turn away: some 50 microseconds. A piece of a message: large enough that its
// start costs nothing beside it, small enough to be a sign of life of a slow network.
enum { SPINS = 200, PIECE = 8 << 20, LEAST_LABELS = 32767 };
// Seconds that a process lives on after a failure, so that the others can say what they know before the launcher ends them.
static const double LINGERING = 0.5;

static bool torn;

bool comm_mpi_torn(void) { return torn; }

void comm_mpi_set_piece(struct comm *comm, size_t bytes)
{
    struct net *net = comm->state;
    net->most_piece = bytes;
}

static void tell_place(struct place *place)
{
    struct stat about;
    memset(place, 0, sizeof *place);
    if (gethostname(place->host, sizeof place->host - 1)) snprintf(place->host, 8, "unknown");
    snprintf(place->version, sizeof place->version, "%s", STENTOR_VERSION);
    place->process = getpid();
    place->machine = machine_hash();
    if (stat("/proc/self/ns/pid", &about) == 0) place->namespace = about.st_ino;
}

// Collective: who is where; all must be of one version, or they would not understand each other.
static enum status meet(struct net *net)
{
    struct place mine;
    int size = net->comm.size, beside = 0;
    tell_place(&mine);
    TRY(memory_allocate((size_t)size, sizeof mine, "the workers' places", &net->place));
    TRY(memory_allocate((size_t)size, sizeof *net->sent, "the workers' places", &net->sent));
    TRY(memory_allocate((size_t)size, sizeof *net->received, "the workers' places",
                        &net->received));
    int error = net->calls->gather(&mine, (int)sizeof mine, net->place);
    if (error) {
        char words[200];
        net->calls->explain(error, words, sizeof words);
        FAIL(STATUS_PEER, "%s: the workers do not meet: %s", net->calls->name, words);
    }
    for (int r = 0; r < size; r++) {
        struct place *place = &net->place[r];
        place->host[sizeof place->host - 1] = place->version[sizeof place->version - 1] = 0;
        if (strcmp(place->version, mine.version) != 0)
            FAIL(STATUS_UNSUPPORTED, "worker %d (%s) runs Stentor %s, and worker %d (%s) %s", r,
                 place->host, place->version, net->comm.rank, mine.host, mine.version);
        beside += place->machine == mine.machine;
    }
    // With more workers than cores a spinning one would keep the core from the one it waits for.
    net->spins = beside <= sysconf(_SC_NPROCESSORS_ONLN) ? SPINS : 0;
    return STATUS_OK;
}

static enum status start(struct net *net)
{
    int most_label = 0;
    int error = net->calls->start(&net->comm.rank, &net->comm.size, &most_label);
    if (error) {
        char words[200];
        net->calls->explain(error, words, sizeof words);
        FAIL(STATUS_PEER, "%s does not start: %s", net->calls->name, words);
    }
    if (most_label < LEAST_LABELS) most_label = LEAST_LABELS;
    while (net->size_bits < 29 && (most_label >> (net->size_bits + 2)) > 0) net->size_bits++;
    net->most_piece = PIECE;
    TRY(meet(net));
    TRY(pulse_start(net));
    return STATUS_OK;
}

static void free_net(struct net *net)
{
    pthread_mutex_destroy(&net->lock);
    free(net->place);
    free(net->requests);
    free(net->piece);
    free(net->sent);
    free(net->received);
    free(net->pulse.requests);
    free(net);
}

static enum status create_mpi(int workers, struct comm **comm_p)
{
    const struct mpi_calls *calls = NULL;
    void *library = NULL;
    struct net *net = NULL;
    if (workers != 1)
        FAIL(STATUS_USAGE, "the transport \"mpi\" has 1 worker in a process, not %d", workers);
    TRY(mpi_find(&calls, &library));
    TRY(memory_allocate(1, sizeof *net, "a communicator", &net));
    net->comm = (struct comm){.ops = &mpi_comm, .state = net};
    net->calls = calls;
    pthread_mutex_init(&net->lock, NULL);
    enum status status = start(net);
    if (status) {
        // What of MPI runs by now still knows this memory.
        torn = true;
        return status;
    }
    *comm_p = &net->comm;
    return STATUS_OK;
}

static void destroy_mpi(struct comm **comm, int workers)
{
    (void)workers;
    struct net *net = comm[0]->state;
    comm[0] = NULL;
    // Everybody is here: nobody is taken for lost because it ends.
    if (!atomic_load(&net->failed) && barrier_by_rounds(&net->comm)) error_clear();
    bool orderly = !atomic_load(&net->failed);
    pulse_stop(net, orderly);
    if (orderly && net->calls->finish() == 0) {
        free_net(net);
        return;
    }
    // A call of MPI could wait for the lost one for ever, and what was started before still knows our memory.
    torn = true;
    nanosleep(&(struct timespec){0, (long)(1e9 * LINGERING)}, NULL);
}

static void abandon_mpi(struct comm *comm)
{
    struct net *net = comm->state;
    pthread_mutex_lock(&net->lock);
    pulse_lose(net, LOST_GAVE_UP, comm->rank, 0);
    pthread_mutex_unlock(&net->lock);
}

static bool is_lost_mpi(const struct comm *comm)
{
    const struct net *net = comm->state;
    return atomic_load(&net->failed);
}

static const char *host_mpi(const struct comm *comm, int rank)
{
    const struct net *net = comm->state;
    return net->place[rank].host;
}

static void set_timeout_mpi(struct comm *comm, double seconds)
{
    struct net *net = comm->state;
    pthread_mutex_lock(&net->lock);
    pulse_set_timeout(net, seconds);
    pthread_mutex_unlock(&net->lock);
}

const struct comm_ops mpi_comm = {
    .name = "mpi",
    .create = create_mpi,
    .destroy = destroy_mpi,
    .round = round_mpi,
    .poll = poll_mpi,
    .abandon = abandon_mpi,
    .is_lost = is_lost_mpi,
    .all_reduce = all_reduce_mpi,
    .host = host_mpi,
    .set_timeout = set_timeout_mpi,
};
