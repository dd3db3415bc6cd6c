// SPDX-License-Identifier: Apache-2.0
// A gate: a counter that threads wait to see changed. Opening it takes no lock while nobody sleeps.
//
// Who waits spins for some microseconds, because what it waits for is nearly done; then gives its turn to others, in case the one
// that it waits for has no core; then sleeps. gate_round before what is waited for can happen -> gate_wait with that round.
// What was written before gate_open is visible after gate_wait.
#ifndef STN_BASE_GATE_H
#define STN_BASE_GATE_H

#include <pthread.h>
#include <stdatomic.h>

struct gate {
    char apart[64]; // a cache line between the round, which waiters watch, and what others write
    atomic_uint round;
    atomic_int sleepers;
    int spins, yields;
    pthread_mutex_t mutex;
    pthread_cond_t opened;
};

// spins: pauses (some 20 nanoseconds each) and then yields: turns given away, before a waiter sleeps.
void gate_init(struct gate *gate, int spins, int yields);
void gate_release(struct gate *gate);
static inline unsigned gate_round(struct gate *gate) { return atomic_load(&gate->round); }
// Counts the round up and wakes who sleeps.
void gate_open(struct gate *gate);
// Returns when the round is another than `round`.
void gate_wait(struct gate *gate, unsigned round);
#endif
