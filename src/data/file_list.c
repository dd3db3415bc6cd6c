// SPDX-License-Identifier: Apache-2.0
#include "data/file_list.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096, DEPTH_LIMIT = 64 };

// ---- stamps ----
static struct file_stamp make_stamp(const struct stat *about)
{
    return (struct file_stamp){.bytes = (uint64_t)about->st_size,
                               .seconds = about->st_mtim.tv_sec,
                               .nanoseconds = about->st_mtim.tv_nsec,
                               .device = (uint64_t)about->st_dev,
                               .inode = (uint64_t)about->st_ino};
}

enum status file_stamp_read(int file, const char *path, struct file_stamp *stamp_p)
{
    struct stat about;
    if (fstat(file, &about)) FAIL(STATUS_INPUT, "cannot look at %s: %s", path, strerror(errno));
    *stamp_p = make_stamp(&about);
    return STATUS_OK;
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->bytes == b->bytes && a->seconds == b->seconds && a->nanoseconds == b->nanoseconds &&
           a->device == b->device && a->inode == b->inode;
}

// ---- what a name says ----
static bool ends_with(const char *name, size_t bytes, const char *ending)
{
    size_t length = strlen(ending);
    return bytes > length && strncasecmp(name + bytes - length, ending, length) == 0;
}

// Whether a folder's file of this name is text; how it is packed, and whether it is .jsonl, in any case.
static bool read_name(const char *name, enum text_packing *packing_p, bool *lines_p)
{
    static const char *const endings[] = {".txt", ".text", ".md", ".jsonl"};
    size_t bytes = strlen(name);
    *packing_p = ends_with(name, bytes, ".gz")    ? PACKING_GZIP
                 : ends_with(name, bytes, ".zst") ? PACKING_ZSTD
                                                  : PACKING_NONE;
    bytes -= *packing_p == PACKING_GZIP   ? strlen(".gz")
             : *packing_p == PACKING_ZSTD ? strlen(".zst")
                                          : 0;
    *lines_p = ends_with(name, bytes, ".jsonl");
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(name, bytes, endings[i])) return true;
    return memchr(name, '.', bytes) == NULL;
}

// ---- making ----
static enum status add_file(struct file_list *list, const char *path, size_t name,
                            const struct stat *about)
{
    if (list->count == list->room) {
        int room = list->room ? list->room * 2 : 16;
        TRY(memory_grow(&list->files, (size_t)room, sizeof *list->files, "a list of files"));
        list->room = room;
    }
    struct text_file file = {.name = name, .stamp = make_stamp(about)};
    const char *slash = strrchr(path, '/');
    read_name(slash ? slash + 1 : path, &file.packing, &file.lines);
    TRY(memory_copy_string(path, &file.path));
    list->files[list->count++] = file;
    return STATUS_OK;
}

static enum status add_folder(struct file_list *list, const char *folder, size_t name, int depth);

// One name of a folder: followed to a file, gone into as a folder, or left out.
static enum status add_name(struct file_list *list, const char *path, size_t name, const char *last,
                            int depth)
{
    struct stat about, link;
    enum text_packing packing;
    bool lines;
    if (lstat(path, &link) || stat(path, &about)) {
        if (errno == ENOENT) return STATUS_OK; // a dangling link, or removed meanwhile
        FAIL(STATUS_INPUT, "cannot look at %s: %s", path, strerror(errno));
    }
    if (S_ISDIR(link.st_mode)) return add_folder(list, path, name, depth + 1);
    if (S_ISREG(about.st_mode) && read_name(last, &packing, &lines))
        return add_file(list, path, name, &about);
    log_debug("left out: %s", path);
    return STATUS_OK;
}

static enum status add_folder(struct file_list *list, const char *folder, size_t name, int depth)
{
    if (depth > DEPTH_LIMIT)
        FAIL(STATUS_INPUT, "%s: folders lie more than %d deep here", folder, DEPTH_LIMIT);
    char **names, path[PATH_BYTES];
    int count;
    TRY(directory_list(folder, &names, &count));
    enum status status = STATUS_OK;
    for (int i = 0; i < count && !status; i++) {
        if (names[i][0] == '.') continue;
        status = path_join(path, sizeof path, folder, names[i]);
        if (!status) status = add_name(list, path, name, names[i], depth);
    }
    names_free(names, count);
    return status;
}

// ---- the same file under two names: the first name counts ----
struct place {
    uint64_t device, inode;
    int index;
};

static int compare_places(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->device != b->device) return a->device < b->device ? -1 : 1;
    if (a->inode != b->inode) return a->inode < b->inode ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

static enum status drop_repeated(struct file_list *list)
{
    struct place *places;
    TRY(memory_allocate((size_t)list->count, sizeof *places, "a list of files", &places));
    for (int i = 0; i < list->count; i++)
        places[i] = (struct place){list->files[i].stamp.device, list->files[i].stamp.inode, i};
    qsort(places, (size_t)list->count, sizeof *places, compare_places);
    for (int i = 1; i < list->count; i++) {
        if (places[i].device != places[i - 1].device || places[i].inode != places[i - 1].inode)
            continue;
        struct text_file *file = &list->files[places[i].index];
        free(file->path);
        file->path = NULL;
    }
    free(places);
    int kept = 0;
    for (int i = 0; i < list->count; i++)
        if (list->files[i].path) list->files[kept++] = list->files[i];
    list->count = kept;
    return STATUS_OK;
}

static enum status fill(struct file_list *list, const char *source)
{
    struct stat about;
    if (stat(source, &about)) FAIL(STATUS_INPUT, "cannot open %s: %s", source, strerror(errno));
    if (S_ISDIR(about.st_mode)) {
        size_t length = strlen(source);
        TRY(add_folder(list, source, length + (source[length - 1] != '/'), 0));
        if (list->count == 0)
            FAIL(STATUS_INPUT,
                 "%s: no text in this folder; .txt, .text, .md, .jsonl (each also .gz or .zst) and "
                 "files without "
                 "an extension are read",
                 source);
        return drop_repeated(list);
    }
    if (!S_ISREG(about.st_mode)) FAIL(STATUS_INPUT, "%s is neither a file nor a folder", source);
    const char *slash = strrchr(source, '/');
    return add_file(list, source, slash ? (size_t)(slash + 1 - source) : 0, &about);
}

enum status file_list_create(const char *source, struct file_list *list_p)
{
    struct file_list list = {0};
    enum status status = fill(&list, source);
    if (status) goto destroy_list;
    for (int i = 0; i < list.count; i++) list.bytes += list.files[i].stamp.bytes;
    *list_p = list;
    return STATUS_OK;
destroy_list:
    file_list_destroy(&list);
    return status;
}

void file_list_destroy(struct file_list *list)
{
    for (int i = 0; i < list->count; i++) free(list->files[i].path);
    free(list->files);
    *list = (struct file_list){0};
}
