// SPDX-License-Identifier: Apache-2.0
// The description of a cluster: a YAML file of a dozen numbers (doc/plan.md), for the cost model.
#ifndef STN_TRAIN_CLUSTER_FILE_H
#define STN_TRAIN_CLUSTER_FILE_H

#include "parallel/cost.h"

enum { CLUSTER_KEYS = 24 };

struct cluster_file {
    char name[128];
    struct cluster cluster;
    int origin[CLUSTER_KEYS]; // line of each key, 0: not set
};
// Fails: STATUS_USAGE naming file, line, key, value and what would be right; STATUS_INPUT when the file cannot be read.
enum status cluster_file_read(const char *path, struct cluster_file *file_p) CHECK_RESULT;
// As text that cluster_file_read takes; the caller frees *text_p.
enum status cluster_file_print(const struct cluster_file *file, char **text_p) CHECK_RESULT;
// The keys with their meanings, for --help: row i, false behind the last.
bool cluster_file_key(int i, const char **name_p, const char **start_p, const char **meaning_p);
#endif
