// SPDX-License-Identifier: Apache-2.0
// stentor bench --cluster-file: this machine as a cluster of one node, in the numbers that the cost model asks for.
#ifndef STN_TOOL_BENCH_CLUSTER_H
#define STN_TOOL_BENCH_CLUSTER_H

#include "base/status.h"

#include <stdbool.h>

// Measures, and writes the file, which must not be there yet. Fails: STATUS_USAGE, STATUS_DISK.
enum status bench_cluster(const char *path, bool json) CHECK_RESULT;
#endif
