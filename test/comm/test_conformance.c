// SPDX-License-Identifier: Apache-2.0
// What every transport promises: the same cases run over each row of the registry and several numbers of workers.
#include "base/memory.h"
#include "comm/comm.h"
#include "comm/identity.h"
#include "comm/mpi.h"
#include "comm/mpi/internal.h"
#include "comm/share.h"

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
            if (strcmp(comm_registry[i]->name, "mpi") == 0) continue; // see main
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
        int seen = worker->shared ? worker->comm->size : 0;
        if (seen) worker->shared[worker->comm->rank] = round;
        worker->status = comm_barrier(worker->comm);
        for (int r = 0; r < seen; r++) worker->wrong += worker->shared[r] != round;
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

// Everybody to everybody, twice to each peer, in sizes that depend on who, to whom, and when; some have no bytes.
enum { LONGEST = 7000 };
static size_t length_of(int from, int to, int which, int round)
{
    return (size_t)((from * 7 + to * 13 + which * 29 + round) % 5 * 1733) % LONGEST;
}
static unsigned char value_of(int from, int to, int which, int round)
{
    return (unsigned char)(1 + from + 11 * to + 51 * which + round);
}
static void *exchange_all(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    int size = comm->size, rank = comm->rank;
    static _Thread_local unsigned char out[2 * MOST][LONGEST], in[2 * MOST][LONGEST];
    struct transfer transfer[4 * MOST];
    uint64_t allocations = 0;
    for (int round = 0; round < ROUNDS && !worker->status; round++) {
        int n = 0;
        // What a transport keeps for rounds of this size is there after the first.
        if (round == 1) allocations = memory_allocations();
        for (int i = 0; i < 2 * size; i++) {
            // Others are named in another order at each worker.
            int peer = (rank * 3 + i) % size, which = i / size, slot = 2 * peer + which;
            if (peer == rank) continue;
            size_t bytes = length_of(rank, peer, which, round);
            memset(out[slot], value_of(rank, peer, which, round), bytes);
            memset(in[slot], 0, LONGEST);
            transfer[n++] =
                (struct transfer){.peer = peer, .sends = true, .data = out[slot], .bytes = bytes};
            bytes = length_of(peer, rank, which, round);
            transfer[n++] =
                (struct transfer){.peer = peer, .sends = false, .data = in[slot], .bytes = bytes};
        }
        worker->status = comm_round(comm, transfer, n);
        for (int peer = 0; peer < size && !worker->status; peer++)
            for (int which = 0; which < 2 && peer != rank; which++) {
                size_t bytes = length_of(peer, rank, which, round);
                const unsigned char *got = in[2 * peer + which];
                for (size_t k = 0; k < LONGEST; k++)
                    worker->wrong += got[k] != (k < bytes ? value_of(peer, rank, which, round) : 0);
            }
    }
    worker->wrong += memory_allocations() != allocations;
    return NULL;
}
static void a_round_carries_all_messages_of_any_size(void **state)
{
    (void)state;
    everywhere(exchange_all, all_fine);
}

// What is sent one by one is received many at once, and the other way round.
static void *regroup(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    enum { MANY = 12 };
    int values[MANY];
    struct transfer transfer[MANY];
    if (comm->rank > 1) return NULL;
    for (int round = 0; round < ROUNDS && comm->size > 1 && !worker->status; round++) {
        bool sends = (comm->rank == 0) == (round % 2 == 0), together = comm->rank == 1;
        for (int i = 0; i < MANY; i++) {
            values[i] = sends ? 100 * round + i : -1;
            transfer[i] = (struct transfer){
                .peer = 1 - comm->rank, .sends = sends, .data = &values[i], .bytes = sizeof(int)};
        }
        if (together) worker->status = comm_round(comm, transfer, MANY);
        for (int i = 0; i < MANY && !together && !worker->status; i++)
            worker->status = comm_round(comm, &transfer[i], 1);
        for (int i = 0; i < MANY; i++) worker->wrong += values[i] != 100 * round + i;
    }
    return NULL;
}
static void order_holds_within_and_between_rounds(void **state)
{
    (void)state;
    everywhere(regroup, all_fine);
}

// Worker 0 takes messages from whoever has one; all others send as many as their rank.
static void *take_any(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    int size = comm->size, left = size * (size - 1) / 2, seen[MOST] = {0};
    for (int i = 0; i < comm->rank && !worker->status; i++)
        worker->status = comm_send(comm, &i, sizeof i, 0);
    while (comm->rank == 0 && left && !worker->status) {
        int peer = -2, got = -1;
        worker->status = comm_poll(comm, &peer);
        if (worker->status || peer == -1) continue;
        worker->status = comm_receive(comm, &got, sizeof got, peer);
        worker->wrong += got != seen[peer]++;
        left--;
    }
    int peer = -2;
    for (int r = 0; comm->rank == 0 && r < size; r++) worker->wrong += seen[r] != r;
    if (comm->rank == 0 && !worker->status) worker->status = comm_poll(comm, &peer);
    worker->wrong += comm->rank == 0 && peer != -1;
    // Only then may they go on: what they do next may come here, too.
    for (int r = 1; r < size && comm->rank == 0 && !worker->status; r++)
        worker->status = comm_send(comm, NULL, 0, r);
    if (comm->rank && !worker->status) worker->status = comm_receive(comm, NULL, 0, 0);
    return NULL;
}
static void poll_names_who_waits(void **state)
{
    (void)state;
    everywhere(take_any, all_fine);
}

// Regions of different sizes, some empty.
static void *share_regions(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    int size = comm->size;
    for (int round = 0; round < ROUNDS && !worker->status; round++) {
        size_t offset[MOST + 1] = {0};
        unsigned char data[64 * MOST];
        for (int r = 0; r < size; r++)
            offset[r + 1] = offset[r] + (size_t)((r + round) % 3 * (r + 1) * 7);
        memset(data, 255, sizeof data);
        memset(data + offset[comm->rank], comm->rank + round % 50,
               offset[comm->rank + 1] - offset[comm->rank]);
        worker->status = comm_share(comm, data, offset);
        for (int r = 0; r < size; r++)
            for (size_t i = offset[r]; i < offset[r + 1]; i++)
                worker->wrong += data[i] != (unsigned char)(r + round % 50);
        for (size_t i = offset[size]; i < sizeof data; i++) worker->wrong += data[i] != 255;
    }
    return NULL;
}
static void share_gives_all_regions_to_all(void **state)
{
    (void)state;
    everywhere(share_regions, all_fine);
}

// Barrier and gather as transports without their own get them.
static void *by_rounds(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    for (int round = 0; round < ROUNDS && !worker->status; round++) {
        short mine[3] = {(short)comm->rank, (short)round, 7}, all[3 * MOST];
        worker->status = gather_by_rounds(comm, mine, sizeof mine, all);
        for (int r = 0; r < comm->size; r++)
            worker->wrong += all[3 * r] != r || all[3 * r + 1] != round || all[3 * r + 2] != 7;
        if (worker->shared) worker->shared[comm->rank] = round;
        if (!worker->status) worker->status = barrier_by_rounds(comm);
        for (int r = 0; r < comm->size && worker->shared; r++)
            worker->wrong += worker->shared[r] != round;
        if (!worker->status) worker->status = barrier_by_rounds(comm);
    }
    return NULL;
}
static void barrier_and_gather_can_be_rounds(void **state)
{
    (void)state;
    everywhere(by_rounds, all_fine);
}

static void *lose_one_in_a_round(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    int last = comm->size - 1, n = 0;
    static char bytes[2][100000]; // both sides only ever see zeros
    struct transfer transfer[2 * MOST];
    for (int r = 0; r < comm->size; r++) {
        if (r == comm->rank) continue;
        transfer[n++] =
            (struct transfer){.peer = r, .sends = true, .data = bytes[0], .bytes = sizeof bytes[0]};
        transfer[n++] = (struct transfer){
            .peer = r, .sends = false, .data = malloc(sizeof bytes[0]), .bytes = sizeof bytes[0]};
    }
    if (comm->rank == last) {
        usleep(20000);
        comm_abandon(comm);
    }
    worker->status = comm_round(comm, transfer, n);
    for (int i = 1; i < n; i += 2) free(transfer[i].data);
    snprintf(worker->message, sizeof worker->message, "%s", error_message());
    error_clear();
    int peer;
    if (comm_poll(comm, &peer) != STATUS_PEER || !comm_is_lost(comm)) worker->wrong = 1;
    error_clear();
    return NULL;
}

// The last worker gives up while the others wait, each in another way.
static void *lose_one(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    if (comm->rank == comm->size - 1) {
        usleep(20000);
        worker->wrong = comm_is_lost(comm);
        comm_abandon(comm);
        worker->status = comm_barrier(comm);
    } else if (comm->rank == 0) {
        // Who computes need not call to learn of it.
        for (int i = 0; !comm_is_lost(comm) && i < 20000; i++) usleep(1000);
        if (!comm_is_lost(comm)) worker->wrong = 1;
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
    error_clear();
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
    everywhere(lose_one_in_a_round, all_know_the_lost);
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

// ---- one process of several: test_conformance mpi CASE, started by test_mpi.sh under mpirun

static void *all_reduce(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    for (int round = 0; round < ROUNDS && !worker->status; round++) {
        float data[300];
        for (int i = 0; i < 300; i++) data[i] = (float)(comm->rank + i + round);
        worker->status = comm_all_reduce(comm, data, round % 300);
        for (int i = 0; i < 300; i++) {
            int sum = comm->size * (i + round) + comm->size * (comm->size - 1) / 2;
            worker->wrong += data[i] != (float)(i < round % 300 ? sum : comm->rank + i + round);
        }
    }
    return NULL;
}

// Waits for worker 1, which is killed, stopped, or has ended: the shell knows.
static void *wait_for_one(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    char byte;
    comm_set_timeout(comm, 3);
    if (comm->rank == 1) {
        printf("process %ld\n", (long)getpid());
        fflush(stdout);
        for (;;) pause();
    }
    worker->status = comm_receive(comm, &byte, 1, (comm->rank + 1) % comm->size);
    return NULL;
}

// Sends to worker 1, which is stopped, without waiting for anything of it: a message that a library keeps is done at once.
static void *send_to_one(void *context)
{
    static unsigned char data[1 << 20];
    static const size_t sizes[] = {1, 1000, 5000, 60000, sizeof data};
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    comm_set_timeout(comm, 3);
    if (comm->rank == 1) {
        printf("process %ld\n", (long)getpid());
        fflush(stdout);
        for (;;) pause();
    }
    for (int i = 0; !worker->status && comm->rank == 0; i++)
        worker->status = comm_send(comm, data, sizes[i % 5], 1);
    if (comm->rank == 2) worker->status = comm_receive(comm, data, 1, 0);
    return NULL;
}

static void *work_slowly(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    comm_set_timeout(comm, 2);
    // Long computing without a call is no silence.
    if (comm->rank == 0) sleep(4);
    worker->status = comm_barrier(comm);
    return NULL;
}

// More bytes than an int counts, from pages of which the sender has touched few.
static void *send_large(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    const size_t bytes = ((size_t)3 << 30) + 5, apart = 100000007;
    struct block block;
    worker->status = block_create(bytes, "a large message", &block);
    if (worker->status) return NULL;
    unsigned char *data = block.data;
    for (size_t i = 0; i < bytes && comm->rank == 0; i += apart)
        data[i] = (unsigned char)(1 + i / apart);
    if (comm->rank == 0) data[bytes - 1] = 99;
    worker->status =
        comm->rank ? comm_receive(comm, data, bytes, 0) : comm_send(comm, data, bytes, 1);
    for (size_t i = 0; i < bytes; i += apart)
        worker->wrong += data[i] != (unsigned char)(1 + i / apart) || (i && data[i - 1]);
    worker->wrong += data[bytes - 1] != 99;
    block_destroy(&block);
    return NULL;
}

// A receiver whose calls into MPI take long, as on a busy machine: what is sent before a sign of life must not hold that up.
static const struct mpi_calls *real;
static int test_slowly(void *requests, int count, struct mpi_done done[MPI_MOST_DONE], int *done_p)
{
    static int calls;
    if (calls++ < 10) nanosleep(&(struct timespec){0, 300000000}, NULL);
    return real->test(requests, count, done, done_p);
}
// The pulse's thread calls, too.
static void use_calls(struct net *net, const struct mpi_calls *calls)
{
    pthread_mutex_lock(&net->lock);
    net->calls = calls;
    pthread_mutex_unlock(&net->lock);
}
static void *receive_slowly(void *context)
{
    struct worker *worker = context;
    struct comm *comm = worker->comm;
    struct net *net = comm->state;
    const size_t bytes = 400 << 20;
    unsigned char *data = calloc(bytes, 1);
    struct mpi_calls slow = *net->calls;
    comm_mpi_set_piece(comm, 1 << 20);
    comm_set_timeout(comm, 2);
    real = net->calls;
    slow.test = test_slowly;
    if (comm->rank == 1) use_calls(net, &slow);
    if (data)
        worker->status =
            comm->rank ? comm_receive(comm, data, bytes, 0) : comm_send(comm, data, bytes, 1);
    worker->wrong = !data;
    use_calls(net, real);
    if (!worker->status) free(data);
    return NULL;
}

static const struct {
    const char *name;
    work body[12];
} process_case[] = {
    {"fine",
     {count_rounds, gather_bytes, pass_token, send_to_first, exchange_all, regroup, take_any,
      share_regions, by_rounds, all_reduce}},
    {"works", {work_slowly}},
    {"large", {send_large}},
    {"pieces", {exchange_all, regroup, share_regions}},
    {"lose", {lose_one}},
    {"lose-in-round", {lose_one_in_a_round}},
    {"disagree", {disagree}},
    {"wait", {wait_for_one}},
    {"send", {send_to_one}},
    {"slow", {receive_slowly}},
};

// The job as the launcher's variables say it and as MPI does.
static enum status join(struct comm **net_p)
{
    struct identity identity;
    TRY(identity_find(&identity));
    int local_rank = identity.local_rank, local_size = identity.local_size;
    TRY(identity_join(&identity, net_p));
    printf("launcher: %d of %d here, MPI: %d of %d, by %s\n", local_rank, local_size,
           identity.local_rank, identity.local_size, identity.source);
    return STATUS_OK;
}

// Prints one line a process: rank, size, status, what was wrong, the message.
static int run_process(const char *name)
{
    struct comm *comm = NULL;
    struct worker worker = {.wrong = 0};
    worker.status = strcmp(name, "join") ? comm_create("mpi", 1, &comm) : join(&comm);
    worker.comm = comm;
    if (!worker.status && !strcmp(name, "pieces")) comm_mpi_set_piece(comm, 1000);
    for (size_t i = 0; i < sizeof process_case / sizeof *process_case && comm; i++)
        for (int k = 0; k < 12 && process_case[i].body[k] && !worker.status; k++)
            if (!strcmp(process_case[i].name, name)) process_case[i].body[k](&worker);
    printf("rank %d of %d: status %d, %d wrong: %s%s\n", comm ? comm->rank : -1,
           comm ? comm->size : 0, worker.status, worker.wrong, error_message(),
           error_message()[0] ? "" : worker.message);
    fflush(stdout);
    if (worker.status && comm && strncmp(name, "lose", 4) != 0) comm_abandon(comm);
    if (comm) comm_destroy(&comm, 1);
    int code = worker.status ? status_exit_code(worker.status) : worker.wrong != 0;
    if (comm_mpi_torn()) _exit(code ? code : status_exit_code(STATUS_PEER));
    return code;
}

int main(int count, char **argument)
{
    if (count == 3 && !strcmp(argument[1], "mpi")) return run_process(argument[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_barrier_shows_what_all_wrote),
        cmocka_unit_test(gather_orders_by_rank),
        cmocka_unit_test(messages_arrive_in_order),
        cmocka_unit_test(senders_do_not_mix),
        cmocka_unit_test(a_round_carries_all_messages_of_any_size),
        cmocka_unit_test(order_holds_within_and_between_rounds),
        cmocka_unit_test(poll_names_who_waits),
        cmocka_unit_test(share_gives_all_regions_to_all),
        cmocka_unit_test(barrier_and_gather_can_be_rounds),
        cmocka_unit_test(nobody_hangs_when_one_gives_up),
        cmocka_unit_test(sizes_that_differ_are_an_error),
        cmocka_unit_test(names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
