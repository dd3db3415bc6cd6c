// SPDX-License-Identifier: Apache-2.0
#include "backend/registry.h"

#include <stdio.h>
#include <string.h>

const struct backend *const backend_registry[] = {
#ifndef REAL_IS_DOUBLE // kernels are single precision: gradient checks in double use the reference
    &cpu_backend,
#endif
    &reference_backend,
    &null_backend,
    NULL,
};

enum status backend_find(const char *name, const struct backend **backend_p)
{
    char names[128] = "";
    size_t used = 0;
    for (int i = 0; backend_registry[i]; i++) {
        if (strcmp(backend_registry[i]->name, name) == 0) {
            *backend_p = backend_registry[i];
            return STATUS_OK;
        }
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 backend_registry[i]->name);
    }
    FAIL(STATUS_USAGE, "there is no backend '%s'; there are: %s", name, names);
}
