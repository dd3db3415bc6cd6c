// SPDX-License-Identifier: Apache-2.0
// The text files behind a source: the file itself, or those of a folder and the folders below it.
//
// In a folder the order is that of names, byte by byte. Taken: .txt, .text, .md, .jsonl, each also with .gz or .zst behind, and
// files without an extension (README, the texts of Debian's fortunes). Left out: hidden names, every other extension, what is no
// regular file, links to folders, and a file that was met before under another name. A file that is named itself is taken
// whatever its extension.
#ifndef STN_DATA_FILE_LIST_H
#define STN_DATA_FILE_LIST_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum text_packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

// How a file looked when the list was made; a reader compares at its end.
struct file_stamp {
    uint64_t bytes;
    int64_t seconds, nanoseconds; // of the last change
    uint64_t device, inode;
};

struct text_file {
    char *path;
    size_t
        name; // where in path the part begins that belongs to the source: its own name, or the path below the folder
    bool lines; // .jsonl
    enum text_packing packing;
    struct file_stamp stamp;
};

struct file_list {
    struct text_file *files;
    int count, room;
    uint64_t bytes; // of all of them, packed as they are
};

// Fails: STATUS_INPUT when the source is missing, unreadable, neither file nor folder, or a folder without text.
enum status file_list_create(const char *source, struct file_list *list_p) CHECK_RESULT;
void file_list_destroy(struct file_list *list);
// Fails: STATUS_INPUT naming path and cause.
enum status file_stamp_read(int file, const char *path, struct file_stamp *stamp_p) CHECK_RESULT;
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);
#endif
