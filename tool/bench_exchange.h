// SPDX-License-Identifier: Apache-2.0
// stentor bench exchange: how long slices take to travel, by every way, beside the MPI library's own all-reduce.
#ifndef STN_TOOL_BENCH_EXCHANGE_H
#define STN_TOOL_BENCH_EXCHANGE_H

#include "options.h"

// --sizes, --transport, --replicas, --bucket-mb, --rounds, --json. Prints at replica 0. Fails: STATUS_USAGE; STATUS_PEER.
enum status bench_exchange(const struct options *options) CHECK_RESULT;
#endif
