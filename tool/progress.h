// SPDX-License-Identifier: Apache-2.0
// How a run goes: a status line on a terminal (at most 10 times a second), plain lines elsewhere (every log_every steps or 30 s).
#ifndef STN_TOOL_PROGRESS_H
#define STN_TOOL_PROGRESS_H

#include "train/trainer.h"

struct progress {
    int64_t first, steps, log_every; // first: steps done before
    double start, drawn, told;       // seconds
    double step_seconds;             // smoothed
    // Set after progress_start() where known: what a step computes, and what the machine could a second.
    double step_operations, peak;
    double loss, evaluation; // last ones; NaN: none yet
};
void progress_start(struct progress *progress, int64_t first, int64_t steps, int64_t log_every);
// Callbacks of struct train_observer; the context is the struct progress.
void progress_step(void *context, const struct step_report *report);
void progress_evaluation(void *context, int64_t step, const struct evaluation_report *report,
                         bool best);
// "loss 0.31, accuracy 0.9021". Returns text.
const char *progress_measures(const struct evaluation_report *report, char text[256]);
void progress_saved(void *context, int64_t step);
// "12.3k", "1.2M"
const char *progress_rate(double rate, char text[32]);
// "00:12", "3:04:05"
const char *progress_time(double seconds, char text[32]);
#endif
