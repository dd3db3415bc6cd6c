// SPDX-License-Identifier: Apache-2.0
// Barrier and gather for transports that have none of their own (comm_barrier and comm_gather come here).
#ifndef STN_COMM_SHARE_H
#define STN_COMM_SHARE_H

#include "comm/comm.h"

enum status barrier_by_rounds(struct comm *comm) CHECK_RESULT;
enum status gather_by_rounds(struct comm *comm, const void *mine, size_t bytes,
                             void *all) CHECK_RESULT;
#endif
