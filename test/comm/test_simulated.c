// SPDX-License-Identifier: Apache-2.0
// Virtual time: what a message costs, that ports serialise, that no scheduling of the threads changes a clock, and that a thousand
// workers fit.
#include "base/philox.h"
#include "comm/simulated.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(SANITIZED)
enum { MANY = 128 };
#else
enum { MANY = 1024 };
#endif

// Node of two workers: inside 1 s + 0.5 s a message + bytes / 100; between 10 s + 2 s + bytes / 10.
static const struct network slow = {{1, 0.5, 100}, {10, 2, 10}, 2};

static double clock_of(struct comm *comm) { return comm->ops->seconds(comm); }

static void simulate(const struct network *network, int workers,
                     enum status (*body)(struct comm *comm, void *context), void *context,
                     double *clock)
{
    struct comm **comm = calloc((size_t)workers, sizeof *comm);
    assert_int_equal(simulated_create(network, workers, comm), STATUS_OK);
    assert_int_equal(simulated_run(comm, workers, body, context), STATUS_OK);
    for (int r = 0; clock && r < workers; r++) clock[r] = clock_of(comm[r]);
    comm_destroy(comm, workers);
    free(comm);
}

// ---- what a message costs ----
static enum status one_message(struct comm *comm, void *context)
{
    const int *between = context;
    char data[200] = {0};
    if (comm->rank == between[0]) return comm_send(comm, data, sizeof data, between[1]);
    if (comm->rank == between[1]) return comm_receive(comm, data, sizeof data, between[0]);
    return STATUS_OK;
}
static void a_message_takes_latency_gap_and_bytes(void **state)
{
    (void)state;
    double clock[4];
    simulate(&slow, 4, one_message, (int[2]){0, 1}, clock); // inside a node
    assert_true(clock[0] == 0.5 + 2);
    assert_true(clock[1] == 1 + 0.5 + 2);
    assert_true(clock[2] == 0 && clock[3] == 0);
    simulate(&slow, 4, one_message, (int[2]){1, 2}, clock); // between nodes
    assert_true(clock[1] == 2 + 20);
    assert_true(clock[2] == 10 + 2 + 20);
}

// Workers 2 and 3 send 100 bytes each to worker 0, in one round; worker 0 has computed for `ahead` seconds.
static enum status two_to_one(struct comm *comm, void *context)
{
    const double *ahead = context;
    char data[2][100] = {{0}};
    if (comm->rank == 0) {
        simulated_compute(comm, *ahead);
        struct transfer receive[2] = {{.peer = 2, .data = data[0], .bytes = 100},
                                      {.peer = 3, .data = data[1], .bytes = 100}};
        return comm_round(comm, receive, 2);
    }
    return comm->rank > 1 ? comm_send(comm, data, 100, 0) : STATUS_OK;
}
static void a_port_takes_one_message_at_a_time(void **state)
{
    (void)state;
    double clock[4];
    simulate(&slow, 4, two_to_one, &(double){0}, clock);
    assert_true(clock[2] == 12 && clock[3] == 12);
    assert_true(clock[0] == 10 + 12 + 12); // the receiver's port
    // What came while the worker computed costs no more.
    simulate(&slow, 4, two_to_one, &(double){25}, clock);
    assert_true(clock[0] == 34);
    simulate(&slow, 4, two_to_one, &(double){60}, clock);
    assert_true(clock[0] == 60);
}

static enum status one_to_two(struct comm *comm, void *context)
{
    (void)context;
    char data[2][100] = {{0}};
    struct transfer send[2] = {{.peer = 1, .sends = true, .data = data[0], .bytes = 100},
                               {.peer = 2, .sends = true, .data = data[1], .bytes = 100}};
    if (comm->rank == 0) return comm_round(comm, send, 2);
    return comm->rank < 3 ? comm_receive(comm, data, 100, 0) : STATUS_OK;
}
static void a_sender_sends_in_order(void **state)
{
    (void)state;
    double clock[4];
    simulate(&slow, 4, one_to_two, NULL, clock);
    assert_true(clock[0] == 1.5 + 12);
    assert_true(clock[1] == 1 + 1.5);
    assert_true(clock[2] == 1.5 + 10 + 12); // behind the message to worker 1
}

static enum status meet(struct comm *comm, void *context)
{
    (void)context;
    return comm_barrier(comm);
}
static void barriers_cost_a_logarithm(void **state)
{
    (void)state;
    const struct network network = {{1, 0, 1}, {1, 0, 1}, 1};
    double clock[13];
    simulate(&network, 13, meet, NULL, clock);
    for (int r = 0; r < 13; r++) assert_true(clock[r] == 4); // ceil(log2 13) rounds of one latency
}

// ---- the same in every run ----
// Everybody computes, sends to and receives from several others, shares; sizes and times drawn by what they are for.
enum { FANS = 5, MESSAGE = 3000 };
static enum status busy(struct comm *comm, void *context)
{
    struct philox_address at = {*(const uint64_t *)context, philox_stream(PHILOX_TEST, 1), 0, 0};
    static _Thread_local char data[2 * FANS][MESSAGE];
    for (int round = 0; round < 20; round++) {
        struct transfer transfer[2 * FANS];
        at.step = (uint32_t)round;
        for (int i = 0; i < FANS; i++) {
            int distance = 1 + (int)(philox_bits(at, (uint64_t)i) % (uint32_t)(comm->size - 1));
            // By sender: both sides know it.
            int from = (comm->rank + comm->size - distance) % comm->size;
            uint64_t mine = 1000 + (uint64_t)(FANS * comm->rank + i);
            uint64_t theirs = 1000 + (uint64_t)(FANS * from + i);
            transfer[2 * i] = (struct transfer){(comm->rank + distance) % comm->size,
                                                true,
                                                data[2 * i],
                                                philox_bits(at, mine) % MESSAGE,
                                                {NULL, 0}};
            transfer[2 * i + 1] = (struct transfer){
                from, false, data[2 * i + 1], philox_bits(at, theirs) % MESSAGE, {NULL, 0}};
        }
        simulated_compute(comm, 1e-4 * philox_uniform(at, 100000 + (uint64_t)comm->rank));
        TRY(comm_round(comm, transfer, 2 * FANS));
        if (round % 7 == 3) TRY(comm_barrier(comm));
    }
    return STATUS_OK;
}
static void clocks_are_the_same_in_every_run(void **state)
{
    (void)state;
    enum { WORKERS = 65 };
    const struct network network = {{1e-6, 1e-7, 20e9}, {5e-6, 1e-6, 3e9}, 8};
    double clock[3][WORKERS];
    for (int run = 0; run < 3; run++) simulate(&network, WORKERS, busy, &(uint64_t){7}, clock[run]);
    assert_memory_equal(clock[0], clock[1], sizeof clock[0]);
    assert_memory_equal(clock[0], clock[2], sizeof clock[0]);
    simulate(&network, WORKERS, busy, &(uint64_t){8}, clock[1]);
    assert_memory_not_equal(clock[0], clock[1], sizeof clock[0]);
}

// ---- many ----
static enum status all_to_all(struct comm *comm, void *context)
{
    (void)context;
    int size = comm->size;
    int *data = calloc(2 * (size_t)size, sizeof *data);
    struct transfer *transfer = calloc(2 * (size_t)size, sizeof *transfer);
    int n = 0;
    for (int i = 1; i < size; i++) {
        int to = (comm->rank + i) % size, from = (comm->rank + size - i) % size;
        data[to] = size * comm->rank + to;
        transfer[n++] = (struct transfer){to, true, &data[to], sizeof(int), {NULL, 0}};
        transfer[n++] = (struct transfer){from, false, &data[size + from], sizeof(int), {NULL, 0}};
    }
    enum status status = comm_round(comm, transfer, n);
    for (int i = 1; i < size && !status; i++) {
        int from = (comm->rank + i) % size;
        if (data[size + from] != size * from + comm->rank)
            status = error_at(STATUS_INPUT, __FILE__, __LINE__, "worker %d: wrong", comm->rank);
    }
    struct simulated_traffic traffic = simulated_traffic(comm);
    if (!status &&
        (traffic.sent_messages != size - 1 || traffic.received_messages != size - 1 ||
         traffic.sent_bytes != 4.0 * (size - 1) || traffic.received_bytes != 4.0 * (size - 1)))
        status = error_at(STATUS_INPUT, __FILE__, __LINE__, "worker %d: counts", comm->rank);
    free(transfer);
    free(data);
    return status;
}
static void a_thousand_workers_meet(void **state)
{
    (void)state;
    const struct network network = {{1, 0, 4}, {1, 0, 4}, 1};
    static double clock[MANY];
    simulate(&network, MANY, all_to_all, NULL, clock);
    // Nobody's port is ever disputed: worker r + i's message comes i seconds after the first.
    for (int r = 0; r < MANY; r++) assert_true(clock[r] == 1 + MANY - 1);
}

// ---- failures ----
static enum status one_fails(struct comm *comm, void *context)
{
    (void)context;
    char data = 0;
    if (comm->rank == 3) FAIL(STATUS_INPUT, "the disk of worker 3 is gone");
    return comm_receive(comm, &data, 1, (comm->rank + 1) % comm->size);
}
static void the_first_failure_is_told(void **state)
{
    (void)state;
    struct comm *comm[6];
    assert_int_equal(simulated_create(&slow, 6, comm), STATUS_OK);
    assert_int_equal(simulated_run(comm, 6, one_fails, NULL), STATUS_INPUT);
    assert_string_equal(error_message(), "the disk of worker 3 is gone");
    error_clear();
    comm_destroy(comm, 6);
}

static void networks_are_checked(void **state)
{
    (void)state;
    struct comm *comm[2];
    struct network network = slow;
    network.between.bandwidth = 0;
    assert_int_equal(simulated_create(&network, 2, comm), STATUS_USAGE);
    error_clear();
    network = slow;
    network.inside.latency = -1;
    assert_int_equal(simulated_create(&network, 2, comm), STATUS_USAGE);
    error_clear();
    assert_int_equal(simulated_create(&slow, 0, comm), STATUS_USAGE);
    error_clear();
}

static enum status poll_two(struct comm *comm, void *context)
{
    (void)context;
    int peer = -2;
    char data[100] = {0};
    if (comm->rank == 1) return comm_send(comm, data, 100, 0); // between nodes: later
    if (comm->rank == 2) return comm_send(comm, data, 100, 0);
    do TRY(comm_poll(comm, &peer));
    while (peer < 0);
    TRY(comm_receive(comm, data, 100, peer));
    int second = -1;
    while (second < 0) TRY(comm_poll(comm, &second));
    TRY(comm_receive(comm, data, 100, second));
    if (peer + second != 3) FAIL(STATUS_INPUT, "polled %d and %d", peer, second);
    TRY(comm_poll(comm, &peer));
    if (peer != -1) FAIL(STATUS_INPUT, "polled %d, where nothing is", peer);
    return STATUS_OK;
}
static void poll_sees_who_waits(void **state)
{
    (void)state;
    simulate(&slow, 3, poll_two, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_takes_latency_gap_and_bytes),
        cmocka_unit_test(a_port_takes_one_message_at_a_time),
        cmocka_unit_test(a_sender_sends_in_order),
        cmocka_unit_test(barriers_cost_a_logarithm),
        cmocka_unit_test(clocks_are_the_same_in_every_run),
        cmocka_unit_test(a_thousand_workers_meet),
        cmocka_unit_test(the_first_failure_is_told),
        cmocka_unit_test(networks_are_checked),
        cmocka_unit_test(poll_sees_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
