// SPDX-License-Identifier: Apache-2.0
// What only the transport `mpi` has.
//
// comm_create("mpi", 1, …) makes this process one worker of those that mpirun or srun started; it is collective over all of them. The
// library is loaded at run time (mpi/library.h), so a run of one process needs none.
#ifndef STN_COMM_MPI_H
#define STN_COMM_MPI_H

#include "comm/comm.h"

#include <stdbool.h>

// Whether this build has "openmpi" or "mpich".
bool comm_mpi_has(const char *library);
// After a failure MPI cannot be ended, and what a library does when a process exits may wait for the lost one: the program then leaves
// by _exit.
bool comm_mpi_torn(void);
// Splits messages into pieces of `bytes` instead of 8 MiB; the same at every worker, between two rounds. For tests.
void comm_mpi_set_piece(struct comm *comm, size_t bytes);
#endif
