// SPDX-License-Identifier: Apache-2.0
// What Stentor wants of an MPI library, as a table of functions without a type of MPI's own.
//
// Open MPI and MPICH agree on their calls, not on their types. library.c is compiled once for each of them that is found at build
// time, into mpi.openmpi.so and mpi.mpich.so; find.c loads the one whose mpirun started us. So one program serves both, and a run
// without MPI loads none.
//
// Functions return 0, or a number that `explain` turns into words. No two of them may run at once.
#ifndef STN_COMM_MPI_LIBRARY_H
#define STN_COMM_MPI_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

enum { MPI_TABLE_VERSION = 1, MPI_MOST_DONE = 128, MPI_ANYBODY = -1, MPI_ANY_LABEL = -1 };
// Messages of the two channels never meet.
enum mpi_channel { MPI_CHANNEL_DATA, MPI_CHANNEL_CONTROL };
enum mpi_outcome { MPI_CAME, MPI_TOO_LONG, MPI_FAILED, MPI_CANCELLED };

// A request that is complete. Of one that sends only `index` and `outcome` count.
struct mpi_done {
    int index;
    enum mpi_outcome outcome;
    int error; // with MPI_FAILED
    int peer, label;
    size_t bytes; // not with MPI_TOO_LONG
};

struct mpi_calls {
    int version;
    const char *name;  // "Open MPI", "MPICH"
    int request_bytes; // of one entry in an array of requests
    int (*start)(int *rank_p, int *size_p, int *most_label_p);
    int (*finish)(void); // nothing is under way, at any worker
    // all[r * bytes ..] = what worker r gave. Blocks.
    int (*gather)(const void *mine, int bytes, void *all);
    void (*clear)(void *requests, int count); // makes free entries of raw memory
    // Start entry i of `requests`.
    int (*send)(enum mpi_channel channel, const void *data, int bytes, int peer, int label,
                void *requests, int i);
    int (*receive)(enum mpi_channel channel, void *data, int bytes, int peer, int label,
                   void *requests, int i);
    int (*sum)(float *data, int n, void *requests, int i);
    int (*cancel)(void *requests, int i);
    // Those of requests[0 .. count) that have become complete since, or some of them; their entries are free again.
    int (*test)(void *requests, int count, struct mpi_done done[MPI_MOST_DONE], int *done_p);
    // Who sends something on the data channel that nothing was started for, -1: nobody.
    int (*probe)(int *peer_p);
    void (*explain)(int error, char *text, size_t bytes);
};
// The one symbol of such a library: its table.
#define MPI_TABLE_SYMBOL "stentor_mpi_calls"
#endif
