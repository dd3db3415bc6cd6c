// SPDX-License-Identifier: Apache-2.0
// One process among others, as the files of the transport `mpi` see it.
//
// mpi.c makes and ends it; round.c carries messages; pulse.c knows who lives. One lock is held for every call into MPI. A worker in a
// round tests what it waits for and beats the pulse meanwhile; while nobody is in a round the pulse thread does it.
#ifndef STN_COMM_MPI_INTERNAL_H
#define STN_COMM_MPI_INTERNAL_H

#include "comm/comm.h"
#include "comm/mpi/library.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

// What each process tells all others once.
struct place {
    char host[64];
    char version[24];
    uint64_t machine; // machine_hash
    uint64_t namespace; // of process numbers: where it and the machine are equal, kill(process, 0) means the same
    int64_t process;
};

enum lost { LOST_NOBODY, LOST_GAVE_UP, LOST_SILENT, LOST_ENDED, LOST_UNREACHABLE };

// What goes over the control channel.
struct word {
    int32_t kind; // of enum lost; LOST_NOBODY: the sender lives
    int32_t rank; // who is lost
    int32_t milliseconds;
    int32_t finder;
};

enum { MOST_NEIGHBOURS = 64, WORD_RECEIVERS = 4 };

struct neighbour {
    int rank;
    bool beating, telling; // a word is on its way
    struct word beat, told;
    double heard; // when its last word came
};

struct pulse {
    struct neighbour neighbour[MOST_NEIGHBOURS]; // rank + 2^k and rank - 2^k
    int neighbours;
    struct word came[WORD_RECEIVERS];
    void *requests; // WORD_RECEIVERS, then two for each neighbour: beat and told
    double timeout; // seconds
    double ticked, next_beat, next_look;
    pthread_t thread;
    pthread_cond_t stop; // with the lock of the net
    bool runs, stopping;
};

// One piece of a message of the current round.
struct piece {
    int transfer; // -1: done
    int number;   // within its message
    int label;
    int next; // the piece that goes the same way after it, -1: none
    size_t bytes;
};
// The pieces that are still to be received from one worker, or sent to it, in order.
struct queue {
    int first, last;  // -1: none is left to be started
    size_t under_way; // bytes
};

struct net {
    struct comm comm;
    const struct mpi_calls *calls;
    void *library;
    pthread_mutex_t lock;
    struct place *place; // [size]
    int spins;           // tests before a waiter gives its turn away
    int size_bits;       // of a message's size in its label
    size_t most_piece;   // bytes
    // The pieces of the current round.
    void *requests;
    struct piece *piece;
    int capacity;
    struct queue *received, *sent; // [size]
    struct pulse pulse;
    // The first failure that this process learnt of; `failed` is set last.
    struct word failure;
    int failure_error; // MPI's number with LOST_UNREACHABLE, where it was found
    atomic_bool failed;
};

double mpi_now(void); // seconds, monotonic

// ---- find.c
// Loads the library that fits the mpirun which started this process.
// Fails: STATUS_UNSUPPORTED saying what this build has.
enum status mpi_find(const struct mpi_calls **calls_p, void **library_p) CHECK_RESULT;
void mpi_forget(void *library);

// ---- pulse.c
enum status pulse_start(struct net *net) CHECK_RESULT;
// `orderly`: all workers are here, and nobody's word is missing.
void pulse_stop(struct net *net, bool orderly);
// With the lock held. The silence of others counts from now on.
void pulse_set_timeout(struct net *net, double seconds);
// With the lock held, while this process waits: takes words, sends beats, looks who is silent. Cheap when called often.
void pulse_tick(struct net *net, double now);
// With the lock held: worker `rank` has shown at `now` that it lives.
void pulse_hear(struct net *net, int rank, double now);
// With the lock held: this process has learnt first that worker `rank` is lost; tells the neighbours, who tell theirs.
void pulse_lose(struct net *net, enum lost kind, int rank, int error);
// Says who is lost, as STATUS_PEER; `waited`: for what this worker did wait, "" for nothing.
enum status pulse_failure(const struct net *net, const char *waited);

// ---- round.c
enum status round_mpi(struct comm *comm, struct transfer *transfer, int count);
enum status poll_mpi(struct comm *comm, int *peer_p);
enum status all_reduce_mpi(struct comm *comm, float *data, int64_t n);
#endif
