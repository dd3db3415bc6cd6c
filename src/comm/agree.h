// SPDX-License-Identifier: Apache-2.0
// All workers go on, or none does: what failed at one of them fails at all, with its message.
#ifndef STN_COMM_AGREE_H
#define STN_COMM_AGREE_H

#include "comm/comm.h"

// Each brings how it fared; the error that this thread has recorded goes with it. Returns STATUS_OK when all fared well; else
// everybody returns, and has recorded, the same error: the first worker's that failed by itself (before those that lost a peer).
// Collective. Fails also: STATUS_PEER when a worker is gone.
enum status comm_agree(struct comm *comm, enum status status) CHECK_RESULT;
#endif
