// SPDX-License-Identifier: Apache-2.0
// The run's record: out/log.jsonl (one object a line, flushed; keys _step, _time, _runtime and the tags) and TensorBoard event files.
// A resumed run continues log.jsonl and repeats no step: lines of steps after the checkpoint are cut off when it is opened.
#ifndef STN_TRAIN_RUN_LOG_H
#define STN_TRAIN_RUN_LOG_H

#include "base/status.h"

#include <stdint.h>

struct run_log;
struct measure {
    const char *tag;
    double value;
}; // "train/loss", "train/lr", "train/grad_norm", "val/loss", "perf/tokens_per_s", …

// steps_done: steps of the checkpoint the run goes on from, 0 at a fresh start (an old log.jsonl is then replaced).
enum status run_log_open(const char *out, int64_t steps_done, double seconds_before,
                         struct run_log **log_p) CHECK_RESULT;
// A failing disk is reported once as a warning; training goes on.
void run_log_write(struct run_log *log, int64_t step, const struct measure *measure, int count);
void run_log_close(struct run_log *log);
#endif
