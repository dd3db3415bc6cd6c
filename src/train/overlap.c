// SPDX-License-Identifier: Apache-2.0
// Gradients travel bucket by bucket, in the order in which the backward pass finishes them, which the program fixes.
//
// With a thread of its own a replica sends a bucket as soon as all its workers have folded their last gradient into it, while they
// compute the next ones: whoever is the last to fold merges the workers' sums and says that the bucket may go. Without, all go when
// all have met. The order of the buckets is the same either way, and at every replica, and so are the bits.
#include "base/errand.h"
#include "train/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPINS = 100, YIELDS = 20 };

struct overlap {
    struct trainer *trainer;
    struct errand errand; // the travel of a step
    struct gate ready;
    int buckets;
    int *order;       // [buckets] which travels when
    int *touched;     // [2 * parameters] first and last bucket that a parameter lies in
    int *shares;      // [buckets] parameters that lie in it
    atomic_int *left; // [buckets] folds that are still to come in this step
    atomic_bool *complete;
    double *began, *ended; // [buckets] when it travelled
};

// ---- the order ----
static void find_touched(struct overlap *overlap)
{
    const struct trainer *trainer = overlap->trainer;
    for (int i = 0; i < trainer->parameters.count; i++) {
        const struct parameter *parameter = &trainer->parameters.list[i];
        int64_t end = parameter->offset + parameter->count;
        int *touched = overlap->touched + 2 * (size_t)i;
        touched[0] = overlap->buckets;
        if (parameter->frozen) continue; // has no gradient that a bucket could wait for
        for (int b = 0; b < overlap->buckets; b++) {
            int64_t first, last;
            travel_bucket(trainer->travel, b, &first, &last);
            if (first >= end || last <= parameter->offset) continue;
            if (touched[0] == overlap->buckets) touched[0] = b;
            touched[1] = b;
            overlap->shares[b]++;
        }
    }
}

// Buckets by when the last of their parameters is handed out. `when` is scratch, [buckets].
static void find_order(struct overlap *overlap, int *when)
{
    const struct trainer *trainer = overlap->trainer;
    struct program *program = trainer->worker[0].training[0].program;
    for (int i = 0; i < program_steps(program); i++) {
        const struct step *step = program_step(program, i);
        for (int y = 0; step->yields && y < 1 + MAX_AUX; y++) {
            int tag = step->yield[y];
            if (tag < 0 || tag >= trainer->parameters.count) continue;
            const int *touched = overlap->touched + 2 * (size_t)tag;
            for (int b = touched[0]; b <= touched[1]; b++) when[b] = i;
        }
    }
    for (int b = 0; b < overlap->buckets; b++) {
        int at = b;
        for (; at > 0 && when[overlap->order[at - 1]] > when[b]; at--)
            overlap->order[at] = overlap->order[at - 1];
        overlap->order[at] = b;
    }
}

// ---- the thread ----
static enum status travel_one(struct overlap *overlap, int bucket)
{
    overlap->began[bucket] = monotonic_seconds();
    TRY(exchange_travel(overlap->trainer->exchange, bucket));
    overlap->ended[bucket] = monotonic_seconds();
    return STATUS_OK;
}

static enum status travel_as_they_come(void *context)
{
    struct overlap *overlap = context;
    for (int i = 0; i < overlap->buckets; i++) {
        int bucket = overlap->order[i];
        for (;;) {
            unsigned round = gate_round(&overlap->ready);
            if (atomic_load(&overlap->complete[bucket])) break;
            gate_wait(&overlap->ready, round);
        }
        TRY(travel_one(overlap, bucket));
    }
    return STATUS_OK;
}

// ---- life cycle ----
size_t overlap_bytes(const struct trainer *trainer, int buckets)
{
    size_t each = 3 * sizeof(int) + sizeof(atomic_int) + sizeof(atomic_bool) + 2 * sizeof(double);
    return sizeof(struct overlap) + (size_t)buckets * each +
           2 * (size_t)trainer->parameters.count * sizeof(int);
}

static enum status allocate(struct overlap *overlap, int **when_p)
{
    size_t buckets = (size_t)overlap->buckets;
    size_t parameters = (size_t)overlap->trainer->parameters.count;
    const char *what = "the buckets of the exchange";
    TRY(memory_allocate(buckets, sizeof(int), what, &overlap->order));
    TRY(memory_allocate(2 * parameters, sizeof(int), what, &overlap->touched));
    TRY(memory_allocate(buckets, sizeof(int), what, &overlap->shares));
    TRY(memory_allocate(buckets, sizeof(atomic_int), what, &overlap->left));
    TRY(memory_allocate(buckets, sizeof(atomic_bool), what, &overlap->complete));
    TRY(memory_allocate(buckets, sizeof(double), what, &overlap->began));
    TRY(memory_allocate(buckets, sizeof(double), what, &overlap->ended));
    TRY(memory_allocate(buckets, sizeof(int), what, when_p));
    return STATUS_OK;
}

enum status overlap_create(struct trainer *trainer, bool own_thread, struct overlap **overlap_p)
{
    struct overlap *overlap = NULL;
    int *when = NULL;
    TRY(memory_allocate(1, sizeof *overlap, "the exchange", &overlap));
    overlap->trainer = trainer;
    overlap->buckets = travel_buckets(trainer->travel);
    errand_init(&overlap->errand, SPINS, YIELDS);
    gate_init(&overlap->ready, SPINS, YIELDS);
    enum status status = allocate(overlap, &when);
    if (!status) {
        find_touched(overlap);
        find_order(overlap, when);
        if (own_thread)
            status =
                errand_start(&overlap->errand, travel_as_they_come, overlap,
                             "the thread for the exchange (parallel.overlap: off goes without)");
    }
    free(when);
    if (status) {
        overlap_destroy(overlap);
        return status;
    }
    *overlap_p = overlap;
    return STATUS_OK;
}

void overlap_destroy(struct overlap *overlap)
{
    if (!overlap) return;
    errand_release(&overlap->errand);
    gate_release(&overlap->ready);
    free(overlap->ended);
    free(overlap->began);
    free(overlap->complete);
    free(overlap->left);
    free(overlap->shares);
    free(overlap->touched);
    free(overlap->order);
    free(overlap);
}

bool overlap_is_on(const struct overlap *overlap) { return overlap->errand.running; }

// ---- a step ----
void overlap_start(struct overlap *overlap)
{
    const struct trainer *trainer = overlap->trainer;
    const int *border = trainer->border + trainer->crew.first;
    int computing = 0;
    if (!overlap->errand.running) return;
    for (int i = 0; i < trainer->workers; i++) computing += border[i + 1] > border[i];
    for (int b = 0; b < overlap->buckets; b++) {
        int folds = overlap->shares[b] * computing * trainer->threads;
        atomic_store(&overlap->left[b], folds);
        atomic_store(&overlap->complete[b], folds == 0);
    }
    errand_begin(&overlap->errand);
}

void overlap_folded(struct overlap *overlap, int parameter, int owner)
{
    const int *touched = overlap->touched + 2 * (size_t)parameter;
    for (int b = touched[0]; b <= touched[1]; b++) {
        if (atomic_fetch_sub(&overlap->left[b], 1) != 1) continue;
        int64_t first, last;
        travel_bucket(overlap->trainer->travel, b, &first, &last);
        exchange_merge(overlap->trainer->exchange, owner, first, last);
        atomic_store(&overlap->complete[b], true);
        gate_open(&overlap->ready);
    }
}

enum status overlap_finish(struct overlap *overlap)
{
    if (overlap->errand.running) return errand_finish(&overlap->errand);
    for (int i = 0; i < overlap->buckets; i++) TRY(travel_one(overlap, overlap->order[i]));
    return STATUS_OK;
}

double overlap_hidden(const struct overlap *overlap, double computed)
{
    double seconds = 0;
    for (int b = 0; b < overlap->buckets; b++) {
        double until = overlap->ended[b] < computed ? overlap->ended[b] : computed;
        if (until > overlap->began[b]) seconds += until - overlap->began[b];
    }
    return seconds;
}
