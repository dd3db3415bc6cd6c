// SPDX-License-Identifier: Apache-2.0
// Which process of a job this is: what launchers leave in the environment, whom we believe, what we refuse.
#include "comm/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern char **environ;

// The environment is these words and nothing else.
static struct identity in(char **words)
{
    struct identity identity;
    char **before = environ;
    environ = words;
    enum status status = identity_find(&identity);
    environ = before;
    assert_int_equal(status, STATUS_OK);
    assert_true(identity.host[0] != 0);
    return identity;
}
static void refused(char **words, const char *part)
{
    struct identity identity = {.size = 99};
    char **before = environ;
    environ = words;
    enum status status = identity_find(&identity);
    environ = before;
    assert_int_equal(status, STATUS_USAGE);
    assert_int_equal(identity.size, 99);
    if (!strstr(error_message(), part)) fail_msg("\"%s\" lacks \"%s\"", error_message(), part);
    error_clear();
}
#define WORDS(...)                                                                                 \
    (char *[]) { __VA_ARGS__, NULL }

static void is(struct identity identity, int rank, int size, int local_rank, int local_size,
               const char *source)
{
    assert_int_equal(identity.rank, rank);
    assert_int_equal(identity.size, size);
    assert_int_equal(identity.local_rank, local_rank);
    assert_int_equal(identity.local_size, local_size);
    if (!strstr(identity.source, source)) fail_msg("\"%s\" lacks \"%s\"", identity.source, source);
}

static void without_a_launcher_a_process_is_alone(void **state)
{
    (void)state;
    is(in(WORDS("HOME=/")), 0, 1, 0, 1, "no launcher");
    // Half a pair says nothing, and an empty value is none.
    is(in(WORDS("WORLD_SIZE=4")), 0, 1, 0, 1, "no launcher");
    is(in(WORDS("RANK=", "WORLD_SIZE=4")), 0, 1, 0, 1, "no launcher");
}

static void every_launcher_is_understood(void **state)
{
    (void)state;
    is(in(WORDS("RANK=3", "WORLD_SIZE=8", "LOCAL_RANK=1", "LOCAL_WORLD_SIZE=2")), 3, 8, 1, 2,
       "RANK and WORLD_SIZE (torchrun)");
    is(in(WORDS("OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_LOCAL_RANK=0",
                "OMPI_COMM_WORLD_LOCAL_SIZE=1", "PMIX_RANK=0")),
       0, 2, 0, 1, "Open MPI");
    is(in(WORDS("PMI_RANK=2", "PMI_SIZE=3", "MPI_LOCALRANKID=2", "MPI_LOCALNRANKS=3")), 2, 3, 2, 3,
       "Hydra");
    is(in(WORDS("MV2_COMM_WORLD_RANK=1", "MV2_COMM_WORLD_SIZE=2")), 1, 2, -1, 0, "MVAPICH");
    is(in(WORDS("SLURM_STEP_ID=0", "SLURM_PROCID=5", "SLURM_NTASKS=6", "SLURM_LOCALID=1")), 5, 6, 1,
       0, "Slurm");
    // A step may be smaller than its job.
    is(in(WORDS("SLURM_STEP_ID=1", "SLURM_PROCID=0", "SLURM_NTASKS=6", "SLURM_STEP_NUM_TASKS=1")),
       0, 1, -1, 0, "Slurm");
    is(in(WORDS("PMIX_RANK=4")), 4, 0, -1, 0, "PMIx");
}

static void the_first_in_the_order_wins(void **state)
{
    (void)state;
    // mpirun inside a Slurm job: its daemons are the step.
    is(in(WORDS("SLURM_STEP_ID=0", "SLURM_PROCID=0", "SLURM_NTASKS=2", "OMPI_COMM_WORLD_RANK=3",
                "OMPI_COMM_WORLD_SIZE=4")),
       3, 4, -1, 0, "Open MPI");
    is(in(WORDS("RANK=1", "WORLD_SIZE=2", "SLURM_STEP_ID=0", "SLURM_PROCID=0", "SLURM_NTASKS=1")),
       1, 2, -1, 0, "torchrun");
    // They may say the same.
    is(in(WORDS("RANK=1", "WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2")), 1,
       2, -1, 0, "torchrun");
}

static void a_batch_script_without_srun_is_alone_and_told_so(void **state)
{
    (void)state;
    struct identity identity = in(WORDS("SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_JOB_ID=7"));
    is(identity, 0, 1, 0, 1, "no launcher");
    assert_non_null(strstr(identity.note, "4 tasks"));
    // The numbers that Slurm gives to the batch script and to an interactive shell.
    identity = in(WORDS("SLURM_STEP_ID=4294967291", "SLURM_PROCID=0", "SLURM_NTASKS=4"));
    is(identity, 0, 1, 0, 1, "no launcher");
    assert_non_null(strstr(identity.note, "srun"));
    assert_string_equal(in(WORDS("SLURM_NTASKS=1")).note, "");
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    refused(WORDS("RANK=x", "WORLD_SIZE=2"),
            "RANK is \"x\"; it must be a whole number from 0 to 1");
    refused(WORDS("RANK=2", "WORLD_SIZE=2"), "from 0 to 1");
    refused(WORDS("RANK=0", "WORLD_SIZE=0"), "WORLD_SIZE is \"0\"");
    refused(WORDS("RANK=0", "WORLD_SIZE=99999999999999999999"), "WORLD_SIZE");
    refused(WORDS("PMI_RANK=-1", "PMI_SIZE=2"), "PMI_RANK is \"-1\"");
    refused(WORDS("OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=2",
                  "OMPI_COMM_WORLD_LOCAL_RANK=2", "OMPI_COMM_WORLD_LOCAL_SIZE=2"),
            "OMPI_COMM_WORLD_LOCAL_RANK");
    refused(WORDS("RANK=0", "WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2"),
            "unset the variables");
}

// A launcher's variables without what it starts: no MPI is found, or MPI knows of nobody else.
static void others_without_mpi_are_an_error(void **state)
{
    (void)state;
    struct comm *net = NULL;
    struct identity identity = in(WORDS("RANK=1", "WORLD_SIZE=2"));
    setenv("STENTOR_MPI", "/nonexistent/mpi.so", 1);
    assert_int_equal(identity_join(&identity, &net), STATUS_UNSUPPORTED);
    assert_non_null(strstr(error_message(), "RANK and WORLD_SIZE (torchrun) say"));
    error_clear();
    assert_null(net);
    identity = in(WORDS("HOME=/"));
    assert_int_equal(identity_join(&identity, &net), STATUS_OK);
    assert_null(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_launcher_a_process_is_alone),
        cmocka_unit_test(every_launcher_is_understood),
        cmocka_unit_test(the_first_in_the_order_wins),
        cmocka_unit_test(a_batch_script_without_srun_is_alone_and_told_so),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(others_without_mpi_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
