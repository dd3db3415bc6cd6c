// SPDX-License-Identifier: Apache-2.0
// What every transport promises: the same cases run over each row of the registry and several numbers of workers.
#include "comm/comm.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 8, ROUNDS = 400 };

struct worker {
    struct comm *comm;
    int *shared; // one counter for each worker
    int wrong;
    enum status status;
    char message[256];
    const struct worker *all;
};

typedef void *(*work)(void *);

static void run_workers(const char *name, int workers, work body, struct worker *worker)
{
    struct comm *comm[MOST];
    pthread_t thread[MOST];
    int shared[MOST] = {0};
    assert_int_equal(comm_create(name, workers, comm), STATUS_OK);
    for (int r = 0; r < workers; r++) {
        assert_int_equal(comm[r]->rank, r);
        assert_int_equal(comm[r]->size, workers);
        worker[r] = (struct worker){.comm = comm[r], .shared = shared, .all = worker};
    }
    for (int r = 0; r < workers; r++) pthread_create(&thread[r], NULL, body, &worker[r]);
    for (int r = 0; r < workers; r++) pthread_join(thread[r], NULL);
    comm_destroy(comm, workers);
}

// Runs `body` over every transport that takes so many workers.
static void everywhere(work body, void (*check)(struct worker *worker, int workers))
{
    const int sizes[] = {1, 2, 3, 5, 8};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int i = 0; comm_registry[i]; i++) {
            if (strcmp(comm_registry[i]->name, "self") == 0 && sizes[s] != 1) continue;
            struct worker worker[MOST];
            run_workers(comm_registry[i]->name, sizes[s], body, worker);
            check(worker, sizes[s]);
        }
}

static void all_fine(struct worker *worker, int workers)
{
    for (int r = 0; r < workers; r++) {
        assert_int_equal(worker[r].status, STATUS_OK);
        assert_int_equal(worker[r].wrong, 0);
    }
}

static void *count_rounds(void *context)
{
    struct worker *worker = context;
    for (int round = 1; round <= ROUNDS && !worker->status; round++) {
        worker->shared[worker->comm->rank] = round;
        worker->status = comm_barrier(worker->comm);
        for (int r = 0; r < worker->comm->size; r++) worker->wrong += worker->shared[r] != round;
        if (!worker->status) worker->status = comm_barrier(worker->comm);
    }
    return NULL;
}
static void a_barrier_shows_what_all_wrote(void **state)
{
    (void)state;
    everywhere(count_rounds, all_fine);
}

static void *gather_bytes(void *context)
{
    struct worker *worker = context;
    for (int round = 0; round < ROUNDS && !worker->status; round++) {
        char mine[5], all[5 * MOST];
        memset(mine, worker->comm->rank + round, sizeof mine);
        worker->status = comm_gather(worker->comm, mine, sizeof mine, all);
        for (int i = 0; i < 5 * worker->comm->size; i++)
            worker->wrong += all[i] != (char)(i / 5 + round);
        if (!worker->status) worker->status = comm_gather(worker->comm, NULL, 0, NULL);
    }
    return NULL;
}
static void gather_orders_by_rank(void **state)
{
    (void)state;
    everywhere(gather_bytes, all_fine);
}

// A token goes round: rank 0 sends first, all others receive first.
static void *pass_token(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    if (comm->size == 1) return NULL;
    int next = (comm->rank + 1) % comm->size, before = (comm->rank + comm->size - 1) % comm->size;
    for (int round = 0; round < ROUNDS && !worker->status; round++) {
        int64_t token = 1000 * round;
        if (comm->rank == 0) worker->status = comm_send(comm, &token, sizeof token, next);
        if (!worker->status) worker->status = comm_receive(comm, &token, sizeof token, before);
        worker->wrong += token != 1000 * round + (comm->rank ? comm->rank - 1 : comm->size - 1);
        token++;
        if (comm->rank == 0) token = 0;
        if (comm->rank != 0) {
            token = 1000 * round + comm->rank;
            if (!worker->status) worker->status = comm_send(comm, &token, sizeof token, next);
        }
    }
    return NULL;
}
static void messages_arrive_in_order(void **state)
{
    (void)state;
    everywhere(pass_token, all_fine);
}

// Everybody sends to worker 0, which takes them in falling order of rank.
static void *send_to_first(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    for (int round = 0; round < ROUNDS && !worker->status; round++) {
        int mine = 10 * round + comm->rank, got = 0;
        if (comm->rank) worker->status = comm_send(comm, &mine, sizeof mine, 0);
        for (int r = comm->size - 1; comm->rank == 0 && r > 0; r--) {
            worker->status = comm_receive(comm, &got, sizeof got, r);
            worker->wrong += got != 10 * round + r;
        }
    }
    return NULL;
}
static void senders_do_not_mix(void **state)
{
    (void)state;
    everywhere(send_to_first, all_fine);
}

// The last worker gives up while the others wait, each in another way.
static void *lose_one(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    if (comm->rank == comm->size - 1) {
        usleep(20000);
        comm_abandon(comm);
        worker->status = comm_barrier(comm);
    } else if (comm->rank == 0) {
        worker->status = comm_barrier(comm);
    } else {
        char byte = 0;
        worker->status = comm->rank % 2 ? comm_receive(comm, &byte, 1, comm->size - 1)
                                        : comm_send(comm, &byte, 1, comm->size - 1);
    }
    snprintf(worker->message, sizeof worker->message, "%s", error_message());
    error_clear();
    // Later calls fail too.
    if (comm_barrier(comm) != STATUS_PEER) worker->wrong = 1;
    return NULL;
}
static void all_know_the_lost(struct worker *worker, int workers)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, "worker %d", workers - 1);
    for (int r = 0; r < workers; r++) {
        assert_int_equal(worker[r].status, STATUS_PEER);
        assert_int_equal(worker[r].wrong, 0);
        assert_non_null(strstr(worker[r].message, wanted));
    }
}
static void nobody_hangs_when_one_gives_up(void **state)
{
    (void)state;
    everywhere(lose_one, all_know_the_lost);
}

static void *disagree(void *context)
{
    struct worker *worker = context;
    char bytes[8] = {0};
    if (worker->comm->rank == 0) {
        worker->status = comm_send(worker->comm, bytes, 8, 1);
    } else {
        worker->status = comm_receive(worker->comm, bytes, 4, 0);
        snprintf(worker->message, sizeof worker->message, "%s", error_message());
        comm_abandon(worker->comm);
    }
    return NULL;
}
static void sizes_that_differ_are_an_error(void **state)
{
    (void)state;
    struct worker worker[MOST];
    run_workers("threads", 2, disagree, worker);
    assert_int_equal(worker[0].status, STATUS_PEER);
    assert_int_equal(worker[1].status, STATUS_PEER);
    assert_non_null(strstr(worker[1].message, "sent 8 bytes where worker 1 expects 4"));
}

static void names_are_checked(void **state)
{
    (void)state;
    struct comm *comm[2] = {NULL, NULL};
    assert_int_equal(comm_create("carrier-pigeon", 1, comm), STATUS_USAGE);
    assert_non_null(strstr(error_message(), "self, threads"));
    error_clear();
    assert_int_equal(comm_create("self", 2, comm), STATUS_USAGE);
    error_clear();
    assert_int_equal(comm_create(NULL, 0, comm), STATUS_USAGE);
    error_clear();
    assert_null(comm[0]);
    assert_int_equal(comm_create(NULL, 1, comm), STATUS_OK);
    assert_string_equal(comm[0]->ops->name, "self");
    comm_destroy(comm, 1);
    assert_int_equal(comm_create("", 2, comm), STATUS_OK);
    assert_string_equal(comm[1]->ops->name, "threads");
    comm_destroy(comm, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_barrier_shows_what_all_wrote),
        cmocka_unit_test(gather_orders_by_rank),
        cmocka_unit_test(messages_arrive_in_order),
        cmocka_unit_test(senders_do_not_mix),
        cmocka_unit_test(nobody_hangs_when_one_gives_up),
        cmocka_unit_test(sizes_that_differ_are_an_error),
        cmocka_unit_test(names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
