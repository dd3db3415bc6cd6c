// SPDX-License-Identifier: Apache-2.0
// Optimizers on slices, learning-rate schedules, clipping. Pure functions of numbers; who owns
// which slice is parallel/'s matter.
#ifndef STN_OPTIM_OPTIM_H
#define STN_OPTIM_OPTIM_H

#include "base/cpu.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

// ---- optimizers: one row each in optimizer.c ----
struct optimizer_config {
    char name[12];       // sgd | rmsprop | adam | adamw | count
    double momentum;     // sgd, rmsprop
    bool nesterov;       // sgd
    double beta1, beta2; // adam, adamw; rmsprop smooths with beta2
    double epsilon;
    // adamw, sgd, rmsprop: decoupled (w -= rate * decay * w). adam: added to the gradient, as l2
    double weight_decay;
    double l1, l2;        // added to the gradient, on parameters with `decay`
    double clip;          // by global L2 norm, 0: not
    double clip_infinity; // by the largest magnitude, 0: not
    double clip_value;    // each element, 0: not
};
struct optimizer {
    const char *name;
    // arrays of the parameters' size that it keeps: 0, 1 or 2
    int (*states)(const struct optimizer_config *config);
    const char *state_name[2]; // "mean", "square", "velocity"
};
// Fails: STATUS_USAGE listing the names.
enum status optimizer_find(const char *name, const struct optimizer **optimizer_p) CHECK_RESULT;

// What one step asks of every owner.
struct optimizer_step {
    int64_t step; // counted from 1
    double learning_rate;
    double gradient_scale; // 1 / tokens of the global batch, times the clip factor
    bool decay;            // whether decay, l1 and l2 apply to this segment
    const float *more;     // NULL, or n elements: the gradient is g + more
    // What no optimizer reads: the part of their summed way that statistics go (parallel/exchange.h).
    double statistic_rate;
};
// Updates n elements in place: weights w, state arrays state[0..states-1], gradient g (not yet
// scaled).
// One element's result depends on that element alone, so slices may be cut anywhere.
void optimizer_update(const struct optimizer_config *config, const struct optimizer_step *step,
                      enum isa isa, float *w, float *const state[2], const float *g, int64_t n);
// The factor that clipping by norm and by infinity norm asks for. norm, largest: of the mean
// gradient.
double clip_factor(const struct optimizer_config *config, double norm, double largest);

// ---- schedules: one row each in schedule.c ----
struct schedule_config {
    char name[16]; // constant | linear | cosine | inverse_sqrt | step | wsd | plateau
    double learning_rate, min_learning_rate;
    int64_t warmup, steps; // warm-up: linear from learning_rate / (warmup + 1), nanoGPT's
    // cosine, linear: length of the decay counted from the start (0: steps). wsd: length of the
    // final decay (0: a tenth)
    int64_t decay_steps;
    int64_t step_size; // step: every so many steps ...
    double factor;     // ... times this (step and plateau)
    int64_t patience;  // plateau: evaluations without improvement before the rate is cut
};
// What a schedule remembers; saved in checkpoints. Only plateau changes it.
struct schedule_state {
    double factor, best; // best starts at infinity, factor at 1
    int64_t waited;
};
void schedule_start(struct schedule_state *state);
// Rate of step `step` (counted from 0).
double schedule_rate(const struct schedule_config *config, const struct schedule_state *state,
                     int64_t step);
// Tells the schedule an evaluation's loss.
void schedule_observe(const struct schedule_config *config, struct schedule_state *state,
                      double loss);
// Fails: STATUS_USAGE listing the names.
enum status schedule_check(const char *name) CHECK_RESULT;
#endif
