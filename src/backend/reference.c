// SPDX-License-Identifier: Apache-2.0
// The reference backend: every operation by its definition. Slow; what fast kernels are compared
// with.
#include "backend/registry.h"

void launch_reference(const struct step *step) { step->call.value->op->reference(&step->call); }

static enum status choose(const struct backend *backend, const struct value *v, struct step *step,
                          size_t *scratch_bytes_p)
{
    (void)backend;
    (void)v;
    step->launch = launch_reference;
    *scratch_bytes_p = 0;
    return STATUS_OK;
}

const struct backend reference_backend = {.name = "reference", .choose = choose};
