// SPDX-License-Identifier: Apache-2.0
#include "data/pipeline.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES = 1024, KEPT_ROOM = 4 * PIECE_BYTES };

// A place for a piece, used again for piece number + slots.
struct slot {
    struct work work;
    bool done;
    enum status status; // of process, with its message
    char message[MESSAGE_BYTES];
};

// Pieces are numbered from 0; finished <= taken <= cut <= finished + slots.
struct pipeline {
    const struct pipeline_steps *steps;
    struct slot *slots;
    int slot_count;
    pthread_mutex_t mutex; // guards what follows, and done
    pthread_cond_t cut_more, done_more;
    uint64_t cut, taken, finished;
    bool stop;
};

struct helper {
    struct pipeline *pipeline;
    pthread_t thread;
    int number;
};

static struct slot *slot_of(struct pipeline *pipeline, uint64_t number)
{
    return &pipeline->slots[number % (uint64_t)pipeline->slot_count];
}

// Keeps this thread's error with the slot; the caller's thread reports it when the slot's turn comes.
static void process(struct pipeline *pipeline, int worker, struct slot *slot)
{
    slot->status = pipeline->steps->process(pipeline->steps->context, worker, &slot->work);
    if (!slot->status) return;
    error_copy(slot->message, sizeof slot->message);
    error_clear();
}

// Takes the next piece that nobody has; false when there is none. Called and left with the mutex held.
static bool process_next(struct pipeline *pipeline, int worker)
{
    if (pipeline->taken == pipeline->cut || pipeline->stop) return false;
    struct slot *slot = slot_of(pipeline, pipeline->taken++);
    pthread_mutex_unlock(&pipeline->mutex);
    process(pipeline, worker, slot);
    pthread_mutex_lock(&pipeline->mutex);
    slot->done = true;
    pthread_cond_signal(&pipeline->done_more);
    return true;
}

static void *help(void *argument)
{
    struct helper *helper = argument;
    struct pipeline *pipeline = helper->pipeline;
    pthread_mutex_lock(&pipeline->mutex);
    while (!pipeline->stop)
        if (!process_next(pipeline, helper->number))
            pthread_cond_wait(&pipeline->cut_more, &pipeline->mutex);
    pthread_mutex_unlock(&pipeline->mutex);
    return NULL;
}

// A long line has made buffers large; the next piece has no use for that.
static void shrink(struct work *work)
{
    if (work->piece.room > KEPT_ROOM) {
        free(work->piece.text);
        work->piece = (struct piece){0};
    }
    if (work->room > KEPT_ROOM) {
        free(work->ids);
        work->ids = NULL;
        work->room = 0;
    }
}

// Waits for the oldest piece, working meanwhile, and finishes it.
static enum status finish_oldest(struct pipeline *pipeline)
{
    struct slot *slot = slot_of(pipeline, pipeline->finished);
    pthread_mutex_lock(&pipeline->mutex);
    while (!slot->done)
        if (!process_next(pipeline, 0)) pthread_cond_wait(&pipeline->done_more, &pipeline->mutex);
    pthread_mutex_unlock(&pipeline->mutex);
    if (slot->status) return error_adopt(slot->status, slot->message);
    if (pipeline->steps->finish)
        TRY(pipeline->steps->finish(pipeline->steps->context, &slot->work));
    shrink(&slot->work);
    pipeline->finished++;
    return STATUS_OK;
}

static enum status cut_next(struct pipeline *pipeline, struct cutter *cutter, bool *more_p)
{
    struct slot *slot = slot_of(pipeline, pipeline->cut);
    slot->done = false;
    slot->work.count = 0;
    TRY(cutter_next(cutter, &slot->work.piece, more_p));
    if (!*more_p) return STATUS_OK;
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->cut++;
    pthread_cond_signal(&pipeline->cut_more);
    pthread_mutex_unlock(&pipeline->mutex);
    return STATUS_OK;
}

static enum status finish_all(struct pipeline *pipeline)
{
    while (pipeline->finished < pipeline->cut) TRY(finish_oldest(pipeline));
    return STATUS_OK;
}

static enum status run(struct pipeline *pipeline, struct cutter *cutter)
{
    bool more = true;
    while (more) {
        TRY(stop_check(pipeline->steps->stop, "the text was read"));
        if (pipeline->cut - pipeline->finished == (uint64_t)pipeline->slot_count)
            TRY(finish_oldest(pipeline));
        enum status status = cut_next(pipeline, cutter, &more);
        if (!status) continue;
        // An error in a piece before this one comes first in the text, though it may show later.
        char message[MESSAGE_BYTES];
        error_copy(message, sizeof message);
        error_clear();
        TRY(finish_all(pipeline));
        return error_adopt(status, message);
    }
    return finish_all(pipeline);
}

// With fewer helpers than asked, when the system gives no more threads, only the time differs.
static int start_helpers(struct pipeline *pipeline, struct helper *helpers, int wanted)
{
    int started = 0;
    for (; started < wanted; started++) {
        helpers[started] = (struct helper){.pipeline = pipeline, .number = started + 1};
        if (pthread_create(&helpers[started].thread, NULL, help, &helpers[started])) break;
    }
    return started;
}

static void stop_helpers(struct pipeline *pipeline, const struct helper *helpers, int started)
{
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->stop = true;
    pthread_cond_broadcast(&pipeline->cut_more);
    pthread_mutex_unlock(&pipeline->mutex);
    for (int i = 0; i < started; i++) pthread_join(helpers[i].thread, NULL);
}

enum status pipeline_run(struct cutter *cutter, int workers, const struct pipeline_steps *steps)
{
    INVARIANT(workers >= 1 && workers <= WORKERS_MOST, "%d workers", workers);
    struct pipeline pipeline = {.steps = steps,
                                .slot_count = workers == 1 ? 1 : 2 * workers + 2,
                                .mutex = PTHREAD_MUTEX_INITIALIZER,
                                .cut_more = PTHREAD_COND_INITIALIZER,
                                .done_more = PTHREAD_COND_INITIALIZER};
    struct helper helpers[WORKERS_MOST];
    TRY(memory_allocate((size_t)pipeline.slot_count, sizeof *pipeline.slots, "pieces of text",
                        &pipeline.slots));
    int started = start_helpers(&pipeline, helpers, workers - 1);
    enum status status = run(&pipeline, cutter);
    stop_helpers(&pipeline, helpers, started);
    for (int i = 0; i < pipeline.slot_count; i++) {
        free(pipeline.slots[i].work.ids);
        piece_destroy(&pipeline.slots[i].work.piece);
    }
    free(pipeline.slots);
    return status;
}
