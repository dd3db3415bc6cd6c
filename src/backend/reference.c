// SPDX-License-Identifier: Apache-2.0
// The reference backend: every operation by its definition. Slow; what fast kernels are compared
// with.
#include "backend/registry.h"

void launch_reference(const struct step *step, const struct part *part)
{
    if (part->index == 0) step->call.value->op->reference(&step->call);
}

static enum status choose(const struct backend *backend, const struct value *v,
                          const struct program_options *options, struct step *step)
{
    (void)backend;
    (void)v;
    (void)options;
    step->launch = launch_reference;
    return STATUS_OK;
}

const struct backend reference_backend = {.name = "reference", .choose = choose};
