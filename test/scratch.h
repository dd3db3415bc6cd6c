// SPDX-License-Identifier: Apache-2.0
// A folder of its own for a test, removed at the end; and small helpers around files. It lies below TMPDIR, else in memory where the
// system offers that: tests of the disk call fsync thousands of times.
#ifndef STN_TEST_SCRATCH_H
#define STN_TEST_SCRATCH_H

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCRATCH_PATH = 512 };

// The folder; made on the first call.
static inline const char *scratch(void)
{
    static char folder[SCRATCH_PATH];
    if (folder[0]) return folder;
    const char *base = getenv("TMPDIR");
    if (!base || !base[0]) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/stentor-test-XXXXXX", base);
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(1);
    }
    return folder;
}

// scratch()/name; valid until the eighth call after this one.
static inline const char *scratch_path(const char *name)
{
    static char path[8][SCRATCH_PATH + 256];
    static unsigned next;
    char *at = path[next++ % 8];
    snprintf(at, sizeof path[0], "%s/%s", scratch(), name);
    return at;
}

static inline int scratch_remove(void) { return directory_remove(scratch()) != STATUS_OK; }

// Writes a file without any care, for preparing what a test reads. Returns path.
static inline const char *put_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file)) {
        perror(path);
        exit(1);
    }
    return path;
}

// Whether the last error's message has these words; says it when not, and clears the error.
static inline int error_says(const char *words)
{
    int found = strstr(error_message(), words) != NULL;
    if (!found) fprintf(stderr, "# the message is \"%s\", not \"…%s…\"\n", error_message(), words);
    error_clear();
    return found;
}
#endif
