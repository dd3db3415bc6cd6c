// SPDX-License-Identifier: Apache-2.0
// Where a program's time goes: its steps summed up by operation, beside their roofs.
//
// The roof of a step is the time that it would take at the machine's peaks, the longer of its arithmetic and of its bytes. Bytes are
// those of inputs and outputs, each counted once: an operation whose values stay in a cache may take less than its roof.
#ifndef STN_BACKEND_PROFILE_H
#define STN_BACKEND_PROFILE_H

#include "backend/backend.h"
#include "backend/cpu/roof.h"

// Every kind of operation forward, and once more behind the loss.
enum { PROFILE_ROWS = 96 };

struct profile_row {
    const char *op; // static storage
    bool backward;  // computed after the value that `loss_tag` names
    long calls;
    double seconds, roof_seconds;
    struct cost cost; // of all calls
};
struct profile {
    int rows;
    struct profile_row row[PROFILE_ROWS]; // the longest first after profile_sort
    double yield_seconds;                 // in which values were handed out
};

// Adds what `program` has measured. core: the roof of one of the threads that compute at once.
void profile_add(struct profile *profile, const struct program *program, int loss_tag,
                 const struct roof *core);
void profile_sort(struct profile *profile);
#endif
