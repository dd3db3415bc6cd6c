// SPDX-License-Identifier: Apache-2.0
#include "data/train_tokenizer.h"

#include "base/json.h"
#include "base/memory.h"
#include "data/pipeline.h"
#include "data/spans.h"

#include <stdlib.h>

struct counting {
    const struct tokenizer *blank;
    const char *field;
    struct piece_table *counts; // [workers]
};
struct counter {
    const struct tokenizer *blank;
    struct piece_table *counts;
};

static enum status count_span(void *context, const uint8_t *text, size_t bytes, const char *source,
                              uint64_t offset)
{
    (void)source, (void)offset;
    const struct counter *counter = context;
    return tokenizer_count(counter->blank, text, bytes, counter->counts);
}

static enum status count_piece(void *context, int worker, struct work *work)
{
    struct counting *counting = context;
    struct counter counter = {counting->blank, &counting->counts[worker]};
    TRY(piece_spans(&work->piece, counting->field, count_span, &counter));
    return STATUS_OK;
}

static enum status count_source(struct counting *counting, const struct corpus_source *source,
                                int workers)
{
    struct file_list list;
    struct cutter cutter;
    const struct pipeline_steps steps = {
        .context = counting, .process = count_piece, .stop = source->stop};
    counting->field = source->field ? source->field : "text";
    TRY(file_list_create(source->path, &list));
    cutter_init(&cutter, &list, counting->blank);
    enum status status = pipeline_run(&cutter, workers, &steps);
    if (!status && cutter.bytes == 0)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__, "%s is empty", source->path);
    cutter_destroy(&cutter);
    file_list_destroy(&list);
    return status;
}

enum status corpus_train_tokenizer(const struct corpus_source *source, int sources, int workers,
                                   const struct tokenizer_training *training,
                                   struct tokenizer **tokenizer_p)
{
    struct tokenizer *blank;
    struct counting counting = {0};
    struct tokenizer_training made = *training;
    made.stop = source->stop;
    workers = workers < 1 ? 1 : workers > WORKERS_MOST ? WORKERS_MOST : workers;
    json_object_seed(0);
    TRY(tokenizer_train_start(training, &blank));
    counting.blank = blank;
    enum status status = memory_allocate((size_t)workers, sizeof *counting.counts,
                                         "counts of words", &counting.counts);
    for (int i = 0; i < sources && !status; i++)
        status = count_source(&counting, &source[i], workers);
    for (int i = 1; i < workers && !status; i++)
        status = piece_table_merge(&counting.counts[0], &counting.counts[i]);
    if (!status) status = tokenizer_train(&made, &counting.counts[0], tokenizer_p);
    for (int i = 0; counting.counts && i < workers; i++) piece_table_release(&counting.counts[i]);
    free(counting.counts);
    tokenizer_destroy(blank);
    return status;
}
