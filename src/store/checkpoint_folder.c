// SPDX-License-Identifier: Apache-2.0
// Reading names strictly: "step-010", "step--1" or a link called step-10 are nobody's checkpoints.
#include "store/checkpoint_folder.h"

#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum status checkpoint_path(char out[STORE_PATH], const char *directory, const char *prefix,
                            int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "%s%lld", prefix, (long long)step);
    return path_join(out, STORE_PATH, directory, name);
}

enum status checkpoint_temporary(char out[STORE_PATH], const char *directory, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, TEMPORARY_PREFIX "%lld-%ld", (long long)step, (long)getpid());
    return path_join(out, STORE_PATH, directory, name);
}

// A decimal number as we print it, up to `end`. Returns what stands behind it, NULL when it is none.
static const char *read_number(const char *text, int64_t *number_p)
{
    char *end;
    if (*text < '0' || *text > '9' || (*text == '0' && text[1] >= '0' && text[1] <= '9'))
        return NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno) return NULL;
    *number_p = number;
    return end;
}

static bool read_name(const char *name, struct checkpoint_name *read)
{
    read->replaced = strncmp(name, REPLACED_PREFIX, strlen(REPLACED_PREFIX)) == 0;
    if (!read->replaced && strncmp(name, STEP_PREFIX, strlen(STEP_PREFIX)) != 0) return false;
    const char *end =
        read_number(name + strlen(read->replaced ? REPLACED_PREFIX : STEP_PREFIX), &read->step);
    if (!end || *end) return false;
    snprintf(read->name, sizeof read->name, "%s", name);
    return true;
}

static bool is_real_folder(const char *directory, const char *name)
{
    char path[STORE_PATH];
    struct stat about;
    if (path_join(path, sizeof path, directory, name)) {
        error_clear();
        return false;
    }
    return lstat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static int newest_first(const void *a, const void *b)
{
    const struct checkpoint_name *x = a, *y = b;
    if (x->step != y->step) return x->step > y->step ? -1 : 1;
    return (int)x->replaced - (int)y->replaced;
}

enum status checkpoint_names(const char *directory, struct checkpoint_name **list_p, int *count_p)
{
    char **names = NULL;
    int all = 0, count = 0;
    struct checkpoint_name *list = NULL;
    if (directory_exists(directory)) TRY(directory_list(directory, &names, &all));
    enum status status = memory_allocate((size_t)all, sizeof *list, "names of checkpoints", &list);
    for (int i = 0; i < all && !status; i++)
        if (read_name(names[i], &list[count]) && is_real_folder(directory, names[i])) count++;
    names_free(names, all);
    if (status) return status;
    if (count) qsort(list, (size_t)count, sizeof *list, newest_first);
    *list_p = list;
    *count_p = count;
    return STATUS_OK;
}

// ---- sweeping ----
// Whether the process of ".tmp-<step>-<pid>" is gone, or is this one, which saves one checkpoint at a time.
static bool is_stale(const char *name)
{
    int64_t step, pid;
    if (strncmp(name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) != 0) return false;
    const char *end = read_number(name + strlen(TEMPORARY_PREFIX), &step);
    if (!end || *end != '-' || !(end = read_number(end + 1, &pid)) || *end) return false;
    return pid == (int64_t)getpid() ||
           (pid > 0 && pid <= INT32_MAX && kill((pid_t)pid, 0) && errno == ESRCH);
}

static enum status settle_replaced(const char *directory, const struct checkpoint_name *old)
{
    char from[STORE_PATH], to[STORE_PATH];
    TRY(path_join(from, sizeof from, directory, old->name));
    TRY(checkpoint_path(to, directory, STEP_PREFIX, old->step));
    return directory_exists(to) ? directory_remove(from) : file_rename(from, to);
}

static enum status sweep_name(const char *directory, const char *name)
{
    static const char torn_latest[] = "latest.tmp-";
    char path[STORE_PATH];
    struct checkpoint_name read;
    if (read_name(name, &read) && read.replaced && is_real_folder(directory, name))
        return settle_replaced(directory, &read);
    if (!is_stale(name) && strncmp(name, torn_latest, strlen(torn_latest)) != 0) return STATUS_OK;
    TRY(path_join(path, sizeof path, directory, name));
    return directory_remove(path);
}

enum status checkpoint_sweep(const char *directory)
{
    char **names;
    int count;
    TRY(directory_list(directory, &names, &count));
    for (int i = 0; i < count; i++) {
        // What cannot be removed is a matter of tidiness, not of this save.
        if (!sweep_name(directory, names[i])) continue;
        log_warning("%s", error_message());
        error_clear();
    }
    names_free(names, count);
    return STATUS_OK;
}
