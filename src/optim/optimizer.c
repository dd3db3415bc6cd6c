// SPDX-License-Identifier: Apache-2.0
// Optimizers: one row each, with its state arrays and its kernel for every instruction set.
//
// Everything that depends on the step alone (bias correction, the complements of the betas) is
// computed here in double and rounded once, so that the kernels do float arithmetic only.
#include "base/stable_math.h"
#include "kernel/cpu/kernels.h"
#include "optim/optim.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#    define FOR_EACH_ISA(name)                                                                     \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic, [ISA_AVX2] = name##_avx2, [ISA_AVX512] = name##_avx512 \
        }
#elif defined(__aarch64__)
#    define FOR_EACH_ISA(name)                                                                     \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic, [ISA_NEON] = name##_neon                               \
        }
#else
#    define FOR_EACH_ISA(name)                                                                     \
        {                                                                                          \
            [ISA_GENERIC] = name##_generic                                                         \
        }
#endif

typedef void (*update_function)(enum isa isa, float *w, float *const state[2], const float *g,
                                const struct update *u, int64_t n);

struct row {
    struct optimizer optimizer;
    bool decay_is_l2; // weight_decay goes into the gradient
    update_function update;
};

static int momentum_states(const struct optimizer_config *config) { return config->momentum != 0; }
static int no_states(const struct optimizer_config *config)
{
    (void)config;
    return 0;
}
static int square_and_momentum_states(const struct optimizer_config *config)
{
    return 1 + (config->momentum != 0);
}
static int two_states(const struct optimizer_config *config)
{
    (void)config;
    return 2;
}

static void sgd_update(enum isa isa, float *w, float *const state[2], const float *g,
                       const struct update *u, int64_t n)
{
    static void (*const kernel[ISA_COUNT])(float *, float *, const float *, const struct update *,
                                           int64_t) = FOR_EACH_ISA(update_sgd);
    kernel[isa](w, u->momentum != 0 ? state[0] : NULL, g, u, n);
}

static void rmsprop_update(enum isa isa, float *w, float *const state[2], const float *g,
                           const struct update *u, int64_t n)
{
    static void (*const kernel[ISA_COUNT])(float *, float *, float *, const float *,
                                           const struct update *, int64_t) =
        FOR_EACH_ISA(update_rmsprop);
    kernel[isa](w, state[0], u->momentum != 0 ? state[1] : NULL, g, u, n);
}

static void adam_update(enum isa isa, float *w, float *const state[2], const float *g,
                        const struct update *u, int64_t n)
{
    static void (*const kernel[ISA_COUNT])(float *, float *, float *, const float *,
                                           const struct update *, int64_t) =
        FOR_EACH_ISA(update_adam);
    kernel[isa](w, state[0], state[1], g, u, n);
}

static const struct row rows[] = {
    {{"sgd", momentum_states, {"velocity", NULL}}, false, sgd_update},
    {{"rmsprop", square_and_momentum_states, {"square", "velocity"}}, false, rmsprop_update},
    {{"adam", two_states, {"mean", "square"}}, true, adam_update},
    {{"adamw", two_states, {"mean", "square"}}, false, adam_update},
    // Weights come of counts, not of gradients (train/count.c).
    {{"count", no_states, {NULL, NULL}}, false, NULL},
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static const struct row *row_find(const char *name)
{
    for (int i = 0; i < ROW_COUNT; i++)
        if (strcmp(rows[i].optimizer.name, name) == 0) return &rows[i];
    return NULL;
}

enum status optimizer_find(const char *name, const struct optimizer **optimizer_p)
{
    const struct row *row = row_find(name);
    if (row) {
        *optimizer_p = &row->optimizer;
        return STATUS_OK;
    }
    char names[64] = "";
    for (int i = 0, used = 0; i < ROW_COUNT; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s", i ? ", " : "",
                         rows[i].optimizer.name);
    FAIL(STATUS_USAGE, "there is no optimizer '%.*s'; there are %s", CUT(name, 40), names);
}

void optimizer_update(const struct optimizer_config *config, const struct optimizer_step *step,
                      enum isa isa, float *w, float *const state[2], const float *g, int64_t n)
{
    const struct row *row = row_find(config->name);
    INVARIANT(row && row->update, "optimizer '%s' was not checked", config->name);
    double decay = step->decay && !row->decay_is_l2 ? config->weight_decay : 0;
    double l2 = step->decay ? config->l2 + (row->decay_is_l2 ? config->weight_decay : 0) : 0;
    struct update u = {
        .gradient_scale = (float)step->gradient_scale,
        .clip_value = (float)config->clip_value,
        .learning_rate = (float)step->learning_rate,
        .l1 = step->decay ? (float)config->l1 : 0,
        .l2 = (float)l2,
        .decay = (float)decay,
        .momentum = (float)config->momentum,
        .nesterov = config->nesterov,
        .beta1 = (float)config->beta1,
        .beta2 = (float)config->beta2,
        .rest1 = (float)(1 - config->beta1),
        .rest2 = (float)(1 - config->beta2),
        .epsilon = (float)config->epsilon,
        .correction1 = (float)(1 - stable_power(config->beta1, (long)step->step)),
        .correction2 = (float)(1 - stable_power(config->beta2, (long)step->step)),
        .more = step->more,
    };
    row->update(isa_lanes(isa), w, state, g, &u, n);
}

// The smaller of `factor` and what brings `norm` down to `limit`; NaN stays NaN. 1e-6 as
// torch.nn.utils.clip_grad_norm_.
static double limited_factor(double factor, double limit, double norm)
{
    double wanted = limit / (norm + 1e-6);
    return wanted < factor || wanted != wanted ? wanted : factor;
}

double clip_factor(const struct optimizer_config *config, double norm, double largest)
{
    double factor = 1;
    if (config->clip > 0) factor = limited_factor(factor, config->clip, norm);
    if (config->clip_infinity > 0) factor = limited_factor(factor, config->clip_infinity, largest);
    return factor;
}
