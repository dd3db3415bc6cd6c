// SPDX-License-Identifier: Apache-2.0
// The output folder, its lock and its term. The lock is the kernel's and ends with the process, however it ends.
//
// A lock may be lost: with the server of a network file system, or when a network falls apart and each side starts the run again. So
// every start also takes a term, a number that only rises: `.term-N`, which nobody else can make. Whoever is about to write looks
// whether there is a newer one.
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

// ---- terms ----
static const char TERM[] = ".term-";

// The number in a name that folder_claim made; 0 for any other.
static int64_t term_of(const char *name)
{
    const char *digits = name + strlen(TERM);
    if (strncmp(name, TERM, strlen(TERM)) != 0 || strlen(digits) > 18) return 0;
    if (*digits == '0' || strspn(digits, "0123456789") != strlen(digits)) return 0;
    return *digits ? strtoll(digits, NULL, 10) : 0;
}

static enum status term_path(const char *out, int64_t term, char path[RUN_PATH + 32])
{
    char name[32];
    snprintf(name, sizeof name, "%s%lld", TERM, (long long)term);
    return path_join(path, RUN_PATH + 32, out, name);
}

// The newest term in the folder, 0: none. Removes those below `below`.
static enum status newest_term(const char *out, int64_t below, int64_t *newest_p)
{
    char **name = NULL, path[RUN_PATH + 32];
    int count = 0;
    int64_t newest = 0;
    TRY(directory_list(out, &name, &count));
    for (int i = 0; i < count; i++) {
        int64_t term = term_of(name[i]);
        if (term > newest) newest = term;
        if (term > 0 && term < below && !term_path(out, term, path)) unlink(path);
    }
    names_free(name, count);
    *newest_p = newest;
    return STATUS_OK;
}

// Makes the file of a term. *made_p false when somebody has it.
static enum status make_term(const char *out, int64_t term, bool *made_p)
{
    char path[RUN_PATH + 32], text[300], host[256] = "";
    TRY(term_path(out, term, path));
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0 && errno != EEXIST)
        FAIL(STATUS_DISK, "%s cannot be made: %s; choose another out", path, strerror(errno));
    *made_p = file >= 0;
    if (file < 0) return STATUS_OK;
    if (gethostname(host, sizeof host - 1) != 0) snprintf(host, sizeof host, "a host");
    int length = snprintf(text, sizeof text, "%s, process %ld\n", host, (long)getpid());
    enum status written = file_write_all(file, text, (size_t)length, path);
    enum status ended = file_finish(file, path);
    if (written || ended) return written ? written : ended;
    return file_sync_directory(out);
}

enum status folder_claim(const char *out, int64_t above, int64_t *term_p)
{
    int64_t term = 0, newest = 0;
    TRY(newest_term(out, 0, &newest));
    // Whoever makes the file has the term. A file may have gone with a term above it, though: then it was another's before.
    for (bool made = false; !made || newest > term;) {
        term = (newest > term ? newest : term) + 1;
        if (term <= above) term = above + 1;
        TRY(make_term(out, term, &made));
        if (made) TRY(newest_term(out, term, &newest));
    }
    *term_p = term;
    return STATUS_OK;
}

enum status folder_fence(const char *out, int64_t term)
{
    char path[RUN_PATH + 32], *text = NULL;
    size_t bytes = 0;
    int64_t newest = 0;
    if (term == 0 || !directory_exists(out)) return STATUS_OK;
    TRY(newest_term(out, 0, &newest));
    if (newest <= term) return STATUS_OK;
    TRY(term_path(out, newest, path));
    if (file_read(path, RUN_PATH, &text, &bytes)) error_clear();
    int length = text ? (int)strcspn(text, "\n") : 0;
    enum status status = error_at(STATUS_USAGE, __FILE__, __LINE__,
                                  "%s belongs to a newer start of the run (term %lld%s%.*s); this "
                                  "one (term %lld) writes nothing there any more",
                                  out, (long long)newest, length ? ", " : "", length,
                                  text ? text : "", (long long)term);
    free(text);
    return status;
}

void folder_unlock(int lock)
{
    if (lock >= 0) close(lock);
}
