// SPDX-License-Identifier: Apache-2.0
// Files: whole reads with a limit, replacement that is all or nothing, folders, memory maps. EINTR and short transfers are handled here.
#ifndef STN_BASE_FILE_H
#define STN_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The whole file with a NUL behind it; the caller frees *data_p. Refuses folders, devices, FIFOs and more than `limit` bytes.
// Fails: STATUS_INPUT naming path and cause.
enum status file_read(const char *path, size_t limit, char **data_p, size_t *bytes_p) CHECK_RESULT;
// Replaces `path` through a temporary name: write, fsync, rename, fsync of the folder. The old file stays whole on failure (STATUS_DISK).
// A process that is killed meanwhile leaves PATH.tmp-…; the next one that replaces `path`, a minute later or more, removes it.
enum status file_replace(const char *path, const void *data, size_t bytes) CHECK_RESULT;
// Writes all of it to a descriptor. `path` is for the message. Fails: STATUS_DISK.
enum status file_write_all(int file, const void *data, size_t bytes, const char *path) CHECK_RESULT;
// Reads exactly `bytes` at `offset` with pread. Fails: STATUS_INPUT when the file ends before.
enum status file_read_at(int file, void *data, size_t bytes, uint64_t offset,
                         const char *path) CHECK_RESULT;
// The steps of a careful write, for those who write in pieces. Creates or empties a file (never through a link), for file_write_all.
enum status file_create(const char *path, int *file_p) CHECK_RESULT;
// fsync, then close; closes in any case. A failed fsync is final: the file must be given up, not tried again. Fails: STATUS_DISK.
enum status file_finish(int file, const char *path) CHECK_RESULT;
enum status file_rename(const char *from, const char *to) CHECK_RESULT;
// Opens a regular file for file_read_at and tells its size. `follow`: through a link. Refuses folders, devices, FIFOs. Fails: STATUS_INPUT.
enum status file_open(const char *path, bool follow, int *file_p, uint64_t *bytes_p) CHECK_RESULT;
void file_close(int file);                              // of a file that was only read; -1 is fine
enum status file_remove(const char *path) CHECK_RESULT; // nothing when it is absent
enum status file_sync_directory(const char *path) CHECK_RESULT;
// mkdir -p. Fails: STATUS_DISK naming the part that could not be made.
enum status directory_create(const char *path) CHECK_RESULT;
// Removes a folder with its files and folders below; nothing when it is absent. Never follows links.
enum status directory_remove(const char *path) CHECK_RESULT;
// Names in a folder in byte order, without "." and ".."; hidden ones too. The caller frees with names_free.
enum status directory_list(const char *path, char ***names_p, int *count_p) CHECK_RESULT;
void names_free(char **names, int count);
bool file_exists(const char *path);
bool directory_exists(const char *path);
// a/b into out. Fails: STATUS_USAGE when it does not fit.
enum status path_join(char *out, size_t out_bytes, const char *folder,
                      const char *name) CHECK_RESULT;
// Maps a file for reading; *data_p NULL and 0 bytes for an empty one.
enum status file_map(const char *path, void **data_p, size_t *bytes_p) CHECK_RESULT;
void file_unmap(void *data, size_t bytes);
#endif
