// SPDX-License-Identifier: Apache-2.0
// A thread that does one thing whenever it is told to, beside what the caller goes on with.
//
// errand_init -> errand_start -> (errand_begin -> errand_finish) again and again -> errand_release. What was written before errand_begin
// is visible to the thread, and what the thread wrote to whoever has waited for it.
#ifndef STN_BASE_ERRAND_H
#define STN_BASE_ERRAND_H

#include "base/gate.h"
#include "base/status.h"

#include <stdbool.h>

struct errand {
    enum status (*run)(void *context);
    void *context;
    bool running, ending; // running: the thread is there
    unsigned finishes;    // that have been waited for
    pthread_t thread;
    struct gate begun, finished;
    // Of the last time.
    enum status status;
    char message[512];
};
// spins, yields: as gate_init's.
void errand_init(struct errand *errand, int spins, int yields);
// Ends the thread, where there is one, behind what it is at.
void errand_release(struct errand *errand);
// Fails: STATUS_MEMORY, "WHAT cannot be started: …".
enum status errand_start(struct errand *errand, enum status (*run)(void *context), void *context,
                         const char *what) CHECK_RESULT;
void errand_begin(struct errand *errand);
// Waits until what was begun is done, as often as one likes.
void errand_wait(struct errand *errand);
// Once for each errand_begin: waits, and returns what the thread's function did, with its message.
enum status errand_finish(struct errand *errand) CHECK_RESULT;
#endif
