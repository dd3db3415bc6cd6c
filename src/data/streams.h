// SPDX-License-Identifier: Apache-2.0
// A text as streams side by side, read in windows that follow each other: for models that carry a state from window to window.
//
// Ids [first, last) are cut into `rows` streams of `length` targets, as PyTorch's word language model does it; the window after a
// stream's end is filled up with targets of -1. Less than `rows` targets at the end are left out.
#ifndef STN_DATA_STREAMS_H
#define STN_DATA_STREAMS_H

#include "data/corpus.h"

struct streams {
    const struct corpus *corpus;
    int64_t first, rows, context;
    int64_t length;  // targets of a stream
    int64_t windows; // of `context` positions
};
// Fails: STATUS_INPUT when there are fewer targets than rows.
enum status streams_init(struct streams *streams, const struct corpus *corpus, int64_t first,
                         int64_t last, int64_t rows, int64_t context) CHECK_RESULT;
// Fills tokens and targets [context] of a stream's window. Returns how many targets there are.
int64_t streams_fill(const struct streams *streams, int64_t row, int64_t window, int32_t *tokens,
                     int32_t *targets);
#endif
