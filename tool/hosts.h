// SPDX-License-Identifier: Apache-2.0
// A file of hosts for `stentor launch`: one line each, "name" or "name slots=N" or "name:N"; # begins a comment.
#ifndef STN_TOOL_HOSTS_H
#define STN_TOOL_HOSTS_H

#include "base/status.h"

struct host {
    char name[256];
    int slots;   // processes that it takes; 1 where the line says nothing
    int line;    // of the file
    int present; // 0: leave it out
};

// The caller frees *hosts_p. Fails: STATUS_INPUT naming file, line, what was found and what would be right.
enum status hosts_read(const char *path, struct host **hosts_p, int *count_p) CHECK_RESULT;
#endif
