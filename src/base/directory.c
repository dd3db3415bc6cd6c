// SPDX-License-Identifier: Apache-2.0
// Folders: made with all their parents, listed in one order everywhere, removed without following links.
#include "base/file.h"
#include "base/file_fault.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_DEPTH = 64 };

bool directory_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

enum status file_sync_directory(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) FAIL(STATUS_DISK, "cannot open the folder %s: %s", path, strerror(errno));
    int result;
    do {
        result = file_fault_hits(FILE_CALL_SYNC, NULL) ? -1 : fsync(folder);
    } while (result && errno == EINTR);
    int cause = errno;
    close(folder);
    // EINVAL: a file system that keeps folders in order by itself and knows no fsync for them.
    if (result && cause != EINVAL)
        FAIL(STATUS_DISK, "cannot bring the folder %s to the disk: %s", path, strerror(cause));
    return STATUS_OK;
}

static enum status make_one(const char *path)
{
    if (directory_exists(path)) return STATUS_OK;
    if (!file_fault_hits(FILE_CALL_MAKE_DIRECTORY, NULL) && mkdir(path, 0777) == 0)
        return STATUS_OK;
    int cause = errno;
    if (cause == EEXIST) cause = ENOTDIR;
    // Another process may have made it just now.
    if (!directory_exists(path))
        FAIL(STATUS_DISK, "cannot make the folder %s: %s", path, strerror(cause));
    return STATUS_OK;
}

enum status directory_create(const char *path)
{
    if (!path[0]) FAIL(STATUS_USAGE, "the name of a folder is empty");
    char *part;
    TRY(memory_copy_string(path, &part));
    enum status status = STATUS_OK;
    for (char *at = part + 1; *at && !status; at++) {
        if (*at != '/') continue;
        *at = 0;
        status = make_one(part);
        *at = '/';
    }
    if (!status) status = make_one(part);
    free(part);
    return status;
}

// ---- listing ----
static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static enum status list_open(DIR *folder, const char *path, char ***names_p, int *count_p)
{
    char **names = NULL;
    int count = 0, capacity = 0;
    enum status status = STATUS_OK;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry) break;
        if (is_dots(entry->d_name)) continue;
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            status = memory_grow(&names, (size_t)capacity, sizeof *names, "names of files");
            if (status) goto free_names;
        }
        status = memory_copy_string(entry->d_name, &names[count]);
        if (status) goto free_names;
        count++;
    }
    if (errno) {
        status = error_at(STATUS_INPUT, __FILE__, __LINE__, "cannot list the folder %s: %s", path,
                          strerror(errno));
        goto free_names;
    }
    if (count) qsort(names, (size_t)count, sizeof *names, by_bytes);
    *names_p = names;
    *count_p = count;
    return STATUS_OK;
free_names:
    names_free(names, count);
    return status;
}

enum status directory_list(const char *path, char ***names_p, int *count_p)
{
    DIR *folder = opendir(path);
    if (!folder) FAIL(STATUS_INPUT, "cannot open the folder %s: %s", path, strerror(errno));
    enum status status = list_open(folder, path, names_p, count_p);
    closedir(folder);
    return status;
}

void names_free(char **names, int count)
{
    for (int i = 0; i < count; i++) free(names[i]);
    free(names);
}

// ---- removing ----
static int remove_at(int parent, const char *name, int flags)
{
    if (file_fault_hits(FILE_CALL_REMOVE, NULL)) return -1;
    return unlinkat(parent, name, flags) && errno != ENOENT ? -1 : 0;
}

// Removes `name` below the open folder `parent`: a file or link at once, a folder after what is in it. 0, or -1 with errno.
static int remove_tree(int parent, const char *name, int depth) // NOLINT(misc-no-recursion)
{
    int file = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) return 0;
    if (file < 0) return errno == ENOTDIR || errno == ELOOP ? remove_at(parent, name, 0) : -1;
    DIR *folder = depth < MOST_DEPTH ? fdopendir(file) : NULL;
    if (!folder) {
        close(file);
        if (depth >= MOST_DEPTH) errno = ELOOP;
        return -1;
    }
    int result = 0;
    struct dirent *entry;
    while (!result && (entry = readdir(folder)))
        if (!is_dots(entry->d_name)) result = remove_tree(file, entry->d_name, depth + 1);
    int cause = errno;
    closedir(folder); // closes `file` too
    errno = cause;
    return result ? result : remove_at(parent, name, AT_REMOVEDIR);
}

enum status directory_remove(const char *path)
{
    if (remove_tree(AT_FDCWD, path, 0))
        FAIL(STATUS_DISK, "cannot remove %s: %s", path, strerror(errno));
    return STATUS_OK;
}
