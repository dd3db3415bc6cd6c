// SPDX-License-Identifier: Apache-2.0
// The worst word wins, and it does not matter how often it is heard: so it spreads like a rumour, in ceil(log2 P) rounds.
#include "comm/agree.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct word {
    int32_t status, rank;
    char message[1536];
};

static bool worse(const struct word *a, const struct word *b)
{
    if (!a->status || !b->status) return a->status && !b->status;
    bool lost_a = a->status == STATUS_PEER, lost_b = b->status == STATUS_PEER;
    return lost_a != lost_b ? lost_b : a->rank < b->rank;
}

enum status comm_agree(struct comm *comm, enum status status)
{
    int size = comm->size, rank = comm->rank;
    struct word worst, heard;
    if (size == 1) return status;
    memset(&worst, 0, sizeof worst);
    worst.status = (int32_t)status;
    worst.rank = rank;
    if (status && rank > 0)
        text_print(worst.message, sizeof worst.message, "process %d of %d (%.*s): %.*s", rank, size,
                   CUT(comm_host(comm, rank), 64), CUT(error_message(), 1300));
    else if (status)
        error_copy(worst.message, sizeof worst.message);
    error_clear();
    for (int distance = 1; distance < size; distance *= 2) {
        struct word said = worst;
        struct transfer transfer[2] = {
            {.peer = (rank + distance) % size, .sends = true, .data = &said, .bytes = sizeof said},
            {.peer = (rank + size - distance) % size, .data = &heard, .bytes = sizeof heard},
        };
        TRY(comm_round(comm, transfer, 2));
        if (worse(&heard, &worst)) worst = heard;
    }
    if (!worst.status) return STATUS_OK;
    worst.message[sizeof worst.message - 1] = 0;
    return error_adopt((enum status)worst.status, worst.message);
}
