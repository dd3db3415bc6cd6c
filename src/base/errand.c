// SPDX-License-Identifier: Apache-2.0
#include "base/errand.h"

#include "base/cpu.h"

#include <string.h>

// Holds a transport's frames.
enum { STACK_BYTES = 1 << 20 };

void errand_init(struct errand *errand, int spins, int yields)
{
    gate_init(&errand->begun, spins, yields);
    gate_init(&errand->finished, spins, yields);
}

void errand_release(struct errand *errand)
{
    if (errand->running) {
        errand->ending = true;
        gate_open(&errand->begun);
        pthread_join(errand->thread, NULL);
        errand->running = false;
    }
    gate_release(&errand->finished);
    gate_release(&errand->begun);
}

static void *errand_main(void *context)
{
    struct errand *errand = context;
    cpu_flush_to_zero();
    for (unsigned seen = 0;; seen++) {
        gate_wait(&errand->begun, seen);
        if (errand->ending) return NULL;
        errand->status = errand->run(errand->context);
        if (errand->status) {
            error_copy(errand->message, sizeof errand->message);
            error_clear();
        }
        gate_open(&errand->finished);
    }
}

enum status errand_start(struct errand *errand, enum status (*run)(void *context), void *context,
                         const char *what)
{
    pthread_attr_t attributes;
    errand->run = run;
    errand->context = context;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int error = pthread_create(&errand->thread, &attributes, errand_main, errand);
    pthread_attr_destroy(&attributes);
    if (error) FAIL(STATUS_MEMORY, "%s cannot be started: %s", what, strerror(error));
    errand->running = true;
    return STATUS_OK;
}

void errand_begin(struct errand *errand) { gate_open(&errand->begun); }

void errand_wait(struct errand *errand) { gate_wait(&errand->finished, errand->finishes); }

enum status errand_finish(struct errand *errand)
{
    errand_wait(errand);
    errand->finishes++;
    return errand->status ? error_adopt(errand->status, errand->message) : STATUS_OK;
}
