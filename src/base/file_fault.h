// SPDX-License-Identifier: Apache-2.0
// Faults on demand: the seam through which tests make the disk fail.
//
// Every system call of file.c and directory.c that may fail for the disk's sake asks here first. Nothing else includes this header.
#ifndef STN_BASE_FILE_FAULT_H
#define STN_BASE_FILE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

enum file_call {
    FILE_CALL_OPEN,
    FILE_CALL_READ,
    FILE_CALL_WRITE,
    FILE_CALL_SYNC,
    FILE_CALL_CLOSE,
    FILE_CALL_RENAME,
    FILE_CALL_REMOVE,
    FILE_CALL_MAKE_DIRECTORY
};
// Returns the errno that the call is to fail with, or 0. May lower *bytes of a read or write: a short transfer.
typedef int (*file_fault)(void *context, enum file_call call, size_t *bytes);
// NULL: no faults. Set while no other thread uses files.
void file_fault_set(file_fault fault, void *context);
// Whether this call is to fail; errno is then set. bytes may be NULL.
bool file_fault_hits(enum file_call call, size_t *bytes);
#endif
