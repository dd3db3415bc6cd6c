// SPDX-License-Identifier: Apache-2.0
#include "train/feed.h"

#include "train/internal.h"

#include <string.h>

extern const struct feed_kind text_feed, example_feed;

static const struct {
    const char *task;
    const struct feed_kind *kind;
} table[] = {
    {"lm", &text_feed},         {"mlm", &example_feed},       {"classify", &example_feed},
    {"regress", &example_feed}, {"translate", &example_feed}, {"summarize", &example_feed},
    {"answer", &example_feed},
};

const struct feed_kind *feed_find(const char *task)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].task, task) == 0) return table[i].kind;
    INVARIANT(false, "task %s was not checked", task);
    return NULL;
}

struct model_sizes feed_typical(const struct run_config *config)
{
    return (struct model_sizes){config->micro_batch, config->model.context, config->model.context};
}

double feed_counted(const struct run_config *config)
{
    return run_task(config) == TASK_MLM ? config->data.mask_rate : 1;
}

void feed_positions(int32_t *positions, int64_t rows, int64_t tokens)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < tokens; i++) positions[row * tokens + i] = (int32_t)i;
}
