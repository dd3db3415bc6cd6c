// SPDX-License-Identifier: Apache-2.0
#include "base/machine.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

uint64_t machine_hash(void)
{
    char text[320] = "";
    // Names may be those of an image that many machines were made from; a start of the kernel is one's own.
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    size_t bytes = file ? fread(text, 1, 64, file) : 0;
    if (file) fclose(file);
    if (gethostname(text + bytes, sizeof text - bytes - 1)) text[bytes] = 0;
    return XXH3_64bits(text, bytes + strlen(text + bytes));
}
