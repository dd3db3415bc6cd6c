// SPDX-License-Identifier: Apache-2.0
#include "infer/batches.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct member {
    int64_t length, number;
};
struct sharing {
    const struct batches *batches;
    batch_function compute;
    void *context;
    int64_t *order;
    int64_t count; // of order
    _Atomic int64_t next;
    atomic_bool failed;
    pthread_mutex_t lock; // of what follows
    int64_t failed_at;    // the batch
    enum status status;
    char message[1024];
};

static int longest_first(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->length != y->length) return x->length > y->length ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static enum status sort(struct sharing *sharing)
{
    const struct batches *batches = sharing->batches;
    struct member *members;
    size_t room = (size_t)(batches->count ? batches->count : 1);
    TRY(memory_allocate(room, sizeof *members, "the order of inputs", &members));
    enum status status =
        memory_allocate(room, sizeof *sharing->order, "the order of inputs", &sharing->order);
    for (int64_t i = 0; !status && i < batches->count; i++)
        if (batches->lengths[i] >= 0)
            members[sharing->count++] = (struct member){batches->lengths[i], i};
    if (!status) {
        qsort(members, (size_t)sharing->count, sizeof *members, longest_first);
        for (int64_t i = 0; i < sharing->count; i++) sharing->order[i] = members[i].number;
    }
    free(members);
    return status;
}

// Keeps the error of the lowest batch.
static void fail(struct sharing *sharing, int64_t batch, enum status status)
{
    pthread_mutex_lock(&sharing->lock);
    if (sharing->status == STATUS_OK || batch < sharing->failed_at) {
        sharing->status = status;
        sharing->failed_at = batch;
        error_copy(sharing->message, sizeof sharing->message);
    }
    pthread_mutex_unlock(&sharing->lock);
    atomic_store(&sharing->failed, true);
    error_clear();
}

// Every worker begins with the batch of its number, also when another's fails: whose memory the longest inputs take is no chance, and the
// error is the same in every run.
static void work(void *context, const struct part *part)
{
    struct sharing *sharing = context;
    const struct batches *batches = sharing->batches;
    for (int64_t batch = part->index;; batch = atomic_fetch_add(&sharing->next, 1)) {
        int64_t first = batch * batches->rows;
        if (batches->stop && atomic_load(batches->stop)) return;
        if (batch >= part->count && atomic_load(&sharing->failed)) return;
        if (first >= sharing->count) return;
        int64_t left = sharing->count - first;
        enum status status = sharing->compute(sharing->context, part->index, sharing->order + first,
                                              left < batches->rows ? left : batches->rows);
        if (status) fail(sharing, batch, status);
    }
}

enum status batches_run(const struct batches *batches, struct team *team, batch_function compute,
                        void *context)
{
    struct sharing sharing = {.batches = batches, .compute = compute, .context = context};
    atomic_init(&sharing.next, team_threads(team));
    TRY(sort(&sharing));
    pthread_mutex_init(&sharing.lock, NULL);
    team_run(team, work, &sharing);
    pthread_mutex_destroy(&sharing.lock);
    free(sharing.order);
    return sharing.status ? error_adopt(sharing.status, sharing.message) : STATUS_OK;
}
