// SPDX-License-Identifier: Apache-2.0
#include "base/gate.h"

#include <sched.h>

void gate_init(struct gate *gate, int spins, int yields)
{
    atomic_init(&gate->round, 0);
    atomic_init(&gate->sleepers, 0);
    gate->spins = spins;
    gate->yields = yields;
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->opened, NULL);
}

void gate_release(struct gate *gate)
{
    pthread_cond_destroy(&gate->opened);
    pthread_mutex_destroy(&gate->mutex);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// A sleeper is counted before it looks at the round for the last time, and the round changes before the sleepers are counted (all
// of it in one order, as atomics are by default): either it sees the new round, or it is seen. Seen, it holds the lock from its
// look until it sleeps, so the broadcast finds it.
void gate_open(struct gate *gate)
{
    atomic_fetch_add(&gate->round, 1);
    if (atomic_load(&gate->sleepers) == 0) return;
    pthread_mutex_lock(&gate->mutex);
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_wait(struct gate *gate, unsigned round)
{
    for (int i = 0; i < gate->spins; i++) {
        if (atomic_load_explicit(&gate->round, memory_order_acquire) != round) return;
        relax();
    }
    for (int i = 0; i < gate->yields; i++) {
        if (atomic_load_explicit(&gate->round, memory_order_acquire) != round) return;
        sched_yield();
    }
    atomic_fetch_add(&gate->sleepers, 1);
    pthread_mutex_lock(&gate->mutex);
    while (atomic_load(&gate->round) == round) pthread_cond_wait(&gate->opened, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
    atomic_fetch_sub(&gate->sleepers, 1);
}
