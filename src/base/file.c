// SPDX-License-Identifier: Apache-2.0
// Files by plain POSIX calls. What is read is bounded and must be a regular file; what is written is on the disk or is an error.
#include "base/file.h"

#include "base/file_fault.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// One transfer is at most this long: Linux moves no more than 2 GiB at once, macOS refuses more.
enum { MOST_TRANSFER = 1 << 30, FIRST_READ = 1 << 16 };

static file_fault fault_function;
static void *fault_context;

void file_fault_set(file_fault fault, void *context)
{
    fault_function = fault;
    fault_context = context;
}

bool file_fault_hits(enum file_call call, size_t *bytes)
{
    size_t unused = SIZE_MAX;
    int code = fault_function ? fault_function(fault_context, call, bytes ? bytes : &unused) : 0;
    if (code) errno = code;
    return code != 0;
}

// ---- reading ----
enum status file_open(const char *path, bool follow, int *file_p, uint64_t *bytes_p)
{
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW);
    int file = file_fault_hits(FILE_CALL_OPEN, NULL) ? -1 : open(path, flags);
    if (file < 0 && errno == ELOOP && !follow)
        FAIL(STATUS_INPUT, "%s is a link; a file is needed here", path);
    if (file < 0) FAIL(STATUS_INPUT, "cannot open %s: %s", path, strerror(errno));
    struct stat about;
    if (fstat(file, &about)) {
        int cause = errno;
        close(file);
        FAIL(STATUS_INPUT, "cannot look at %s: %s", path, strerror(cause));
    }
    if (!S_ISREG(about.st_mode)) {
        close(file);
        FAIL(STATUS_INPUT, "%s is a %s; a file is needed here", path,
             S_ISDIR(about.st_mode)    ? "folder"
             : S_ISFIFO(about.st_mode) ? "pipe"
                                       : "device");
    }
    *file_p = file;
    *bytes_p = (uint64_t)about.st_size;
    return STATUS_OK;
}

void file_close(int file)
{
    if (file >= 0) close(file);
}

// At most `bytes` bytes at `offset`; 0 at the end of the file, -1 with errno.
static ssize_t read_some(int file, void *data, size_t bytes, uint64_t offset)
{
    if (bytes > MOST_TRANSFER) bytes = MOST_TRANSFER;
    ssize_t got;
    do {
        size_t wanted = bytes;
        got = file_fault_hits(FILE_CALL_READ, &wanted) ? -1
                                                       : pread(file, data, wanted, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    return got;
}

enum status file_read_at(int file, void *data, size_t bytes, uint64_t offset, const char *path)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = read_some(file, (char *)data + done, bytes - done, offset + done);
        if (got < 0) FAIL(STATUS_INPUT, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            FAIL(STATUS_INPUT, "%s ends at byte %llu; %llu were expected: the file was cut short",
                 path, (unsigned long long)(offset + done), (unsigned long long)(offset + bytes));
        done += (size_t)got;
    }
    return STATUS_OK;
}

// The size that fstat() told is a first guess only: files of /proc say 0, and a file may grow meanwhile.
static enum status read_to_end(int file, const char *path, size_t limit, size_t guess,
                               char **data_p, size_t *bytes_p)
{
    char *data = NULL;
    size_t used = 0, capacity = guess < FIRST_READ ? FIRST_READ : guess + 1;
    enum status status;
    while (!(status = memory_grow(&data, capacity + 1, 1, path))) {
        ssize_t got = read_some(file, data + used, capacity - used, used);
        if (got == 0) {
            data[used] = 0;
            *data_p = data;
            *bytes_p = used;
            return STATUS_OK;
        }
        if (got < 0) {
            status = error_at(STATUS_INPUT, __FILE__, __LINE__, "cannot read %s: %s", path,
                              strerror(errno));
            break;
        }
        used += (size_t)got;
        if (used > limit) {
            status =
                error_at(STATUS_INPUT, __FILE__, __LINE__,
                         "%s has more than %zu bytes, the most that is read here", path, limit);
            break;
        }
        if (used == capacity) capacity *= 2;
    }
    free(data);
    return status;
}

enum status file_read(const char *path, size_t limit, char **data_p, size_t *bytes_p)
{
    int file;
    uint64_t size;
    TRY(file_open(path, true, &file, &size));
    enum status status;
    if (size > limit)
        status = error_at(STATUS_INPUT, __FILE__, __LINE__,
                          "%s has %llu bytes; at most %zu are read here", path,
                          (unsigned long long)size, limit);
    else
        status = read_to_end(file, path, limit, (size_t)size, data_p, bytes_p);
    file_close(file);
    return status;
}

enum status file_map(const char *path, void **data_p, size_t *bytes_p)
{
    int file;
    uint64_t size;
    TRY(file_open(path, true, &file, &size));
    void *data = size ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, file, 0) : NULL;
    int cause = errno;
    file_close(file);
    if (data == MAP_FAILED)
        FAIL(STATUS_INPUT, "cannot map %s into memory: %s", path, strerror(cause));
    *data_p = data;
    *bytes_p = (size_t)size;
    return STATUS_OK;
}

void file_unmap(void *data, size_t bytes)
{
    if (data) munmap(data, bytes);
}

bool file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

// ---- writing ----
enum status file_create(const char *path, int *file_p)
{
    int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    int file = file_fault_hits(FILE_CALL_OPEN, NULL) ? -1 : open(path, flags, 0666);
    if (file < 0) FAIL(STATUS_DISK, "cannot create %s: %s", path, strerror(errno));
    *file_p = file;
    return STATUS_OK;
}

enum status file_write_all(int file, const void *data, size_t bytes, const char *path)
{
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < MOST_TRANSFER ? bytes - done : MOST_TRANSFER;
        ssize_t put = file_fault_hits(FILE_CALL_WRITE, &part)
                          ? -1
                          : write(file, (const char *)data + done, part);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) FAIL(STATUS_DISK, "cannot write %s: %s", path, strerror(errno));
        done += (size_t)put;
    }
    return STATUS_OK;
}

enum status file_finish(int file, const char *path)
{
    int result;
    do {
        result = file_fault_hits(FILE_CALL_SYNC, NULL) ? -1 : fsync(file);
    } while (result && errno == EINTR);
    int cause = result ? errno : 0;
    // Some file systems report a full disk or a lost quota only here. After EINTR the descriptor is gone all the same.
    bool faulty = file_fault_hits(FILE_CALL_CLOSE, NULL);
    int fault_cause = errno;
    if (close(file) && errno != EINTR && !cause) cause = errno;
    if (faulty && fault_cause != EINTR && !cause) cause = fault_cause;
    if (cause) FAIL(STATUS_DISK, "cannot bring %s to the disk: %s", path, strerror(cause));
    return STATUS_OK;
}

enum status file_rename(const char *from, const char *to)
{
    if (file_fault_hits(FILE_CALL_RENAME, NULL) || rename(from, to))
        FAIL(STATUS_DISK, "cannot rename %s to %s: %s", from, to, strerror(errno));
    return STATUS_OK;
}

enum status file_remove(const char *path)
{
    if ((file_fault_hits(FILE_CALL_REMOVE, NULL) || unlink(path)) && errno != ENOENT)
        FAIL(STATUS_DISK, "cannot remove %s: %s", path, strerror(errno));
    return STATUS_OK;
}

// Writes a new file whole and to the disk; removes it when that fails. *held_p: keeps its lock until it is closed, -1 where there is none.
static enum status write_new(const char *path, const void *data, size_t bytes, int *held_p)
{
    int file;
    TRY(file_create(path, &file));
    // Against who removes leftovers. A file system without locks has none that are removed.
    *held_p = flock(file, LOCK_EX | LOCK_NB) ? -1 : fcntl(file, F_DUPFD_CLOEXEC, 0);
    enum status status = file_write_all(file, data, bytes, path);
    if (status)
        close(file);
    else
        status = file_finish(file, path);
    if (status) unlink(path);
    return status;
}

// The folder that `path` lies in, into `folder`.
static enum status parent_of(const char *path, char *folder, size_t bytes)
{
    const char *slash = strrchr(path, '/');
    size_t length = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (length >= bytes) FAIL(STATUS_USAGE, "the path %.*s… is too long", CUT(path, 60));
    memcpy(folder, slash ? path : ".", length);
    folder[length] = 0;
    return STATUS_OK;
}

// Seconds after which nobody is between making a temporary file and locking it.
enum { STALE_SECONDS = 60 };
static const char temporary_mark[] = ".tmp-";

// What stands behind the mark: "<process>-<number>".
static bool is_mark_end(const char *end)
{
    size_t process = strspn(end, "0123456789");
    if (!process || end[process] != '-') return false;
    size_t number = strspn(end + process + 1, "0123456789");
    return number && !end[process + 1 + number];
}

// A writer holds a lock as long as it lives, on any host that shares the folder; who was killed holds none.
static void remove_stale(int folder, const char *name)
{
    struct stat about;
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) return;
    bool old = fstat(file, &about) == 0 && S_ISREG(about.st_mode) &&
               time(NULL) - about.st_mtim.tv_sec > STALE_SECONDS;
    if (old && flock(file, LOCK_EX | LOCK_NB) == 0) unlinkat(folder, name, 0);
    close(file);
}

// What earlier writers of this file left when they were killed. What cannot be looked at stays.
static void remove_leftovers(const char *path, const char *folder)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strlen(name), mark = sizeof temporary_mark - 1;
    DIR *listing = opendir(folder);
    struct dirent *entry;
    if (!listing) return;
    while ((entry = readdir(listing)))
        if (strncmp(entry->d_name, name, length) == 0 &&
            strncmp(entry->d_name + length, temporary_mark, mark) == 0 &&
            is_mark_end(entry->d_name + length + mark))
            remove_stale(dirfd(listing), entry->d_name);
    closedir(listing);
}

enum status file_replace(const char *path, const void *data, size_t bytes)
{
    // Process and call number: two writers of one path must not share a temporary file.
    static atomic_uint calls;
    char temporary[4096], folder[4096];
    TRY(parent_of(path, folder, sizeof folder));
    int length = snprintf(temporary, sizeof temporary, "%s%s%ld-%u", path, temporary_mark,
                          (long)getpid(), atomic_fetch_add(&calls, 1));
    if (length < 0 || (size_t)length >= sizeof temporary)
        FAIL(STATUS_USAGE, "the path %.*s… is too long", CUT(path, 60));
    remove_leftovers(path, folder);
    int held = -1;
    enum status status = write_new(temporary, data, bytes, &held);
    if (!status) {
        status = file_rename(temporary, path);
        if (status) unlink(temporary);
    }
    if (held >= 0) close(held);
    TRY(status);
    return file_sync_directory(folder);
}

enum status path_join(char *out, size_t out_bytes, const char *folder, const char *name)
{
    size_t used = strlen(folder);
    const char *between = used == 0 || folder[used - 1] == '/' ? "" : "/";
    int length = snprintf(out, out_bytes, "%s%s%s", folder, between, name);
    if (length < 0 || (size_t)length >= out_bytes)
        FAIL(STATUS_USAGE, "the path %.*s…/%.*s is too long (at most %zu bytes)", CUT(folder, 60),
             CUT(name, 60), out_bytes - 1);
    return STATUS_OK;
}
