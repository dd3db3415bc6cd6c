// SPDX-License-Identifier: Apache-2.0
#include "data/streams.h"

enum status streams_init(struct streams *streams, const struct corpus *corpus, int64_t first,
                         int64_t last, int64_t rows, int64_t context)
{
    int64_t length = (last - first - 1) / rows;
    if (last - first < 2 || length < 1)
        FAIL(STATUS_INPUT, "%lld ids are too few for %lld streams (train.batch)",
             (long long)(last - first), (long long)rows);
    *streams = (struct streams){.corpus = corpus,
                                .first = first,
                                .rows = rows,
                                .context = context,
                                .length = length,
                                .windows = (length + context - 1) / context};
    return STATUS_OK;
}

int64_t streams_fill(const struct streams *streams, int64_t row, int64_t window, int32_t *tokens,
                     int32_t *targets)
{
    int64_t start = window * streams->context, left = streams->length - start;
    int64_t count = left < streams->context ? left : streams->context;
    int64_t at = streams->first + row * streams->length + start;
    for (int64_t i = 0; i < streams->context; i++) {
        bool there = i < count;
        tokens[i] = there ? corpus_id(streams->corpus, at + i) : 0;
        targets[i] = there ? corpus_id(streams->corpus, at + i + 1) : -1;
    }
    return count;
}
