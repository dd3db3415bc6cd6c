// SPDX-License-Identifier: Apache-2.0
// Pieces of text worked on by several threads, and handed back in their order: what comes out does not depend on their number.
//
// The calling thread cuts pieces, finishes those that are done, and works on pieces itself when there is nothing else to do;
// workers - 1 threads help it. The first error in the text's order is the one that is reported, whoever met another before.
#ifndef STN_DATA_PIPELINE_H
#define STN_DATA_PIPELINE_H

#include "base/stop.h"
#include "data/cutter.h"

// A piece and what was made of it.
struct work {
    struct piece piece;
    int32_t *ids; // owned; [room]
    size_t count, room;
};

struct pipeline_steps {
    void *context;
    // Called by any thread, `worker` (0 .. workers - 1) being its number, for pieces in any order.
    enum status (*process)(void *context, int worker, struct work *work);
    // Called by the calling thread, for pieces in their order. (optional)
    enum status (*finish)(void *context, struct work *work);
    const struct stop *stop; // (optional) asked before each piece
};

enum { WORKERS_MOST = 256 };

// workers: 1 .. WORKERS_MOST. Fails as the cutter and the steps do, and with STATUS_INTERRUPTED; then no thread is left running.
enum status pipeline_run(struct cutter *cutter, int workers,
                         const struct pipeline_steps *steps) CHECK_RESULT;
#endif
