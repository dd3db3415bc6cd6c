// SPDX-License-Identifier: Apache-2.0
// The workers' threads: they wait for a command, carry it out together, and report.
//
// The caller's thread computes nothing, so its floating-point mode, its stack and its place stay as they are. Where
// threads are tied to cores, threads.c says.
// No lock is taken between steps that follow each other closely: workers look for the next command for a while before they
// sleep, giving their turn to the caller, who has no core of its own. The caller sleeps while they compute.
#include "base/cpu.h"
#include "train/internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Kernels keep their working memory in the arena; a worker's frames need little.
enum { STACK_BYTES = 512 * 1024 };
// Between steps the caller needs some 20 to 100 microseconds; a turn given away costs half a microsecond when nobody takes it.
enum { COMMAND_SPINS = 100, COMMAND_YIELDS = 200 };

double monotonic_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Copies of weights that have changed since are written anew, by each thread a share.
static enum status refresh_packed(struct worker *worker)
{
    struct trainer *trainer = worker->trainer;
    if (!trainer->packed_stale || packed_bytes(trainer->packed) == 0) return STATUS_OK;
    worker_pack(worker);
    return comm_barrier(worker->comm);
}

static void carry_out(struct worker *worker, enum task task)
{
    enum status status = STATUS_OK;
    if (task == TASK_INITIALISE) worker_initialise(worker);
    bool computes = task == TASK_STEP || task == TASK_EVALUATE || task == TASK_EXAMINE;
    if (computes) status = refresh_packed(worker);
    if (!status && task == TASK_STEP) status = worker_step(worker);
    if (!status && task == TASK_EXAMINE) worker_examine(worker);
    if (task == TASK_COUNT) worker_count(worker);
    if (!status && task == TASK_EVALUATE) worker_evaluate(worker);
    if (!status && task == TASK_AVERAGE) status = worker_average(worker);
    if (!status && task == TASK_AVERAGE_STATE) status = worker_average_state(worker);
    worker->status = status;
    if (!status) return;
    error_copy(worker->message, sizeof worker->message);
    error_clear();
    // Whoever waits for this worker now, or will, is told.
    comm_abandon(worker->comm);
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    struct trainer *trainer = worker->trainer;
    worker_tie(worker);
    cpu_flush_to_zero();
    for (unsigned seen = 0;; seen++) {
        gate_wait(&trainer->commanded, seen);
        enum task task = trainer->task;
        if (task == TASK_END) return NULL;
        carry_out(worker, task);
        if (atomic_fetch_sub(&trainer->busy, 1) == 1) gate_open(&trainer->finished);
    }
}

void workers_init(struct trainer *trainer)
{
    gate_init(&trainer->commanded, COMMAND_SPINS, COMMAND_YIELDS);
    gate_init(&trainer->finished, 0, 0);
}

void workers_release(struct trainer *trainer)
{
    gate_release(&trainer->commanded);
    gate_release(&trainer->finished);
}

enum status workers_start(struct trainer *trainer)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int error = 0, started = 0;
    for (; started < trainer->workers; started++) {
        struct worker *worker = &trainer->worker[started];
        error = pthread_create(&worker->thread, &attributes, worker_main, worker);
        if (error) break;
        worker->running = true;
    }
    pthread_attr_destroy(&attributes);
    if (error)
        FAIL(STATUS_MEMORY,
             "worker %d of %d cannot be started: %s; set parallel.workers to %d or less", started,
             trainer->workers, strerror(error), started ? started : 1);
    return STATUS_OK;
}

static void give_command(struct trainer *trainer, enum task task)
{
    trainer->task = task;
    atomic_store(&trainer->busy, trainer->workers);
    gate_open(&trainer->commanded);
}

void workers_end(struct trainer *trainer)
{
    if (!trainer->worker) return;
    give_command(trainer, TASK_END);
    for (int r = 0; r < trainer->workers; r++) {
        if (trainer->worker[r].running) pthread_join(trainer->worker[r].thread, NULL);
        trainer->worker[r].running = false;
    }
}

enum status workers_run(struct trainer *trainer, enum task task)
{
    unsigned round = gate_round(&trainer->finished);
    give_command(trainer, task);
    gate_wait(&trainer->finished, round);
    // What changes no weight leaves them as they were packed; optimizer states are not packed.
    if (task != TASK_AVERAGE_STATE)
        trainer->packed_stale = task == TASK_INITIALISE || task == TASK_AVERAGE ||
                                (task == TASK_STEP && !trainer->packed_follow);
    // The error that made the others give up is the one that is not STATUS_PEER.
    const struct worker *failed = NULL;
    for (int r = 0; r < trainer->workers; r++) {
        const struct worker *worker = &trainer->worker[r];
        if (!worker->status) continue;
        if (!failed || (failed->status == STATUS_PEER && worker->status != STATUS_PEER))
            failed = worker;
    }
    if (failed) return error_adopt(failed->status, failed->message);
    return STATUS_OK;
}
