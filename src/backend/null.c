// SPDX-License-Identifier: Apache-2.0
// The null backend: computes nothing. Memory and schedules of models that are too large for this
// machine.
#include "backend/registry.h"

static void launch(const struct step *step, const struct part *part)
{
    (void)step;
    (void)part;
}

static enum status choose(const struct backend *backend, const struct value *v,
                          const struct program_options *options, struct step *step)
{
    (void)backend;
    (void)v;
    (void)options;
    step->launch = launch;
    return STATUS_OK;
}

const struct backend null_backend = {.name = "null", .choose = choose};
