// SPDX-License-Identifier: Apache-2.0
// The output folder and its lock. The lock is the kernel's and ends with the process, however it ends.
#include "base/file.h"
#include "base/log.h"
#include "train/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

// Who wrote its number into the lock file; 0 when that cannot be read.
static long holder(int file)
{
    char text[32] = "";
    ssize_t bytes = pread(file, text, sizeof text - 1, 0);
    return bytes > 0 ? strtol(text, NULL, 10) : 0;
}

enum status folder_lock(const char *out, int *lock_p)
{
    char path[RUN_PATH + 16], text[32];
    TRY(directory_create(out));
    TRY(path_join(path, sizeof path, out, ".lock"));
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (file < 0)
        FAIL(STATUS_DISK, "%s cannot be written: %s; choose another out", path, strerror(errno));
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        long process = holder(file);
        if (error == EWOULDBLOCK) {
            close(file);
            text[0] = 0;
            if (process) snprintf(text, sizeof text, " (process %ld)", process);
            FAIL(STATUS_USAGE,
                 "%s is in use by another run%s; wait for it to end, or set another out", out,
                 text);
        }
        // Some network file systems know no locks. The run is worth more than the warning.
        log_warning("%s cannot be locked (%s): take care that no other run writes there", out,
                    strerror(error));
    }
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || pwrite(file, text, (size_t)length, 0) != length)
        log_warning("%s: %s", path, strerror(errno)); // the number is a courtesy
    *lock_p = file;
    return STATUS_OK;
}

void folder_unlock(int lock)
{
    if (lock >= 0) close(lock);
}
