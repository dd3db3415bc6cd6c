// SPDX-License-Identifier: Apache-2.0
#include "base/numeric.h"

#include <string.h>

static const char *const names[PRECISION_COUNT] = {
    [PRECISION_FLOAT32] = "float32", [PRECISION_BF16X3] = "bf16x3", [PRECISION_BF16] = "bf16"};

const char *precision_name(enum precision precision) { return names[precision]; }

int precision_find(const char *name, enum precision *precision_p)
{
    for (enum precision p = 0; p < PRECISION_COUNT; p++) {
        if (strcmp(names[p], name) != 0) continue;
        *precision_p = p;
        return 1;
    }
    return 0;
}
