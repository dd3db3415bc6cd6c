// SPDX-License-Identifier: Apache-2.0
// Which process of a job this is: what launchers write into the environment, then what MPI says.
//
// Launchers only say how many processes there are; they talk over MPI. Order of belief, the first hit wins: torchrun's variables, those
// of Open MPI, MVAPICH, Hydra and its kin, PMIx, Slurm's inside a step. Outside a step (a batch script that starts a program without
// srun) Slurm's variables speak of tasks that nobody has started.
#ifndef STN_COMM_IDENTITY_H
#define STN_COMM_IDENTITY_H

#include "comm/comm.h"

struct identity {
    int rank, size;             // size 0: there are others, only MPI knows how many
    int local_rank, local_size; // among those on this host; -1, 0: unknown
    char host[64];
    char source
        [128]; // who says so, in words: "OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE (Open MPI)"
    char note[200]; // what the user may have meant otherwise, "" for nothing
};

// From the environment alone. Alone: rank 0 of 1. Fails: STATUS_USAGE naming the variable that is no number or out of range, or two
// sources that contradict each other.
enum status identity_find(struct identity *identity_p) CHECK_RESULT;
// Joins the others that `identity` speaks of; *net_p is NULL for a process alone. Afterwards `identity` says what MPI says.
// Collective over the job. Fails: STATUS_UNSUPPORTED without MPI, STATUS_USAGE when MPI knows of other processes than the
// launcher's variables do.
enum status identity_join(struct identity *identity, struct comm **net_p) CHECK_RESULT;
#endif
