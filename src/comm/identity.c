// SPDX-License-Identifier: Apache-2.0
#include "comm/identity.h"

#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PROCESSES = 1 << 24 };
// Slurm numbers the steps that are no srun (batch script, interactive shell) from here on.
static const uint64_t SPECIAL_STEP = 4294967000;

struct source {
    const char *who;
    const char *rank, *size, *local_rank, *local_size;
    bool of_mpi; // its launcher starts MPI processes
};
static const struct source sources[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", false},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", true},
    {"MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK",
     "MV2_COMM_WORLD_LOCAL_SIZE", true},
    {"Hydra", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", true},
    {"Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL, false},
    {"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", NULL, false},
};
enum { SOURCES = sizeof sources / sizeof *sources };

static bool is_set(const char *name)
{
    const char *value = name ? getenv(name) : NULL;
    return value && *value;
}

static enum status read_number(const char *name, int least, int most, int *value_p)
{
    uint64_t value;
    const char *text = getenv(name);
    if (!number_parse_unsigned(text, &value) || value < (uint64_t)least || value > (uint64_t)most)
        FAIL(STATUS_USAGE, "%s is \"%.*s\"; it must be a whole number from %d to %d", name,
             CUT(text, 40), least, most);
    *value_p = (int)value;
    return STATUS_OK;
}

// srun has started this process as one of a step.
static bool in_slurm_step(void)
{
    uint64_t step;
    const char *text = getenv("SLURM_STEP_ID");
    return text && number_parse_unsigned(text, &step) && step < SPECIAL_STEP;
}

static bool speaks(const struct source *source)
{
    if (!is_set(source->rank) || !is_set(source->size)) return false;
    return strcmp(source->who, "Slurm") != 0 || in_slurm_step();
}

static enum status ask(const struct source *source, struct identity *identity)
{
    TRY(read_number(source->size, 1, MOST_PROCESSES, &identity->size));
    TRY(read_number(source->rank, 0, identity->size - 1, &identity->rank));
    snprintf(identity->source, sizeof identity->source, "%s and %s (%s)", source->rank,
             source->size, source->who);
    identity->local_rank = -1;
    identity->local_size = 0;
    if (is_set(source->local_size))
        TRY(read_number(source->local_size, 1, identity->size, &identity->local_size));
    int most = (identity->local_size ? identity->local_size : identity->size) - 1;
    if (is_set(source->local_rank))
        TRY(read_number(source->local_rank, 0, most, &identity->local_rank));
    return STATUS_OK;
}

// Variables for torchrun may lie about in a shell from which mpirun starts us.
static enum status compare_with_launcher(const struct identity *identity)
{
    for (int i = 0; i < SOURCES; i++) {
        struct identity other;
        if (!sources[i].of_mpi || !speaks(&sources[i])) continue;
        TRY(ask(&sources[i], &other));
        if (other.rank != identity->rank || other.size != identity->size)
            FAIL(
                STATUS_USAGE,
                "%s say process %d of %d, %s say %d of %d; unset the variables of the one that did "
                "not start this process",
                identity->source, identity->rank, identity->size, other.source, other.rank,
                other.size);
        return STATUS_OK;
    }
    return STATUS_OK;
}

enum status identity_find(struct identity *identity_p)
{
    struct identity identity = {.size = 1, .local_size = 1, .source = "no launcher's variables"};
    if (gethostname(identity.host, sizeof identity.host - 1))
        snprintf(identity.host, sizeof identity.host, "unknown");
    const struct source *source = NULL;
    for (int i = 0; i < SOURCES && !source; i++)
        if (speaks(&sources[i])) source = &sources[i];
    if (source) {
        TRY(ask(source, &identity));
        if (!source->of_mpi) TRY(compare_with_launcher(&identity));
    } else if (is_set("PMIX_RANK")) {
        TRY(read_number("PMIX_RANK", 0, MOST_PROCESSES, &identity.rank));
        identity.size = identity.local_size = 0;
        identity.local_rank = -1;
        snprintf(identity.source, sizeof identity.source, "PMIX_RANK (PMIx)");
    } else if (is_set("SLURM_NTASKS") && strcmp(getenv("SLURM_NTASKS"), "1") != 0) {
        snprintf(identity.note, sizeof identity.note,
                 "Slurm has given %.12s tasks to this job, and srun or mpirun has not started this "
                 "process: it runs alone",
                 getenv("SLURM_NTASKS"));
    }
    *identity_p = identity;
    return STATUS_OK;
}

static enum status create(const struct identity *identity, struct comm **net_p)
{
    enum status status = comm_create("mpi", 1, net_p);
    if (status != STATUS_UNSUPPORTED) return status;
    char why[400];
    error_copy(why, sizeof why);
    error_clear();
    FAIL(STATUS_UNSUPPORTED, "%s say that there are other processes to talk to over MPI; but %s",
         identity->source, why);
}

enum status identity_join(struct identity *identity, struct comm **net_p)
{
    struct comm *net = NULL;
    if (identity->size == 1) {
        *net_p = NULL;
        return STATUS_OK;
    }
    TRY(create(identity, &net));
    struct identity said = *identity;
    bool agrees = said.rank == net->rank && (said.size == 0 || said.size == net->size);
    if (!agrees) {
        int rank = net->rank, size = net->size;
        comm_destroy(&net, 1);
        FAIL(STATUS_USAGE,
             "%s say process %d of %d, MPI says %d of %d; start it with mpirun, `stentor launch`, "
             "or "
             "srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH)",
             said.source, said.rank, said.size, rank, size);
    }
    identity->size = net->size;
    identity->local_rank = identity->local_size = 0;
    for (int r = 0; r < net->size; r++) {
        if (strcmp(comm_host(net, r), comm_host(net, net->rank)) != 0) continue;
        identity->local_rank += r < net->rank;
        identity->local_size++;
    }
    if (net->size == 1) comm_destroy(&net, 1);
    *net_p = net;
    return STATUS_OK;
}
