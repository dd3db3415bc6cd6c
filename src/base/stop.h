// SPDX-License-Identifier: Apache-2.0
// Giving up long work: who asks for it says, by a function, whether it is still wanted.
#ifndef STN_BASE_STOP_H
#define STN_BASE_STOP_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct stop {
    bool (*asked)(const void *context); // often, by any thread that does the work
    const void *context;
};

// Fails: STATUS_INTERRUPTED "stopped while `what`" once `stop` is asked for. NULL: it never is.
static inline enum status stop_check(const struct stop *stop, const char *what)
{
    if (stop && stop->asked(stop->context)) FAIL(STATUS_INTERRUPTED, "stopped while %s", what);
    return STATUS_OK;
}
#endif
