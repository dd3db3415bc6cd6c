// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules: one row each. A row gives the rate after the warm-up as a function of
// the step; warm-up and the lower limit are the same for all.
#include "base/stable_math.h"
#include "optim/optim.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// An improvement smaller than this part of the best loss is none. Source: PyTorch's ReduceLROnPlateau.
static const double plateau_threshold = 1e-4;

typedef double (*schedule_function)(const struct schedule_config *config,
                                    const struct schedule_state *state, int64_t step);

// How far `step` is on the way from `first` to `last`: 0 to 1.
static double progress(int64_t step, int64_t first, int64_t last)
{
    if (step >= last) return 1; // also when there is no way to go
    return step <= first ? 0 : (double)(step - first) / (double)(last - first);
}

// learning_rate where height is 1, min_learning_rate where it is 0.
static double between(const struct schedule_config *config, double height)
{
    return config->min_learning_rate + height * (config->learning_rate - config->min_learning_rate);
}

static int64_t decay_end(const struct schedule_config *config)
{
    return config->decay_steps > 0 ? config->decay_steps : config->steps;
}

static double constant_rate(const struct schedule_config *config,
                            const struct schedule_state *state, int64_t step)
{
    (void)state, (void)step;
    return config->learning_rate;
}

static double linear_rate(const struct schedule_config *config, const struct schedule_state *state,
                          int64_t step)
{
    (void)state;
    return between(config, 1 - progress(step, config->warmup, decay_end(config)));
}

// Source: Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, without restarts.
static double cosine_rate(const struct schedule_config *config, const struct schedule_state *state,
                          int64_t step)
{
    (void)state;
    double angle = 0x1.921fb54442d18p1 * progress(step, config->warmup, decay_end(config));
    return between(config, 0.5 * (1 + stable_cos(angle)));
}

// Source: Vaswani et al. 2017, arXiv:1706.03762, section 5.3, scaled so that the top is learning_rate.
static double inverse_sqrt_rate(const struct schedule_config *config,
                                const struct schedule_state *state, int64_t step)
{
    (void)state;
    double top = config->warmup > 1 ? (double)config->warmup : 1;
    double at = (double)step > top ? (double)step : top;
    return config->learning_rate * sqrt(top / at);
}

// Steps are counted from the start of the run, as PyTorch's StepLR does.
static double step_rate(const struct schedule_config *config, const struct schedule_state *state,
                        int64_t step)
{
    (void)state;
    if (config->step_size <= 0) return config->learning_rate;
    return config->learning_rate * stable_power(config->factor, (long)(step / config->step_size));
}

// Warm-up, stable, decay: linear over the last steps. Source: Hu et al. 2024, arXiv:2404.06395, section 4.
static double wsd_rate(const struct schedule_config *config, const struct schedule_state *state,
                       int64_t step)
{
    (void)state;
    int64_t left = config->steps > config->warmup ? config->steps - config->warmup : 0;
    int64_t tenth = config->steps / 10, length = tenth < left ? tenth : left;
    if (config->decay_steps > 0) length = config->decay_steps;
    return between(config, 1 - progress(step, config->steps - length, config->steps));
}

static double plateau_rate(const struct schedule_config *config, const struct schedule_state *state,
                           int64_t step)
{
    (void)step;
    return config->learning_rate * state->factor;
}

static const struct {
    const char *name;
    schedule_function rate;
} schedules[] = {
    {"constant", constant_rate},         {"linear", linear_rate}, {"cosine", cosine_rate},
    {"inverse_sqrt", inverse_sqrt_rate}, {"step", step_rate},     {"wsd", wsd_rate},
    {"plateau", plateau_rate},
};
enum { SCHEDULE_COUNT = sizeof schedules / sizeof schedules[0] };

static schedule_function schedule_find(const char *name)
{
    for (int i = 0; i < SCHEDULE_COUNT; i++)
        if (strcmp(schedules[i].name, name) == 0) return schedules[i].rate;
    return NULL;
}

enum status schedule_check(const char *name)
{
    if (schedule_find(name)) return STATUS_OK;
    char names[128] = "";
    for (int i = 0, used = 0; i < SCHEDULE_COUNT; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s", i ? ", " : "",
                         schedules[i].name);
    FAIL(STATUS_USAGE, "there is no schedule '%.*s'; there are %s", CUT(name, 40), names);
}

void schedule_start(struct schedule_state *state)
{
    *state = (struct schedule_state){.factor = 1, .best = (double)INFINITY};
}

double schedule_rate(const struct schedule_config *config, const struct schedule_state *state,
                     int64_t step)
{
    schedule_function rate = schedule_find(config->name);
    INVARIANT(rate, "schedule '%s' was not checked", config->name);
    double value = rate(config, state, step);
    if (value < config->min_learning_rate && rate != constant_rate)
        value = config->min_learning_rate;
    // Plateau's cuts hold during the warm-up too; all others start from the full rate.
    double top = rate == plateau_rate ? value : config->learning_rate;
    if (step < config->warmup) return top * (double)(step + 1) / (double)(config->warmup + 1);
    return value;
}

void schedule_observe(const struct schedule_config *config, struct schedule_state *state,
                      double loss)
{
    if (schedule_find(config->name) != plateau_rate) return;
    if (loss < state->best - plateau_threshold * fabs(state->best) ||
        (isinf(state->best) && isfinite(loss))) {
        state->best = loss;
        state->waited = 0;
        return;
    }
    if (++state->waited <= config->patience) return;
    state->factor *= config->factor;
    state->waited = 0;
}
